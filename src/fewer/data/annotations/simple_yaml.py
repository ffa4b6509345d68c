"""The little YAML that `data.yaml` of YOLO data sets has: keys with texts, numbers, lists and one level of mapping.

Deeper levels, such as the names of keypoints, and texts of several lines, such as a script, are left out.
No library is needed for it, and nothing in a file can do more than be text: anchors, tags and documents are not read.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import deque
from collections.abc import Iterator

from fewer.core.errors import DataError

Scalar = str | int | float
Value = Scalar | list[Scalar] | dict[Scalar, Scalar]

_WHOLE = re.compile(r"[-+]?\d{1,18}")
_LITERAL = re.compile(r"[|>][-+]?")
_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'#:\[\]{},][^:#]*?)\s*:(?:\s+(.*))?""")


def parsed(text: str, name: str) -> dict[str, Value]:
    """The keys of a file, each with its value; keys without a value, or with a text of several lines, are left out.

    Args:
        text: The file's text.
        name: What to call it in messages.

    Raises:
        DataError: It is not such YAML.
    """
    found: dict[str, Value] = {}
    lines = [(at, line.rstrip()) for at, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1)]
    rows = deque((at, line) for at, line in lines if _bare(line).strip() and line.strip() not in ("---", "..."))
    while rows:
        at, line = rows.popleft()
        match = _KEY.fullmatch(_bare(line))
        if not match or line[0].isspace():
            raise _wrong(name, at, line, "no `key: value`")
        block = []
        while rows and rows[0][1][0] in " \t-]}":
            block.append(rows.popleft())
        rest = (match[2] or "").strip()
        if rest[:1] in ("[", "{"):
            value: Value | None = _flow(" ".join([rest, *(_bare(each).strip() for _, each in block)]), name, at, line)
        elif _LITERAL.fullmatch(rest):
            value = None
        elif rest and block:
            raise _wrong(name, *block[0], "a value that goes on in another line")
        else:
            value = _scalar(rest) if rest else _block(block, name)
        if value is not None:
            found[str(_scalar(match[1]))] = value
    return found


def _block(rows: list[tuple[int, str]], name: str) -> Value | None:
    """A list of `- value` or a mapping of `key: value`, of one level."""
    texts = [(at, _bare(line).strip()) for at, line in rows]
    if not texts:
        return None
    if all(text.startswith("-") for _, text in texts):
        return [_scalar(text[1:].strip()) for _, text in texts]
    mapping: dict[Scalar, Scalar] = {}
    depth = _indent(rows[0][1])
    is_open = False  # whether the last key has no value of its own, so that a deeper level may follow
    for (at, text), (_, line) in zip(texts, rows, strict=True):
        if is_open and (_indent(line) > depth or text.startswith("-")):
            continue
        match = _KEY.fullmatch(text)
        if not match:
            raise _wrong(name, at, text, "neither `- value` nor `key: value`")
        is_open = not match[2]
        mapping[_scalar(match[1])] = _scalar((match[2] or "").strip())
    return mapping


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _flow(text: str, name: str, at: int, line: str) -> Value:
    """`[a, b]` or `{0: a, 1: b}`."""
    close = "]" if text[0] == "[" else "}"
    if not text.endswith(close):
        raise _wrong(name, at, line, f"no {close!r} that closes it")
    items = [item for item in _split(text[1:-1]) if item]
    if close == "]":
        return [_scalar(item) for item in items]
    mapping: dict[Scalar, Scalar] = {}
    for item in items:
        match = _KEY.fullmatch(item)
        if not match:
            raise _wrong(name, at, line, f"{item!r} is no `key: value`")
        mapping[_scalar(match[1])] = _scalar((match[2] or "").strip())
    return mapping


def _split(text: str) -> list[str]:
    """What commas outside quotes separate."""
    items, start = [], 0
    for at, letter in _outside(text):
        if letter == ",":
            items.append(text[start:at].strip())
            start = at + 1
    return [*items, text[start:].strip()]


def _bare(line: str) -> str:
    """A line without its comment."""
    for at, letter in _outside(line):
        if letter == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at].rstrip()
    return line


def _outside(text: str) -> Iterator[tuple[int, str]]:
    """Letters that no quotes enclose, with their places; quotes begin behind a blank or a sign of YAML only."""
    quote, is_escaped = "", False
    for at, letter in enumerate(text):
        if quote:
            ends = letter == quote and not is_escaped
            is_escaped = quote == '"' and letter == "\\" and not is_escaped
            quote = "" if ends else quote
        elif letter in "\"'" and (at == 0 or text[at - 1] in " \t[{,:"):
            quote = letter
        else:
            yield at, letter


def _scalar(text: str) -> Scalar:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) > 1 and text[0] == text[-1] == '"':
        with contextlib.suppress(ValueError):
            return str(json.loads(text))  # the escapes of JSON are YAML's, too
        return text[1:-1]
    return int(text) if _WHOLE.fullmatch(text) else text


def _wrong(name: str, at: int, line: str, what: str) -> DataError:
    return DataError(
        f"{name}:{at}: {what}: {line.strip()[:80]!r}; allowed: keys with texts, numbers, lists or one level of "
        "`key: value`; fix: write it in that form"
    )
