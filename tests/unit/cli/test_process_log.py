"""A process's log."""

from zerostate.cli.process_log import MAX_LOG_BYTES, TAIL_LINES, ProcessLog


def test_the_file_has_the_bytes_and_the_tail_the_last_lines(tmp_path):
    log = ProcessLog("p", tmp_path / "p.log")
    for number in range(30):
        log.feed(b"line %d\n" % number)
    log.feed(b"half a li")
    log.feed(b"ne")
    log.close()

    assert (tmp_path / "p.log").read_bytes().endswith(b"line 29\nhalf a line")
    assert len(log.tail()) == TAIL_LINES
    assert log.tail()[-2:] == ["line 29", "half a line"]


def test_lines_are_echoed_with_the_process_and_without_control_characters(tmp_path):
    said = []
    log = ProcessLog("executor", tmp_path / "p.log", echo=said.append)

    log.feed(b"\x1b[2Jhello\nwor")
    log.feed(b"ld\n")
    log.close()

    assert said == ["[executor] \\x1b[2Jhello", "[executor] world"]


def test_a_log_does_not_grow_beyond_its_bound(tmp_path):
    log = ProcessLog("p", tmp_path / "p.log")
    chunk = b"x" * (1 << 20)
    for _ in range(9):
        log.feed(chunk)
    log.close()

    assert (tmp_path / "p.log").stat().st_size == MAX_LOG_BYTES
    assert log.dropped_bytes == 9 * len(chunk) - MAX_LOG_BYTES
    assert sum(map(len, log.tail())) < 100_000
