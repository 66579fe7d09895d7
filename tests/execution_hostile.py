"""Modules that mean harm, as text or bytes, and how each must end."""

from dataclasses import dataclass, field

WASI = "wasi_snapshot_preview1"
FOUR = "(param i32 i32 i32 i32) (result i32)"


def leb128(number):
    """Encode an unsigned integer as WebAssembly does."""
    encoded = bytearray()
    while True:
        more = number > 0x7F
        encoded.append(number & 0x7F | (0x80 if more else 0))
        number >>= 7
        if not more:
            return bytes(encoded)


def section(kind, body):
    return bytes([kind]) + leb128(len(body)) + body


def of_functions(count, body):
    """Return a module of `count` functions with the same body; the first is _start."""
    code = b"\x00" + body + b"\x0b"
    return b"\0asm\x01\0\0\0" + b"".join(
        (
            section(1, b"\x01\x60\x00\x00"),
            section(3, leb128(count) + bytes(count)),
            section(7, b"\x01\x06_start\x00\x00"),
            section(10, leb128(count) + (leb128(len(code)) + code) * count),
        )
    )


def slow_to_compile(size_bytes=3_000_000):
    """Return so many bytes of branches; a MB is about a second of work to compile.

    Each function is many nested blocks with a jump table out of them.
    """
    depth = 250
    table = b"\x41\x00\x0e" + leb128(depth) + b"".join(map(leb128, range(depth)))
    body = b"\x02\x40" * depth + table + leb128(0) + b"\x0b" * depth
    return of_functions(size_bytes // (len(body) + 4), body)


@dataclass(frozen=True)
class Hostile:
    """One module."""

    module: str | bytes
    outcome: str
    limits: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


def host_call(name, signature, arguments):
    """Return a module that calls a host function and exits with what it returned."""
    return f"""(module
      (import "{WASI}" "{name}" (func $call {signature}))
      (import "{WASI}" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "/etc/passwd")
      (func (export "_start") (call $exit (call $call {arguments}))))"""


def with_body(body, *, declarations=""):
    return f"""(module {declarations} (memory (export "memory") 1)
      (func $f (export "_start") {body}))"""


SUBSCRIPTION = "(i32.const 0) (i32.const 512) (i32.const 1) (i32.const 128)"
OPEN = (
    "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
    """(i32.const 3) (i32.const 0) (i32.const 64) (i32.const 11) (i32.const 0)
       (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 512)""",
)

HOSTILE = {
    "infinite loop, by fuel": Hostile("loop", "out_of_fuel", {"fuel": 10_000_000}),
    "infinite loop, by time": Hostile(
        "loop", "deadline", {"fuel": 10**13, "wall_s": 0.2}
    ),
    "loop in the start function": Hostile(
        '(module (func $f (loop (br 0))) (start $f) (func (export "_start")))',
        "deadline",
        {"fuel": 10**13, "wall_s": 0.2},
    ),
    "memory bomb": Hostile("memory_bomb", "memory_limit"),
    "memory at once": Hostile(
        '(module (memory 60000) (func (export "_start")))', "memory_limit"
    ),
    "table bomb": Hostile(
        """(module (table $t 1 funcref) (func (export "_start")
             (loop (drop (table.grow $t (ref.null func) (i32.const 1000))) (br 0))))""",
        "out_of_fuel",
        {"fuel": 1_000_000},
    ),
    "large table": Hostile(
        '(module (table 4000000000 funcref) (func (export "_start")))', "invalid_module"
    ),
    "deep recursion": Hostile(with_body("(call $f)"), "trap"),
    "waiting in a host call": Hostile(
        host_call("poll_oneoff", FOUR, SUBSCRIPTION), "exit_code"
    ),
    "endless random bytes": Hostile(
        host_call(
            "random_get", "(param i32 i32) (result i32)", "(i32.const 0) (i32.const -1)"
        ),
        "exit_code",
    ),
    "output flood": Hostile("output_flood", "output_limit"),
    "a write of terabytes": Hostile(
        f"""(module
          (import "{WASI}" "fd_write" (func $write {FOUR}))
          (memory (export "memory") 1)
          (func (export "_start") (local $i i32)
            (loop $next
              (i32.store offset=4 (local.get $i) (i32.const 65536))
              (br_if $next (i32.lt_u
                (local.tee $i (i32.add (local.get $i) (i32.const 8)))
                (i32.const 8192))))
            (loop $again
              (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1024)
                                 (i32.const 16384)))
              (br $again))))""",
        "output_limit",
    ),
    "huge module": Hostile(
        of_functions(200_000, b"\x01" * 8),
        "manifest",
        settings={"max_module_bytes": 1 << 20},
    ),
    "slow compile": Hostile(
        slow_to_compile(), "deadline", settings={"compile_timeout_s": 1.0}
    ),
    "opening a file": Hostile(host_call("path_open", *OPEN), "exit_code"),
    "opening a socket": Hostile(
        host_call(
            "sock_accept",
            "(param i32 i32 i32) (result i32)",
            "(i32.const 3) (i32.const 0) (i32.const 512)",
        ),
        "exit_code",
    ),
    "a host function that is not there": Hostile(
        '(module (import "env" "system" (func)) (func (export "_start")))',
        "invalid_module",
    ),
    "threads": Hostile(
        '(module (memory 1 1 shared) (func (export "_start")))', "invalid_module"
    ),
    "many memories": Hostile(
        '(module (memory 1) (memory 1) (func (export "_start")))', "invalid_module"
    ),
    "64-bit memory": Hostile(
        '(module (memory i64 1) (func (export "_start")))', "invalid_module"
    ),
}
"""By name; the outcome ``manifest`` means that nothing was run."""

TRAPS = {
    "unreachable": with_body("unreachable"),
    "memory_out_of_bounds": with_body("(drop (i32.load (i32.const 65536)))"),
    "integer_division_by_zero": with_body(
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))"
    ),
    "integer_overflow": with_body(
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))"
    ),
    "bad_conversion_to_integer": with_body("(drop (i32.trunc_f32_s (f32.const nan)))"),
    "stack_overflow": with_body("(call $f)"),
    "indirect_call_to_null": with_body(
        "(call_indirect (i32.const 0))", declarations="(table 1 funcref)"
    ),
    "table_out_of_bounds": with_body(
        "(call_indirect (i32.const 7))", declarations="(table 1 funcref)"
    ),
    "bad_signature": with_body(
        "(drop (call_indirect (result i32) (i32.const 0)))",
        declarations="(table funcref (elem $f))",
    ),
}
"""A module for each kind of trap, by the engine's name for it."""
