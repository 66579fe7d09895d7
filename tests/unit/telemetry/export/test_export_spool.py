import shutil
from pathlib import Path

import pytest

from zerostate.errors import ConfigError
from zerostate.telemetry.export import SpoolConfig, spool_file
from zerostate.telemetry.export.spool import MAX_CORRUPT_FILES, Spool

PAYLOAD = b"span" * 25  # 100 bytes, 116 on disk


def open_spool(directory: Path, max_bytes: int = 10_000, name: str = "otlp") -> Spool:
    return Spool(SpoolConfig(directory=str(directory), max_bytes=max_bytes), name)


def read_all(spool: Spool) -> list[bytes | None]:
    found = []
    while (entry := spool.oldest()) is not None:
        found.append(payload := spool.load(entry))
        if payload is not None:
            spool.remove(entry)
    return found


def files(directory: Path, pattern: str = "*.otlp") -> list[Path]:
    return sorted(directory.glob(f"*/*/{pattern}"))


def never(entry) -> None:
    raise AssertionError(f"{entry.path} was evicted")


def yes() -> bool:
    return True


def test_batches_come_back_after_a_restart_oldest_first(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(12):
        spool.write(b"%d" % number, number + 1, never, written=yes)
    spool.close()

    again = open_spool(tmp_path)

    assert again.recovered_spans == sum(range(1, 13))
    assert read_all(again) == [b"%d" % number for number in range(12)]
    assert files(tmp_path) == []
    again.close()


def test_only_the_owner_may_read_a_batch(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "new" / "place")
    spool.write(PAYLOAD, 5, never, written=yes)

    [file] = files(tmp_path / "new" / "place")
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    spool.close()


def test_a_batch_is_told_of_once_it_outlives_a_crash(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    found: list[bytes | None] = []

    def written() -> bool:
        [file] = files(tmp_path)
        found.append(spool_file.read(file))
        return True

    spool.write(PAYLOAD, 5, never, written=written)

    assert found == [PAYLOAD]
    spool.close()


def test_a_batch_that_nobody_wants_any_more_is_not_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)

    spool.write(PAYLOAD, 5, never, written=lambda: False)

    assert len(spool) == 0
    assert files(tmp_path) == []
    spool.close()


def test_the_oldest_makes_room_but_not_the_one_being_delivered(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=350)
    evicted: list[int] = []
    for spans in (1, 2, 3):
        spool.write(PAYLOAD, spans, never, written=yes)
    spool.oldest()  # in use from here

    spool.write(PAYLOAD, 4, lambda entry: evicted.append(entry.spans), written=yes)

    assert evicted == [2]
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 350
    spool.close()


def test_what_never_fits_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=100)

    with pytest.raises(OSError, match="full"):
        spool.write(PAYLOAD, 1, never, written=yes)

    assert files(tmp_path) == []
    spool.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"ZSP9" + data[4:],
        lambda data: b"",
    ],
)
def test_a_corrupt_batch_is_set_aside(tmp_path: Path, damage) -> None:
    spool = open_spool(tmp_path)
    spool.write(PAYLOAD, 5, never, written=yes)
    spool.write(b"good", 1, never, written=yes)
    first = files(tmp_path)[0]
    first.write_bytes(damage(first.read_bytes()))

    assert read_all(spool) == [None, b"good"]

    assert len(files(tmp_path, "*.corrupt")) == 1
    assert len(spool) == 0
    spool.close()


