"""A chain of one's own: py-evm, one transaction a block, durable block by block."""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

from eth.abc import (
    BlockAPI,
    BlockHeaderAPI,
    ReceiptAPI,
    SignedTransactionAPI,
    StateAPI,
)
from eth.chains.base import MiningChain
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, TransactionNotFound
from eth.vm.chain_context import ChainContext
from eth.vm.forks.cancun import CancunVM
from eth_typing import Address, BlockNumber, Hash32

from zerostate.clock import Clock
from zerostate.errors import ConfigError
from zerostate.evidence.ethereum import address_bytes
from zerostate.payment.devchain.genesis import Genesis
from zerostate.payment.devchain.keyvalue import KeyValueFile
from zerostate.payment.devchain.windows import note_windows
from zerostate.units import NS_PER_S

if TYPE_CHECKING:
    from eth.typing import AccountDetails, HeaderParams

GAS_LIMIT: Final = 30_000_000
"""Gas of one block, and so of one transaction."""

_GENESIS_META: Final = "genesis"


@final
class DevChain:
    """The chain in one database. Safe to use from any thread.

    Every method that adds a block returns when the block is durable; killed at any
    moment, the chain is found as it was after the last such return, or one block on.
    """

    def __init__(self, db: KeyValueFile, genesis: Genesis, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._lock = threading.RLock()
        self._ahead_s = 0
        self._chain_class = MiningChain.configure(
            "DevelopmentChain",
            vm_configuration=((BlockNumber(0), CancunVM),),
            chain_id=genesis.chain_id,
        )
        self.chain_id: Final = genesis.chain_id
        self._chain = self._open(genesis)

    @contextmanager
    def held(self) -> Iterator[MiningChain]:
        """Hold the chain still inside the block, and look at it with py-evm's eyes."""
        with self._lock:
            yield self._chain

    def head(self) -> BlockHeaderAPI:
        """Return the header of the newest block."""
        with self._lock:
            return self._chain.get_canonical_head()

    def header(self, number: int) -> BlockHeaderAPI | None:
        """Return the header of block `number`, if there is one."""
        with self._lock:
            try:
                return self._chain.get_canonical_block_header_by_number(
                    BlockNumber(number)
                )
            except HeaderNotFound:
                return None

    def find(self, tx_hash: bytes) -> tuple[BlockAPI, ReceiptAPI] | None:
        """Return the block and the receipt of a transaction, if it is in one."""
        with self._lock:
            try:
                number, index = self._chain.chaindb.get_transaction_index(
                    Hash32(tx_hash)
                )
            except TransactionNotFound:
                return None
            block = self._chain.get_canonical_block_by_number(number)
            return block, self._chain.get_transaction_receipt_by_index(number, index)

    def state(self, header: BlockHeaderAPI) -> StateAPI:
        """Return the state that a transaction after `header`'s block would find.

        Gas costs nothing in it, and what is done to it is lost. Hold the chain
        (`held`) for as long as it is used.
        """
        following = self._chain.create_header_from_parent(
            header, timestamp=self._next_time_s(header), gas_limit=header.gas_limit
        )
        return CancunVM.build_state(
            self._chain.chaindb.db,
            following.copy(base_fee_per_gas=0),
            ChainContext(self.chain_id),
            (header.hash,),
        )

    def mine(self, transactions: Sequence[SignedTransactionAPI] = ()) -> BlockAPI:
        """Add one block with `transactions`; return it when it is durable.

        Raises:
            eth_utils.ValidationError: A transaction may not be in a block; none was
                added.
            StoreUnavailableError: The disk refused; none was added.
        """
        with self._lock:
            head = self._chain.get_canonical_head()
            try:
                with self._db.transaction():
                    return self._mine(head, transactions)
            except BaseException:
                # What py-evm had in memory is of a block that was never added.
                self._chain = self._reopen()
                raise

    def keep_awake(self) -> BlockAPI | None:
        """Add an empty block if a challenge window is open."""
        with self._lock:
            return self.mine() if self._db.has_window() else None

    def turn_clock(self, seconds: int) -> int:
        """Let the next block be at least `seconds` later than now; for tests.

        Returns how far ahead of the wall clock the chain then is. Forgotten at the end
        of the process, but time never goes back: each block is later than the last.
        """
        with self._lock:
            wall_s = self._clock.wall_ns() // NS_PER_S
            now_s = max(
                self._chain.get_canonical_head().timestamp, wall_s + self._ahead_s
            )
            self._ahead_s = now_s + seconds - wall_s
            return self._ahead_s

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def _open(self, genesis: Genesis) -> MiningChain:
        digest = _digest(genesis)
        noted = self._db.meta(_GENESIS_META)
        if noted is None:
            with self._db.transaction():
                self._begin(genesis)
                self._db.set_meta(_GENESIS_META, digest)
        elif noted != digest:
            raise ConfigError(
                "the chain's database began with another genesis (chain id, "
                "balances or code); take that one, or another file"
            )
        return self._reopen()

    def _begin(self, genesis: Genesis) -> None:
        accounts: dict[Address, AccountDetails] = {
            Address(address_bytes(address)): {
                "balance": genesis.balances.get(address, 0),
                # A contract's first nonce is 1 (EIP-161).
                "nonce": int(address in genesis.code),
                "code": genesis.code.get(address, b""),
                "storage": {},
            }
            for address in genesis.balances.keys() | genesis.code.keys()
        }
        parameters: dict[str, HeaderParams] = {
            "difficulty": 0,
            "gas_limit": GAS_LIMIT,
            "timestamp": 0,
        }
        self._chain_class.from_genesis(AtomicDB(self._db), parameters, accounts)

    def _reopen(self) -> MiningChain:
        return self._chain_class(AtomicDB(self._db))

    def _mine(
        self, head: BlockHeaderAPI, transactions: Sequence[SignedTransactionAPI]
    ) -> BlockAPI:
        time_s = self._next_time_s(head)
        self._chain.header = self._chain.create_header_from_parent(
            head, timestamp=time_s, gas_limit=head.gas_limit
        )
        result, receipts, _ = self._chain.mine_all(transactions)
        note_windows(
            self._db, (log for receipt in receipts for log in receipt.logs), time_s
        )
        return result.imported_block

    def _next_time_s(self, parent: BlockHeaderAPI) -> int:
        now_s = self._clock.wall_ns() // NS_PER_S + self._ahead_s
        return max(parent.timestamp + 1, now_s)


def _digest(genesis: Genesis) -> str:
    content: dict[str, Any] = {
        "chain_id": genesis.chain_id,
        "balances": {k: str(v) for k, v in sorted(genesis.balances.items())},
    }
    if genesis.code:
        content["code"] = {k: v.hex() for k, v in sorted(genesis.code.items())}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
