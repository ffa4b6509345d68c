"""Which samples count. One file a method, found by its name; this page only finds and builds them.

A method's file has a pydantic `Params`, and `build(params, population)` that returns its selector. It imports torch
inside functions only, so that names, parameters and help need no torch. Methods of other packages are found through
the entry point group `fewer.select`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewer.core.registry import Folder

if TYPE_CHECKING:
    from fewer.core.protocols import Selector
    from fewer.core.types import Population
    from fewer.select.base import MethodParams

_METHODS = Folder("fewer.select.methods", noun="selection method", group="fewer.select", key="method")


def names() -> list[str]:
    """All methods' names: this folder's files, then those that installed packages add."""
    return _METHODS.names()


def params(name: str) -> type[MethodParams]:
    """The pydantic class of a method's parameters.

    Raises:
        KeyError: No method has this name.
    """
    found: type[MethodParams] = _METHODS.params(name)  # type: ignore[assignment]
    return found


def default() -> MethodParams:
    """The parameters of plain training."""
    from fewer.select.methods.everything import Params

    return Params()


def build(parameters: MethodParams, population: Population, epochs: int) -> Selector:
    """The selector that a recipe asks for, with what is put around every method: refreshing, guards, revision epochs.

    Args:
        parameters: The method's checked parameters.
        population: What is known of the training set.
        epochs: All epochs of the run.
    """
    from fewer.select.base import ScoredParams
    from fewer.select.wrappers.guards import GuardedSelector
    from fewer.select.wrappers.refresh import Refresh
    from fewer.select.wrappers.revision import Revision

    selector: Selector = _METHODS.module(parameters.method).build(parameters, population)
    if isinstance(parameters, ScoredParams):
        favours_hard = getattr(selector, "favours_hard", False)
        if parameters.refresh_every:
            selector = Refresh(selector, parameters.refresh_every, population.seed)
        if not parameters.guards_itself:
            selector = GuardedSelector(selector, parameters.guards, population, favours_hard, epochs)
    return Revision(selector, parameters.revision) if parameters.revision.value else selector


def card(name: str) -> dict[str, Any]:
    """What a method's file says of itself: summary, description, and parameters with default and help."""
    return _METHODS.card(name)
