"""The ladder of examples/fast_cifar.py: what each of its settings buys, one change after the other.

    python benchmarks/fast_cifar.py --data data/cifar10 [--seeds 0,1] [--only "SiLU" "24 px first"]
    python benchmarks/fast_cifar.py --data data/cifar10 --small    # a first look, a tenth of the cost
    python benchmarks/fast_cifar.py --table [--small]              # what is known so far, as Markdown

The first rung has airbench94_muon's settings; each further rung changes one thing, and the last is the example. Seeds
are the outer loop. `--small` takes half of the width, 10,000 images and batches of 320, as many steps, and looks at
5,000 held-out images of the training set, never at test images: settings are chosen there. One line a finished run in
results/fast_cifar.jsonl; only missing ones are made, and one that was interrupted is resumed. Run folders lie in
runs/benchmarks/. Accuracy is that of one view, of six views of every image, and of six where the first leaves doubt;
PFLOP has the last of them.
"""

from __future__ import annotations

import argparse
import json
import runpy
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from common import ROOT, Results, machine, parsed, parser

EXAMPLE = runpy.run_path(str(ROOT / "examples" / "fast_cifar.py"), run_name="fast_cifar")
# What stood in the recipe before each rung; None: nothing.
RUNGS: dict[str, dict[str, Any]] = {
    "airbench94_muon": {},
    "hiverge's rates, batches of 1,536": {
        "train.batch_size": 2000,
        "train.lr": 0.24,
        "train.momentum": 0.6,
        "train.renormalise_every_steps": 1,
        "train.other_momentum": 0.85,
        "train.head_lr_scale": 7.0,
        "train.norm_lr_scale": 440.0,
        "train.bias_lr_scale": 440.0,
        "train.weight_decay": 0.0024,
        "train.norm_weight_decay": 3.8e-5,
        "train.bias_weight_decay": 3.8e-5,
        "model.batchnorm_momentum": 0.4,
    },
    "SiLU": {"model.activation": "gelu"},
    "label smoothing 0.09": {"train.label_smoothing": 0.2},
    "bias of the first layer for one epoch": {"model.whiten_bias_epochs": 3},
    "jitter": {"augment.brightness": 0.0, "augment.contrast": 0.0},
    "24 px first": {"stages": None, "train.epochs": 8},
}
# Beside the ladder: the last rung with one thing changed.
VARIANTS: dict[str, dict[str, Any]] = {
    "nine epochs, five of them at 24 px": {"stages": [{"epochs": 5, "side_px": 24}, {"epochs": 4, "side_px": 32}]},
    "24, 28 and 32 px": {
        "stages": [{"epochs": 2, "side_px": 24}, {"epochs": 3, "side_px": 28}, {"epochs": 3, "side_px": 32}]
    },
    "never renormalised": {"train.renormalise_every_steps": 0},
    "GELU": {"model.activation": "gelu"},
}
SMALL = {
    "model.width": 0.5,
    "data.subset": 10000,
    "data.val": "10%",
    "data.test": "none",
    "evaluate.test": False,
    "train.batch_size": 320,
    "task.tta": None,
    "task.tta_below": None,
}
SMOKE = {"data.source": "digits", "data.subset": 300, "model.width": 0.1, "train.batch_size": 50, "train.epochs": 1}
UNSURE = EXAMPLE["SPEED_RUN"]["task.tta_below"]
VIEWS = {
    "one": ["task.tta=none", "task.tta_below="],
    "six": ["task.tta=flip_and_shift", "task.tta_below=1.0"],
    "unsure": ["task.tta=flip_and_shift", f"task.tta_below={UNSURE}"],
}


def main() -> None:
    args = arguments()
    results = Results("fast_cifar", args.smoke)
    if args.table:
        print(table(results.lines, args.small))
        return
    kept = tempfile.TemporaryDirectory() if args.smoke else nullcontext(ROOT / "runs" / "benchmarks")
    with kept as runs:
        for seed in map(int, args.seeds.split(",")):
            for name in args.only:
                run(name, seed, args, Path(runs), results)


