"""Messages about keys and values: one line a problem, with its place, the value, what is allowed, and one fix."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fewer.core.errors import printable
from fewer.core.spelling import closest

KeyPath = tuple[str, ...]
Place = Callable[[KeyPath], str]  # where a key was given: file and line, or the argument

_LINE_MAX = 600  # characters of a message
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def nearest(name: str, known: Sequence[str], prefix: Sequence[str] = ()) -> str:
    """The known name that is closest to a wrong one, as a question; all of them where none is close."""
    found = closest(name, known)
    dotted = [".".join((*prefix, key)) for key in ([found] if found else known)]
    return f'did you mean "{dotted[0]}"?' if found else f"allowed: {', '.join(dotted)}"


def readable(problem: str) -> str:
    """One line without control characters, and not longer than a reader follows."""
    line = printable(problem)
    return line if len(line) <= _LINE_MAX else f"{line[: _LINE_MAX // 2]} … {line[-_LINE_MAX // 2 :]}"


def no_section(name: str) -> str:
    """The problem of a value where a section belongs."""
    return f'"{name}" is a section, not a value; give its keys, as {name}.KEY=VALUE or in lines below [{name}]'


def missing(name: str, example: str) -> str:
    """The problem of a key that must be given."""
    return f'"{name}" is missing and has no default; add it, e.g. {example}'


def explain(
    details: Iterable[Any],
    model: type[BaseModel],
    place: Place,
    prefix: KeyPath = (),
    advice: Callable[[KeyPath], str] = lambda path: "",
    examples: Mapping[str, str] = {},
) -> list[str]:
    """One line for each value that pydantic refuses; what the branches of a union say of it is one sentence.

    Args:
        details: The errors, as `ValidationError.errors()` gives them.
        model: The class that refused them.
        place: Where a key was given.
        prefix: Path of the model itself.
        advice: What to do about an unknown key of this path; empty: the nearest known key is named.
        examples: Examples of keys that have no default.
    """
    joined: dict[KeyPath, Any] = {}
    for detail in details:
        path = _path(detail)
        if path in joined:
            also = detail["msg"].removeprefix("Input should be ")
            detail = {**joined[path], "msg": f"{joined[path]['msg']}, or {also}"}
        joined[path] = detail
    lines = []
    for path, detail in joined.items():
        at, text = _explained(detail, path, model, prefix, advice, examples)
        lines.append(f"{place(at)}: {text}")
    return lines


def _path(detail: Any) -> KeyPath:
    """The key of a pydantic error; pydantic names the branch of a union in the place, a user wrote none."""
    branches, places = ("function-", "literal[", "constrained-", "tuple[", "branch:"), list(map(str, detail["loc"]))
    # An unknown key is the user's own word, whatever it looks like.
    last = places.pop() if detail["type"] == "extra_forbidden" else None
    path = tuple(part for part in places if part != "int" and not part.startswith(branches))
    return path if last is None else (*path, last)


def _explained(
    detail: Any,
    path: KeyPath,
    model: type[BaseModel],
    prefix: KeyPath,
    advice: Callable[[KeyPath], str],
    examples: Mapping[str, str],
) -> tuple[KeyPath, str]:
    """Path and sentence of one pydantic error."""
    whole = (*prefix, *path)
    name, above, kind = ".".join(whole), path[:-1], detail["type"]
    if kind == "extra_forbidden":
        known = list(_fields_at(above, model))
        homes = () if above else [section for section in known if name in _fields_at((section,), model)]
        home = f'did you mean "{homes[0]}.{name}"?' if homes and not prefix else ""
        return whole, f'unknown key "{name}"; {home or advice(whole) or nearest(path[-1], known, prefix=whole[:-1])}'
    if kind == "missing" and path[-1].isdigit():
        field = _fields_at(path[:-2], model).get(path[-2])
        example = "" if field is None else f", e.g. {written(field.get_default())}"
        return whole[:-1], f'"{".".join(whole[:-1])}" is a list with more values than this{example}'
    if kind == "missing":
        return whole[:-1], missing(name, examples.get(name, "see recipes/"))
    if kind in ("model_type", "model_attributes_type"):
        return whole, no_section(name)
    field = _fields_at(above, model).get(path[-1]) if path else None
    return whole, f"{name} = {_REPR.repr(detail['input'])}: {_sentence(detail)}{_share(detail) or _default(field)}"


def _sentence(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return message.replace("a valid tuple", "a list in square brackets")


def _default(field: FieldInfo | None) -> str:
    """A value that would do: the default, or a number like it, as a ready recipe may have another one."""
    if field is None or field.is_required() or isinstance(field.default, BaseModel):
        return ""
    default = field.get_default()
    if type(default) in (int, float):
        return f", e.g. {written(default)}"
    return "; or leave it out" if default is None else f"; the default is {written(default)}"


def _share(detail: Any) -> str:
    """How a share is written where a number stands for a text, or a percentage for a number."""
    value = detail["input"]
    if detail["type"] == "string_type" and type(value) in (int, float) and 0 < value < 100:
        return f'; a share is written "{100 * value if value < 1 else value:g}%" here'
    percentage = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    if percentage and detail["type"] in ("float_parsing", "float_type"):
        return f"; a share is written {float(percentage[1]) / 100:g} here"
    return ""


def _fields_at(path: KeyPath, model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys that a section below a model allows, with their defaults."""
    for part in path:
        if part.isdigit():
            continue
        annotation = model.model_fields[part].annotation
        found = [kind for kind in _types_in(annotation) if issubclass(kind, BaseModel)]
        if not found:
            return {}
        model = found[0]
    return dict(model.model_fields)


def _types_in(annotation: Any) -> Iterator[type]:
    """The classes of a field's annotation, those in unions and under their metadata included."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)


def written(value: Any) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    return str(value) if isinstance(value, (int, float)) else f'"{value}"'
