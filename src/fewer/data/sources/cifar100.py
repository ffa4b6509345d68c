"""`cifar100`: downloaded once into the user's cache folder, or kept in a folder of the user's as `cifar100:FOLDER`."""

from __future__ import annotations

from fewer.data.reading.cifar import Cifar

FORMS = ("cifar100", "cifar100:FOLDER")


def opened(text: str, place: str) -> Cifar:
    from torchvision.datasets import CIFAR100

    return Cifar(text, place, CIFAR100, "fine_labels")
