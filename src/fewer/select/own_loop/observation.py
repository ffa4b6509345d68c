"""The observations of one batch of a foreign loop, checked: positions, losses, scores, further columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.errors import DivergedError, UsageError
from fewer.core.observation import Column, Observed
from fewer.tasks.classify.cross_entropy import cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

    from fewer.core.population import Population
    from fewer.core.protocols import Comm
    from fewer.select.observations import Observations


def positions(id_B: Any, samples: int) -> Tensor:
    """Ids as int64 on the CPU.

    Raises:
        UsageError: They are not positions in the data set.
    """
    ids_B = torch.as_tensor(id_B).detach().cpu()
    if ids_B.dim() != 1 or ids_B.is_floating_point() or ids_B.dtype == torch.bool:
        raise UsageError(f"ids are whole numbers of shape (B,), not {ids_B.dtype} of shape {tuple(ids_B.shape)}")
    ids_B = ids_B.long()
    if len(ids_B) and not 0 <= int(ids_B.min()) <= int(ids_B.max()) < samples:
        wrong = ids_B[(ids_B < 0) | (ids_B >= samples)]
        raise UsageError(
            f"id {int(wrong[0])} is no position in a data set of {samples} samples, as many as there are labels; "
            "ids are positions, as fewer.select.own_loop.Indexed gives them"
        )
    return ids_B


def observation(
    population: Population,
    ids_B: Tensor,
    loss_B: Tensor,
    logits_BC: Tensor | None,
    score_B: Tensor | None,
    right_B: Tensor | None,
    epoch: int,
) -> Observed:
    """What `Chooser.observe` takes, complete.

    Raises:
        UsageError: Shapes do not fit, or something is missing.
        DivergedError: A loss is not finite; looked at on the CPU only, as other devices would have to wait.
    """
    loss_B = loss_B.detach()
    if loss_B.shape != ids_B.shape:
        raise UsageError(
            f"loss_B has shape {tuple(loss_B.shape)} for {len(ids_B)} ids; give one loss a sample: "
            'reduction="none", and the mean of its own losses where a sample has many'
        )
    if loss_B.device.type == "cpu":
        require_finite(loss_B, ids_B, epoch)
    if logits_BC is not None:
        found = _by_label(population, ids_B, logits_BC.detach())
        score_B, right_B = found if score_B is None else (score_B, found[1])
    if right_B is None:
        raise UsageError("give logits_BC, or right_B: whether each sample was predicted correctly")
    score_B = torch.exp(-loss_B) if score_B is None else score_B.detach()
    for name, value_B in (("score_B", score_B), ("right_B", right_B)):
        if value_B.shape != ids_B.shape:
            raise UsageError(f"{name} has shape {tuple(value_B.shape)} for {len(ids_B)} ids; give one a sample")
    return Observed.of(ids_B, loss_B, score_B, right_B)


def _by_label(population: Population, ids_B: Tensor, logits_BC: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and correctness of plain labels."""
    if logits_BC.dim() != 2 or len(logits_BC) != len(ids_B) or logits_BC.shape[1] < population.groups:
        raise UsageError(
            f"logits have shape {tuple(logits_BC.shape)} for {len(ids_B)} ids and {population.groups} classes; "
            "where the loss is not of one label a sample, give score_B and right_B instead"
        )
    outcome = cross_entropy(logits_BC, population.group_N[ids_B].to(logits_BC.device))
    return outcome.score_B, outcome.right_B


def with_columns(seen_B: Observed, asked: Sequence[Column], given: Mapping[str, Tensor], method: str) -> Observed:
    """Observations with the further columns that a method asks for.

    Raises:
        UsageError: One is missing, or of another shape.
    """
    found = {}
    for column in asked:
        shape = (len(seen_B),) if column.width == 1 else (len(seen_B), column.width)
        values = given.get(column.name)
        if values is None or tuple(values.shape) != shape:
            fault = "is missing" if values is None else f"has shape {tuple(values.shape)}"
            raise UsageError(
                f'{method} asks for "{column.name}" of each sample, which {fault}; give it in columns, of shape {shape}'
            )
        found[column.name] = values.detach()
    return Observed(seen_B.ids_B, {**seen_B.columns, **found})


def gather_finite(observations: Observations, comm: Comm, epoch: int) -> None:
    """Exchanges observations; every rank must call it.

    Raises:
        DivergedError: A loss is not finite.
    """
    observations.gather(comm)
    counted = observations.counted
    require_finite(counted.loss_B, counted.ids_B, epoch)


def require_finite(loss_B: Tensor, ids_B: Tensor, epoch: int) -> None:
    """Raises DivergedError where a loss is NaN or infinite."""
    if not (finite_B := torch.isfinite(loss_B)).all():
        found, more = int(ids_B[~finite_B][0]), int((~finite_B).sum()) - 1
        others = f", and {more} more are not finite either" if more else ""
        raise DivergedError(
            f"the loss of sample {found} in epoch {epoch} is {float(loss_B[~finite_B][0])}{others}; nothing can be "
            "chosen by it: lower the learning rate, clip gradients, or skip such batches before they are observed"
        )
