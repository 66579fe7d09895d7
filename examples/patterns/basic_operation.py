"""Pattern 1 of the guide: one operation, its success and its failure.

An order that can be filled, and one that cannot:

    shop.fill_order
    shop.fill_order ERROR=OutOfStockError

`record_success` before a failure would not hide it: the status is decided when the
block is left. Run it to send the two spans to a stack on this machine.
"""  # noqa: INP001  # a script to read and run, no package

import time

from zerostate import TelemetryConfig, init_tracer
from zerostate.telemetry.helper import TraceHelper
from zerostate.telemetry.marks import record_count, record_success

tracing = TraceHelper("shop")
STOCK = {"apple": 3}


class OutOfStockError(Exception):
    """There is not enough of an article."""


def fill_order(article: str, count: int) -> None:
    """Take `count` of `article` off the stock."""
    with tracing.start_span("shop.fill_order") as span:
        record_count(span, count)
        started = time.perf_counter()
        if STOCK.get(article, 0) < count:
            raise OutOfStockError(
                article
            )  # ERROR, error.type and stack trace: by itself
        STOCK[article] -= count
        record_success(span, duration_ms=(time.perf_counter() - started) * 1000)


def main() -> None:
    """Fill one order, and fail to fill another."""
    fill_order("apple", 2)
    try:
        fill_order("apple", 2)
    except OutOfStockError:
        STOCK["apple"] += 5


if __name__ == "__main__":
    config = TelemetryConfig(service_name="shop", otlp_endpoint="127.0.0.1:4318")
    with init_tracer(config):
        main()
