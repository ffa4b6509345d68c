"""The building of a store: resumable, within a limit, and published only once it is whole.

Pictures go to one file and their rows to another, in this order: whatever stops it, what both have is not decoded
again.

N: all ids of the source.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from fewer.core.errors import DataError, RecipeError, ResourceError
from fewer.data.pictures.file import PictureFile
from fewer.data.pictures.layout import MAGIC, NEW, ROW, Description, Form, Rows, checksum, tail
from fewer.data.pictures.picture import Kept, kept
from fewer.data.pictures.sources import content_key, listing_key, require_same
from fewer.data.sources import Source
from fewer.machine.device import usable_cores
from fewer.runs.lock import lock_alone

_WAVE = 128  # images between two writings
_LEFT = (".part", ".rows")  # pictures and their rows until a store is whole; rows are locked
_SAMPLED = 32  # images by which the size is estimated


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built.

    Attributes:
        source: The images.
        side_px: The most pixels that a shorter side has.
        path: The store.
        form: "raw", "jpeg", or "auto": raw where the limit and the disk allow it.
        max_bytes: The most that the store may take.
        depth: Bits that the values of 16-bit images have.
        threads: That decode; 0: one a core.
        cache: Whether content hashes may be kept in the user's cache folder.
    """

    source: Source
    side_px: int
    path: Path
    form: Form | str = "auto"
    max_bytes: int = 10_000_000_000
    depth: int = 16
    threads: int = 0
    cache: bool = True


def build(order: Order, on_progress: Callable[[int, int], None] | None = None) -> tuple[PictureFile, int]:
    """Builds a store, or opens it if it is there already; goes on where an earlier building stopped.

    Args:
        order: What is to be built.
        on_progress: Called with images done and images in all.

    Returns:
        The store, and how many images were decoded now.

    Raises:
        ResourceError: It would exceed its limit or the disk, which is full, or another process builds it. What is done
            is kept.
        DataError: An image cannot be read.
        RecipeError: Another file lies there.
    """
    content = content_key(order.source, order.depth, order.cache)
    with contextlib.suppress(DataError):
        store = PictureFile(order.path)
        require_same(store, order.source, order.depth, order.cache)
        if store.description.side_px == order.side_px and order.form in ("auto", store.description.form):
            return store, 0
    try:
        _require_no_other(order.path)
        order.path.parent.mkdir(parents=True, exist_ok=True)
        return _built(order, content, on_progress)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"{order.path}: the disk is full; what is done is kept, and the same command goes on from there; fix: "
                "make room, or a smaller --side, or --format jpeg"
            ) from error
        raise ResourceError(f"{order.path}: the store cannot be written ({error.strerror or error})") from error


def _require_no_other(path: Path) -> None:
    """Refuses to take the place of a file that is no store, whole or damaged."""
    if path.exists():
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
        if head and head != MAGIC:
            raise RecipeError(f"{path}: is a file already, and no store of pictures; give another --out")


def _built(order: Order, content: str, on_progress: Callable[[int, int], None] | None) -> tuple[PictureFile, int]:
    form = _form(order)
    part = order.path.with_name(f"{order.path.name}.{content[:12]}-{order.side_px}-{form}.part")
    with _locked(part.with_suffix(".rows"), order.path) as rows, part.open("a+b") as data:
        decoded = _append(order, form, data, rows, on_progress)
        rows_N = _rows_so_far(data, rows)
        data.write(tail(rows_N, _described(order, form, content, rows_N)))
        _flush(data)
        os.replace(part, order.path)
        part.with_suffix(".rows").unlink()
    _remove_left(order.path)
    return PictureFile(order.path), decoded


def _remove_left(path: Path) -> None:
    """Removes what builds of a store have left that stopped, and nothing of one that goes on."""
    for left in {file.with_suffix(".rows") for file in path.parent.glob(f"{path.name}.*") if file.suffix in _LEFT}:
        with contextlib.suppress(OSError), left.open("ab") as rows:
            if lock_alone(rows):
                for suffix in _LEFT:
                    left.with_suffix(suffix).unlink(missing_ok=True)


def _append(
    order: Order, form: Form, data: IO[bytes], rows: IO[bytes], on_progress: Callable[[int, int], None] | None
) -> int:
    """Adds all images that are not there yet; returns how many."""
    done = len(_rows_so_far(data, rows))
    total, first = len(order.source), done
    with ThreadPoolExecutor(order.threads or usable_cores()) as pool:
        while done < total:
            ids = range(done, min(done + _WAVE, total))
            found = pool.map(lambda id: _kept(order, form, id), ids)
            begin = data.seek(0, os.SEEK_END)
            rows_W = np.fromiter(_written(found, data, begin), ROW, len(ids))
            if data.tell() > order.max_bytes:
                raise ResourceError(_too_large(order, form, data.tell() / (done + len(ids)) * total))
            _flush(data)
            rows.write(rows_W.tobytes())
            _flush(rows)
            done += len(ids)
            if on_progress:
                on_progress(done, total)
    return total - first


