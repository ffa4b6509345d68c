"""What the data of a run was, image by image, so that a resumed run can tell whether it still is.

Content hashes are remembered in the user's cache folder, each under the place, size and modification time of its
bytes. The cache is never trusted: what is not exactly as written here is ignored and built anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from fewer.data.sources import Source, Stamp
from fewer.errors import DataError

_MAGIC = b"fewer content hashes 1\n"
_BYTES = 16  # of a content hash and of a stamp's
_SETTLED_NS = 2_000_000_000  # a file this young may change again without its time stamp showing it
_THREADS = 4  # hashing waits for the disk


def line(split: str, name: str, size: int, label: str, content: bytes) -> str:
    """One line of a manifest; the name and the class may hold anything."""
    return "\t".join((split, _escaped(name), str(size), _escaped(label), content.hex()))


def digest(lines: Iterable[str]) -> str:
    """32 hexadecimal digits over a manifest, whatever the order of its lines."""
    total = hashlib.blake2b(digest_size=16)
    for text in sorted(lines):
        total.update(text.encode() + b"\n")
    return total.hexdigest()


def difference(old_lines: Iterable[str], new_lines: Iterable[str]) -> str | None:
    """What changed between two manifests, in words; None if nothing did.

    Such as "3 added (first: train cat/x.png), 1 removed (first: ...), 2 with changed content (first: ...)".
    """
    old, new = _keyed(old_lines), _keyed(new_lines)
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    names = {name for _, name in added} & {name for _, name in removed}
    shared = sorted(old.keys() & new.keys())
    found = {
        "added": [key for key in added if key[1] not in names],
        "removed": [key for key in removed if key[1] not in names],
        "moved to another split": [key for key in added if key[1] in names],
        "with changed content": [key for key in shared if _content(old[key]) != _content(new[key])],
        "with a changed label": [key for key in shared if old[key][1:2] != new[key][1:2]],
    }
    said = [f"{len(keys):,} {what} (first: {' '.join(keys[0])})" for what, keys in found.items() if keys]
    return ", ".join(said) or None


def hashes(source: Source, cache: bool = True) -> list[bytes]:
    """Content hash (blake2b, 16 bytes) of every image of a source, by id.

    Raises:
        DataError: An image cannot be read.
    """
    stamps = [source.stamp(i) for i in range(len(source))]
    keys = [_stamped(stamp) if stamp else b"" for stamp in stamps]
    file = cache_file(source, "hashes")
    known = read_pairs(file) if cache else {}
    missing = [i for i, key in enumerate(keys) if key not in known]
    now_ns = time.time_ns()
    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = [missing[start : start + 256] for start in range(0, len(missing), 256)]
        parts = pool.map(lambda ids: _hashed(source, ids), chunks)
        fresh = dict(zip(missing, chain.from_iterable(parts), strict=True))
    result = [fresh[i] if i in fresh else known[key] for i, key in enumerate(keys)]
    if cache and fresh:
        settled = [i for i, stamp in enumerate(stamps) if stamp and stamp[2] < now_ns - _SETTLED_NS]
        write_pairs(file, b"".join(keys[i] + result[i] for i in settled))
    return result


def _hashed(source: Source, ids: list[int]) -> list[bytes]:
    try:
        return [hashlib.blake2b(bytes(source.read(i)), digest_size=_BYTES).digest() for i in ids]
    except OSError as error:
        raise DataError(f"{source.name}: {error.filename}: {error.strerror}; fix: make the file readable") from error


def _stamped(stamp: Stamp) -> bytes:
    place, size, modified_ns = stamp
    text = f"{size}\0{modified_ns}\0{place}".encode(errors="surrogateescape")
    return hashlib.blake2b(text, digest_size=_BYTES).digest()


def cache_file(source: Source, what: str) -> Path:
    """Where in the user's cache folder something about a source is kept."""
    place = hashlib.blake2b(source.location.encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return _cache_folder() / f"{place}.{what}"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "fewer"


def read_pairs(file: Path) -> dict[bytes, bytes]:
    """Key to value, 16 bytes each; empty for a file that is missing, damaged or somebody else's."""
    try:
        data = file.read_bytes()
    except OSError:
        return {}
    body, check = data[len(_MAGIC) : -_BYTES], data[-_BYTES:]
    if not data.startswith(_MAGIC) or len(body) % (2 * _BYTES) or _checked(body) != check:
        return {}
    return {body[i : i + _BYTES]: body[i + _BYTES : i + 2 * _BYTES] for i in range(0, len(body), 2 * _BYTES)}


def write_pairs(file: Path, body: bytes) -> None:
    """Publishes by rename; a cache that cannot be written is only slower the next time."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".new-", delete=False) as out:
            temporary = Path(out.name)
            out.write(_MAGIC + body + _checked(body))
        temporary.replace(file)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _checked(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_BYTES).digest()


def _keyed(lines: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """(split, name) to [size, class, hash]."""
    return {(fields[0], fields[1]): fields[2:] for fields in (text.rstrip("\n").split("\t") for text in lines)}


def _content(fields: list[str]) -> tuple[str, str]:
    return fields[0], fields[-1]


def _escaped(text: str) -> str:
    """Without tabs, line ends, control characters or undecodable bytes; reversible."""
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in text)
