"""Photos in one line: what `fewer train SOURCE model.weights=FILE` reaches, and the settings that its defaults beat.

    python benchmarks/photos.py --photos data/caltech101_subset --weights efficientnet_lite0.safetensors \\
        --arm default --seeds 0,1,2

`--photos` holds train.tar and test.tar. An arm is a name of ARMS: `default` adds nothing to source and weights, the
others change keys. One line a finished run in results/photos.jsonl; only missing runs are made (arm, weights, seed), an
interrupted one is resumed. Without `--weights` training begins with random ones.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from common import ROOT, Results, parsed, parser, photos, ran

_SHORT = ("data.val=none", "train.epochs=2", "train.side_px=64", "train.weight_decay=0.01")
_LARGER = (
    *("data.val=none", "train.epochs=4", "train.side_px=96", "train.evaluation_side_px=128"),
    *("train.weight_decay=0.01", "evaluate.batchnorm_images=2048"),
)
_FEW = ("data.val=none", "data.subset=400", "train.epochs=10", "train.side_px=64", "model.name=resnet18")
ARMS: dict[str, tuple[str, ...]] = {
    "default": (),
    # Which optimizer, rate and factor for the head: two epochs at 64 px.
    "adamw 0.001, head 10": (*_SHORT, "train.optimizer=adamw", "train.lr=0.001", "train.head_lr_scale=10"),
    "adamw 0.001, head 1": (*_SHORT, "train.optimizer=adamw", "train.lr=0.001", "train.head_lr_scale=1"),
    "adamw 0.0003, head 10": (*_SHORT, "train.optimizer=adamw", "train.lr=0.0003", "train.head_lr_scale=10"),
    "adamw 0.003, head 3": (*_SHORT, "train.optimizer=adamw", "train.lr=0.003", "train.head_lr_scale=3"),
    "sgd 0.03, head 1": (*_SHORT, "train.optimizer=sgd", "train.lr=0.03", "train.head_lr_scale=1"),
    # Evaluated at a larger side than trained on: four epochs on all photos, none for validation.
    "96 px, seen at 128 px": _LARGER,
    "96 px, seen at 128 px, milder": (
        *_LARGER,
        "train.label_smoothing=0.1",
        "task.tta=flip",
        "augment.crop_scale=[0.5, 1.0]",
    ),
    # From random weights, 400 photos: ten epochs at 64 px.
    "few, adamw 0.001": (*_FEW, "train.optimizer=adamw", "train.lr=0.001", "train.batch_size=32"),
    "few, sgd 0.03": (*_FEW, "train.optimizer=sgd", "train.lr=0.03", "train.batch_size=32"),
    "few, sgd 0.1 in batches of 128": (*_FEW, "train.optimizer=sgd", "train.lr=0.1", "train.batch_size=128"),
    "tiny": ("model.name=lenet5", "train.epochs=1", "train.side_px=32", "out.plots=false"),  # for --smoke
}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--photos", type=Path, default=ROOT / "data" / "caltech101_subset")
    command.add_argument("--weights", type=Path)
    command.add_argument("--arm", choices=ARMS, default="default")
    command.add_argument("--seeds", default="0", help="comma-separated")
    args = parsed(command, "--arm", "tiny")
    results, weights = Results("photos", args.smoke), args.weights.stem if args.weights else "none"
    keys = [f"model.weights={args.weights.resolve() if args.weights else 'none'}", *ARMS[args.arm]]
    with ExitStack() as stack:
        runs, source = ROOT / "runs" / "benchmarks", args.photos / "train.tar"
        if args.smoke:
            runs, source = (
                Path(stack.enter_context(each)) for each in (tempfile.TemporaryDirectory(), photos(2, 20, 90))
            )
        else:
            keys.append(f"data.test=tar:{(args.photos / 'test.tar').resolve()}")
        for seed in map(int, args.seeds.split(",")):
            done = {(line["arm"], line["weights"], line["seed"]) for line in results.lines}
            if (args.arm, weights, seed) not in done:
                folder = runs / f"photos-{args.arm.replace(' ', '-')}-{weights}-seed{seed}"
                run(source, [*keys, f"train.seed={seed}"], folder)
                keep(results, args.arm, weights, seed, folder)


def run(source: Path, keys: list[str], folder: Path) -> None:
    """Trains, or goes on with, one run."""
    if (folder / "recipe.resolved.toml").exists():
        ran("-m", "fewer", "resume", folder)
    else:
        ran("-m", "fewer", "train", source, *keys, "--out", folder)


def keep(results: Results, arm: str, weights: str, seed: int, folder: Path) -> None:
    """Keeps the line of a finished run."""
    result = json.loads((folder / "result.json").read_text())
    environment = json.loads((folder / "env.json").read_text())
    environment.pop("command", None)
    results.keep(
        arm=arm,
        weights=weights,
        seed=seed,
        digest=result["digest"],
        epochs=result["epochs"],
        metrics=result["metrics"],
        ledger={key: value for key, value in result["ledger"].items() if key not in ("stages", "ranks")},
        environment=environment,
    )


if __name__ == "__main__":
    main()
