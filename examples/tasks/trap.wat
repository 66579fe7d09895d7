;; Reaches code that must not be reached.
(module
  (memory (export "memory") 1)
  (func (export "_start") unreachable))
