"""The names of a library's models, read from its files: importing the library to ask it would take seconds."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n|    .*\n|\)\n)*def (\w+)\(", re.MULTILINE)


def registered(library: str) -> list[str]:
    """Names of the functions that `LIBRARY/models/*.py` registers as models; none where it is not installed."""
    spec = find_spec(library)
    if spec is None or spec.origin is None:
        return []
    files = sorted((Path(spec.origin).parent / "models").glob("*.py"))
    return sorted({name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))})
