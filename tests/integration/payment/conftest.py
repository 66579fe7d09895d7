"""Chains for the tests: each started once a session, each test with fresh accounts."""

import pytest

from chain_backends import BACKENDS, running_backend
from chain_world import open_world


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request, tmp_path_factory):
    """A running chain; every test that takes it runs on each kind."""
    with running_backend(request.param, tmp_path_factory.mktemp("chain")) as running:
        yield running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """A running chain of the embedded kind."""
    with running_backend("embedded", tmp_path_factory.mktemp("chain")) as running:
        yield running


@pytest.fixture
async def world(backend, tmp_path):
    """Two parties, a watchtower and the contract."""
    async with open_world(backend, tmp_path) as opened:
        yield opened
