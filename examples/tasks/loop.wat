;; Runs for ever: ends by fuel or by wall clock, whichever is used up first.
(module
  (memory (export "memory") 1)
  (func (export "_start") (loop $again (br $again))))
