;; Writes 32 KiB at a time to standard output, for ever, whatever the answer.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; One buffer: 32 KiB at address 0x1000; its description stands at address 0.
  (data (i32.const 0) "\00\10\00\00\00\80\00\00")
  (func (export "_start")
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))))
