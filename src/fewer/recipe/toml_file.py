"""A TOML file: its content, the line of each key, and the cause where it cannot be read."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from fewer.core.errors import RecipeError, printable
from fewer.core.messages import KeyPath
from fewer.core.text import command, decoded
from fewer.data.decode.formats import is_image

_ARCHIVES = {".zip", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_ESCAPES = re.compile(r'"([^"]*\\[^"]*)"')


def read_toml(path: Path, noun: str = "recipe") -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """Content of a TOML file, and the line number of each key path, for messages.

    Args:
        path: The file.
        noun: What it holds, for messages.

    Raises:
        RecipeError: The file cannot be read, or is no TOML.
    """
    text = read_text(path, noun)
    try:
        return tomllib.loads(text), key_lines(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}; {_fix(text, str(error))}") from None


def read_text(path: Path, noun: str = "recipe") -> str:
    """The text of a file; arguments and errors as for `read_toml`."""
    try:
        return decoded(path.read_bytes()).replace("\r\n", "\n")
    except OSError as error:
        fix = "check the path"
        if noun == "recipe" and path.suffix != ".toml":  # a source, perhaps, which other commands take
            fix += f"; for images, {command('fewer', 'init', path)} prints a recipe, which can be saved as a .toml file"
        raise RecipeError(f"{path}: cannot read the {noun}: {error.strerror}; {fix}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: {_no_text(path, noun)}") from None


def _no_text(path: Path, noun: str) -> str:
    """What to do about a file that holds no text."""
    if noun == "recipe" and path.suffix.lower() in _ARCHIVES:
        return "an archive that is not read; unpack it and give the folder, or make it an uncompressed .tar"
    if noun == "recipe" and is_image(str(path)):
        return "one image; give the folder that holds the images of all classes"
    return f"the {noun} must be UTF-8 text, this file is not; save it as UTF-8"


def backslash_problem(text: str, path: str) -> str:
    """What a backslash has done to a path that leads nowhere; "" where nothing.

    Args:
        text: As it was read from the recipe.
        path: The absolute path that was made of it, behind the kind of source where it has one.
    """
    if os.path.lexists(path) or os.path.lexists(path.partition(":")[2]):
        return ""
    if any(letter in text for letter in "\t\n\r\f\b"):
        return "it holds a control character, as a backslash in double quotes makes one; write single quotes"
    if os.sep == "/" and "\\" in text:
        return f'no such path: folders are separated by slashes here; write "{text.replace(chr(92), "/")}"'
    return ""


def _fix(text: str, problem: str) -> str:
    """What to write instead of a line that is no TOML."""
    place = _PLACE.search(problem)
    lines = text.splitlines()
    line = lines[int(place[1]) - 1].strip() if place and int(place[1]) <= len(lines) else ""
    if _ESCAPES.search(line):
        written = printable(_ESCAPES.sub(r"'\1'", line))
        return f"a backslash in double quotes is an escape; write single quotes, or forward slashes: {written}"
    if re.match(r"[\w.-]+:(\s|$)", line):
        return "this looks like YAML; a recipe is TOML, with [sections] and key = value, see recipes/"
    return "strings need quotes, see recipes/"


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line number of every key and section of a TOML text; nearly right suffices, it is for messages."""
    found: dict[KeyPath, int] = {}
    section: KeyPath = ()
    arrays: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line):
            section = tuple(part.strip(" \"'") for part in header[2].split("."))
            if header[1] == "[[":
                arrays[header[2]] = arrays.get(header[2], -1) + 1
                section = (*section, str(arrays[header[2]]))
            found.setdefault(section, number)
        elif entry := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            path = tuple(part.strip("\"'") for part in entry[1].split("."))
            found.setdefault((*section, *path), number)
    return found
