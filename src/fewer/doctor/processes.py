"""Whether processes on this machine can train together: really tried."""

from __future__ import annotations

from typing import Any

from fewer.doctor.finding import FAIL, OK, WARN, Finding, answer, started

_SECONDS = 90.0


def gloo(stack: dict[str, Any]) -> Finding:
    if "device" not in stack:
        return Finding("gloo", WARN, "not tried, because torch does not work")
    return judge_sums("gloo", together("gloo", 2))


def nccl(stack: dict[str, Any]) -> list[Finding]:  # untested: needs a GPU
    gpus = len(stack.get("gpus", []))
    return [judge_sums("nccl", together("nccl", min(2, gpus)))] if gpus else []


def together(probe: str, count: int) -> list[dict[str, Any]]:
    """Runs a probe as `count` ranks of torchrun's environment contract over the loopback interface."""
    from fewer.sync.launch import free_port

    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [started(probe, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]
    try:
        return [answer(rank, _SECONDS) for rank in ranks]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()


def judge_sums(backend: str, answers: list[dict[str, Any]]) -> Finding:
    """Whether every rank got the sum 1 + 2 + ... over all."""
    wanted = len(answers) * (len(answers) + 1) / 2
    wrong = [found for found in answers if found.get("error") or found.get("sum") != wanted]
    if not wrong:
        seconds = max(found["seconds"] for found in answers)
        return Finding(backend, OK, f"{len(answers)} process(es) summed a tensor over loopback, {seconds:.1f} s")
    what = wrong[0].get("error") or f"the sum was {wrong[0].get('sum')} where {wanted:g} is right"
    interface = f"{'GLOO' if backend == 'gloo' else 'NCCL'}_SOCKET_IFNAME=lo"
    return Finding(
        backend,
        FAIL,
        f"processes cannot train together: {what}",
        f"let a firewall pass 127.0.0.1, or export {interface}; with --devices 1 training works without it",
    )
