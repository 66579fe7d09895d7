"""The chain over JSON-RPC by web3: the only package that imports web3.

Importing it takes half a second to two; `zerostate.payment.chains` does so when a chain
is used, and not before.
"""

from zerostate.payment._web3 import _library as _library
from zerostate.payment._web3.opening import open_node_chain as open_node_chain

__all__ = ["open_node_chain"]
