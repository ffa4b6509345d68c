"""Accuracy and cost of whole recipes, trained to their end.

    python benchmarks/recipes.py recipes/cifar10.toml [KEY=VALUE ...] --seeds 0,1,2

One line a finished run in results/recipes.jsonl. Only missing runs are made (recipe, digest, seed); an interrupted one
is resumed. Run folders lie in runs/benchmarks/.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path

from common import ROOT, Results, parsed, parser, ran

SMOKE = (ROOT / "recipes" / "digits.toml", "train.epochs=1", "model.width=0.1", "data.subset=64", "out.plots=false")


def main() -> None:
    command = parser(__doc__)
    command.add_argument("recipe", type=Path)
    command.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    command.add_argument("--seeds", default="0", help="comma-separated")
    args = parsed(command, *map(str, SMOKE))
    results = Results("recipes", args.smoke)
    digest = planned_digest(args.recipe, args.overrides)
    kept = tempfile.TemporaryDirectory() if args.smoke else nullcontext(ROOT / "runs" / "benchmarks")
    with kept as runs:
        for seed in map(int, args.seeds.split(",")):
            if not any(line["digest"] == digest and line["seed"] == seed for line in results.lines):
                folder = Path(runs) / f"{args.recipe.stem}-{digest}-seed{seed}"
                run(args.recipe, args.overrides, seed, folder, results)


def planned_digest(recipe: Path, overrides: list[str]) -> str:
    """The digest that a run of this recipe will have."""
    digest: str = json.loads(ran("-m", "fewer", "plan", recipe, *overrides, "--json"))["digest"]
    return digest


def run(recipe: Path, overrides: list[str], seed: int, folder: Path, results: Results) -> None:
    """Trains, or goes on with, one run and keeps its line."""
    if (folder / "recipe.resolved.toml").exists():
        ran("-m", "fewer", "resume", folder)
    else:
        ran("-m", "fewer", "train", recipe, *overrides, f"train.seed={seed}", "--out", folder)
    result = json.loads((folder / "result.json").read_text())
    environment = json.loads((folder / "env.json").read_text())
    environment.pop("command", None)
    results.keep(
        recipe=recipe.stem,
        overrides=overrides,
        digest=result["digest"],
        seed=seed,
        metrics=result["metrics"],
        ledger={key: value for key, value in result["ledger"].items() if key not in ("stages", "ranks")},
        environment=environment,
    )


if __name__ == "__main__":
    main()
