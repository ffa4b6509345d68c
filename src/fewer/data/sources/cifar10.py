"""`cifar10`: downloaded once into the user's cache folder, or kept in a folder of the user's as `cifar10:FOLDER`."""

from __future__ import annotations

from fewer.data.reading.cifar import Cifar

FORMS = ("cifar10", "cifar10:FOLDER")


def opened(text: str, place: str) -> Cifar:
    from torchvision.datasets import CIFAR10

    return Cifar(text, place, CIFAR10, "labels")
