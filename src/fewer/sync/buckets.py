"""Gradients that are summed while the backward goes on: in buckets, each sent as soon as its last gradient is there.

A backward finds the gradients of the last layers first, so buckets hold parameters from the last to the first (Li et
al. 2020, "PyTorch Distributed", section 3.2). They are sent in their order on every process, whatever is ready first:
exchanges are paired by their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from fewer.sync.gradients import flat, gradients, put_gradients

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def cut(sizes: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of neighbours that fill parts of at most some capacity; one that is larger is a part alone."""
    parts, held = list[list[int]](), 0
    for place, size in enumerate(sizes):
        if not parts or held + size > capacity:
            parts.append([])
            held = 0
        parts[-1].append(place)
        held += size
    return parts


@runtime_checkable
class Starting(Protocol):
    """An exchange that can go on beside other work."""

    def start_all_reduce(self, tensor: Tensor) -> Callable[[], None]:
        """Begins to replace a tensor by its sum over all processes; what it returns waits for that."""
        ...


@final
class Buckets:
    """The buckets of one worker's gradients.

    Args:
        comm: The exchange between processes.
        capacity_bytes: Bytes of a bucket, at least one parameter each.
        packed: What is sent of a bucket's gradients: a vector of them, perhaps in shorter numbers.
        unpacked: What the sum of these becomes.

    Attributes:
        is_open: Some of the step's gradients are on their way: the step cannot be done again by one process alone.
    """

    def __init__(
        self,
        comm: Starting,
        capacity_bytes: int,
        packed: Callable[[Tensor], Tensor],
        unpacked: Callable[[Tensor, torch.dtype], Tensor],
    ) -> None:
        self.comm, self.capacity_bytes, self.packed, self.unpacked = comm, capacity_bytes, packed, unpacked
        self._buckets: list[list[nn.Parameter]] = []
        self._place: dict[nn.Parameter, int] = {}
        self._hooks: list[Any] = []
        self._lacking: list[int] = []
        self._sent: list[tuple[Tensor, Callable[[], None]]] = []
        self._is_armed = False

    @property
    def is_open(self) -> bool:
        return bool(self._sent)

    def arm(self, parameters: Sequence[nn.Parameter]) -> None:
        """The next backward is the step's last: it sends each bucket that it completes.

        Args:
            parameters: All that are trained, in the model's order.
        """
        if list(self._place) != list(parameters):
            self._cut(parameters)
        self._lacking = [len(bucket) for bucket in self._buckets]
        self._is_armed = len(self._buckets) > 1  # one alone waits for the whole backward anyway

    def disarm(self) -> None:
        """The next backward is not the step's last; it may be that of a step that is done again."""
        self._is_armed = False

    def send_rest(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sends what the backward has not: parameters without a gradient, or all where there was no backward."""
        if not self._is_armed:
            self.arm(parameters)
        if self._is_armed:
            self._is_armed = False
            while len(self._sent) < len(self._buckets):
                self._send()

    def finish(self) -> None:
        """Waits for all sums, and gives them to the parameters."""
        for bucket, (total, wait) in zip(self._buckets, self._sent, strict=True):
            wait()
            put_gradients(bucket, self.unpacked(total, bucket[0].dtype))
        self._sent.clear()

    def _cut(self, parameters: Sequence[nn.Parameter]) -> None:
        for hook in self._hooks:
            hook.remove()
        backwards = list(reversed(parameters))
        parts = cut([p.numel() * p.element_size() for p in backwards], self.capacity_bytes)
        self._buckets = [[backwards[place] for place in part] for part in parts]
        places = {p: place for place, bucket in enumerate(self._buckets) for p in bucket}
        self._place = {parameter: places[parameter] for parameter in parameters}
        self._hooks = [p.register_post_accumulate_grad_hook(self._ready) for p in parameters]

    def _ready(self, parameter: Tensor) -> None:
        if not self._is_armed:
            return
        self._lacking[self._place[parameter]] -= 1  # type: ignore[index]
        while len(self._sent) < len(self._buckets) and not self._lacking[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        total = self.packed(flat(gradients(self._buckets[len(self._sent)])))
        self._sent.append((total, self.comm.start_all_reduce(total)))
