"""Spans to be counted by valgrind, for `telemetry.py`: needs a process of its own.

    valgrind --tool=callgrind python benchmarks/telemetry_instructions.py NAME URL SPANS

Makes SPANS spans with 5 attributes and exports them to URL. Instructions, unlike time,
are nearly the same in each run, whatever else the machine does; the difference of two
runs leaves start-up out.
"""

import os
import sys

from telemetry import ours, sdk

CONTENDERS = {"ZeroState": ours, "OpenTelemetry SDK": sdk}


def main() -> None:
    """Run once."""
    name, endpoint, spans = sys.argv[1], sys.argv[2], int(sys.argv[3])
    contender = CONTENDERS[name](endpoint)
    contender.run(spans)
    contender.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
