"""Loads py-evm without what it does to the process, and without what it need not load.

py-evm raises Python's recursion limit a hundredfold, for contracts that call each other
a thousand deep. Ours do not, and with that limit a request of nested brackets crashes
the interpreter instead of raising RecursionError.

It also loads the precompiled contracts of forks that this chain does not run. Those of
Prague compute the pairing of BLS12-381 when they are loaded, for half of the time that
py-evm takes to load.
"""

import sys
from typing import NoReturn

from zerostate.payment.standing_in import standing_in

_BLS12: tuple[str, ...] = (
    "bls12_g1_add",
    "bls12_g1_msm",
    "bls12_map_fp_to_g1",
    "bls12_g2_add",
    "bls12_g2_msm",
    "bls12_map_fp2_to_g2",
    "bls12_pairing_check",
)
_BEFORE = sys.getrecursionlimit()


def _of_prague(_computation: object) -> NoReturn:
    raise NotImplementedError("BLS12-381 came with Prague; this chain runs Cancun")


with standing_in({"eth.precompiles.bls12_381": dict.fromkeys(_BLS12, _of_prague)}):
    import eth  # noqa: F401  # the limit must be read first

sys.setrecursionlimit(_BEFORE)
