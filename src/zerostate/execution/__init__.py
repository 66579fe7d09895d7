"""Run a task's WebAssembly module in a worker process, within limits, and sign for it.

Receives a `~zerostate.execution.runner.TaskOrder` from the node and hands back the
output, what it used and a signed receipt.

Nothing is re-exported here: a worker process imports this package too, and must start
fast, without trio, pydantic and OpenTelemetry. Import from the modules: ``runner``,
``manifest``, ``config``, ``tracing``, ``usage``, ``examples``.
"""
