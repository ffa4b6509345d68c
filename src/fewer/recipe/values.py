"""Values as they are written on a command line: several between commas, and one as `key=value` takes it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from fewer.core.messages import written

_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
_BARE = re.compile(r"[\w.%:/+-]+")


def split_values(text: str) -> Iterator[str]:
    """Values between commas; commas inside brackets and quotes do not separate."""
    depth, quote, value = 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += _BRACKETS.get(character, 0)
        if character == "," and not depth and not quote:
            yield value.strip()
            value = ""
        else:
            value += character
    yield value.strip()


def as_argument(value: Any) -> str:
    """A value on one line, as `key=value` takes it; a text without quotes where it needs none.

    Args:
        value: A number, a text, a list or a table, as TOML gives them.
    """
    if isinstance(value, str) and _BARE.fullmatch(value) and not _is_toml(value):
        return value
    return _in_toml(value)


def _in_toml(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {_in_toml(each)}' for key, each in value.items())} }}"
    return written(value)


def _is_toml(text: str) -> bool:
    """Whether a text would be read as something else than a text."""
    try:
        tomllib.loads(f"value = {text}")
    except ValueError:
        return False
    return True
