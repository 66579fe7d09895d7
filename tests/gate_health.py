"""Health checks, as `tests/e2e/test_registry_gate.py` wants to see them emitted."""

import trio

from zerostate.semconv import attributes as attr


async def health_scenario(world):
    """Check a peer by hand, then wait for a regular check."""
    requester, member = world.layers["requester"], world.layers["member"]
    report = await requester.peers.health.check(member.peers.peer_id)
    assert report.clock_offset_ns is not None
    with trio.fail_after(10):
        while not any(  # noqa: ASYNC110  # what is looked at has no event
            attr.BACKGROUND in span.attributes
            for span in world.all_spans()
            if span.name == "p2p.health_check"
        ):
            await trio.sleep(0.05)
