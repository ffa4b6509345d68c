"""A plain PyTorch loop that trains only on what the model has not learnt yet, with a few lines of fewer.

    python examples/own_loop.py [--smoke]

Data set, loader, model, optimizer and loop are PyTorch's own. The lines marked `# fewer` are added: a chooser, whose
sampler lists an epoch's samples; the samples' weights; and the losses that the loop observes. Any method of
`fewer methods` can replace "dbpd". Threshold 1 keeps every sample and is the plain loop.

examples/ddp_loop.py is the same loop on several processes, examples/timm_style.py a whole training script.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from fewer import Chooser  # fewer
from fewer.select.own_loop import Indexed  # fewer

TEST = 360  # of 1,797 images


def load() -> tuple[TensorDataset, TensorDataset]:
    """A training and a test set of 8x8 images, values in [0, 1], with their labels."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels)
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = images[mixed], labels[mixed]
    return TensorDataset(images[TEST:], labels[TEST:]), TensorDataset(images[:TEST], labels[:TEST])


def convnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 4 * 4, 10)),
    )


def train(threshold: float, epochs: int, seed: int) -> tuple[float, float]:
    """Trains a net; returns its test accuracy, and what it cost in epochs of plain training."""
    data, test = load()
    torch.manual_seed(seed)
    model = convnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=epochs)
    chooser = Chooser("dbpd", data.tensors[1], epochs=epochs, seed=seed, threshold=threshold)  # fewer
    loader = DataLoader(Indexed(data), batch_size=32, sampler=chooser.sampler)  # fewer: not shuffle=True
    for epoch in range(epochs):
        chooser.begin(epoch)  # fewer
        for images, labels, ids in loader:
            logits = model(images)
            loss_B = cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            (chooser.weights(ids) * loss_B).mean().backward()  # fewer: the weights
            optimizer.step()
            chooser.observe(ids, loss_B, logits)  # fewer
        schedule.step()
    images, labels = test.tensors
    with torch.no_grad():
        right = model(images).argmax(1) == labels
    return float(right.float().mean()), chooser.spent()["full_epoch_equivalents"]


def main(epochs: int = 10, seed: int = 0) -> dict[float, tuple[float, float]]:
    """Trains plainly and with selection, and prints both; returns accuracy and cost by threshold."""
    results = {threshold: train(threshold, epochs, seed) for threshold in (1.0, 0.9)}
    plain = results[1.0][1]
    for threshold, (accuracy, cost) in results.items():
        print(
            f"threshold {threshold:.1f}   test accuracy {accuracy:.2%}   "
            f"cost of {cost:.2f} full epochs, {1 - cost / plain:.0%} less"
        )
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="few epochs, to see that it runs")
    main(epochs=3 if parser.parse_args().smoke else 10)
