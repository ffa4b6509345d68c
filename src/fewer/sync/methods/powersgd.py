"""PowerSGD (Vogels, Karimireddy & Jaggi 2019, algorithms 1 and 2): gradients are sent as matrices of low rank.

A gradient of n x m numbers, its convolution's filters in rows, is sent as two of n x r and r x m: r (n + m) numbers.
What a worker could not send is added to its next gradient (error feedback), and each step begins with the directions
of the last one (warm start). Vectors and small matrices are sent as they are.

It pays where the exchange takes longer than three products of each gradient with a thin matrix do. It costs a second
copy of the gradients in memory, and at a low rank some accuracy: the first steps, whose gradients change fast, are sent
whole. Its neutral setting is a `start_step` behind the last step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, final

from fewer.core.config import Count, Index, Section
from fewer.core.errors import RecipeError
from fewer.core.protocols import Comm
from fewer.core.types import State, Worker
from fewer.sync.gathering import gathered
from fewer.sync.gradients import flat, gradients, put_gradients
from fewer.sync.methods.every_step import EveryStep

if TYPE_CHECKING:
    from torch import Tensor, nn

EVERY_STEP = True
TAKES_FP16 = False
EXAMPLES: list[dict[str, Any]] = [{}]
REHEARSED = {"start_step": 0}


class Params(Section):
    matrix_rank: Count = 2
    """Rank of the matrices that are sent, r; 1 to 4 are usual."""
    start_step: Index = 100
    """Steps whose gradients are sent whole."""


def first_steps(params: Params, steps: float, epochs: int) -> int:
    """Steps whose gradients are sent whole; see `fewer.sync.methods`."""
    return params.start_step


def is_sent_thin(shape: Sequence[int], rank: int) -> bool:
    """Whether a parameter of this shape is sent as two thin matrices, being smaller so."""
    rows, columns = _sides(shape)
    return len(shape) > 1 and rank * (rows + columns) < rows * columns


def step_traffic(params: Params, shapes: Sequence[Sequence[int]], weight_bytes: int) -> tuple[int, int]:
    """What a worker sums with the others in a step behind the first ones; arguments and result as for `every_step`."""
    rank = params.matrix_rank
    numbers = sum(rank * sum(_sides(shape)) if is_sent_thin(shape, rank) else prod(shape) for shape in shapes)
    return numbers * weight_bytes, 2


@final
class PowerSGD(EveryStep):
    """Sums approximations of low rank of the workers' gradients.

    Args:
        comm: The exchange between processes.
        workers: As for `EveryStep`.
        rank: Rank of the approximations.
        start_step: Steps whose gradients are sent whole.
    """

    def __init__(self, comm: Comm, workers: int | None = None, rank: int = 2, start_step: int = 100) -> None:
        super().__init__(comm, workers)
        self.rank, self.start_step, self.step = rank, start_step, 0
        self.directions: dict[str, Tensor] = {}  # the last step's right-hand matrices by parameter, m x r
        self.errors_L: list[dict[str, Tensor]] = [{} for _ in self.local_ids]  # what each worker has not sent yet

    def sync_gradients(self, workers: Sequence[Worker]) -> None:
        self.step += 1
        if self.workers == 1 or self.step <= self.start_step:
            super().sync_gradients(workers)
            return
        if workers[0].scaler.is_enabled():
            raise RecipeError(
                'sync.method = "powersgd" adds what was not sent to later gradients, and train.precision = "fp16" '
                'scales each step\'s by another factor; set train.precision = "bf16", or sync.gradients = "bf16" with '
                'sync.method = "every_step"'
            )
        trained_L = [{n: p for n, p in worker.model.named_parameters() if p.requires_grad} for worker in workers]
        thin = [name for name, p in trained_L[0].items() if is_sent_thin(p.shape, self.rank)]
        whole_L = [[p for name, p in trained.items() if name not in thin] for trained in trained_L]
        matrices_L = [
            {name: self._matrix(trained[name], errors.get(name)) for name in thin}
            for trained, errors in zip(trained_L, self.errors_L, strict=True)
        ]
        self._sum_thin(trained_L, matrices_L, whole_L)
        self.sync_buffers(workers)

    def _sum_thin(
        self,
        trained_L: Sequence[Mapping[str, nn.Parameter]],
        matrices_L: Sequence[Mapping[str, Tensor]],
        whole_L: Sequence[list[nn.Parameter]],
    ) -> None:
        """The two exchanges: left-hand matrices with all that is sent whole, then right-hand ones."""
        import torch

        thin = list(matrices_L[0])
        lefts_L = [[matrices[name] @ self._direction(name, matrices[name]) for name in thin] for matrices in matrices_L]
        total = self.total([flat([*gradients(w), *lefts]) for w, lefts in zip(whole_L, lefts_L, strict=True)])
        for whole in whole_L:
            count = put_gradients(whole, total)
        lefts = {
            name: torch.linalg.qr(piece.view(left.shape)).Q
            for name, left, piece in _pieces(thin, lefts_L[0], total[count:])
        }
        rights_L = [[matrices[name].T @ lefts[name] for name in thin] for matrices in matrices_L]
        total = self.total([flat(rights) for rights in rights_L])
        # Copies: a product rounds by where its factors lie, and a resumed run has them elsewhere.
        pieces = _pieces(thin, rights_L[0], total)
        self.directions |= {name: piece.view(right.shape).clone() for name, right, piece in pieces}
        for trained, matrices, rights, errors in zip(trained_L, matrices_L, rights_L, self.errors_L, strict=True):
            for name, right in zip(thin, rights, strict=True):
                errors[name] = (matrices[name] - lefts[name] @ right.T).contiguous()
                put_gradients([trained[name]], (lefts[name] @ self.directions[name].T).flatten())

    def _matrix(self, parameter: nn.Parameter, error: Tensor | None) -> Tensor:
        """A worker's gradient as a matrix, with what it has not sent yet."""
        (gradient,) = gradients([parameter])
        matrix = gradient.reshape(_sides(parameter.shape)).contiguous()
        return matrix.clone() if error is None else matrix + error

    def _direction(self, name: str, matrix: Tensor) -> Tensor:
        """The right-hand matrix to begin with: the last step's, or at first a random one, the same on all workers."""
        import torch

        if name not in self.directions:
            noise = torch.Generator().manual_seed(len(name))
            drawn = torch.randn(matrix.shape[1], self.rank, generator=noise, dtype=torch.float64)
            self.directions[name] = drawn.to(matrix)
        return self.directions[name]

    def state_dict(self) -> State:
        """The directions, and every worker's error; every process must call it."""
        errors = gathered(self.errors_L, self.comm)
        return {
            "step": self.step,
            "directions": dict(self.directions),
            "errors": {str(id): each for id, each in enumerate(errors)},
        }

    def load_state_dict(self, state: State) -> None:
        """Puts back what `state_dict` gave; errors of another number of workers are shared out, as their sum counts."""
        self.step, self.directions = state.get("step", 0), dict(state.get("directions", {}))
        saved = [dict(each) for each in state.get("errors", {}).values()]
        if len(saved) == self.workers:
            self.errors_L = [saved[id] for id in self.local_ids]
            return
        import torch

        names = saved[0] if saved else ()
        shared = {name: torch.stack([each[name] for each in saved]).sum(0) / self.workers for name in names}
        self.errors_L = [dict(shared) for _ in self.local_ids]


def _sides(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a gradient that is looked at as a matrix."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def _pieces(names: Sequence[str], like: Sequence[Tensor], total: Tensor) -> list[tuple[str, Tensor, Tensor]]:
    """The parts of a vector that belong to tensors of these sizes, with their names."""
    return list(zip(names, like, total.split([each.numel() for each in like]), strict=True))


def build(params: Params, comm: Comm, workers: int | None) -> PowerSGD:
    return PowerSGD(comm, workers, params.matrix_rank, params.start_step)
