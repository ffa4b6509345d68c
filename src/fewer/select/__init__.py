"""Selection methods, one file each, and the names for writing one.

A method's file has a pydantic `Params`, and `build(params, population)` that returns its selector. It imports torch
inside functions only, so that names, parameters and help need no torch. Methods of other packages are found through
the entry point group `fewer.select`. All names of this page can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.observation import Column, Observed
from fewer.core.population import Population
from fewer.core.types import At, Expectation, KeepMask, Selection
from fewer.select.base import (
    BaseSelector,
    InBatchSelector,
    drawn_by_class,
    drawn_uniformly,
    expects_below,
    unweighted,
    weighted,
    weights_of,
)
from fewer.select.method_params import (
    ChoiceParams,
    Guards,
    InBatchParams,
    MethodParams,
    OpenShare,
    ScoredParams,
    ThresholdParams,
    WeightParams,
)
from fewer.select.registry import METHODS
from fewer.select.sampling import (
    by_probability,
    class_means,
    count_of,
    exclude,
    fair_count,
    sample_uniformly,
    top_k,
    top_k_per_class,
)

if TYPE_CHECKING:
    from fewer.core.protocols import Selector

__all__ = [
    "METHODS",
    "At",
    "BaseSelector",
    "ChoiceParams",
    "Column",
    "Expectation",
    "Guards",
    "InBatchParams",
    "InBatchSelector",
    "KeepMask",
    "MethodParams",
    "Observed",
    "OpenShare",
    "Population",
    "ScoredParams",
    "Selection",
    "ThresholdParams",
    "WeightParams",
    "build",
    "by_probability",
    "card",
    "class_means",
    "count_of",
    "default",
    "drawn_by_class",
    "drawn_uniformly",
    "exclude",
    "expects_below",
    "fair_count",
    "names",
    "params",
    "sample_uniformly",
    "top_k",
    "top_k_per_class",
    "unweighted",
    "weighted",
    "weights_of",
]


def names() -> list[str]:
    """All methods' names: this package's files, then those that installed packages add."""
    return METHODS.names()


def params(name: str) -> type[MethodParams]:
    """The pydantic class of a method's parameters.

    Raises:
        KeyError: No method has this name.
    """
    found: type[MethodParams] = METHODS.params(name)
    return found


def default() -> MethodParams:
    """The parameters of plain training."""
    return params("full")()


def build(parameters: MethodParams, population: Population, epochs: int) -> Selector:
    """The selector that a recipe asks for, with what is put around every method: groups, refreshing, guards, revision.

    Args:
        parameters: The method's checked parameters.
        population: What is known of the training set.
        epochs: All epochs of the run.
    """
    from fewer.select.wrappers.guards import GuardedSelector
    from fewer.select.wrappers.refresh import Refresh
    from fewer.select.wrappers.revision import Revision
    from fewer.select.wrappers.within_groups import WithinGroups, within_groups

    module = METHODS.module(parameters.method)
    if isinstance(parameters, ScoredParams) and parameters.ranks_within(population):
        selector: Selector = WithinGroups(module.build(parameters, within_groups(population)), population)
    else:
        selector = module.build(parameters, population)
    if isinstance(parameters, ScoredParams):
        if parameters.refreshes:
            selector = Refresh(selector, parameters.refreshes, population.seed)
        if not parameters.guards_itself:
            suspects = parameters.favours_hard and not parameters.averages_batches  # no label has a loss of its own
            selector = GuardedSelector(selector, parameters.guards, population, suspects, epochs)
    return Revision(selector, parameters.revision) if parameters.revision.value else selector


def card(name: str) -> dict[str, Any]:
    """The card of a method: summary, description, and parameters with default and help."""
    return METHODS.card(name)