def _kept(order: Order, form: Form, id: int) -> Kept:
    try:
        raw = order.source.read(id)
    except OSError as error:
        raise DataError(f"{order.source.name}: {order.source.names[id]}: {error.strerror or error}") from error
    return kept(raw, order.side_px, form, order.depth)


def _written(found: Iterator[Kept], data: IO[bytes], begin: int) -> Iterator[tuple[int, ...]]:
    for one in found:
        payload = _bytes(one)
        data.write(payload)
        yield begin, len(payload), *one[2:], int(one.kind), checksum(payload)
        begin += len(payload)


def _bytes(one: Kept) -> memoryview:
    return memoryview(one.payload) if isinstance(one.payload, bytes) else one.payload.reshape(-1).data


def _rows_so_far(data: IO[bytes], rows: IO[bytes]) -> Rows:
    """The rows whose pictures are there; whatever a stop has left behind them is cut off."""
    if data.seek(0, os.SEEK_END) < len(MAGIC):
        data.truncate(0)
        data.write(MAGIC)
        data.flush()
    rows.seek(0)
    content = rows.read()
    rows_K = np.frombuffer(content[: len(content) // ROW.itemsize * ROW.itemsize], ROW)
    end_K = rows_K["begin"] + rows_K["bytes"]
    rows_K = rows_K[: int((end_K <= data.seek(0, os.SEEK_END)).cumprod().sum())]
    rows.truncate(rows_K.nbytes)
    data.truncate(int(rows_K["begin"][-1] + rows_K["bytes"][-1]) if len(rows_K) else len(MAGIC))
    data.seek(0, os.SEEK_END)
    rows.seek(0, os.SEEK_END)
    return rows_K


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _locked(rows: Path, path: Path) -> Iterator[IO[bytes]]:
    """The rows of a store, open and for this process alone; only who has them touches the pictures beside them.

    Raises:
        ResourceError: Another process has them, or had them until now.
    """
    with rows.open("a+b") as file:
        try:
            lock_alone(file)
            is_there = os.path.samestat(os.fstat(file.fileno()), rows.stat())
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:  # the other has removed the file that was opened here
            raise ResourceError(f"{path}: another process builds this store; wait for it, or end it")
        yield file


def _described(order: Order, form: Form, content: str, rows_N: Rows) -> Description:
    return Description(
        source=order.source.name,
        listing=listing_key(order.source),
        content=content,
        side_px=order.side_px,
        form=form,
        images=len(rows_N),
        changes=bool(np.isin(rows_N["kind"], NEW).any()),
        largest_px=int(np.minimum(rows_N["own_width"], rows_N["own_height"]).max(initial=0)),
    )


def _form(order: Order) -> Form:
    """Raw where limit and disk allow it.

    Raises:
        ResourceError: Neither form fits.
    """
    free = shutil.disk_usage(order.path.parent).free + sum(
        file.stat().st_size for file in order.path.parent.glob(f"{order.path.name}.*.part")
    )
    forms: tuple[Form, ...] = ("raw", "jpeg") if order.form == "auto" else (order.form,)  # type: ignore[assignment]
    for form in forms:
        needed = _estimated(order, form)
        if needed <= min(order.max_bytes, free):
            return form
    if needed > order.max_bytes:
        raise ResourceError(_too_large(order, form, needed))
    raise ResourceError(
        f"{order.path}: the store needs about {_size(needed)}, and {_size(free)} of the disk are free; "
        "fix: make room, a smaller --side, or --out on another disk"
    )


def _too_large(order: Order, form: str, needed: float) -> str:
    return (
        f"{order.path}: the store needs about {_size(needed)} as {form}, and --max-size allows "
        f"{_size(order.max_bytes)}; fix: a larger --max-size, or a smaller --side"
    )


def _estimated(order: Order, form: Form) -> int:
    """Bytes of a store, by some images at even distances."""
    images = len(order.source)
    ids = np.unique(np.linspace(0, images - 1, min(_SAMPLED, images)).astype(int)).tolist()
    taken = [len(_bytes(_kept(order, form, id))) for id in ids]
    return len(MAGIC) + int(sum(taken) / len(ids) * images) + images * ROW.itemsize


def _size(bytes_: float) -> str:
    return f"{bytes_ / 1e9:,.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:,.1f} MB"
