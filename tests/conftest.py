"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The start server of this session (of each worker, under pytest-xdist)."""
    server = Server()
    yield server
    server.stop()
