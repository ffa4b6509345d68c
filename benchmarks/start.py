"""Seconds until the command line answers: help, a report's help, a plan.

    python benchmarks/start.py [--rounds 7]

Medians over whole processes, in turn. One line a command in results/start.jsonl.
"""

from __future__ import annotations

import time

from common import ROOT, Results, parsed, parser, ran, summary

COMMANDS: dict[str, tuple[object, ...]] = {
    "fewer --help": ("--help",),
    "fewer report --help": ("report", "--help"),
    "fewer methods": ("methods",),
    "fewer data check --help": ("data", "check", "--help"),
    "fewer plan": ("plan", ROOT / "recipes" / "digits.toml"),
}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--warm-up", type=int, default=1, help="first rounds, which warm the disk's cache")
    args = parsed(command, "--rounds=1", "--warm-up=0")
    results = Results("start", args.smoke)
    spent: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(args.warm_up + args.rounds):
        for name, arguments in COMMANDS.items():
            began = time.perf_counter()
            ran("-m", "fewer", *arguments)
            spent[name].append(time.perf_counter() - began)
    for name, values in spent.items():
        seconds = summary(values[args.warm_up :])
        print(f"{name:24} {seconds['median']:.3f} s ({seconds['lowest']:.3f} to {seconds['highest']:.3f})")
        results.keep(command=name, seconds=seconds)


if __name__ == "__main__":
    main()
