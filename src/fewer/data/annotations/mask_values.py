"""Values of masks as they are stored, and the class that each stands for; no conversion of colours touches ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fewer.core.drawing.palette import VOID as VOID
from fewer.core.errors import DataError
from fewer.data.annotations.header import header_of
from fewer.data.decode.decode import Damaged, opened
from fewer.data.decode.jpeg import orientation_of, upright

Ids = npt.NDArray[np.uint8]
Values = npt.NDArray[np.integer[Any]]

_GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
_PLACES = np.array([65536, 256, 1])  # of red, green and blue in the number that stands for a colour


class MaskError(DataError):
    """A mask that cannot be used.

    Attributes:
        code: A key of `fewer.inspection.findings.KINDS`.
        reason: A phrase.
    """

    def __init__(self, path: str, code: str, reason: str, fix: str) -> None:
        super().__init__(f"{path}: {reason}; fix: {fix}")
        self.code, self.reason = code, reason


class _NoClass(Damaged):
    """Values that stand for no class; `fix` says what to do."""

    def __init__(self, reason: str, fix: str = "export the mask again, or mend the list of classes") -> None:
        super().__init__(reason)
        self.fix = fix


@dataclass
class Table:
    """What the values of masks stand for.

    Attributes:
        names: Names of the classes, void ones left out.
        value: Class of each stored value, 256 of them; `VOID` for void ones, -1 for values that are no class.
        colour: Class of each colour (r, g, b as one number), where masks are of colours.
    """

    names: list[str]
    value: npt.NDArray[np.int64]
    colour: dict[int, int] = field(default_factory=dict)

    def digest(self) -> bytes:
        """Sixteen bytes that change with the class of any value or colour."""
        # Tables of colours are told from those of before, which took grey colours for ids.
        text = f"{self.value.tolist()} {sorted(self.colour.items())}{' and greys' if self.colour else ''}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def translated(self, index_C: npt.NDArray[np.int64], names: list[str]) -> Table:
        """The table with other numbers of its classes, among these names."""
        places = np.concatenate([index_C, np.full(VOID - len(index_C), -1), [VOID, -1]])  # -1 is the last
        return Table(names, places[self.value], {code: int(places[label]) for code, label in self.colour.items()})


def read_mask(path: str, table: Table, picture: str) -> Ids:
    """The class ids of a mask, as its picture is looked at.

    Args:
        path: The mask.
        table: What its values stand for.
        picture: The picture, whose size it must have.

    Returns:
        uint8 (H, W), `VOID` where nothing is annotated.

    Raises:
        MaskError: It cannot be read, has values that are no class, or another size than the picture.
    """
    try:
        ids_HW = _classes(path, table)
    except _NoClass as error:
        raise MaskError(path, "mask-values", error.reason, error.fix) from None
    except (Damaged, OSError) as error:
        what = error.reason if isinstance(error, Damaged) else error.strerror
        raise MaskError(path, "mask-unreadable", f"the mask cannot be read: {what}", "export it again") from None
    header = header_of(picture)
    if header is None or ids_HW.shape[::-1] == header.upright:
        return ids_HW
    if ids_HW.shape[::-1] == (header.width, header.height):
        return np.ascontiguousarray(_upright(ids_HW, header.orientation))
    own, wanted = "x".join(map(str, ids_HW.shape[::-1])), "x".join(map(str, header.upright))
    reason = f"the mask has {own} pixels, but its picture {wanted}; allowed: the same size"
    raise MaskError(path, "mask-size", reason, f"export the mask at the size of {picture}")


def _classes(path: str, table: Table) -> Ids:
    """The class ids of a mask as it is stored."""
    values, palette = stored(path)
    if palette is not None and table.colour:
        by_index = _by_palette(values, palette, table)
        if by_index is not None:
            return by_index
    if values.ndim == 3:
        return _by_colour(values, table)
    if values.max(initial=0) > VOID:
        raise _NoClass(f"id {int(values.max())} is no class; allowed: 0 to {len(table.names) - 1}, and {VOID} for void")
    class_HW = table.value[values]
    if (class_HW < 0).any():
        wrong = int(values[class_HW < 0].max())
        known = np.flatnonzero(table.value >= 0).tolist()
        raise _NoClass(
            f"id {wrong} is no class; allowed: {known[0]} to {max(known[:-1], default=0)}, and {VOID} for void",
            f"data.ignore_index = {wrong} if it is void, else export the mask again, or mend the list of classes",
        )
    return class_HW.astype(np.uint8)


def _by_palette(values: Values, palette: npt.NDArray[np.uint8], table: Table) -> Ids | None:
    """The classes of the palette's colours, as CVAT means them; None unless the table knows all that are used."""
    class_V = np.array([table.colour.get(int(code), -1) for code in palette.astype(np.int64) @ _PLACES])
    class_V[VOID] = VOID if class_V[VOID] < 0 else class_V[VOID]
    class_HW = class_V[values]
    return None if (class_HW < 0).any() else class_HW.astype(np.uint8)


