"""The rule for every judgement of the doctor."""

from __future__ import annotations

from fewer.doctor import FAIL, CheckResult


def check_judgement(result: CheckResult, verdict: str, parts: list[str]) -> None:
    """The verdict is right, the text has these parts, and a failure comes with its fix."""
    assert result.verdict == verdict
    for part in parts:
        assert part in f"{result.what} {result.fix}"
    if verdict == FAIL:
        assert result.fix
