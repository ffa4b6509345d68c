"""Result of one check: a verdict, the facts, and a fix."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check.

    Attributes:
        name: The part that was checked.
        verdict: "ok", "warn" (training works, but not as well as it could) or "fail".
        what: The facts.
        fix: One thing to do; "" if there is nothing to do.
    """

    name: str
    verdict: str
    what: str
    fix: str = ""
