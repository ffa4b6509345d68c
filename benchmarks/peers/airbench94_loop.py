"""airbench94's own settings in a loop of its kind: all images in memory as one tensor, views made batch by batch.

Settings, read in legacy/airbench94.py of KellerJordan/cifar10-airbench (commit 1b8f794): 9.9 epochs of full batches of
1,024; rate 11.5 per 1,024 summed losses and weight decay 0.0153, both over 1 + 1 / (1 - momentum), Nesterov's momentum
0.85; 64 times the rate for BatchNorm's biases; up from 0.2 over 23 % of the steps, down to 0.07; label smoothing 0.2; a
fixed whitening layer whose bias learns for 3 epochs; translation by 2 px with reflection, flips that alternate;
Lookahead every 5 steps; at the end six views of each test image. It computes in half precision on a GPU; here in fp32
unless bf16 is asked for. The network is fewer's `cnn`, which is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import TYPE_CHECKING

import shared

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
LR, MOMENTUM, WEIGHT_DECAY, NORM_SCALE, SMOOTHING = 11.5, 0.85, 0.0153, 64.0, 0.2
WARM_UP, START, END = 0.23, 0.2, 0.07
PADDING_PX, BIAS_EPOCHS, WHITENED_BY = 2, 3, 5000
AVERAGE_STEPS, DECAY, POWER = 5, 0.95**5, 3
TEST_BATCH = 2000


def main() -> None:
    given = shared.options(__doc__, epochs=9.9, batch=1024, workers=0)
    import torch

    torch.manual_seed(given.seed)
    (images_NCHW, label_N), (tests_NCHW, test_label_N) = (pictures(given.data / split) for split in ("train", "test"))
    net = network(given, int(label_N.max()) + 1)
    net.whiten(images_NCHW[torch.randperm(len(images_NCHW))[:WHITENED_BY]])
    epoch_steps = len(label_N) // given.batch
    steps = ceil(epoch_steps * given.epochs)
    optimizer, schedule = optimization(net, given.batch, steps)
    forward, loss_of = shared.forward_of(net, given), torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
    slow, done = {name: value.clone() for name, value in net.state_dict().items()}, 0
    padded_NCHW = first_views(images_NCHW)
    tests = list(zip(tests_NCHW.split(TEST_BATCH), test_label_N.split(TEST_BATCH), strict=True))

    def after_step(logits_BC: Tensor, label_B: Tensor) -> None:
        nonlocal done
        done += 1
        schedule.step()
        if done % AVERAGE_STEPS == 0 or done == steps:
            average(net, slow, 1.0 if done == steps else DECAY * (done / steps) ** POWER)

    evaluations = shared.Evaluations(given.target)
    for epoch in range(ceil(given.epochs)):
        net.train()
        net.stem.bias.requires_grad = epoch < BIAS_EPOCHS
        batches = views(padded_NCHW, label_N, given.batch, epoch, min(epoch_steps, steps - done))
        samples = shared.train(
            batches, forward, lambda out, label: loss_of(out, label) * len(label), optimizer, after_step
        )
        if evaluations.tell(epoch + 1, shared.share_right(net, tests, forward), samples):
            return
    evaluations.tell(given.epochs, shared.share_right(net, tests, lambda image: six_views(forward, image)), 0)


def network(given: Namespace, classes: int) -> nn.Module:
    """Its network, whose first layer is fixed."""
    import torch

    from fewer import models

    settings = {"whiten": True, "whiten_bias_epochs": BIAS_EPOCHS, "batchnorm_momentum": 0.4, "logit_scale": 1 / 9}
    net = models.build("cnn", classes, given.side, **settings)
    return net.to(memory_format=torch.channels_last) if given.channels_last else net


def pictures(folder: Path) -> tuple[Tensor, Tensor]:
    """All pictures of class folders, normalised, (N, 3, S, S), and their labels."""
    import numpy as np
    import torch
    from torchvision.datasets import ImageFolder

    listed = ImageFolder(folder)
    pixels_NHWC = torch.from_numpy(np.stack([np.asarray(image) for image, _ in listed]))
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (MEAN, STD))
    return (pixels_NHWC.permute(0, 3, 1, 2).float() / 255 - mean) / std, torch.tensor(listed.targets)


def optimization(net: nn.Module, batch: int, steps: int) -> tuple[Optimizer, LRScheduler]:
    """SGD in two groups, and the triangle of its rates."""
    import torch

    scale = 1024 * (1 + 1 / (1 - MOMENTUM))
    rate, decay = LR / scale, WEIGHT_DECAY * batch / scale
    trained = [(name, each) for name, each in net.named_parameters() if each.requires_grad]
    groups = [
        {
            "params": [each for name, each in trained if ("norm" in name) == is_norm],
            "lr": lr,
            "weight_decay": decay / lr,
        }
        for is_norm, lr in ((True, rate * NORM_SCALE), (False, rate))
    ]
    top = max(1, int(steps * WARM_UP))

    def factor(step: int) -> float:
        if step < top:
            return START + (1 - START) * step / top
        return 1 + (END - 1) * (step - top) / max(1, steps - top)

    optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def average(net: nn.Module, slow: dict[str, Tensor], decay: float) -> None:
    """Lookahead: the slow weights move towards the net's, which become the slow ones."""
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            slow[name].lerp_(value, 1 - decay)
            value.copy_(slow[name])


def first_views(images_NCHW: Tensor) -> Tensor:
    """Half of the images flipped, all padded by reflection."""
    import torch

    flipped = torch.where(torch.rand(len(images_NCHW), 1, 1, 1) < 0.5, images_NCHW.flip(-1), images_NCHW)
    return torch.nn.functional.pad(flipped, (PADDING_PX,) * 4, mode="reflect")


def views(padded_NCHW: Tensor, label_N: Tensor, batch: int, epoch: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Full batches in a new order, each image moved by chance; in every second epoch all are flipped."""
    import torch

    window = torch.arange(padded_NCHW.shape[-1] - 2 * PADDING_PX)
    for rows in torch.randperm(len(label_N)).split(batch)[:steps]:
        y, x = (torch.randint(0, 2 * PADDING_PX + 1, (len(rows), 1)) + window for _ in range(2))
        image_BHWC = padded_NCHW[rows[:, None, None], :, y[:, :, None], x[:, None, :]]
        image_BCHW = image_BHWC.permute(0, 3, 1, 2)
        yield image_BCHW.flip(-1) if epoch % 2 else image_BCHW, label_N[rows]


def six_views(forward: Callable[[Tensor], Tensor], image_BCHW: Tensor) -> Tensor:
    """Logits over an image and two that are moved by a pixel, each also flipped; the image itself counts half."""
    import torch

    side = image_BCHW.shape[-1]
    padded = torch.nn.functional.pad(image_BCHW, (1,) * 4, mode="reflect")
    moved = (padded[..., :side, :side], padded[..., 2:, 2:])

    def both(image: Tensor) -> Tensor:
        return 0.5 * forward(image) + 0.5 * forward(image.flip(-1))

    return 0.5 * both(image_BCHW) + 0.25 * (both(moved[0]) + both(moved[1]))


if __name__ == "__main__":
    main()
