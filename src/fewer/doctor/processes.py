"""Processes of the doctor: probes that may crash or hang run in their own, and two of them try to train together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from fewer.doctor.result import FAIL, OK, WARN, CheckResult

_SECONDS = 90.0


def started(probe: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a function of `fewer.doctor.probes` in its own process."""
    return subprocess.Popen(
        # -P: a file torch.py in the current folder is not torch.
        [sys.executable, "-P", "-m", "fewer.doctor.probes", probe],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    )


def answer(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """The answers of a probe until it ended or its time was up.

    Returns:
        The probe's answers; if it failed, also "error": how it failed.
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
        except (ValueError, TypeError):  # output of a library
            continue
    if not error and process.returncode:
        lines = err.decode(errors="replace").strip().splitlines()
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        error = lines[-1] if lines else f"it ended with {how}"
    return {**found, "error": error} if error else found


def gloo(stack: dict[str, Any]) -> CheckResult:
    if "device" not in stack:
        return CheckResult("gloo", WARN, "not tried, because torch does not work")
    return judge_sums("gloo", together("gloo", 2))


def nccl(stack: dict[str, Any]) -> list[CheckResult]:  # untested: needs a GPU
    gpus = len(stack.get("gpus", []))
    return [judge_sums("nccl", together("nccl", min(2, gpus)))] if gpus else []


def together(probe: str, count: int, limits: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Runs a probe as `count` ranks of torchrun's environment contract over the loopback interface."""
    from fewer.sync.launch import free_port

    shared = {**(limits or {}), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [started(probe, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]
    try:
        return [answer(rank, _SECONDS) for rank in ranks]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()


def judge_sums(backend: str, answers: list[dict[str, Any]]) -> CheckResult:
    """Whether every rank got the sum 1 + 2 + ... over all."""
    wanted = len(answers) * (len(answers) + 1) / 2
    wrong = [found for found in answers if found.get("error") or found.get("sum") != wanted]
    if not wrong:
        seconds = max(found["seconds"] for found in answers)
        return CheckResult(backend, OK, f"{len(answers)} process(es) summed a tensor over loopback, {seconds:.1f} s")
    what = wrong[0].get("error") or f"the sum was {wrong[0].get('sum')} where {wanted:g} is right"
    interface = f"{'GLOO' if backend == 'gloo' else 'NCCL'}_SOCKET_IFNAME=lo"
    return CheckResult(
        backend,
        FAIL,
        f"processes cannot train together: {what}",
        f"let a firewall pass 127.0.0.1, or export {interface}; with --devices 1 training works without it",
    )
