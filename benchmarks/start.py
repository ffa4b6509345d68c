"""Seconds until the command line answers: help, a report's help, a plan. Medians over whole processes, in turn.

python benchmarks/start.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from pathlib import Path

from common import keep, summary

RECIPE = str(Path(__file__).resolve().parent.parent / "recipes" / "digits.toml")
COMMANDS = {
    "fewer --help": ["--help"],
    "fewer report --help": ["report", "--help"],
    "fewer methods": ["methods"],
    "fewer data check --help": ["data", "check", "--help"],
    "fewer plan": ["plan", RECIPE],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    program = shutil.which("fewer")
    assert program, "install the package first"
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # the first round warms the disk's cache
        for name, arguments in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
            spent[name].append(time.perf_counter() - began)
    for name, values in spent.items():
        result = summary(values[1:])
        print(f"{name:24} {result['median']:.3f} s ({result['lowest']:.3f} to {result['highest']:.3f})")
        keep("start", command=name, seconds=result)


if __name__ == "__main__":
    main()
