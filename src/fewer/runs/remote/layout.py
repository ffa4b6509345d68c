"""The layout of a copy: which keys there are, and what `latest.json`, a marker and a manifest say.

    latest.json                        which state is the newest; replaced by compare-and-swap
    states/NUMBER-TOKEN/manifest.json  the files of a state, each as its parts with SHA-256 and bytes
    states/NUMBER-TOKEN/COMMITTED      the manifest's SHA-256; written last, so that a state with it is whole
    files/PATH/SHA256                  a part of a file, 4 MiB at most; never changed

A part's key holds its hash: what has not changed since the last state is not copied again, of a growing log only the
last part is. What is read back is checked as a stranger's: paths are relative, and stay in the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 1
LATEST, STATES, FILES = "latest.json", "states", "files"
PART_BYTES = 4 << 20
_STATE = re.compile(r"\d{8}-[0-9a-f]{8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"[0-9a-f]{32}")
_PATH_CHARACTERS_MAX = 512


@dataclass(frozen=True)
class Part:
    """A piece of a file."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Manifest:
    """All files of a state.

    Attributes:
        run: The run's own 32 digits, which tell it from any other.
        name: The run folder's name.
        files: Path in the folder, with slashes, to its parts in order.
        links: Path of a link to the name of its neighbour.
    """

    run: str
    name: str
    files: Mapping[str, tuple[Part, ...]]
    links: Mapping[str, str]

    @property
    def size_bytes(self) -> int:
        return sum(part.size_bytes for parts in self.files.values() for part in parts)

    def keys(self) -> Iterator[str]:
        """The keys of all parts."""
        for path, parts in self.files.items():
            yield from (part_key(path, part.sha256) for part in parts)

    def packed(self) -> bytes:
        files = {path: [[part.sha256, part.size_bytes] for part in parts] for path, parts in sorted(self.files.items())}
        return _packed({"run": self.run, "name": self.name, "files": files, "links": dict(sorted(self.links.items()))})


@dataclass(frozen=True)
class Latest:
    """The content of `latest.json`.

    Attributes:
        run: As in `Manifest`.
        number: How many states there have been, this one included; it only grows.
        state: The name of the newest state.
    """

    run: str
    number: int
    state: str

    def packed(self) -> bytes:
        return _packed({"run": self.run, "number": self.number, "state": self.state})


def state_name(number: int, token: str) -> str:
    """The name of a state: its number, and eight digits of the process that wrote it."""
    return f"{number:08d}-{token}"


def is_state(name: str) -> bool:
    return _STATE.fullmatch(name) is not None


def manifest_key(state: str) -> str:
    return f"{STATES}/{state}/manifest.json"


def marker_key(state: str) -> str:
    return f"{STATES}/{state}/COMMITTED"


def part_key(path: str, sha256: str) -> str:
    """The key of a part; unusual signs of a path become "_", since the hash tells parts apart anyway."""
    return f"{FILES}/{re.sub(r'[^A-Za-z0-9._/-]', '_', path)}/{sha256}"


def marker_of(manifest: bytes) -> bytes:
    """The content of a marker."""
    return hashlib.sha256(manifest).hexdigest().encode()


def read_latest(content: bytes) -> Latest:
    """Raises ValueError where the content is no `latest.json`."""
    found = _unpacked(content)
    run, number, state = found.get("run"), found.get("number"), found.get("state")
    _require(isinstance(run, str) and _RUN.fullmatch(run) is not None, "run")
    _require(type(number) is int and number > 0, "number")
    _require(isinstance(state, str) and is_state(state), "state")
    return Latest(str(run), int(number or 0), str(state))


def read_manifest(content: bytes) -> Manifest:
    """Raises ValueError where the content is no manifest, or names a path that could leave the folder."""
    found = _unpacked(content)
    run, name, files, links = (found.get(key) for key in ("run", "name", "files", "links"))
    _require(isinstance(run, str) and _RUN.fullmatch(run) is not None, "run")
    _require(isinstance(name, str) and is_path(name) and "/" not in name, "name")
    files, links = _object(files), _object(links)
    parts = {path: tuple(_part(entry) for entry in _listed(entries)) for path, entries in files.items()}
    paths = [*parts, *links]
    _require(all(map(is_path, paths)) and len(set(paths)) == len(paths), "paths")
    folders = {path[:at] for path in paths for at, sign in enumerate(path) if sign == "/"}
    _require(not folders & set(paths), "paths")
    for path, target in links.items():
        above = path.rpartition("/")[0]
        place = f"{above}/{target}" if above else target
        _require(isinstance(target, str) and is_path(target) and "/" not in target and place in folders, "links")
    return Manifest(str(run), str(name), parts, links)


def is_path(path: str) -> bool:
    """Whether a path stays in the folder that it is relative to, and is one that a run folder could have."""
    parts = path.split("/")
    return (
        0 < len(path) <= _PATH_CHARACTERS_MAX
        and path.isprintable()
        and not any(sign in path for sign in "\\:")
        and not any(part.startswith(".") or part in ("", "..") for part in parts)
    )


def as_name(folder: str) -> str:
    """The name of a run folder, as a manifest may state it."""
    name = "".join("_" if sign in "\\:" or not sign.isprintable() else sign for sign in folder).lstrip(".")
    return name[:_PATH_CHARACTERS_MAX] or "run"


def _part(entry: Any) -> Part:
    sha256, size = _listed(entry) if len(_listed(entry)) == 2 else (None, None)
    _require(isinstance(sha256, str) and _SHA256.fullmatch(sha256) is not None, "sha256")
    _require(type(size) is int and 0 <= size <= PART_BYTES, "bytes")
    return Part(str(sha256), int(size or 0))


def _object(value: Any) -> dict[str, Any]:
    _require(isinstance(value, dict), "files")
    return dict(value)


def _listed(value: Any) -> list[Any]:
    _require(isinstance(value, list), "files")
    return list(value)


def _packed(content: dict[str, Any]) -> bytes:
    return json.dumps({"schema": SCHEMA, **content}, separators=(",", ":")).encode()


def _unpacked(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except RecursionError:
        found = None
    _require(isinstance(found, dict), "not an object")
    _require(found.get("schema") == SCHEMA, "schema")
    return dict(found)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"not what this program writes: {what}")
