"""A child process for supervision tests; argument 1 says how it behaves."""
# ruff: noqa: T201  # its output is what the tests look at

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def say(document: object) -> None:
    print(json.dumps(document), flush=True)


def ready() -> None:
    say({"event": "ready", "pid": os.getpid(), "arguments": sys.argv[2:]})


def wait() -> None:
    while True:
        signal.pause()


behaviour = sys.argv[1]
if behaviour == "good":
    print("up and running", file=sys.stderr, flush=True)
    ready()
    wait()
elif behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    wait()
elif behaviour == "tells order":
    # Ends on SIGTERM only after noting it where the test looks.
    def note(_number: int, _frame: object) -> None:
        with Path(sys.argv[2]).open("a", encoding="utf-8") as file:
            file.write(sys.argv[3] + "\n")
        sys.exit(0)

    signal.signal(signal.SIGTERM, note)
    ready()
    wait()
elif behaviour == "fails":
    say(
        {
            "event": "failed",
            "error": {"code": "port_in_use", "message": "4318 is taken"},
        }
    )
    sys.exit(3)
elif behaviour == "dies":
    print("first words\nno disk left", file=sys.stderr, flush=True)
    sys.exit(7)
elif behaviour == "silent":
    wait()
elif behaviour == "babbles":
    print("hello", flush=True)
    wait()
elif behaviour == "chatty":
    ready()
    for _ in range(4000):
        print("x" * 100, flush=True)
        print("y" * 100, file=sys.stderr, flush=True)
    print("done talking", file=sys.stderr, flush=True)
    wait()
elif behaviour == "family":
    # Same process group, as a careless child would be. Both only wait to be killed.
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say({"event": "ready", "pid": os.getpid(), "child": child.pid})
    while True:
        time.sleep(600)
