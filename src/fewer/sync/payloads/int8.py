"""Changes as whole numbers of 8 bits with a scale for each 128, with error feedback: a quarter of the bytes."""

from __future__ import annotations

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.sync.exchange import Payload


class Params(Section):
    pass


def build(params: Params, comm: Comm, workers: int) -> Payload:
    from fewer.sync.codes import WholeNumbers
    from fewer.sync.compressed import Compressed

    return Compressed(comm, workers, WholeNumbers(8))


def sent_bytes(params: Params, parameters: int, workers: int, number_bytes: int) -> float:
    """What a worker sends in one sync."""
    from fewer.sync.codes import BLOCK

    return 2 * (workers - 1) / workers * parameters * (1 + 4 / BLOCK)
