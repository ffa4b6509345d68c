"""Sections of a recipe whose keys depend on the plug-ins that they name, such as an optimizer, a loss, or a model.

A section stays flat: `[train] optimizer = "adamw", betas = [0.9, 0.99]`. Its class is composed by multiple inheritance
of the keys that it always has and the `Params` of each plug-in, so that an instance is one of each of them. A key of a
plug-in that is not named is an unknown key, and the message names its owner.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ValidationError, create_model

from fewer.core.clock import Duration, Period
from fewer.core.config import Section
from fewer.core.messages import KeyPath, Place, explain, missing, no_section
from fewer.core.registry import Registry

Problem = tuple[KeyPath, str]  # a key's path, and what is wrong with it

_NAMES_MAX = 8  # names or keys that a message lists


class _Composed(Section):
    """A section that is made of several classes."""

    parts: ClassVar[tuple[type[Section], ...]] = ()

    def conflicts(self, epochs: int) -> dict[str, str]:
        return {key: text for part in self.parts for key, text in part.conflicts(self, epochs).items()}


class Parsed(NamedTuple):
    """A section that was read.

    Attributes:
        section: The section; None where there are problems.
        problems: What is wrong with it, one line each.
        notes: Deprecated spellings that it holds, a sentence each.
    """

    section: Any
    problems: list[str]
    notes: list[str]


def parse_section(base: type[Section], values: Any, name: str, place: Place) -> Parsed:
    """Checks one section of a recipe.

    Args:
        base: The keys that the section always has.
        values: The section's content: a dict of keys, or None where it is left out.
        name: What the section is called.
        place: Where a key was given, for messages.
    """
    required = [key for key in base.named_parts if base.model_fields[key].is_required()]
    for key in required:
        example = f'"{base.named_parts[key].own[0]}"'
        if values is None:
            return Parsed(None, [f"{place((name,))}: {missing(name, f'[{name}] {key} = {example}')}"], [])
        if isinstance(values, Mapping) and key not in values:
            return Parsed(None, [f"{place((name,))}: {missing(f'{name}.{key}', example)}"], [])
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        return Parsed(None, [f"{place((name,))}: {no_section(name)}"], [])
    values, notes = _canonical(base, dict(values), name, place)
    unknown: dict[str, str] = {}
    parts = [base, *_parts(base, values, unknown)]
    problems = [f"{place((name, key))}: unknown {name}.{text}" for key, text in unknown.items()]
    model = compose(*parts)
    try:
        section = model.model_validate({key: value for key, value in values.items() if key not in unknown})
    except ValidationError as error:
        # The keys of a plug-in that is not known cannot be distinguished from slips of the keyboard.
        idle = ("extra_forbidden", "missing") if unknown else ()
        details = [each for each in error.errors() if each["type"] not in idle]
        problems += explain(details, model, place, (name,), lambda path: _owners(parts, values, path))
    return Parsed(None if problems else section, problems, notes)


def check_section(section: Section, name: str, epochs: int) -> Iterator[Problem]:
    """Keys of a section that are right one by one, but not together, or not in a run of so many epochs.

    Args:
        section: The section.
        name: What it is called.
        epochs: All epochs of the run.
    """
    for key, sentence in section.conflicts(epochs).items():
        # What was not given is not shown: it is nowhere to be found.
        value = f" = {json.dumps(getattr(section, key), default=str)}" if key in section.model_fields_set else ""
        yield (name, key), f"{name}.{key}{value}{'' if sentence[0] in ':,' else ' '}{sentence}"
    for path, span in _durations(section, (name,)):
        key = ".".join(path)
        if span.unit not in ("ep", "%"):
            yield path, f'{key} = "{span}": only "ep" and "%" are known before training'
        elif span.in_epochs(epochs) > epochs and not isinstance(span, Period):
            yield path, f'{key} = "{span}" is longer than the run of {epochs} epochs'


def _durations(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, Duration]]:
    """Every duration in a section, also in lists and in sections within."""
    if isinstance(value, Duration):
        yield path, value
    elif isinstance(value, BaseModel | tuple):
        for key, item in value if isinstance(value, BaseModel) else enumerate(value):
            yield from _durations(item, (*path, str(key)))


def section_of(base: type[Section], **values: Any) -> Any:
    """A section of these values, as `parse_section` reads it.

    Raises:
        KeyError: No plug-in has a name that is given.
        pydantic.ValidationError: A key is unknown, or its value is wrong.
    """
    return compose(base, *_parts(base, values)).model_validate(values)


def foreign_keys(base: type[Section], values: Mapping[str, Any]) -> list[str]:
    """Keys that the plug-ins which a section names do not have; none where a name is unknown."""
    try:
        known = compose(base, *_parts(base, values)).model_fields
    except KeyError:
        return []
    return [key for key in values if key not in known]


@cache
def compose(*parts: type[Section]) -> type[Section]:
    """The class that has the keys of all parts, and is a subclass of each; the part itself where it is but one.

    Raises:
        TypeError: Two parts have a key of one name.
    """
    bases = [part for part in parts if not any(other is not part and issubclass(other, part) for other in parts)]
    if len(bases) == 1:
        return bases[0]
    owner: dict[str, type] = {}
    for part in bases:
        for key in part.model_fields:
            defined = next(each for each in part.__mro__ if key in inspect.get_annotations(each))
            if owner.setdefault(key, defined) is not defined:
                homes = " and ".join(each.__module__ for each in (owner[key], defined))
                raise TypeError(f'{homes} both have a key "{key}"; rename one of the two')
    name = f"{bases[0].__name__}[{', '.join(part.__module__.rpartition('.')[2] for part in bases[1:])}]"
    # Fields come in the reverse order of the bases: the keys that the section always has are the first.
    make: Any = create_model
    made: type[_Composed] = make(name, __base__=(_Composed, *reversed(bases)), __module__=__name__)
    made.parts = tuple(bases)
    return made


def _canonical(
    base: type[Section], values: dict[str, Any], name: str, place: Place
) -> tuple[dict[str, Any], list[str]]:
    """Values with deprecated names replaced, and a note for each of them."""
    notes = []
    for key, registry in base.named_parts.items():
        old = values.get(key)
        if isinstance(old, str) and old in registry.aliases:
            values[key] = registry.canonical(old)
            notes.append(f'{place((name, key))}: {name}.{key} = "{old}" is now called "{values[key]}"')
    return values, notes


def _parts(
    base: type[Section], values: Mapping[str, Any], unknown: dict[str, str] | None = None
) -> Iterator[type[Section]]:
    """The classes of the plug-ins that a section names, and of those that these name in turn.

    Args:
        base: The keys that are looked at.
        values: The section's content.
        unknown: Takes a sentence for each key with an unknown name, in whose place the default stands.

    Raises:
        KeyError: A name is unknown, and nothing takes the problem.
    """
    for key, registry in base.named_parts.items():
        default = base.model_fields[key].get_default()
        asked = str(values.get(key, default))
        try:
            part = registry.params(asked)
        except KeyError:
            if unknown is None:
                raise
            unknown[key] = f'{key} "{asked}"; {registry.hint(asked)}'
            if not isinstance(default, str):
                continue
            part = registry.params(default)
        yield part
        if part.named_parts is not base.named_parts:
            yield from _parts(part, values, unknown)
    if (keyed := base.keyed_parts) is not None:
        # Another package's key is there where it is given only: a recipe that is written out can be read without it.
        yield from (keyed.params(each) for each in keyed.names() if each in keyed.own or each in values)


def _owners(parts: list[type[Section]], values: Mapping[str, Any], path: KeyPath) -> str:
    """Which plug-ins have a key that the named ones have not, and which keys those have in its place."""
    if len(path) != 2:
        return ""
    name, wrong = path
    for part in parts:
        for key, registry in part.named_parts.items():
            owners = [f'"{each}"' for each in registry.names() if wrong in registry.params(each).model_fields]
            if owners:
                chosen = str(values.get(key, part.model_fields[key].get_default()))
                return f"it belongs to {name}.{key} = {_listed(owners)}; {_keys(registry, chosen, part)}"
    return ""


def _keys(registry: Registry, name: str, part: type[Section]) -> str:
    """The keys that a plug-in brings to a section."""
    shared = {*part.model_fields, registry.key}
    keys = [key for key in registry.params(name).model_fields if key not in shared]
    return f'"{name}" has {_listed(keys)}' if keys else f'leave it out with "{name}"'


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:_NAMES_MAX]) + (", ..." if len(texts) > _NAMES_MAX else "")


def with_all_keys(base: type[Section]) -> Iterator[tuple[str, str, type[Section]]]:
    """Key, name and class of every plug-in that a section can name, for pages that list all keys."""
    for key, registry in base.named_parts.items():
        for name in registry.names():
            part = registry.params(name)
            yield key, name, part
            if part.named_parts is not base.named_parts:
                yield from with_all_keys(part)
    if base.keyed_parts is not None:
        for name in base.keyed_parts.names():
            yield name, name, base.keyed_parts.params(name)
