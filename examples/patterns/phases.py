"""Pattern 3 of the guide: an operation in phases.

Phases are siblings under the operation, each with its own duration. In the guide's own
code each phase became a child of the one before it, because its context was passed on.
The second job fails in its second phase; both that phase and the job are marked, and
the third phase is missing because it did not happen:

    service.complex_operation
      service.prepare
      service.execute
      service.finalize
    service.complex_operation ERROR=ValueError
      service.prepare
      service.execute ERROR=ValueError

Run it to send the two traces to a stack on this machine.
"""  # noqa: INP001  # a script to read and run, no package

from zerostate import TelemetryConfig, init_tracer
from zerostate.telemetry.helper import TraceHelper, with_task_id
from zerostate.telemetry.marks import record_success

tracing = TraceHelper("service")


def complex_operation(task_id: str, text: str) -> str:
    """Add up the numbers in `text`."""
    with tracing.start_span(
        "service.complex_operation", with_task_id(task_id)
    ) as operation:
        with tracing.start_span("service.prepare"):
            words = text.split()
        with tracing.start_span("service.execute", {"words": len(words)}):
            total = sum(int(word) for word in words)
        with tracing.start_span("service.finalize"):
            answer = f"{total:,}"
        record_success(operation)
        return answer


def main() -> list[str]:
    """Run one job that succeeds and one that fails."""
    answers = [complex_operation("task-1", "1000 2000")]
    try:
        complex_operation("task-2", "1000 apples")
    except ValueError:
        answers.append("no number")
    return answers


if __name__ == "__main__":
    config = TelemetryConfig(service_name="service", otlp_endpoint="127.0.0.1:4318")
    with init_tracer(config):
        main()