def test_few_corrupt_files_are_kept(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for _ in range(MAX_CORRUPT_FILES + 3):
        spool.write(PAYLOAD, 5, never, written=yes)
    for file in files(tmp_path):
        file.write_bytes(b"")

    read_all(spool)

    assert len(files(tmp_path, "*.corrupt")) == MAX_CORRUPT_FILES
    spool.close()


def test_half_a_file_is_removed_at_the_next_start(tmp_path: Path) -> None:
    open_spool(tmp_path).close()
    partial = tmp_path / "otlp" / "000" / "0000000000000000-5.otlp.partial"
    partial.write_bytes(b"ZSP1")

    spool = open_spool(tmp_path)

    assert not partial.exists()
    assert len(spool) == 0
    spool.close()


def test_strange_files_are_left_alone(tmp_path: Path) -> None:
    open_spool(tmp_path).close()
    stranger = tmp_path / "otlp" / "000" / "notes.txt"
    stranger.write_text("mine")

    spool = open_spool(tmp_path)

    assert read_all(spool) == []
    assert stranger.exists()
    spool.close()


def test_two_users_of_one_directory_do_not_meet(tmp_path: Path) -> None:
    one, two = open_spool(tmp_path), open_spool(tmp_path)

    one.write(b"one", 1, never, written=yes)

    assert read_all(two) == []
    assert read_all(one) == [b"one"]
    one.close()
    two.close()


def test_what_a_dead_process_left_is_adopted(tmp_path: Path) -> None:
    one, two = open_spool(tmp_path), open_spool(tmp_path)
    one.write(b"one", 1, never, written=yes)
    two.write(b"two", 2, never, written=yes)
    two.close()

    three = open_spool(tmp_path, name="otlp")
    four = open_spool(tmp_path)

    assert read_all(three) == [b"two"]
    assert read_all(four) == []
    for spool in (one, three, four):
        spool.close()


def test_orphans_in_other_places_move_to_ours(tmp_path: Path) -> None:
    one, two = open_spool(tmp_path), open_spool(tmp_path)
    one.write(b"one", 1, never, written=yes)
    two.write(b"two", 2, never, written=yes)
    one.close()
    two.close()

    spool = open_spool(tmp_path)

    assert read_all(spool) == [b"one", b"two"]
    spool.close()


def test_destinations_do_not_share_batches(tmp_path: Path) -> None:
    one = open_spool(tmp_path, name="one")
    one.write(b"one", 1, never, written=yes)
    one.close()

    two = open_spool(tmp_path, name="two")

    assert read_all(two) == []
    two.close()


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(ConfigError, match=r"spool\.directory: .*file"):
        open_spool(tmp_path / "file")


def test_a_deleted_file_does_not_hold_up_the_next_one(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for number in range(3):
        spool.write(b"%d" % number, 1, never, written=yes)
    files(tmp_path)[0].unlink()

    assert read_all(spool) == [None, b"1", b"2"]
    assert len(spool) == 0
    spool.close()


def test_deleted_files_are_told_but_for_the_one_in_use(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    for spans in range(1, 5):
        spool.write(PAYLOAD, spans, never, written=yes)
    spool.oldest()
    for path in files(tmp_path)[:3]:
        path.unlink()

    assert [entry.spans for entry in spool.forget_missing()] == [2, 3]
    assert spool.forget_missing() == []
    assert len(spool) == 2
    spool.close()


def test_a_deleted_directory_is_made_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    spool.write(b"lost", 1, never, written=yes)
    shutil.rmtree(tmp_path / "spool")

    spool.write(b"kept", 2, never, written=yes)

    assert read_all(spool) == [None, b"kept"]
    spool.close()


def test_a_place_that_another_took_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "spool")
    first.write(b"lost", 1, never, written=yes)
    shutil.rmtree(tmp_path / "spool")
    second = open_spool(tmp_path / "spool")
    second.write(b"theirs", 1, never, written=yes)

    first.write(b"ours", 1, never, written=yes)

    assert read_all(second) == [b"theirs"]
    assert read_all(first) == [None, b"ours"]
    first.close()
    second.close()


def test_a_place_taken_anew_keeps_what_is_in_it(tmp_path: Path) -> None:
    first = open_spool(tmp_path)
    first.write(b"mine", 1, never, written=yes)
    next(tmp_path.glob("*/*/LOCK")).unlink()

    first.write(b"more", 1, never, written=yes)

    assert read_all(first) == [b"mine", b"more"]
    first.close()
