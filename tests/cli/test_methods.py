"""`fewer methods` on the command line."""

from __future__ import annotations

from collections.abc import Callable

from fewer import select
from server import Ended, complains


def test_methods(run: Callable[..., Ended]) -> None:
    listed = run("methods")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == select.names()
    one = run("methods", "dbpd")
    assert "2505.22342" in one.stdout
    assert "threshold = 0.3" in one.stdout
    assert run("methods", "dbpd", "--json").json["dbpd"]["parameters"]["threshold"]["default"] == "0.3"
    complains(run("methods", "dpbd"), 2, '"dpbd"', 'did you mean "dbpd"?')
