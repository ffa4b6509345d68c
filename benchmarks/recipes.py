"""Runs recipes to their end and keeps the evidence: one line a finished run in benchmarks/results/recipes.jsonl.

    python benchmarks/recipes.py recipes/cifar10.toml [KEY=VALUE ...] --seeds 0,1,2

Only missing cells are run (recipe, digest, seed); an interrupted run is resumed. Run folders lie in runs/benchmarks/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "recipes.jsonl"
RUNS = HERE.parent / "runs" / "benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    arguments = parser.parse_args()
    overrides = arguments.overrides
    digest = planned_digest(arguments.recipe, overrides)
    for seed in map(int, arguments.seeds.split(",")):
        if not any(line["digest"] == digest and line["seed"] == seed for line in finished()):
            run(arguments.recipe, overrides, seed, digest)


def planned_digest(recipe: Path, overrides: list[str]) -> str:
    """The digest that a run of this recipe will have."""
    plan = fewer("plan", str(recipe), *overrides, "--json", capture=True)
    digest: str = json.loads(plan)["digest"]
    return digest


def finished() -> list[dict[str, Any]]:
    """All lines of evidence so far."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def run(recipe: Path, overrides: list[str], seed: int, digest: str) -> None:
    """Trains, or goes on with, one run and appends its line."""
    folder = RUNS / f"{recipe.stem}-{digest}-seed{seed}"
    if (folder / "recipe.resolved.toml").exists():
        fewer("resume", str(folder))
    else:
        fewer("train", str(recipe), *overrides, f"train.seed={seed}", "--out", str(folder))
    result = json.loads((folder / "result.json").read_text())
    environment = json.loads((folder / "env.json").read_text())
    environment.pop("command", None)
    line = {
        "recipe": recipe.stem,
        "overrides": overrides,
        "digest": result["digest"],
        "seed": seed,
        "metrics": result["metrics"],
        "ledger": {key: value for key, value in result["ledger"].items() if key not in ("stages", "ranks")},
        "environment": environment,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def fewer(*arguments: str, capture: bool = False) -> str:
    """Runs the command line of this checkout; stops at its first failure."""
    done = subprocess.run(
        [sys.executable, "-m", "fewer", *arguments], check=True, text=True, stdout=subprocess.PIPE if capture else None
    )
    return done.stdout or ""


if __name__ == "__main__":
    main()
