"""`fewer doctor` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.cli.doctor import doctor
from fewer.core.errors import ResourceError
from fewer.doctor import FAIL, OK, WARN, CheckResult
from server import Server


def test_doctor_on_this_machine(server: Server, tmp_path: Path) -> None:
    """Every check runs; gloo and torchvision's operators are really tried. The runs folder cannot be made."""
    (tmp_path / "runs").write_text("in the way")
    ended = server.run("doctor", "--json", "--devices", "2", cwd=tmp_path, forks=True)
    found = {finding["name"]: finding for finding in ended.json["findings"]}
    assert found.keys() >= {"python", "torch", "torchvision", "threads", "memory", "compiler", "timm"}
    assert [found[name]["verdict"] for name in ("torch works", "torchvision ops", "gloo")] == ["ok", "ok", "ok"]
    assert "2 process(es) summed" in found["gloo"]["what"]
    for rank in range(2):
        assert found[f"rank {rank}"]["verdict"] == "ok", found[f"rank {rank}"]
        assert "all_reduce over 2 ranks right" in found[f"rank {rank}"]["what"]
    assert "could not be checked" not in ended.stdout
    assert "disk" in ended.json["failed"]
    assert ended.code == 6
    assert "doctor: " in ended.stderr


def test_findings_in_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters do not reach the terminal; warnings alone are no failure."""
    found = [CheckResult("python", OK, "3.12"), CheckResult("disk", WARN, "low\x1b[2J", "free some")]
    monkeypatch.setattr("fewer.doctor.check_results", lambda devices: iter(found))
    assert doctor() == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok    python          3.12",
        "warn  disk            low\\x1b[2J",
        "                      fix: free some",
    ]
    found.append(CheckResult("gloo", FAIL, "no", "yes"))
    with pytest.raises(ResourceError, match="doctor: gloo"):
        doctor()
