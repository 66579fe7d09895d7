"""A development chain of one's own: py-evm over SQLite, behind JSON-RPC on loopback.

For the demo and the tests, in a process of its own (``python -m
zerostate.payment.devchain``). No proof of anything: whoever holds the file is the
chain. Importing this loads py-evm, about a second.
"""

from zerostate.payment.devchain import _evm as _evm
from zerostate.payment.devchain.chain import DevChain as DevChain
from zerostate.payment.devchain.genesis import Genesis as Genesis
from zerostate.payment.devchain.genesis import load_genesis as load_genesis
from zerostate.payment.devchain.opening import (
    run_until_signalled as run_until_signalled,
)
from zerostate.payment.devchain.opening import serve_devchain as serve_devchain
from zerostate.payment.devchain.server import DevChainServer as DevChainServer

__all__ = [
    "DevChain",
    "DevChainServer",
    "Genesis",
    "load_genesis",
    "run_until_signalled",
    "serve_devchain",
]
