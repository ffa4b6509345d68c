"""A finding, and how probes that may crash or hang are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do about it.

    Attributes:
        name: What was looked at.
        verdict: "ok", "warn" (training works, but worse than it could) or "fail".
        what: What was found.
        fix: One thing to do; "" where there is nothing to do.
    """

    name: str
    verdict: str
    what: str
    fix: str = ""


def started(probe: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a function of `fewer.doctor.probes` in a process of its own."""
    return subprocess.Popen(
        # -P: a file torch.py in the current folder is not torch.
        [sys.executable, "-P", "-m", "fewer.doctor.probes", probe],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )


def answer(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """What a probe found out before it ended or its time was up.

    Returns:
        The probe's answers; under "error", where it failed, a phrase that says how.
    """
    error = ""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        error = f"no answer within {seconds:.0f} s"
    found: dict[str, Any] = {}
    for line in out.decode(errors="replace").splitlines():
        try:
            found |= json.loads(line)
        except (ValueError, TypeError):  # a library's own chatter
            continue
    if not error and process.returncode:
        said = err.decode(errors="replace").strip().splitlines()
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        error = said[-1] if said else f"it ended with {how}"
    return {**found, "error": error} if error else found
