"""execution.module_cache: native code is read back as it was written, or not at all."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerostate.errors import ConfigError
from zerostate.evidence.identity import Identity
from zerostate.execution.module_cache import (
    MAC_BYTES,
    SUFFIX,
    ModuleCache,
    cache_key,
    mac_key,
)

KEY = bytes(32)
ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


def opened(directory, *, key=KEY, max_entries=10, max_bytes=10_000):
    return ModuleCache(directory, key=key, max_entries=max_entries, max_bytes=max_bytes)


def entry(directory, key):
    return directory / f"{key}{SUFFIX}"


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "modules"


def test_what_was_written_is_read_back_also_after_a_restart(directory):
    cache = opened(directory)
    cache.write(ONE, b"code")

    assert cache.read(ONE) == b"code"
    assert opened(directory).read(ONE) == b"code"
    assert opened(directory).holds(ONE)
    assert cache.read(TWO) is None
    assert (cache.counts.hits, cache.counts.misses) == (1, 1)


def test_the_directory_and_its_files_are_of_this_user_alone(directory):
    opened(directory).write(ONE, b"code")

    assert directory.stat().st_mode & 0o777 == 0o700
    assert entry(directory, ONE).stat().st_mode & 0o077 == 0


def test_a_directory_that_others_may_use_is_refused(directory):
    directory.mkdir(mode=0o755)

    with pytest.raises(ConfigError, match="chmod 700"):
        opened(directory)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"execution\.cache_dir"):
        opened(tmp_path / "file" / "below")


@given(position=st.integers(0, 100), change=st.integers(1, 255))
def test_a_changed_byte_is_never_read_back(tmp_path_factory, position, change):
    directory = tmp_path_factory.mktemp("cache") / "modules"
    cache = opened(directory)
    cache.write(ONE, b"native code")
    path = entry(directory, ONE)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= change
    path.write_bytes(data)

    assert cache.read(ONE) is None
    assert cache.counts.refused == 1
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 1, MAC_BYTES - 1, MAC_BYTES, MAC_BYTES + 3])
def test_a_file_that_was_cut_off_is_never_read_back(directory, length):
    cache = opened(directory)
    cache.write(ONE, b"code")
    entry(directory, ONE).write_bytes(entry(directory, ONE).read_bytes()[:length])

    assert cache.read(ONE) is None


def test_code_in_another_ones_place_is_refused(directory):
    cache = opened(directory)
    cache.write(ONE, b"code")
    entry(directory, ONE).rename(entry(directory, TWO))

    assert cache.read(TWO) is None
    assert cache.counts.refused == 1


def test_what_another_node_wrote_is_refused(directory):
    opened(directory).write(ONE, b"code")

    assert opened(directory, key=b"another" * 4).read(ONE) is None


def test_beyond_the_entries_the_one_used_longest_ago_goes(directory):
    cache = opened(directory, max_entries=2)
    cache.write(ONE, b"1")
    cache.write(TWO, b"2")
    cache.read(ONE)
    cache.write(THREE, b"3")

    assert cache.counts.evicted == 1
    assert [cache.read(key) for key in (ONE, TWO, THREE)] == [b"1", None, b"3"]
    assert len(list(directory.iterdir())) == 2


def test_beyond_the_bytes_the_one_used_longest_ago_goes(directory):
    cache = opened(directory, max_bytes=2 * (MAC_BYTES + 100))
    cache.write(ONE, bytes(100))
    cache.write(TWO, bytes(100))
    cache.write(THREE, bytes(1))

    assert not cache.holds(ONE)
    assert cache.holds(TWO)


def test_what_is_larger_than_all_room_is_not_kept(directory):
    cache = opened(directory, max_bytes=100)
    cache.write(ONE, bytes(100))

    assert list(directory.iterdir()) == []


def test_a_restart_with_less_room_makes_room_by_age(directory):
    cache = opened(directory)
    for age, key in enumerate((ONE, TWO, THREE)):
        cache.write(key, b"code")
        os.utime(entry(directory, key), ns=(0, age))

    smaller = opened(directory, max_entries=1)

    assert smaller.read(THREE) == b"code"
    assert not smaller.holds(ONE)
    assert len(list(directory.iterdir())) == 1


def test_a_disk_that_takes_nothing_costs_only_the_cache(directory):
    cache = opened(directory)
    directory.rmdir()

    cache.write(ONE, b"code")

    assert cache.counts.failed_writes == 1
    assert cache.read(ONE) is None


def test_other_files_in_the_directory_are_left_alone(directory):
    opened(directory)
    note = directory / "note.txt"
    note.write_text("mine")

    opened(directory, max_entries=0)

    assert note.read_text() == "mine"


def test_a_key_names_module_engine_and_its_stack():
    keys = {cache_key(ONE, 1 << 16), cache_key(ONE, 1 << 17), cache_key(TWO, 1 << 16)}

    assert len(keys) == 3
    assert cache_key(ONE, 1 << 16) in keys


def test_a_mac_key_belongs_to_one_identity_and_stays():
    one, other = Identity(bytes(32)), Identity(b"x" * 32)

    assert mac_key(one) == mac_key(Identity(bytes(32)))
    assert mac_key(one) != mac_key(other)
