"""Finding logs: by blocks, contract and topics, with bounds."""

from dataclasses import dataclass
from typing import Any, Final

from eth.abc import BlockHeaderAPI, LogAPI
from eth_bloom.bloom import BloomFilter

from zerostate.payment.devchain.chain import DevChain
from zerostate.payment.devchain.wire import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    RpcError,
    log_json,
    parse_address,
    parse_hash,
    parse_quantity,
)

MAX_LOG_BLOCKS: Final = 10_000
"""Most blocks of one query: about a second of work."""

MAX_LOGS: Final = 10_000
"""Most logs of one answer: about 6 MB."""

MAX_CHOICES: Final = 100
"""Most addresses, and most topics in one place."""

_MAX_TOPICS: Final = 4
_TOPIC_BYTES: Final = 32
_NAMED: Final = ("latest", "pending", "safe", "finalized")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs are wanted; an empty set means any."""

    first: int
    last: int
    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes], ...]

    def may_be_in(self, header: BlockHeaderAPI) -> bool:
        """Whether the block's bloom filter lets a wanted log be in it."""
        bloom = BloomFilter(header.bloom)
        sets = (self.addresses, *self.topics)
        return all(any(item in bloom for item in wanted) for wanted in sets if wanted)

    def takes(self, log: LogAPI) -> bool:
        """Whether `log` is wanted."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        found = [topic.to_bytes(_TOPIC_BYTES) for topic in log.topics]
        return all(
            not wanted or topic in wanted
            for wanted, topic in zip(self.topics, found, strict=False)
        )


def find_logs(chain: DevChain, wanted: object) -> list[dict[str, Any]]:
    """Return the logs that the JSON object `wanted` describes, oldest first.

    Raises:
        RpcError: It describes none, or too many.
    """
    with chain.held() as evm:
        logs = _parse(wanted, chain.head().block_number)
        found: list[dict[str, Any]] = []
        for number in range(logs.first, logs.last + 1):
            header = chain.header(number)
            if header is None or not logs.may_be_in(header):
                continue
            block = evm.get_block_by_header(header)
            receipts = block.get_receipts(evm.chaindb)
            # At most one transaction: the index of a log in the block is its own.
            found.extend(
                log_json(header, tx, log, index)
                for tx, receipt in zip(block.transactions, receipts, strict=True)
                for index, log in enumerate(receipt.logs)
                if logs.takes(log)
            )
            if len(found) > MAX_LOGS:
                raise RpcError(
                    LIMIT_EXCEEDED, f"over {MAX_LOGS} logs; ask for fewer blocks"
                )
        return found


def _parse(wanted: object, head: int) -> LogFilter:
    if not isinstance(wanted, dict) or "blockHash" in wanted:
        raise RpcError(INVALID_PARAMS, "the filter is an object with block numbers")
    first = _number(wanted.get("fromBlock"), head)
    last = min(_number(wanted.get("toBlock"), head), head)
    if last - first >= MAX_LOG_BLOCKS:
        raise RpcError(LIMIT_EXCEEDED, f"over {MAX_LOG_BLOCKS} blocks; ask for fewer")
    topics = wanted.get("topics") or []
    if not isinstance(topics, list) or len(topics) > _MAX_TOPICS:
        raise RpcError(INVALID_PARAMS, f"topics: at most {_MAX_TOPICS}")
    return LogFilter(
        first=first,
        last=last,
        addresses=frozenset(map(parse_address, _choices(wanted.get("address")))),
        topics=tuple(frozenset(map(parse_hash, _choices(t))) for t in topics),
    )


def _number(tag: object, head: int) -> int:
    if tag is None or tag in _NAMED:
        return head
    return 0 if tag == "earliest" else parse_quantity(tag)


def _choices(value: object) -> list[object]:
    if value is None:
        return []
    choices = value if isinstance(value, list) else [value]
    if len(choices) > MAX_CHOICES:
        raise RpcError(INVALID_PARAMS, f"over {MAX_CHOICES} choices in one place")
    return choices
