"""Loads py-evm without what it does to the process.

py-evm raises Python's recursion limit a hundredfold, for contracts that call each other
a thousand deep. Ours do not, and with that limit a request of nested brackets crashes
the interpreter instead of raising RecursionError.
"""

import sys

_BEFORE = sys.getrecursionlimit()
import eth  # noqa: E402, F401  # the limit must be read first

sys.setrecursionlimit(_BEFORE)
