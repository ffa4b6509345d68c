"""What processes exchange, by stand-ins of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fewer.sync.comm import SingleProcess, of_rank_0


class Second(SingleProcess):  # type: ignore[misc]
    """The second of two processes, the first of which sends 7."""

    rank, sent = 1, 8

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        for tensor in tensors:
            tensor.fill_(7)

    def take_bytes_sent(self) -> int:
        sent, self.sent = self.sent, 0
        return sent


def test_all_take_the_number_of_the_first_process_and_book_nothing_for_it() -> None:
    second: Any = Second()
    assert of_rank_0(second, 3) == 7
    assert second.take_bytes_sent() == 0
    assert of_rank_0(SingleProcess(), 3) == 3
