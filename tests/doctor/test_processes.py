"""Processes of the doctor: answers before a crash count, and sums are checked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fewer.doctor import FAIL, OK, CheckResult, processes
from fewer.doctor.processes import answer
from judgements import check_judgement

SUM = {"sum": 3.0, "seconds": 1.0}


@pytest.mark.parametrize(
    ("result", "verdict", "parts"),
    [
        (processes.judge_sums("gloo", [SUM] * 2), OK, ["2 process"]),
        (
            processes.judge_sums("gloo", [SUM, {**SUM, "sum": 2.0}]),
            FAIL,
            ["2.0", "3"],
        ),
        (processes.judge_sums("gloo", [{"error": "Connection refused"}] * 2), FAIL, ["refused", "GLOO_SOCKET_IFNAME"]),
        (processes.judge_sums("nccl", [{"error": "x"}]), FAIL, ["NCCL_SOCKET_IFNAME"]),
    ],
)
def test_judgements(result: CheckResult, verdict: str, parts: list[str]) -> None:
    check_judgement(result, verdict, parts)


def _process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import os; os.kill(os.getpid(), 9)", "it ended with signal 9"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("raise ImportError('libcudart.so.12')", "ImportError: libcudart.so.12"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_what_a_probe_said_before_it_broke_counts(code: str, error: str) -> None:
    said = "print('chatter'); print('{\"device\": \"cpu\"}', flush=True)"
    assert answer(_process(f"{said}; {code}"), 1 if "sleep" in code else 30) == {"device": "cpu", "error": error}
