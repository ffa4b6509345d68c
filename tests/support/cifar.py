"""Archives of CIFAR's layout, pickled as Python 2 did, and torchvision's constants made to fit them."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CLASSES = {"10": ["airplane", "bird", "cat"], "100": ["apple", "bear", "chair", "whale"]}


def pickled(value: Any) -> bytes:
    """Protocol 2 of Python 2's cPickle: bytes are strings, an array is numpy.core.multiarray's of type u1."""
    return b"\x80\x02" + _written(value) + b"."


def _written(value: Any) -> bytes:
    if isinstance(value, bytes):
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(_written, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_written(key) + _written(item) for key, item in value.items()) + b"u"
    shape = b"(" + b"".join(map(_written, value.shape)) + b"t"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    kind = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return empty + b"(K\x01" + shape + kind + b"\x89" + _written(value.tobytes()) + b"tb"


def batch(which: str, count: int, seed: int) -> dict[bytes, Any]:
    """One file's content: random images, their labels and names."""
    random = np.random.default_rng(seed)
    labels = [i % len(CLASSES[which]) for i in range(count)]
    names = [f"{CLASSES[which][label]}_s_{seed:02d}{i:04d}.png".encode() for i, label in enumerate(labels)]
    key = b"labels" if which == "10" else b"fine_labels"
    more = {} if which == "10" else {b"coarse_labels": [0] * count}
    data: npt.NDArray[np.uint8] = random.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {b"batch_label": b"a batch", key: labels, **more, b"data": data, b"filenames": names}


def files(which: str) -> dict[str, bytes]:
    """The members of the archive by name, in the true layout."""
    names = [name.encode() for name in CLASSES[which]]
    if which == "10":
        parts = {**{f"data_batch_{i}": 6 for i in range(1, 6)}, "test_batch": 6}
        meta = ("batches.meta", {b"num_cases_per_batch": 6, b"label_names": names, b"num_vis": 3072})
    else:
        parts = {"train": 12, "test": 8}
        meta = ("meta", {b"fine_label_names": names, b"coarse_label_names": [b"things"]})
    made = {name: pickled(batch(which, count, seed)) for seed, (name, count) in enumerate(parts.items())}
    return {**made, meta[0]: pickled(meta[1])}


def archive(members: dict[str, bytes], *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return out.getvalue()


def publish(monkeypatch: Any, which: str, members: dict[str, bytes], packed: bytes, url: str) -> None:
    """Makes torchvision's constants those of an archive of one's own."""
    from torchvision import datasets

    published = getattr(datasets, f"CIFAR{which}")
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in members.items()}
    for listed in ("train_list", "test_list"):
        monkeypatch.setattr(published, listed, [[name, md5[name]] for name, _ in getattr(published, listed)])
    meta = published.meta["filename"]
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": md5[meta]})
    monkeypatch.setattr(published, "url", url)
    monkeypatch.setattr(published, "tgz_md5", hashlib.md5(packed).hexdigest())


def packed_files(which: str, members: dict[str, bytes] | None = None, *more: tarfile.TarInfo) -> bytes:
    base = {"10": "cifar-10-batches-py", "100": "cifar-100-python"}[which]
    return archive({f"{base}/{name}": content for name, content in (members or files(which)).items()}, *more)


def place(folder: Path, which: str, packed: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / {"10": "cifar-10-python.tar.gz", "100": "cifar-100-python.tar.gz"}[which]
    path.write_bytes(packed)
    return path
