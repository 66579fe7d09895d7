import pytest

from zerostate.errors import StoreCorruptError
from zerostate.stack.store.wal_file import (
    HEADER_BYTES,
    RECORD_OVERHEAD_BYTES,
    encode_record,
    new_header,
    read_log,
)

_HEADER = new_header()
_PAYLOADS = [b"first", b"second" * 50, b"third"]


def _log(*payloads):
    return _HEADER + b"".join(encode_record(_HEADER, one) for one in payloads)


def test_records_are_read_back_in_order():
    contents = _log(*_PAYLOADS)
    found = read_log(contents, "x")

    assert found.payloads == _PAYLOADS
    assert (found.end, found.torn_bytes, found.corrupt_regions) == (len(contents), 0, 0)


def test_a_log_cut_anywhere_gives_back_its_whole_records():
    contents = _log(*_PAYLOADS)
    ends = [len(_log(*_PAYLOADS[:n])) for n in range(4)]
    for cut in range(len(contents)):
        found = read_log(contents[:cut], "x")
        whole = sum(end <= cut for end in ends) - 1
        assert found.payloads == _PAYLOADS[: max(whole, 0)]
        assert found.torn_bytes == cut - (ends[whole] if whole >= 0 else 0)
        assert found.corrupt_regions == 0


def test_a_flipped_bit_anywhere_loses_one_record_at_most():
    contents = _log(*_PAYLOADS)
    for position in range(HEADER_BYTES, len(contents)):
        damaged = bytearray(contents)
        damaged[position] ^= 0x10
        found = read_log(bytes(damaged), "x")
        assert len(found.payloads) == 2
        assert found.corrupt_bytes + found.torn_bytes > RECORD_OVERHEAD_BYTES
        assert found.corrupt_regions == (found.torn_bytes == 0)


def test_zeros_after_the_last_record_are_torn():
    found = read_log(_log(b"one") + bytes(4096), "x")

    assert (found.payloads, found.torn_bytes) == ([b"one"], 4096)


def test_a_record_inside_a_damaged_payload_of_another_file_is_not_believed():
    foreign = new_header()
    smuggled = encode_record(foreign, b"smuggled")
    contents = bytearray(_log(b"x" * 10 + smuggled, b"after"))
    contents[HEADER_BYTES + RECORD_OVERHEAD_BYTES] ^= 1

    assert read_log(bytes(contents), "x").payloads == [b"after"]


@pytest.mark.parametrize(
    "contents", [b"something else entirely", b"ZSWAL\x00\x00\x02" * 3]
)
def test_a_file_of_another_format_is_refused_by_name(contents):
    with pytest.raises(StoreCorruptError, match=r"some/file is not a write-ahead log"):
        read_log(contents, "some/file")


def test_an_empty_record_cannot_be_written():
    with pytest.raises(ValueError, match="1 to"):
        encode_record(_HEADER, b"")
