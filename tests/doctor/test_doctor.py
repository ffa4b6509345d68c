"""The doctor as a whole: a check that breaks is a result."""

from __future__ import annotations

from fewer.doctor import WARN, CheckResult, _results


def test_a_check_that_breaks_is_a_finding() -> None:
    def broken() -> CheckResult:
        raise ZeroDivisionError("odd machine")

    (finding,) = _results(broken)
    assert (finding.name, finding.verdict) == ("broken", WARN)
    assert "odd machine" in finding.what
