"""`digits`: scikit-learn's bundled handwritten digits, 1,797 grey images of 8x8, values 0..16 scaled to 0..255."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fewer.core.errors import DataError
from fewer.data.decode.decode import Pixels
from fewer.data.listing.layout import arranged, grouped
from fewer.data.reading.source import Source

FORMS = ("digits",)


class Digits(Source):
    """Listed as `7/digit-0042.png`, by digit and by row of the table."""

    def __init__(self, name: str = "digits") -> None:
        table = _table()
        images = np.rint(table[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
        files = {
            f"{label}/digit-{row:04d}.png": (images[0].nbytes, row)
            for row, label in enumerate(table[:, 64].astype(int))
        }
        found = arranged(name, grouped(files), ())
        super().__init__(name, found)
        self._images = images[found.columns[:, 1]]

    def read(self, id: int) -> Pixels:
        image: Pixels = self._images[id]
        return image


def opened(text: str, place: str) -> Digits:
    return Digits(text)


def _table() -> npt.NDArray[np.float64]:
    """1,797 rows of 64 values and the digit: scikit-learn's file, read as `load_digits` does.

    Importing scikit-learn itself would cost every start of a program two seconds.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits: scikit-learn, which brings the images, is missing; fix: pip install scikit-learn")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return np.column_stack([images, labels])
