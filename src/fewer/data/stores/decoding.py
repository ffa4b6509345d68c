"""The decoding of all images of a split in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fewer.core.errors import DataError
from fewer.core.text import command
from fewer.data.decode.decode import Damaged, Pixels
from fewer.data.decode.on_request import DamagedImage, Read
from fewer.data.listing.splits import Split
from fewer.data.settings import ReadSettings
from fewer.data.stores.base import Counts
from fewer.machine.device import usable_cores

_CHUNK = 64  # images a thread decodes between two reports of progress
_SHOWN = 10


class Decoding:
    """Decodes all images of a split, counts them, and sees to the damaged ones.

    Attributes:
        damaged: Images that could not be decoded (policy "quarantine").
        counts: What was decoded.
    """

    def __init__(self, split: Split, reads: ReadSettings) -> None:
        self.damaged: list[DamagedImage] = []
        self.counts = Counts()
        self._split, self._reads = split, reads
        self._times = 0

    def all(self, decode: Callable[[int, bytes | Pixels], int]) -> None:
        """Calls `decode` with the row and the bytes of every image, from several threads; it returns pixels decoded.

        Raises:
            DataError: Damaged images under the policy "error", or ones that were sound the last time.
        """
        ids = self._split.ids_M.tolist()
        starts = range(0, len(ids), _CHUNK)
        damaged: list[DamagedImage] = []
        done = 0
        with ThreadPoolExecutor(self._reads.threads or usable_cores()) as pool:
            for read in pool.map(lambda start: self._chunk(ids[start : start + _CHUNK], start, decode), starts):
                done += read.decoded + len(read.damaged)
                damaged += read.damaged
                self.counts.add(read)
                self._reads.report(done, len(ids))
        if damaged and self._reads.damaged == "error":
            raise too_damaged(self._split, damaged)
        listed = {image.id for image in self.damaged}
        if self._times and any(image.id not in listed for image in damaged):
            raise too_damaged(self._split, damaged)  # sound at the first side: training has begun with them
        self._times += 1
        self.damaged += [image for image in damaged if image.id not in listed]

    def _chunk(self, ids: list[int], row: int, decode: Callable[[int, bytes | Pixels], int]) -> Read:
        source, read = self._split.source, Read()
        for offset, id in enumerate(ids):
            try:
                read.pixels += decode(row + offset, source.read(id))
                read.decoded += 1
            except (Damaged, OSError) as error:
                read.damaged.append(DamagedImage(id, source.names[id], str(error)))
        return read


def too_damaged(split: Split, damaged: list[DamagedImage]) -> DataError:
    """The error for images that cannot be decoded."""
    shown = "\n".join(f"  {image.name}: {image.reason}" for image in damaged[:_SHOWN])
    more = f"\n  ... and {len(damaged) - _SHOWN:,} more" if len(damaged) > _SHOWN else ""
    return DataError(
        f"{split.source.name}: {len(damaged):,} of {len(split):,} images cannot be decoded:\n{shown}{more}\n"
        f"fix: {command('fewer', 'data', 'check', split.source.name)} lists them all; remove or replace them, or leave "
        'them out with data.damaged = "quarantine"'
    )
