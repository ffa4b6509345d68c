"""Changes as bfloat16, with error feedback: half of the bytes of float32."""

from __future__ import annotations

from fewer.core.config import Section
from fewer.core.protocols import Comm
from fewer.sync.exchange import Payload


class Params(Section):
    pass


def build(params: Params, comm: Comm, workers: int) -> Payload:
    from fewer.sync.codes import Bfloat16
    from fewer.sync.compressed import Compressed

    return Compressed(comm, workers, Bfloat16())


def sent_bytes(params: Params, parameters: int, workers: int, number_bytes: int) -> float:
    """What a worker sends in one sync."""
    return 2 * (workers - 1) / workers * parameters * 2.0
