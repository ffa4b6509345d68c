"""Seconds until the command line answers: help, a slip, a plan, one image predicted.

    python benchmarks/start.py [--rounds 7] [--beside ../before/src]

Medians over whole processes, in turn. One line a command in results/start.jsonl. With `--beside`, another version's
source folder takes its turns as well, and the ratio of the two medians, this one's over the other's, is kept.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, Results, parsed, parser, photos, ran, summary

RECIPE = """
data = { source = "folder:SOURCE", cache = "no" }
model = { name = "resnet18" }
train = { epochs = 1, batch_size = 8 }
stages = [{ epochs = 1, side_px = 32 }]
out = { plots = false, previews = false }
"""


def commands(folder: Path, source: Path) -> dict[str, tuple[object, ...]]:
    """The commands; a small run is trained for those that need one."""
    recipe, run = folder / "photos.toml", folder / "run"
    recipe.write_text(RECIPE.replace("SOURCE", str(source)))
    ran("-m", "fewer", "train", recipe, "--out", run)
    return {
        "fewer --help": ("--help",),
        "fewer report --help": ("report", "--help"),
        "fewer methods": ("methods",),
        "fewer recipes": ("recipes",),
        "fewer data check --help": ("data", "check", "--help"),
        "fewer train, a key's slip": ("train", recipe, "train.lrr=1"),
        "fewer train, a path's slip": ("train", recipe, "data.source=folder:nowhere"),
        "fewer plan": ("plan", ROOT / "recipes" / "digits.toml"),
        "fewer predict, one image": ("predict", run, next(source.glob("*/*.png"))),
    }


def spent(arguments: tuple[object, ...], source: str) -> tuple[float, float]:
    """Seconds of a process by the clock, and by its processor time, which hardly depends on what else runs."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "fewer", *map(str, arguments)]
    subprocess.run(command, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": source})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - began, processor_s


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=7)
    command.add_argument("--warm-up", type=int, default=1, help="first rounds, which warm the disk's cache")
    command.add_argument("--beside", default="", help="the source folder of another version")
    args = parsed(command, "--rounds=1", "--warm-up=0")
    results, versions = Results("start", args.smoke), [str(ROOT / "src"), *([args.beside] if args.beside else [])]
    with photos(2, 12, 32) as source, tempfile.TemporaryDirectory() as place:
        asked = commands(Path(place), source)
        seconds = {name: {version: list[tuple[float, float]]() for version in versions} for name in asked}
        for _ in range(args.warm_up + args.rounds):
            for name, arguments in asked.items():
                for version in versions:
                    seconds[name][version].append(spent(arguments, version))
    for name, found in seconds.items():
        kept = [pairs[args.warm_up :] for pairs in found.values()]
        clock, processor = ([summary([pair[kind] for pair in pairs]) for pairs in kept] for kind in (0, 1))
        ratio = {"ratio": round(processor[0]["median"] / processor[-1]["median"], 3)} if args.beside else {}
        print(f"{name:28} {clock[0]['median']:.3f} s, {processor[0]['median']:.3f} s of processor time", ratio or "")
        results.keep(command=name, seconds=clock[0], processor_seconds=processor[0], **ratio)


if __name__ == "__main__":
    main()
