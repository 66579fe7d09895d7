"""Every host there is, for what must hold of each."""

import pytest

from hosts import host_opener


@pytest.fixture(params=["libp2p", "memory"])
def open_hosts(request):
    return host_opener(request.param)
