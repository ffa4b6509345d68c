"""The weights that a library publishes: kept where torch.hub keeps its own, fetched once where there is a network."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from fewer.core.errors import DataError, ResourceError

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights, and mean and standard deviation of the channels (white is 1) of the images they take."""

    file: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]


def downloaded(url: str, name: str, hash_prefix: str = "") -> Path:
    """The file of this name in torch.hub's folder, fetched from `url` where it is not there yet.

    Args:
        url: Where the library publishes it.
        name: Name in the folder.
        hash_prefix: How its SHA-256 begins, where the library states that.

    Raises:
        DataError: It cannot be fetched, or is not what the library published.
        ResourceError: The folder cannot be written.
    """
    import torch

    place = Path(torch.hub.get_dir()) / "checkpoints" / name
    stated = f" (its SHA-256 begins with {hash_prefix})" if hash_prefix else ""
    if not place.is_file():
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(
                f"{place.parent}: cannot be made: {error.strerror}; set TORCH_HOME to a folder of yours"
            ) from None
        try:
            torch.hub.download_url_to_file(url, str(place), hash_prefix or None, progress=False)
        except (OSError, HTTPException, RuntimeError, ValueError) as error:  # RuntimeError: another hash
            raise DataError(
                f'model.weights = "default": {url} cannot be fetched ({error}); fetch it on a machine with a network '
                f"and place it as {place}{stated}"
            ) from None
    if hash_prefix and not file_hash(place).startswith(hash_prefix):
        raise DataError(
            f"{place}: not the file that was published{stated}: its SHA-256 is {file_hash(place)[:16]}...; "
            f"remove it and fetch {url} again"
        )
    return place


def downloaded_of_torchvision(url: str) -> Path:
    """A file of torchvision's, whose name ends in the beginning of its SHA-256; errors as `downloaded`."""
    name = PurePosixPath(url).name
    return downloaded(url, name, hash_prefix=PurePosixPath(name).stem.rpartition("-")[2])


def is_kept(name: str) -> bool:
    """Whether a library's file of weights, `NAME-HASH.SUFFIX` or `NAME.SUFFIX`, is in torch.hub's folder already."""
    import torch

    return any(next(Path(torch.hub.get_dir(), "checkpoints").glob(f"{name}{end}"), None) for end in ("-*", ".*"))


def file_hash(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
