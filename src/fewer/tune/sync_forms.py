"""The ways in which workers may agree: each sync method, and each form in which it can send what it sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import get_annotations
from typing import Any, get_args

from fewer.core.sections import foreign_keys, section_of
from fewer.plan.plan import Plan
from fewer.plan.sharing import too_few_steps
from fewer.recipe.schema import SyncRecipe
from fewer.sync.methods import SYNC_METHODS

_FORMS = ("gradients", "payload")  # keys that say in which form something is sent
_STEPS = "every_steps"  # the key of methods whose rounds have several steps
_FORM_STEPS = 16  # the length of rounds at which forms other than a method's own are shown, or the nearest to it
_REHEARSED_STEPS = 2  # of a round: one without a sync, and one with it


@dataclass(frozen=True)
class Form:
    """A sync method in one of its forms.

    Attributes:
        values: The keys of `[sync]` that choose it, less the length of rounds.
        takes_rounds: Whether workers take several steps between two syncs.
        is_default: Whether it sends numbers in the method's own form.
    """

    values: Mapping[str, Any]
    takes_rounds: bool
    is_default: bool = True

    @property
    def method(self) -> str:
        return str(self.values["method"])

    def rehearsed(self) -> SyncRecipe:
        """Its section of a recipe, with one worker a process and the shortest round that has a step without a sync."""
        values = {**self.values, **self._rounds(_REHEARSED_STEPS), **self.early}
        section: SyncRecipe = section_of(SyncRecipe, **values)
        return section

    @property
    def early(self) -> Mapping[str, Any]:
        """Settings with which it does from the first step what it does later on; none where it always does the same."""
        return getattr(SYNC_METHODS.module(self.method), "REHEARSED", {})

    @property
    def rehearsed_steps(self) -> int:
        """Steps of such a round."""
        return _REHEARSED_STEPS if self.takes_rounds else 1

    @property
    def added_keys(self) -> int:
        """Keys that the method adds to what methods of its kind have."""
        return len(get_annotations(SYNC_METHODS.params(self.method)))

    def keys(self, local_steps: int) -> dict[str, Any]:
        """The keys of `[sync]` with rounds of so many steps, as a recipe gives them."""
        return {**self.values, **self._rounds(local_steps)}

    def first_steps(self, steps: float, epochs: int) -> int | None:
        """How many first steps of a run of so many exchange gradients as they are; None where only the run shows it."""
        method = SYNC_METHODS.module(self.method)
        if not hasattr(method, "first_steps"):
            return 0
        found: int | None = method.first_steps(section_of(SyncRecipe, **self.values), steps, epochs)
        return found

    def called(self, local_steps: int) -> str:
        """What it is called in a table."""
        forms = [str(value) for key, value in self.values.items() if key in _FORMS and not self.is_default]
        return " ".join([self.method, *([f"H={local_steps}"] if self.takes_rounds else []), *forms])

    def _rounds(self, steps: int) -> dict[str, int]:
        return {_STEPS: steps} if self.takes_rounds else {}


@dataclass(frozen=True)
class Offer:
    """A form, and the lengths of rounds at which it is shown; 1 alone where workers agree at every step."""

    form: Form
    lengths: Sequence[int]


def offers(plan: Plan, local_steps: Sequence[int]) -> tuple[list[Offer], dict[str, str]]:
    """What a run has time for, and why it has none for the rest, by name.

    Args:
        plan: The run's plan, whose processes are the workers.
        local_steps: Lengths of rounds of local methods.
    """
    found, refused = list[Offer](), dict[str, str]()
    for form in forms(plan.recipe.sync):
        reasons = {steps: _too_short(plan, form, steps) for steps in (local_steps if form.takes_rounds else (1,))}
        lengths = [steps for steps, reason in reasons.items() if not reason]
        if form.is_default:
            refused |= {form.called(steps): reason for steps, reason in reasons.items() if reason}
        elif lengths:
            lengths = [min(lengths, key=lambda steps: abs(steps - _FORM_STEPS))]
        if lengths:
            found.append(Offer(form, lengths))
    return found, refused


def _too_short(plan: Plan, form: Form, local_steps: int) -> str:
    """Why the run ends before the method does what it is there for; else nothing."""
    recipe = plan.recipe.model_copy(update={"sync": section_of(SyncRecipe, **form.keys(local_steps))})
    steps = plan.predicted["optimizer_steps"][1]
    return too_few_steps(recipe, plan.facts, steps, plan.epochs).removeprefix("warning: ")


def forms(recipe: SyncRecipe) -> Iterator[Form]:
    """All forms of all methods, with the recipe's keys that belong to all; its own method has its keys besides.

    A method that adds keys of its own to another's shows its default form alone: in other forms it costs as much as
    that other does.
    """
    for method in SYNC_METHODS.names():
        fields = SYNC_METHODS.params(method).model_fields
        takes_rounds = _STEPS in fields
        own = _given(recipe, method)
        yield Form({"method": method, **own}, takes_rounds)
        for key in _FORMS:
            for value in _others(method, key):
                values = {"method": method, **own, key: value}
                if not foreign_keys(SyncRecipe, values):
                    yield Form(values, takes_rounds, is_default=False)


def _given(recipe: SyncRecipe, method: str) -> dict[str, Any]:
    """The keys that a recipe gives a method, less those that are tried or have to be fixed here."""
    left_out = ("method", "workers", "schedule", _STEPS, *_FORMS)
    given = {key: getattr(recipe, key) for key in recipe.model_fields_set if key not in left_out}
    fits = method == recipe.method and not foreign_keys(SyncRecipe, {"method": method, **given})
    return {key: value for key, value in given.items() if fits or key in SyncRecipe.model_fields}


def _others(method: str, key: str) -> list[str]:
    """The values of a key of a method that are not its default; none where the method only inherits the key."""
    params = SYNC_METHODS.params(method)
    own = get_annotations(params)
    if key not in params.model_fields or (own and key not in own):
        return []
    registry, default = params.named_parts.get(key), params.model_fields[key].default
    names = registry.names() if registry else get_args(params.model_fields[key].annotation)
    return [str(name) for name in names if name != default]