def _by_colour(values: Values, table: Table) -> Ids:
    if not table.colour:
        first = tuple(values.reshape(-1, 3)[0].tolist())
        raise _NoClass(
            f"it is of colours, such as {first}, and there is no table of them; allowed: grey values, a palette, or "
            "a file class_dict.csv with the columns name, r, g, b"
        )
    code_HW = values.astype(np.int64) @ _PLACES
    found, inverse = np.unique(code_HW, return_inverse=True)
    class_F = np.array([table.colour.get(int(code), -1) for code in found], np.int64)
    if (class_F < 0).any():
        code = int(found[class_F < 0][0])
        raise _NoClass(f"colour {(code >> 16, code >> 8 & 255, code & 255)} is no class; allowed: those of the table")
    return class_F[inverse].reshape(code_HW.shape).astype(np.uint8)


def stored(path: str) -> tuple[Values, npt.NDArray[np.uint8] | None]:
    """The values of a mask as they are stored: (H, W) ids, or (H, W, 3) colours; and its palette (256, 3), if any.

    A mask of colours that are all grey is one of ids, whose palette are the greys: either may be meant.

    Raises:
        Damaged: It is no image of such a kind.
        OSError: It cannot be read.
    """
    raw = Path(path).read_bytes()
    image = opened(raw)
    try:
        turn = orientation_of(image)
        image.load()
        if image.mode == "P":
            palette = np.frombuffer(bytes(image.getpalette("RGB") or b"").ljust(768, b"\0")[:768], np.uint8)
            return _upright(np.asarray(image), turn), palette.reshape(256, 3)
        if image.mode in ("RGB", "RGBA"):
            values = np.asarray(image)[..., :3]
            if (values == values[..., :1]).all():
                return _upright(values[..., 0], turn), _GREYS
            return _upright(values, turn), None
        if image.mode == "LA":
            return _upright(np.asarray(image)[..., 0], turn), None
        if image.mode in ("1", "L", "I", "I;16"):
            values = np.asarray(image)
            values = values.astype(np.uint8) if values.dtype == np.bool_ else values
            return _upright(values // _scale(raw, image.mode), turn), None
    except (Damaged, MemoryError, OSError):
        raise
    except Exception as error:
        raise Damaged(f"it cannot be decoded: {error}") from error
    raise Damaged(f"its pixels are of mode {image.mode}; allowed: a palette, grey values or RGB colours")


def _upright(values: Any, orientation: int) -> Any:
    """Values (H, W) or (H, W, 3) as EXIF says that they are looked at."""
    return upright(values, orientation) if values.ndim == 3 else upright(values[..., None], orientation)[..., 0]


def _scale(raw: bytes, mode: str) -> int:
    """What Pillow has multiplied the grey values of a PNG of 2 or 4 bits by."""
    bits = raw[24] if mode == "L" and raw.startswith(b"\x89PNG") and len(raw) > 24 else 8
    return {2: 85, 4: 17}.get(bits, 1)
