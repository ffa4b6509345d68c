"""Crash-safe images of a run: safetensors and JSON under a SHA-256 manifest, published by rename. Never pickle.

A checkpoint is a folder `epochEEEEE-batchBBBBBBB`. It is written beside its place, each file flushed to disk, and
then renamed, so that a folder under a final name is always whole. Damage done afterwards, by a disk or by hand, is
noticed by the manifest, and the checkpoint before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from fewer.core.errors import CheckpointError, DivergedError, ResourceError
from fewer.core.nesting import SEPARATOR, flattened, nested
from fewer.runs.record import write_flushed, writing

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.types import State

_NAME = re.compile(r"epoch\d{5,}-batch\d{7,}")
_TENSORS, _VALUES, _MANIFEST = "state.safetensors", "state.json", "manifest.json"


def save(state: State, folder: Path, keep: int, keep_at: Collection[int] = (), one_is_enough: bool = False) -> Path:
    """Publishes a run's state below `folder` and removes all but the newest `keep` checkpoints.

    Args:
        state: What `Run.state_dict` gave.
        folder: The run's `checkpoints` folder.
        keep: How many checkpoints stay.
        keep_at: Epochs behind which they stay for good.
        one_is_enough: Workers that are not finite will be left out of the next sync; there only has to be another one.

    Returns:
        The checkpoint's folder.

    Raises:
        DivergedError: A weight is not finite: such a state is never published.
        ResourceError: The disk is full or cannot be written; nothing is left under a final name.
    """
    nest, values = flattened(state)
    # Copies in row-major order: safetensors keeps neither channels_last nor shared storage.
    tensors = {path: tensor.detach().cpu().contiguous().clone() for path, tensor in nest.items()}
    _require_usable(tensors, one_is_enough)
    cursor, stay = state["cursor"], {name_of(epoch) for epoch in keep_at}
    final = folder / name_of(cursor["epoch"], cursor["batch"])
    with writing(final):
        _sweep(folder)
        if final.exists():
            if is_intact(final):
                return final  # the same place: a run that was resumed here and stopped at once
            remove(final)
        files = {_TENSORS: tensors_to_bytes(tensors), _VALUES: json.dumps(values).encode()}
        publish_folder(final, files, {"step": cursor["step"]})
        found = list(newest_first(folder))
        passed_over = [path for path in found if path.name > final.name]  # damaged, or of a future that is no more
        older = [path for path in found if path not in passed_over][keep:]
        for other in [*passed_over, *(path for path in older if path.name not in stay)]:
            remove(other)
    return final


def name_of(epoch: int, batch: int = 0) -> str:
    """The name of the checkpoint behind so many epochs, and so many batches of the next."""
    return f"epoch{epoch:05d}-batch{batch:07d}"


def _require_usable(tensors: Mapping[str, Tensor], one_is_enough: bool) -> None:
    """Refuses averages, and weights of workers, that are not finite; of workers perhaps only if no other is left."""
    worker_of = {name: name.split(SEPARATOR)[1] for name in tensors if name.startswith("workers")}
    spared = set(worker_of.values()) if one_is_enough else set()
    for name, tensor in tensors.items():
        try:
            if name in worker_of or name.startswith("averages"):
                require_finite(name, tensor)
        except DivergedError:
            spared.discard(worker_of.get(name, ""))
            if not spared or name not in worker_of:
                raise


def require_finite(name: str, tensor: Tensor) -> None:
    """Refuses a weight that holds NaN or infinity.

    Raises:
        DivergedError: It does.
    """
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise DivergedError(
            f"{name} is not finite: not saved, the last good checkpoint is kept; "
            "lower train.lr or set train.clip_norm = 1"
        )


def load_newest(folder: Path) -> tuple[State, Path, list[str]]:
    """The newest intact state below `folder`.

    Returns:
        The state, its folder, and a sentence for each damaged checkpoint that was passed over.

    Raises:
        CheckpointError: There are checkpoints, but none is intact.
        FileNotFoundError: There are none at all.
    """
    found = list(newest_first(folder))
    if not found:
        raise FileNotFoundError(folder)
    damaged: list[str] = []
    for path in found:
        try:
            return load(path), path, damaged
        except CheckpointError as error:
            damaged.append(str(error))
    raise CheckpointError(
        "no intact checkpoint is left:\n" + "\n".join(damaged) + "\nrestore one from a copy, or train again"
    )


def load(path: Path) -> State:
    """The state in a checkpoint.

    Raises:
        CheckpointError: It is damaged, or holds something else.
    """
    files = read_folder(path)
    try:
        return nested(tensors_from_bytes(files[_TENSORS]), json.loads(files[_VALUES]))
    except Exception as error:  # a manifest that agrees with foreign content
        raise CheckpointError(f"{path}: not a checkpoint of this program ({type(error).__name__})") from error


def newest_first(folder: Path) -> Iterator[Path]:
    """All checkpoints under a final name."""
    if folder.is_dir():
        yield from sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def is_intact(path: Path) -> bool:
    """Whether every file of a published folder is what its manifest says."""
    try:
        read_folder(path)
    except CheckpointError:
        return False
    return True


def publish_folder(final: Path, files: dict[str, bytes], about: dict[str, Any]) -> None:
    """Writes files and their manifest to a folder that appears under its name only when all of it is on disk.

    Raises:
        ResourceError: The disk is full or cannot be written.
    """
    manifest = {
        "schema": 1,
        **about,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    temporary = final.parent / f".tmp-{final.name}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        os.makedirs(temporary)
        for name, data in {**files, _MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
            write_flushed(temporary / name, data)
        _sync_folder(temporary)
        os.rename(temporary, final)
        _sync_folder(final.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ResourceError(
            f"{final}: cannot write the checkpoint: {error.strerror or error}; earlier checkpoints are untouched; "
            "free some space or check rights, then `fewer resume`"
        ) from error


def read_folder(path: Path) -> dict[str, bytes]:
    """All files of a published folder, checked against the manifest.

    Raises:
        CheckpointError: A file is missing, torn or altered.
    """
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        entries = {str(name): entry for name, entry in manifest["files"].items()}
        files = {name: (path / Path(name).name).read_bytes() for name in entries}
        wrong = [n for n, data in files.items() if hashlib.sha256(data).hexdigest() != entries[n]["sha256"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {type(error).__name__}: {error}") from None
    if wrong:
        raise CheckpointError(f"{path}: damaged: {', '.join(wrong)} is not what was written")
    return files


def point_to(link: Path, target: Path) -> None:
    """Makes `link` a relative symbolic link to a sibling folder; it always points to the old or to the new one."""
    temporary = link.with_name(f".tmp-{link.name}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.name)
    os.replace(temporary, link)


def remove(path: Path) -> None:
    """Removes a published folder; it loses its name first, so that no half of it is ever found under it."""
    doomed = path.with_name(f".old-{path.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what a killed process left half-written or half-removed; a run has one writer."""
    for pattern in (".tmp-*", ".old-*"):
        for path in folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
