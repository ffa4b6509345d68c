"""A plain PyTorch loop that trains only on what the model has not learnt yet, with three parts of fewer.

    python examples/own_loop.py

The data set, the loader, the model, the optimizer and the loop are PyTorch's own. The lines marked `# fewer` are what
is added: a table of what each sample's last loss was, a selector that chooses an epoch's samples from it, and an order
that depends on nothing but the seed and the epoch. Threshold 1 keeps every sample and is the plain loop.
"""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from fewer import At, Table, rng  # fewer
from fewer.select.dbpd import Dbpd, Params  # fewer

TEST = 360  # of 1,797 images


class Digits(Dataset):
    """Images with their labels and their position, which is the sample's id."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        return self.images[index], self.labels[index], index


def load() -> tuple[Digits, Digits]:
    """A training and a test set of 8x8 images, values in [0, 1]."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels)
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = images[mixed], labels[mixed]
    return Digits(images[TEST:], labels[TEST:]), Digits(images[:TEST], labels[:TEST])


def convnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 4 * 4, 10)),
    )


def train(threshold: float, epochs: int, seed: int) -> tuple[float, int]:
    """Trains a net; returns its test accuracy and the number of samples that it was trained on."""
    data, test = load()
    torch.manual_seed(seed)
    model = convnet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=epochs)
    selector, table = Dbpd(Params(threshold=threshold), seed), Table(len(data))  # fewer
    trained_on = 0
    for epoch in range(epochs):
        ids = selector.order(table, torch.arange(len(data)), At(epoch, epochs, epoch / epochs)).ids_M  # fewer
        ids = ids[rng.shuffled(ids, seed, "order", epoch)]  # fewer
        for images, labels, index in DataLoader(data, batch_size=32, sampler=ids.tolist()):
            logits = model(images)
            loss_B = cross_entropy(logits, labels, reduction="none")
            optimizer.zero_grad()
            loss_B.mean().backward()
            optimizer.step()
            loss_B = loss_B.detach()
            table.observe("trained", index, loss_B, torch.exp(-loss_B), logits.argmax(1) == labels, epoch)  # fewer
            trained_on += len(index)
        schedule.step()
    with torch.no_grad():
        right = model(test.images).argmax(1) == test.labels
    return float(right.float().mean()), trained_on


def main(epochs: int = 10, seed: int = 0) -> dict[float, tuple[float, int]]:
    """Trains plainly and with selection, and prints both; returns accuracy and samples by threshold."""
    results = {threshold: train(threshold, epochs, seed) for threshold in (1.0, 0.9)}
    plain = results[1.0][1]
    for threshold, (accuracy, samples) in results.items():
        print(
            f"threshold {threshold:.1f}   test accuracy {accuracy:.2%}   "
            f"trained on {samples:6,} samples, {1 - samples / plain:.0%} fewer"
        )
    return results


if __name__ == "__main__":
    main()
