"""Every host there is, for what must hold of each."""

import pytest


@pytest.fixture(params=["libp2p", "memory"])
def open_hosts(request):
    # Not at the top: pytest imports this file with every warning an error, and one of
    # libp2p's dependencies warns when it is first imported.
    from hosts import host_opener

    return host_opener(request.param)
