"""The observing half: one process that receives, keeps and shows traces.

The path of a span, in module names: `collector` → `store` → `query` → `ui`, with `otlp`
as the common language; `app` wires them. Nothing here imports the network's half: the
two meet only as OTLP on the wire.
"""

from zerostate.stack.config import StackConfig as StackConfig
from zerostate.stack.config import StackUrls as StackUrls
from zerostate.stack.config import default_data_dir as default_data_dir
