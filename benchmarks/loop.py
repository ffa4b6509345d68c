"""Our loop against a hand-written one: images/s on the same tensor, model, precision and augmentation.

    python benchmarks/loop.py folder:PATH|tar:PATH|digits [--rounds 9]

Both train in one process, in turns of a few seconds; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from fewer.machine.memory import keep_freed_memory

keep_freed_memory()  # both loops gain by it

import torch  # noqa: E402
from common import keep, summary  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fewer.recipe.parse import parse_recipe  # noqa: E402
from fewer.session.build import Session, build_model, open_data, open_session  # noqa: E402
from fewer.training.loop import train  # noqa: E402

BATCH, PADDING = 128, 4


def recipe_for(source: str, model: str) -> dict[str, Any]:
    return {
        "data": {"source": source, "test": "none", "val": "none"},
        "augment": {"crop_padding_px": PADDING, "padding": "reflect", "flip": "random"},
        "model": {"name": model},
        "train": {"epochs": 10_000, "batch_size": BATCH, "lr": 0.01, "schedule": "constant", "warmup": "0%"},
        "stages": [{"epochs": 10_000, "side_px": 32}],
    }


def by_hand(session: Session) -> Iterator[None]:
    """What one would write for this model and data alone: yields behind every step."""
    store, labels = session.train_data._store.images(32), session.splits.train.label_N[session.run.selection.pool_ids]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (session.train_data.mean, session.train_data.std))
    model = build_model(session.plan).train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1 and p.requires_grad]
    groups = [{"params": decayed, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True)
    autocast = session.plan.precision == "bf16"
    window = torch.arange(32)
    while True:
        for rows in torch.randperm(len(store)).split(BATCH):
            images = store[rows].permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
            padded = F.pad(images, (PADDING,) * 4, mode="reflect")
            y, x = (torch.randint(0, 2 * PADDING + 1, (len(rows), 1)) + window for _ in range(2))
            batch = torch.arange(len(rows))[:, None, None]
            images = padded[batch, :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
            images = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, images.flip(-1), images)
            if session.plan.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                loss = F.cross_entropy(model(images).float(), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            loss.item()
            yield


def seconds(steps: Iterator[Any], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        next(steps)
    return time.perf_counter() - began


def compare(source: str, model: str, rounds: int, turn_seconds: float) -> None:
    recipe = parse_recipe(recipe_for(source, model))
    session = open_session(recipe, open_data(recipe))
    ours, theirs = train(session.task, session.train_data, session.run), by_hand(session)
    seconds(ours, 3), seconds(theirs, 3)
    count = max(3, round(turn_seconds / (seconds(theirs, 5) / 5)))
    pairs = []
    for number in range(rounds):
        turn = {name: seconds(steps, count) for name, steps in _in_turn(number, ours, theirs)}
        pairs.append((turn["ours"], turn["theirs"]))
    ratios = summary([theirs / ours for ours, theirs in pairs])
    speeds = {name: summary([count * BATCH / pair[i] for pair in pairs]) for i, name in enumerate(("ours", "by_hand"))}
    print(
        f"{model}, {session.plan.precision}, batch {BATCH}: {speeds['ours']['median']:,.0f} images/s, by hand "
        f"{speeds['by_hand']['median']:,.0f}; ratio {ratios['median']:.3f} "
        f"({ratios['lowest']:.3f} to {ratios['highest']:.3f}, {rounds} rounds of {count} steps)"
    )
    keep("loop", model=model, precision=session.plan.precision, batch=BATCH, ratio=ratios, images_per_second=speeds)


def _in_turn(number: int, ours: Iterator[Any], theirs: Iterator[Any]) -> list[tuple[str, Iterator[Any]]]:
    pair = [("ours", ours), ("theirs", theirs)]
    return pair if number % 2 else pair[::-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--turn-seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    for name in ("lenet5", "cnn"):
        compare(arguments.source, name, arguments.rounds, arguments.turn_seconds)
