"""Does the learning-rate finder find the best rate? A grid of rates by training, beside what the finder says.

    python benchmarks/lr_find.py [--cifar folder:data/cifar10/train] [--case NAME] [--seeds 2] [--until SECONDS]

Three recipes whose best rates lie far apart: digits by lenet5 with SGD, the same with AdamW, and 2,000 images of
CIFAR-10 by a quarter of the net of recipes/cifar10.toml, with its rates by kind of parameter. Rates of the grid lie a
factor of two apart; the best one has the highest test top-1, mean of the seeds. Each case also trains at the rate that
was found, and says what two other readings of the same curves give: the steepest point, and a tenth of the
recommendation. One line a training or finder in results/lr_find.jsonl; what is there is not trained again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from common import Results, parsed, parser

from fewer.core.errors import DivergedError
from fewer.core.types import Request
from fewer.recipe.parse import parse_recipe
from fewer.session.build import Session, open_data, open_session
from fewer.session.lr_finder import find
from fewer.training.loop import train

_TESTED = 2000  # images, at most
_DIGITS: dict[str, Any] = {
    "data": {"source": "digits", "test": "40%", "val": "none", "cache": "no"},
    "model": {"name": "lenet5"},
}
_NET = {"name": "cnn", "width": 0.25, "whiten": True, "whiten_bias_epochs": 3, "batchnorm_momentum": 0.4}
CASES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "digits, lenet5, sgd": (
        {**_DIGITS, "train": {"epochs": 6, "batch_size": 64}},
        [0.01, 0.02, 0.04, 0.08, 0.16],
    ),
    "digits, lenet5, adamw": (
        {**_DIGITS, "train": {"epochs": 6, "batch_size": 64, "optimizer": "adamw", "weight_decay": 0.05}},
        [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016],
    ),
    "cifar10, cnn, sgd": (
        {
            "data": {"test": "auto", "val": "none", "subset": 2000, "cache": "no"},
            "augment": {"crop_padding_px": 2, "padding": "reflect", "flip": "alternating"},
            "model": {**_NET, "logit_scale": 0.1111},
            "train": {
                "epochs": 4, "batch_size": 128, "momentum": 0.85, "weight_decay": 0.00133, "norm_lr_scale": 64.0,
                "norm_weight_decay": 2.08e-5, "bias_weight_decay": 0.00133, "warmup": "23%", "warmup_start": 0.2,
                "final": 0.07, "label_smoothing": 0.2,
            },
        },
        [0.2, 0.4, 0.8, 1.6, 3.2],
    ),
}  # fmt: skip


def opened(content: dict[str, Any], lr: float, seed: int) -> Session:
    recipe = parse_recipe({**content, "train": {**content["train"], "lr": lr, "seed": seed}})
    splits = open_data(recipe)
    assert splits.test is not None
    return open_session(recipe, replace(splits, test=splits.test.without(splits.test.ids_M[_TESTED:])))


def trained(content: dict[str, Any], lr: float, seed: int) -> dict[str, float | None]:
    """Test top-1 and loss of one training; none where it diverged."""
    session, began = opened(content, lr, seed), time.perf_counter()
    try:
        for _ in train(session.task, session.train_data, session.run):
            pass
    except DivergedError:
        return {"top1": None, "loss": None, "seconds": time.perf_counter() - began}
    assert session.test_data is not None
    ids = session.test_data.split.ids_M
    requests = [Request.evaluation(session.plan.evaluation_side_px, 0, part) for part in ids.split(500)]
    model = session.run.evaluated_model()
    scalars = session.task.evaluate(model, session.test_data.batches(requests), session.run.comm).scalars
    return {"top1": scalars["top1"], "loss": scalars["loss"], "seconds": time.perf_counter() - began}


def found(content: dict[str, Any], steps: int) -> dict[str, float]:
    """What the finder says, with seed 0, and what two other rules would."""
    session = opened(content, 0.1, 0)
    result = find(session, session.plan.stages[0], steps=steps, uses_cache=False)
    steepest = [reading.steepest_lr for reading in result.readings if reading]
    flops = result.counts(("flops",))["flops"]
    return {
        "lr": result.lr,
        "low": result.low,
        "high": result.high,
        "steepest_lr": statistics.geometric_mean(steepest),
        "fee": flops / session.plan.plain_epoch_flops,
        "seconds": result.seconds,
    }


def wanted(name: str, grid: list[float], seeds: int, results: Results) -> Iterator[tuple[float, int]]:
    """Rates and seeds that no line has yet, the finder's own rate last."""
    have = {(line["lr"], line["seed"]) for line in results.lines if line["case"] == name and line["kind"] == "training"}
    own = [line["lr"] for line in results.lines if line["case"] == name and line["kind"] == "finder"]
    yield from (pair for seed in range(seeds) for lr in [*grid, *own] if (pair := (lr, seed)) not in have)


def mean(name: str, lr: float, results: Results) -> float:
    """Mean top-1 of a rate; one that diverged is worth nothing."""
    lines = [line for line in results.lines if line["case"] == name and line["kind"] == "training" and line["lr"] == lr]
    return statistics.fmean(line["top1"] or 0.0 for line in lines) if lines else 0.0


def summary(name: str, grid: list[float], results: Results) -> str:
    (finder,) = (line for line in results.lines if line["case"] == name and line["kind"] == "finder")
    points = {lr: 100 * mean(name, lr, results) for lr in grid}
    best, lr = max(points, key=points.__getitem__), finder["lr"]
    own = 100 * mean(name, lr, results)
    return (
        f"{name}: best {best:g} ({points[best]:.1f} %); found {lr:g} ({own:.1f} %), {finder['low']:.2g} to "
        f"{finder['high']:.2g}: {lr / best:.2f} times the best; steepest {finder['steepest_lr'] / best:.2f}, a tenth "
        f"{lr / 10 / best:.2f}; {finder['fee']:.1f} FEE; grid "
        + ", ".join(f"{rate:g}: {value:.1f}" for rate, value in points.items())
    )


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--cifar", default="folder:data/cifar10/train", help="source of the CIFAR-10 images")
    command.add_argument("--cifar-test", default="folder:data/cifar10/test")
    command.add_argument("--case", default="", help="only the cases with this in their names")
    command.add_argument("--seeds", type=int, default=2)
    command.add_argument("--until", type=float, default=1e9, help="start no training after so many seconds")
    args = parsed(command, "--case", "digits", "--seeds", "1")
    torch.set_num_threads(1)
    results, began = Results("lr_find", args.smoke), time.perf_counter()
    for name, (content, grid) in CASES.items():
        if args.case not in name:
            continue
        data = content["data"] if "source" in content["data"] else {**content["data"], "source": args.cifar}
        data = data if "source" in content["data"] else {**data, "test": args.cifar_test}
        content = {**content, "data": data}
        if args.smoke:
            tiny = {"model": {"name": "lenet5", "width": 0.25}, "stages": [{"epochs": 1, "side_px": 16}]}
            rates = {key: value for key, value in content["train"].items() if key != "epochs"}
            content, grid = {**content, **tiny, "train": rates}, grid[:1]
        if not any(line["case"] == name and line["kind"] == "finder" for line in results.lines):
            results.keep(kind="finder", case=name, **found(content, 40 if args.smoke else 100))
        for lr, seed in wanted(name, grid, args.seeds, results):
            if time.perf_counter() - began > args.until:
                return
            results.keep(kind="training", case=name, lr=lr, seed=seed, **trained(content, lr, seed))
        print(summary(name, grid, results))


if __name__ == "__main__":
    main()
