"""Local SGD: workers step alone and take the mean of their weights after every round of local steps.

Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019; McMahan et al., "Communication-Efficient Learning
of Deep Networks from Decentralized Data", AISTATS 2017 (FedAvg, all workers taking part). Weights are averaged by
samples, `x <- sum_k (n_k / n) x_k`.

What it saves: a worker sends 2 (K - 1) / K of the weights once a round instead of once a step. What it costs: accuracy
where rounds are long (Gonzalez Ortiz et al. 2021). With `every_steps = 1`, SGD, momentum and decay it is training on
the whole batch, though no momentum is ever sent; with AdamW, clipping or BatchNorm it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewer.core.protocols import Comm
from fewer.sync.local_params import LocalParams

if TYPE_CHECKING:
    from fewer.sync.rounds import Rounds

EXAMPLES = [
    {"every_steps": 2},
    {"every_steps": 2, "schedule": "variance", "payload": "int4", "on_nonfinite": "exclude"},
]


class Params(LocalParams):
    pass


def build(params: Params, comm: Comm, workers: int | None) -> Rounds:
    from fewer.sync.rounds import build_rounds

    return build_rounds(params, comm, workers)