def arguments() -> argparse.Namespace:
    command = parser(__doc__)
    names = [*RUNGS, *VARIANTS]
    command.add_argument("--data", type=Path, help="folder with train.tar and test.tar, or train/ and test/")
    command.add_argument("--seeds", help="comma-separated; left out: 0, or 100 with --small")
    command.add_argument("--only", nargs="+", choices=names, default=names, metavar="RUNG", help=", ".join(names))
    command.add_argument("--small", action="store_true", help="half of the width, 10,000 images, held-out images")
    command.add_argument("--table", action="store_true", help="print the results so far, and train nothing")
    args = parsed(command, "--small", "--only", "airbench94_muon")
    args.seeds = args.seeds or ("100" if args.small else "0")
    return args


def content_of(rung: str) -> dict[str, Any]:
    """The recipe of a rung, or of a variant of the last."""
    import fewer

    content = changed(fewer.ready_recipe("cifar-fast"), EXAMPLE["SPEED_RUN"])
    if rung in VARIANTS:
        return changed(content, VARIANTS[rung])
    names = list(RUNGS)
    for later in names[: names.index(rung) : -1]:
        content = changed(content, RUNGS[later])
    return content


def changed(content: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """A recipe's content with some keys changed; None takes one out."""
    for key, value in keys.items():
        *path, last = key.split(".")
        section = content
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
        if value is None:
            del section[last]
    return content


def run(name: str, seed: int, args: argparse.Namespace, runs: Path, results: Results) -> None:
    """Trains, or goes on with, one run, and keeps its line."""
    import fewer
    from fewer.session.build import make_plan, open_data

    content = changed(content_of(name), SMALL if args.small else {})
    if args.smoke:
        content = changed(content, {**SMOKE, "stages": None})
    where = dict(each.split("=", 1) for each in EXAMPLE["data_in"](args.data)) if args.data else {}
    content = changed(content, {**where, **({"data.test": "none"} if args.small else {}), "train.seed": seed})
    recipe = fewer.parse_recipe(content)
    digest = make_plan(recipe, open_data(recipe)).digest
    if any((line["digest"], line["seed"]) == (digest, seed) for line in results.lines):
        return
    folder = runs / f"fast_cifar-{digest}-seed{seed}"
    done = EXAMPLE["trained"](recipe, folder)
    split = "val" if args.small else "test"
    looks = {views: looked_at(folder, keys, split) for views, keys in VIEWS.items()}
    cost = EXAMPLE["costs"](done, folder, looks["unsure"]["forwards"], looks["unsure"]["images"])
    line = {"rung": name, "small": args.small, "digest": digest, "seed": seed, "steps": done["steps"]}
    environment = {**json.loads((folder / "env.json").read_text()), "date": machine()["date"]}
    environment.pop("command", None)
    results.keep(**line, **{f"top1_{views}": each["top1"] for views, each in looks.items()}, **cost,
                 forwards_per_image=looks["unsure"]["forwards"], fee=done["ledger"]["full_epoch_equivalents"],
                 environment=environment)  # fmt: skip


def looked_at(folder: Path, keys: list[str], split: str) -> dict[str, float]:
    """Accuracy and forwards an image of a run's model, in some views."""
    from fewer.inference.evaluate import evaluate

    found = evaluate(folder, keys, split=split)
    forwards = found["tables"].get(f"{split}/forwards_per_image", 1.0)
    return {"top1": found["metrics"][f"{split}/top1"], "forwards": forwards, "images": found["images"]}


def table(lines: list[dict[str, Any]], small: bool) -> str:
    """The ladder as Markdown; what was not run says so."""
    rows = ["| rung | one view | six | six where unsure | PFLOP | seeds |", "|---|---|---|---|---|---|"]
    for name in (*RUNGS, *VARIANTS):
        found = [line for line in lines if (line["rung"], line["small"]) == (name, small)]
        means = {key: statistics.mean(line[key] for line in found) for key in (*_SHARES, "pflop")} if found else {}
        cells = [*(f"{means[key]:.2%}" for key in _SHARES), f"{means['pflop']:.4f}"] if found else ["not run"] * 4
        rows.append(f"| {name} | {' | '.join(cells)} | {len(found) or '-'} |")
    return "\n".join(rows)


_SHARES = tuple(f"top1_{views}" for views in VIEWS)


if __name__ == "__main__":
    main()
