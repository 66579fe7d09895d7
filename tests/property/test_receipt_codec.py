"""Any receipt survives the wire, and no changed byte does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import ERROR_CODES, EvidenceError, WireError
from zerostate.evidence.identity import Identity
from zerostate.evidence.receipt import MAX_UINT, Receipt, open_receipt, seal_receipt

EXECUTOR = Identity(bytes(32))
HEX64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
HEX32 = st.binary(min_size=16, max_size=16).map(bytes.hex)
UINT = st.integers(0, MAX_UINT)
PEER = st.binary(min_size=32, max_size=32).map(lambda seed: Identity(seed).peer_id)

RECEIPTS = st.builds(
    Receipt,
    task_id=HEX32.map("task-{}".format),
    trace_id=HEX32,
    guild_id=HEX32.map("guild-{}".format),
    requester=PEER,
    executor=st.just(EXECUTOR.peer_id),
    manifest_sha256=HEX64,
    module_sha256=HEX64,
    input_sha256=HEX64,
    output_sha256=HEX64,
    outcome=st.sampled_from(["ok", *sorted(ERROR_CODES)]),
    exit_code=st.integers(-(2**31), 2**31 - 1),
    fuel_used=UINT,
    memory_peak_bytes=UINT,
    cpu_time_ns=UINT,
    wall_time_ns=UINT,
    started_unix_ns=UINT,
    ended_unix_ns=UINT,
    engine_version=st.text(st.characters(codec="ascii"), max_size=64),
    engine_config_sha256=HEX64,
    price=UINT,
    trap=st.sampled_from(["", "unreachable", "stack_overflow"]),
)


@given(RECEIPTS)
def test_a_receipt_survives_the_wire(receipt):
    assert open_receipt(seal_receipt(EXECUTOR, receipt)) == receipt


@given(RECEIPTS, st.data())
def test_a_changed_byte_never_gives_another_receipt(receipt, data):
    sealed = bytearray(seal_receipt(EXECUTOR, receipt))
    position = data.draw(st.integers(0, len(sealed) - 1))
    sealed[position] ^= data.draw(st.integers(1, 255))

    try:
        opened = open_receipt(bytes(sealed))
    except (EvidenceError, WireError):
        return
    # Protobuf lets a reader skip fields it does not know: what was signed stands.
    assert opened == receipt


@given(st.binary(max_size=200))
def test_noise_is_refused_with_an_error_of_ours(noise):
    with pytest.raises((EvidenceError, WireError)):
        open_receipt(noise)
