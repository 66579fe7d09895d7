"""The tree of a trace, as text."""

from zerostate.cli.traces import SpanLink, Trace, TraceSpan
from zerostate.cli.tree import MAX_ROWS, render_tree

MS = 1_000_000


def span(span_id: str, parent: str | None, name: str, **fields) -> TraceSpan:
    fields.setdefault("service", "requester")
    return TraceSpan(span_id=span_id, parent_span_id=parent, name=name, **fields)


def text_of(*spans: TraceSpan) -> str:
    return "\n".join(line for line, _ in render_tree(Trace("ab" * 16, spans)))


def test_a_tree_shows_nesting_durations_peers_and_kinds():
    text = text_of(
        span("01", None, "task.run", duration_ns=1_520 * MS),
        span("02", "01", "guild.create", start_ns=1, duration_ns=312 * MS),
        span("03", "02", "p2p.gossip.publish", kind="PRODUCER", duration_ns=12_000),
        span(
            "04",
            "03",
            "p2p.gossip.deliver",
            kind="CONSUMER",
            service="member",
            duration_ns=2 * MS,
        ),
        span("05", "01", "task.result", start_ns=2, duration_ns=900 * MS),
    )

    assert text == (
        "task.run                       1.52 s  requester\n"
        "├─ guild.create                312 ms  requester\n"
        "│  └─ p2p.gossip.publish        12 µs  requester  PRODUCER\n"
        "│     └─ p2p.gossip.deliver      2 ms  member     CONSUMER\n"
        "└─ task.result                 900 ms  requester"
    )


def test_an_error_shows_its_type_and_message_and_is_marked():
    failed = span(
        "01",
        None,
        "task.run",
        status="ERROR",
        status_message="unreachable\nexecuted",
        attributes={"error.type": "trap"},
    )

    [(line, is_error)] = render_tree(Trace("ab" * 16, (failed,)))

    assert is_error
    assert line.endswith("ERROR trap: unreachable\\nexecuted")


def test_spans_without_their_parent_stand_under_a_row_that_says_so():
    text = text_of(
        span("01", None, "task.run"),
        span("03", "dead", "execution.wasm.compile", service="executor"),
        span("04", "dead", "execution.wasm.execute", service="executor", start_ns=1),
        span("05", "03", "inner", service="executor"),
    )

    assert text.splitlines()[1:] == [
        "missing parent dead: never arrived (its process may have died)",
        "├─ execution.wasm.compile      0 µs  executor",
        "│  └─ inner                    0 µs  executor",
        "└─ execution.wasm.execute      0 µs  executor",
    ]


def test_a_link_names_the_other_trace():
    link = SpanLink("cd" * 16, "ef" * 8, {})

    assert text_of(span("01", None, "p2p.gossip.deliver", links=(link,))).endswith(
        "→ trace " + "cd" * 16
    )


def test_spans_that_are_their_own_ancestors_are_shown_once():
    text = text_of(
        span("01", None, "task.run"), span("02", "03", "a"), span("03", "02", "b")
    )

    assert [line.split()[0:2] for line in text.splitlines()[1:]] == [
        ["spans", "that"],
        ["└─", "a"],
        ["└─", "b"],
    ]


def test_a_span_that_is_its_own_parent_is_shown_once():
    assert text_of(span("02", "02", "a")).count("a  ") == 1


def test_two_spans_with_one_id_are_both_shown():
    text = text_of(
        span("01", None, "client", kind="CLIENT"),
        span("01", None, "server", kind="SERVER"),
    )

    assert "client" in text
    assert "server" in text


def test_a_chain_as_deep_as_it_is_long_is_rendered():
    chain = [span("0", None, "s")]
    chain += [span(str(n), str(n - 1), "s") for n in range(1, 5000)]

    lines = render_tree(Trace("ab" * 16, tuple(chain)))

    assert len(lines) == MAX_ROWS + 1
    assert lines[-1][0] == f"… {5000 - MAX_ROWS} more spans; the page has them"
    assert max(len(line) for line, _ in lines) < 200


def test_a_strangers_text_cannot_command_the_terminal():
    hostile = span(
        "01",
        None,
        "\x1b[2Jx",
        service="a\x07b",
        status="ERROR",
        status_message="\u202e",
        attributes={"error.type": "\x1b]0;t\x07"},
    )

    line = text_of(hostile)

    assert line.isprintable()
    assert "\\x1b[2Jx" in line


def test_a_trace_without_spans_has_no_lines():
    assert render_tree(Trace("ab" * 16, ())) == []
