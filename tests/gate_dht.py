"""DHT and discovery, as `tests/e2e/test_registry_gate.py` wants to see them emitted."""

import trio

from zerostate.semconv import attributes as attr


async def dht_scenario(world):
    """Store, look up, find a peer; wait for what a node does by itself."""
    requester, member = (world.layers[name].peers for name in ("requester", "member"))
    stored = await requester.dht.put("status", b"up")
    assert stored.peers == 2
    record = await member.dht.get(requester.peer_id, "status")
    assert record.value == b"up"
    assert await member.dht.find_peer(requester.peer_id) == requester.addresses
    with trio.fail_after(10):
        # The executor says by itself what it offers.
        while not await requester.discovery.find("wasm"):  # noqa: ASYNC110  # what another node does has no event here
            await trio.sleep(0.05)
    assert any(
        attr.BACKGROUND in span.attributes
        for span in world.all_spans()
        if span.name == "p2p.dht.put"
    )
