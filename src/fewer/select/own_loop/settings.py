"""The settings of a foreign loop, checked like a recipe: the method and its keys, the labels, the price of a sample."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from fewer.core.config import Epochs, Section, Seed
from fewer.core.errors import DataError, RecipeError
from fewer.core.messages import readable
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.sections import check_section, parse_section
from fewer.core.types import At
from fewer.select.budget import Budget, asked_cost, asked_oscillation
from fewer.select.budget_checks import budget_too_small, too_few_samples
from fewer.select.method_params import ChoiceParams, InBatchParams, MethodParams, ScoredParams
from fewer.select.registry import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_FORWARD, _BACKWARD = 1, 2  # costs in forwards: the usual estimate, as a loop of one's own cannot be counted


class _Run(Section):
    """The keys of `[train]` that a choice depends on."""

    epochs: Epochs
    seed: Seed


def read(method: str, keys: Mapping[str, Any], epochs: int, population: Population) -> MethodParams:
    """The method's parameters.

    Raises:
        RecipeError: With all problems at once.
    """
    if method in METHODS.names() and issubclass(METHODS.params(method), ScoredParams):
        # Looking again at what was left out is the loop's own work: a method that can do without waits until it is
        # asked for.
        keys = {"refresh_every": METHODS.params(method).recorded_refresh, **keys}
    run = parse_section(_Run, {"epochs": epochs, "seed": population.seed}, "train", lambda path: "Chooser")
    chosen = parse_section(MethodParams, {"method": method, **keys}, "select", lambda path: "Chooser")
    problems = [*run.problems, *chosen.problems]
    if not problems:
        problems = [f"Chooser: {text}" for _, text in check_section(chosen.section, "select", epochs)]
    if problems:
        raise RecipeError([readable(_in_keywords(text)) for text in problems])
    parameters: MethodParams = chosen.section
    if misplaced := _misplaced(parameters, parameters.method, population.reference_loss_N is not None):
        raise RecipeError(misplaced)
    return parameters


def _misplaced(chosen: MethodParams, method: str, has_reference: bool) -> list[str]:
    """Keys that only fewer's own loop can obey, and what takes the place of some."""
    problems = []
    if getattr(chosen, "reference", None) is not None:
        problems.append("Chooser: reference: a loop of your own computes the losses; give reference_loss, leave it out")
    elif chosen.needs_reference and not has_reference:
        text = f"Chooser: {method} needs reference_loss: the loss of every sample under a model that was not trained on"
        problems.append(f"{text} it")
    if chosen.needs_proxy:
        text = f"Chooser: {chosen.method} trains a small net first, which only the loop that comes with fewer does"
        problems.append(f"{text}; take another method, or `fewer train`")
    if isinstance(chosen, ChoiceParams) and chosen.batches == "shrink":
        text = 'Chooser: batches = "shrink": batches are your loader\'s, and as large as it makes them'
        problems.append(f"{text}; leave it out")
    if isinstance(chosen, ScoredParams) and chosen.averages_batches:
        text = (
            'Chooser: score = "batch": it takes the batches of the training loop that comes with fewer; leave it out, '
        )
        problems.append(f"{text}and give observe the mean loss of the batch for each of its samples")
    if isinstance(chosen, InBatchParams) and (chosen.scoring == "train" or chosen.scorer_side_px):
        text = "Chooser: scoring and scorer_side_px: the scoring forward is your loop's, in the mode and at the side"
        problems.append(f"{text} that it chooses; leave them out")
    return problems


def price(chosen: MethodParams, epochs: int, population: Population, selector: Selector, method: str) -> Budget:
    """A budget in which a forward costs 1 and a backward 2, to meet `cost` with.

    Raises:
        RecipeError: The cost cannot be met; says the smallest that can. Or an epoch would hold next to nothing.
    """
    samples = int((population.group_N >= 0).sum())
    training, scoring = (_FORWARD + _BACKWARD,) * epochs, (_FORWARD,) * epochs
    budget = Budget(samples, training, scoring, asked_cost(chosen), oscillation=asked_oscillation(chosen, epochs))
    expected = selector.expected
    if problem := budget_too_small(budget, expected, method) or too_few_samples(budget, expected, method):
        raise RecipeError(f"Chooser: {_in_keywords(problem)}")
    return budget


def _in_keywords(problem: str) -> str:
    return problem.replace("select.", "").replace("train.", "")


def population_of(labels: Any, classes: int | None, seed: int, reference_loss: Any) -> Population:
    """What is known of the training set.

    Args:
        labels: The class of every sample, whole numbers from 0; -1 for one that is not trained on.
        classes: How many classes there are; None: the highest label says.
        seed: The run's seed.
        reference_loss: Loss of every sample under a reference model, or None.

    Raises:
        DataError: Labels are missing, or no classes; or the other losses do not fit them.
    """
    label_N = _numbers("labels", labels)
    if label_N.is_floating_point() and not bool((label_N == label_N.floor()).all()):
        raise DataError("Chooser: labels are classes, whole numbers from 0; for other targets pass zeros")
    label_N = label_N.long()
    if int((label_N >= 0).sum()) < 2 or int(label_N.min()) < -1:
        text = f"Chooser: {int((label_N >= 0).sum())} of {len(label_N)} labels are 0 or more, and the lowest is"
        raise DataError(
            f"{text} {int(label_N.min()) if len(label_N) else 'missing'}; "
            "give the class of every sample, -1 only for samples that are not trained on"
        )
    highest = int(label_N.max())
    if classes is not None and classes <= highest:
        raise DataError(f"Chooser: classes = {classes}, but label {highest} occurs; use {highest + 1} or more")
    loss_N = None if reference_loss is None else _numbers("reference_loss", reference_loss).float()
    if loss_N is not None and len(loss_N) != len(label_N):
        raise DataError(f"Chooser: {len(loss_N)} reference losses for {len(label_N)} labels; give one a sample")
    return Population(seed, label_N, classes or highest + 1, loss_N)


def _numbers(name: str, values: Any) -> Tensor:
    if values is None:
        raise DataError(
            f"Chooser: {name} are missing; give one number a sample, e.g. dataset.targets "
            "(zeros where there are no classes)"
        )
    try:
        found = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"Chooser: {name} are not numbers ({error}); give one whole number a sample") from None
    if found.dim() != 1:
        raise DataError(f"Chooser: {name} have shape {tuple(found.shape)}; give one number a sample, shape (N,)")
    return found


def digest(label_N: Tensor) -> str:
    """A hash of the labels, by which a state and its loop find out that they mean the same samples."""
    return hashlib.blake2b(label_N.numpy().tobytes(), digest_size=8).hexdigest()


def scores_before(selector: Selector, epochs: int) -> bool:
    """Whether samples are to be scored before some epoch, as far as the selector expects it."""
    moments = [At(epoch, epochs, epoch / epochs) for epoch in range(epochs)]
    return any(selector.expected(at).scored > 0 and not selector.in_batch(at) for at in moments)
