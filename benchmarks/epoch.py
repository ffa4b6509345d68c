"""Speed of an epoch on the quarter of the images that stale scores choose, and the bookkeeping of fresh scores.

    python benchmarks/epoch.py [--rounds 5]

Two runs take turns, epoch by epoch, in one process: plain training, and `dbpd` at the cost that leaves a quarter of the
images to every epoch but the first. Choosing, and bringing the table up to date, are part of an epoch. Once with images
that lie in memory, and once with photos that are decoded and cropped again in each epoch, where that takes longer than
training. Then a run with fresh scores: the ledger's FEE beside (forward share) * scored / N + EE. One line each in
results/epoch.jsonl.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from common import ROOT, Results, parsed, parser, photos, summary

import fewer
from fewer.session.build import make_plan, open_data, open_session
from fewer.training.loop import train

KEPT = 0.25
CIFAR10 = {"source": f"tar:{ROOT}/data/cifar10/train.tar", "subset": 8192}


def in_memory(data: dict[str, Any], model: dict[str, Any], batch: int) -> dict[str, Any]:
    """A recipe whose images are kept in memory."""
    return {
        "data": {**data, "test": "none", "val": "none"},
        "augment": {"crop_padding_px": 2, "flip": "random"},
        "model": model,
        "train": {"batch_size": batch, "lr": 0.1},
    }


def decoded(folder: object, batch: int) -> dict[str, Any]:
    """A recipe whose photos are decoded in every epoch."""
    return {
        "data": {"source": f"folder:{folder}", "test": "none", "val": "none", "in_memory": "no"},
        "augment": {"crop": "random_resized", "flip": "random"},
        "model": {"name": "lenet5", "width": 0.5},
        "train": {"batch_size": batch, "lr": 0.01},
        "stages": [{"epochs": 0, "side_px": 64}],
    }


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=5)
    args = parsed(command, "--rounds=1")
    results = Results("epoch", args.smoke)
    made = photos(classes=2, each=16, side_px=32) if args.smoke else nullcontext(ROOT / "data" / "caltech" / "train")
    with made as folder:
        if args.smoke:
            memory, batch = in_memory({"source": f"folder:{folder}", "subset": 32}, {"name": "lenet5"}, 8), 8
        else:
            memory, batch = in_memory(CIFAR10, {"name": "cnn"}, 256), 64
        for name, content in (("in memory, cnn", memory), ("folder of photos, lenet5", decoded(folder, batch))):
            found = summary(compared(content, args.rounds))
            spread = f"{found['lowest']:.2f} to {found['highest']:.2f}"
            print(f"{name}: {found['median']:.2f} times faster ({spread})", flush=True)
            results.keep(what=name, kept_share=KEPT, ratio=found)
        fee = booked(memory)
    share = f"forward share {fee['forward_share']:.4f}"
    print(f"fresh scores: {fee['booked_fee']:.4f} FEE booked, {fee['expected_fee']:.4f} expected ({share})")
    results.keep(what="fresh scores", **fee)


def compared(content: dict[str, Any], rounds: int) -> list[float]:
    """Seconds of a plain epoch over those of one on a quarter, for every round."""
    epochs = rounds + 1  # the first trains on everything: nothing is known yet
    chosen = {"method": "dbpd", "cost": (1 + rounds * KEPT) / epochs}
    with_epochs = {**content, "train": {**content["train"], "epochs": epochs}, "evaluate": {"batchnorm_images": 0}}
    if "stages" in content:
        with_epochs |= {"train": content["train"], "stages": [{**content["stages"][0], "epochs": epochs}]}
    sides = [epochs_of({**with_epochs, "select": select}) for select in ({"method": "everything"}, chosen)]
    seconds = [[next(side) for side in sides] for _ in range(epochs)]
    return [plain / part for plain, part in seconds[1:]]


def epochs_of(content: dict[str, Any]) -> Iterator[float]:
    """Trains, and gives the seconds of every epoch."""
    recipe = fewer.parse_recipe(content)
    splits = open_data(recipe)
    session = open_session(recipe, splits, plan=make_plan(recipe, splits))
    began = time.perf_counter()
    for row in train(session.task, session.train_data, session.run):
        if row.epoch_end:
            yield time.perf_counter() - began
            began = time.perf_counter()
    session.close()


def booked(content: dict[str, Any]) -> dict[str, float]:
    """Fresh scores: FEE as the ledger has it, and as it should be."""
    recipe = fewer.parse_recipe(
        {
            **content,
            "data": {**content["data"], "subset": content["data"]["subset"] // 4},
            "select": {"method": "dbpd", "score": "fresh", "threshold": 0.5},
            "evaluate": {"batchnorm_images": 0},
            "train": {**content["train"], "epochs": 3},
            "out": {"plots": False, "previews": False},
        }
    )
    plan = make_plan(recipe, open_data(recipe))
    flops = plan.sample_flops(0)
    share = flops.forward / (flops.forward + flops.backward)
    with tempfile.TemporaryDirectory() as folder:
        ledger = fewer.fit(recipe, Path(folder) / "run", progress=False)["ledger"]
    scored = ledger["samples_forwarded"] - ledger["samples_backpropagated"]
    expected = share * scored / plan.facts.data.train_images + ledger["effective_epochs"]
    return {"forward_share": share, "booked_fee": ledger["full_epoch_equivalents"], "expected_fee": expected}


if __name__ == "__main__":
    main()
