"""Where spans are kept.

Receives decoded batches from the collector, hands traces to the query API.
`contract` says what any backend must do; `DurableStore` is the one of this package,
`MemoryStore` the one for those who need no disk.
"""

from zerostate.stack.bounds import StoreBounds as StoreBounds
from zerostate.stack.store.contract import Reader as Reader
from zerostate.stack.store.contract import Writer as Writer
from zerostate.stack.store.durable import DurableStore as DurableStore
from zerostate.stack.store.memory import MemoryStore as MemoryStore
from zerostate.stack.store.records import Dependency as Dependency
from zerostate.stack.store.records import Operation as Operation
from zerostate.stack.store.records import SpanOrigin as SpanOrigin
from zerostate.stack.store.records import StoredSpan as StoredSpan
from zerostate.stack.store.records import Trace as Trace
from zerostate.stack.store.records import TraceLink as TraceLink
from zerostate.stack.store.records import TraceQuery as TraceQuery
from zerostate.stack.store.tags import TagCondition as TagCondition
