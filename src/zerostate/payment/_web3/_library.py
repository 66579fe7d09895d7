"""Loads web3 without eth_keyfile, a third of the time that web3 takes to load.

eth_keyfile reads and writes encrypted keys of accounts, and for those of validators
computes the pairing of BLS12-381 when it is loaded. web3 takes it along for accounts of
its own, which we do not use: our keys are `zerostate.evidence.ethereum`'s, their
encryption `zerostate.payment.keystore`'s.
"""

from typing import Literal, NoReturn

from zerostate.payment.standing_in import standing_in


def _not_ours(*_arguments: object, **_options: object) -> NoReturn:
    raise NotImplementedError("web3 has no keys here; see zerostate.payment.keystore")


_KEYFILE = {
    "create_keyfile_json": _not_ours,
    "decode_keyfile_json": _not_ours,
    "KDFType": Literal["pbkdf2", "scrypt"],
}

with standing_in({"eth_keyfile": _KEYFILE, "eth_keyfile.keyfile": _KEYFILE}):
    import web3  # noqa: F401  # loaded for its submodules' importers
