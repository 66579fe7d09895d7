"""Where spans come in.

Receives OTLP over HTTP and gRPC, hands decoded batches to the store's writer, answers
only when they are stored, and keeps the ledger of what became of every span.
"""

from zerostate.stack.collector.ingest import Ingest as Ingest
from zerostate.stack.collector.ledger import Ledger as Ledger
from zerostate.stack.collector.otlp_grpc import GrpcReceiver as GrpcReceiver
from zerostate.stack.collector.otlp_http import otlp_http_app as otlp_http_app
