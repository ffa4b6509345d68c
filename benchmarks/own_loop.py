"""Overhead of selection in a loop that is not ours: seconds of an epoch with and without it, everything being kept.

    python benchmarks/own_loop.py [--rounds 9] [--images 1281167]

Both loops train lenet5 on scikit-learn's digits at 32 px, in one process, epoch by epoch in turn; the ratio is the
median over the rounds. A net as small as this makes the calls weigh as much as they ever will. Then the chooser begins
an epoch of as many samples as ImageNet has, with made-up losses. One line for the ratio and one for each of two methods
in results/own_loop.jsonl.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from common import Results, parsed, parser, summary
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, TensorDataset

from fewer import Chooser
from fewer.models.nets.lenet5 import LeNet5
from fewer.select.own_loop import Indexed

BATCH, EPOCHS = 64, 100  # more epochs than anybody asks rounds for


def digits(count: int) -> TensorDataset:
    """The first digits, as colour images of 32 px."""
    pixels, labels = (values[:count] for values in load_digits(return_X_y=True))
    image_N = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return TensorDataset(interpolate(image_N, 32, mode="bilinear").expand(-1, 3, -1, -1), torch.tensor(labels))


def plain(data: TensorDataset, net: nn.Module, step: Callable[[Tensor], None]) -> Callable[[int], None]:
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)

    def epoch(_: int) -> None:
        for images, labels in loader:
            step(cross_entropy(net(images), labels))

    return epoch


def chosen(data: TensorDataset, net: nn.Module, step: Callable[[Tensor], None]) -> Callable[[int], None]:
    chooser = Chooser("everything", data.tensors[1], epochs=EPOCHS)
    loader: DataLoader[Any] = DataLoader(Indexed(data), batch_size=BATCH, sampler=chooser.sampler)

    def epoch(number: int) -> None:
        chooser.begin(number)
        for images, labels, ids in loader:
            logits = net(images)
            loss_B = cross_entropy(logits, labels, reduction="none")
            step((chooser.weights(ids) * loss_B).mean())
            chooser.observe(ids, loss_B, logits)

    return epoch


def looped(kind: Callable[..., Callable[[int], None]], data: TensorDataset) -> Callable[[int], float]:
    """An epoch of a kind of loop, as a function that returns its seconds."""
    torch.manual_seed(0)
    net = LeNet5(classes=10)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    epoch = kind(data, net, step)

    def timed(number: int) -> float:
        began = time.perf_counter()
        epoch(number)
        return time.perf_counter() - began

    return timed


def begin_seconds(images: int, method: str) -> float:
    """Seconds between two epochs of a large set: observations into the table, then the next choice."""
    label_N = torch.arange(images) % 1000
    chooser = Chooser(method, label_N, epochs=90)
    chooser.begin(0)
    ids = torch.tensor(list(chooser.sampler))
    loss_N = torch.rand(images, generator=torch.Generator().manual_seed(0))
    chooser.observe(ids, loss_N, right_B=loss_N < 0.7)
    began = time.perf_counter()
    chooser.begin(1)
    return time.perf_counter() - began


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=9)
    command.add_argument("--images", type=int, default=1_281_167)
    command.add_argument("--digits", type=int, default=1797, help="images of an epoch of both loops")
    args = parsed(command, "--rounds=1", "--images=2000", "--digits=64")
    results = Results("own_loop", args.smoke)
    data = digits(args.digits)
    loops = [looped(kind, data) for kind in (plain, chosen)]
    for loop in loops:
        loop(0)  # warms up
    ratios = []
    for number in range(1, args.rounds + 1):
        without, with_chooser = (loop(number) for loop in loops)
        ratios.append(with_chooser / without)
        print(f"round {number}: {without:.3f} s without, {with_chooser:.3f} s with: {ratios[-1]:.3f}")
    ratio = summary(ratios)
    print(f"ratio {ratio['median']:.3f} ({ratio['lowest']:.3f} to {ratio['highest']:.3f})")
    results.keep(ratio=ratio, threads=torch.get_num_threads())
    for method in ("dbpd", "infobatch"):
        seconds = begin_seconds(args.images, method)
        print(f"begin: {seconds:.2f} s among {args.images:,} samples, {method}")
        results.keep(method=method, images=args.images, begin_seconds=seconds, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
