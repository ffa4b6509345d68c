"""Every benchmark runs from its command line to its line of evidence, on a tiny setting, and keeps nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scripts
from paths import ROOT
from server import Server

RESULTS = ROOT / "benchmarks" / "results"
FIGURES = {"tables": "| --- |", "picture": "savings.svg"}  # scripts that make no evidence, with what they print


def _smoke(name: str) -> str:
    return scripts.run("benchmarks", name, "--smoke")


def _written() -> dict[str, tuple[int, int]]:
    """Size and time of the last writing of each results file; reading moves neither."""
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in RESULTS.iterdir()}


@pytest.mark.parametrize("name", scripts.names("benchmarks"))
def test_a_benchmark_makes_its_evidence(server: Server, tmp_path: Path, name: str) -> None:
    before = _written()
    printed: str = server.call(_smoke, name, cwd=tmp_path)
    if name in FIGURES:
        assert FIGURES[name] in printed
    else:
        lines = [
            json.loads(line.removeprefix("smoke: ")) for line in printed.splitlines() if line.startswith("smoke: ")
        ]
        assert lines
        assert all("machine" in line or "environment" in line for line in lines)
    assert _written() == before
    assert f"results/{name}.jsonl" in (ROOT / "benchmarks" / f"{name}.py").read_text() or name in FIGURES
    assert not list(tmp_path.iterdir()), "nothing is left behind"
