"""What the tests of channels share: two managers, wired."""

import pytest

from payment_parties import (
    PAYEE,
    open_pair,
)
from zerostate.units import Minor


@pytest.fixture
async def pair(tmp_path):
    async with open_pair(tmp_path) as pair:
        yield pair


@pytest.fixture
async def channel_id(pair):
    channel_id = await pair.payer.open_channel(PAYEE.peer_id, Minor(1000))
    pair.spans.clear()
    return channel_id
