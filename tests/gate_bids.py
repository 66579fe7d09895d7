"""The registry gate's scenario of a task for which two executors bid."""

from zerostate.execution.examples import sha256_module

BIDDERS = {
    "executor": {"price_base": 10, "price_per_gigafuel": 1000},
    "member": {"capabilities": ("wasm",), "price_base": 20, "price_per_gigafuel": 1000},
}
"""Settings of the world that `bids_scenario` needs."""


async def bids_scenario(world):
    """The cheaper one runs a task; then it goes away before it can accept another."""
    executor, member = (
        world.layers[name].peers.peer_id for name in ("executor", "member")
    )
    first = await world.run(sha256_module())
    assert (first.error_code, first.executor) == (None, executor), first.error_message

    async def lose_the_best(stage, _text, _data=None):
        if stage == "bids.received":
            await world.network.find(executor).vanish()

    world.progress = lose_the_best
    second = await world.run(sha256_module())
    assert (second.error_code, second.executor) == (None, member), second.error_message
