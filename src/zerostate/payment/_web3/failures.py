"""web3's errors, and those of what it stands on, in words of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests
from web3.exceptions import (
    BadResponseFormat,
    ContractLogicError,
    ProviderConnectionError,
    RequestTimedOut,
    TooManyRequests,
    Web3Exception,
    Web3RPCError,
)

from zerostate.errors import (
    ChainError,
    ChainUnreachableError,
    InsufficientGasError,
    TransactionRevertedError,
)
from zerostate.payment.chain.node import SendOutcome

MAX_TEXT: Final = 200
"""How much of a node's text goes into an error of ours, in characters."""

_REVERTED: Final = "execution reverted"
_NO_MONEY: Final = ("insufficient funds", "insufficient balance")

# What geth, anvil, Erigon, Nethermind, Besu and Reth say, in lower case. There are no
# codes for these: all are -32000 or the like.
_TAKEN: Final = (
    "already known",
    "already imported",
    "alreadyknown",
    "known transaction",
)
_NONCE_USED: Final = ("nonce too low", "oldnonce", "nonce is too low")
_UNDERPRICED: Final = ("underpriced", "replacementnotallowed")


@contextmanager
def mapped(where: str) -> Iterator[None]:
    """Raise what goes wrong in the block as errors of ours; `where` names the node."""
    try:
        yield
    except ContractLogicError as exc:
        raise TransactionRevertedError(_reason(exc)) from exc
    except (
        requests.RequestException,
        ProviderConnectionError,
        RequestTimedOut,
        TooManyRequests,
        BadResponseFormat,
    ) as exc:
        # Not its text: that holds the whole address, with a key in it maybe.
        raise ChainUnreachableError(f"{where}: {type(exc).__name__}") from exc
    except Web3RPCError as exc:
        text = message_of(exc)
        if any(words in text.lower() for words in _NO_MONEY):
            raise InsufficientGasError(text) from exc
        raise ChainError(f"{where}: {text}") from exc
    except Web3Exception as exc:
        raise ChainError(f"{where}: {str(exc)[:MAX_TEXT]}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        # What a web page answers that is not a node.
        raise ChainUnreachableError(
            f"{where}: not an answer of a node ({type(exc).__name__})"
        ) from exc


def send_outcome(exc: Web3RPCError) -> SendOutcome | None:
    """Return what a node's refusal of a transaction means; None: it is an error."""
    text = message_of(exc).lower()
    for words, outcome in (
        (_TAKEN, SendOutcome.TAKEN),
        (_NONCE_USED, SendOutcome.NONCE_USED),
        (_UNDERPRICED, SendOutcome.UNDERPRICED),
    ):
        if any(word in text for word in words):
            return outcome
    return None


def message_of(exc: Web3RPCError) -> str:
    """Return the node's own text."""
    response = exc.rpc_response or {}
    error = response.get("error")
    text = error.get("message") if isinstance(error, dict) else error
    return str(text or exc)[:MAX_TEXT]


def _reason(exc: ContractLogicError) -> str:
    text = str(exc.message or "")
    return text.removeprefix(_REVERTED).removeprefix(":").strip()[:MAX_TEXT]
