"""The positions of the members of an uncompressed tar. Only headers are read; nothing is ever extracted.

Python's `tarfile` builds a large object a member; on 50,000 members this reader takes a third of the time, and it
notices a lost end. It reads v7, ustar, GNU long names and pax headers, as written by GNU tar, BSD tar and Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote

from fewer.core.errors import DataError

_BLOCK = 512
_REGULAR, _FOLDER = b"07\0", b"5"
_SKIPPED = b"Kg"  # a long link target, defaults for all members: neither matters here
_ABOUT_NEXT = b"LKxg"  # entries that describe the member that follows
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_NO_FILES = ("a device", "a pipe")
_OCTAL, _DECIMAL = re.compile(rb"[0-7]*"), re.compile(rb"\d{1,19}")
_LONG_MAX = 1 << 20  # bytes of a long name or a pax header; more is no honest archive
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Members:
    """Files of a tar by path, each with (offset of its data, bytes), and the paths of its folders."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)


def members(descriptor: int, path: str) -> Members:
    """Lists an open tar; of two members with one name the later one counts, as when extracting.

    Args:
        descriptor: A file descriptor open for reading; its position is not used.
        path: What to call the file in messages.

    Raises:
        DataError: Compressed, truncated or no tar; or a member is a link or a device, is absolute or climbs (`..`).
    """
    found = Members()
    for kind, raw_name, data, size in _entries(descriptor, path):
        name = _name(raw_name, path)
        if kind in _REGULAR:
            found.files[name] = (data, size)
        elif kind == _FOLDER:
            found.folders.add(name)
        else:
            raise _refused(path, name, _REFUSED.get(kind, f"of the unknown type {kind!r}"))
    return found


def _entries(descriptor: int, path: str) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Kind, name, offset of the data and bytes of each member, long names and pax records applied."""
    long_name = b""
    extended: dict[bytes, bytes] = {}
    for kind, header, data, size in _blocks(descriptor, path, extended):
        if kind == b"L":
            long_name = _text(descriptor, path, data, size).rstrip(b"\0")
        elif kind == b"x":
            extended.update(_pax(_text(descriptor, path, data, size), path, data))
        elif kind not in _SKIPPED:
            kind = b"S" if any(key.startswith(b"GNU.sparse") for key in extended) else kind
            yield kind, extended.get(b"path") or long_name or _short_name(header), data, size
            long_name = b""
            extended.clear()


def _blocks(descriptor: int, path: str, extended: dict[bytes, bytes]) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Kind, header, offset of the data and bytes of each entry up to the end mark; `extended` may state a size."""
    end = os.fstat(descriptor).st_size
    offset = 0
    while any(header := os.pread(descriptor, _BLOCK, offset)) or (offset == 0 and len(header) < _BLOCK):
        if len(header) < _BLOCK:
            raise _truncated(path, end) if offset else _not_a_tar(path, header)
        if not _sound(header):
            raise _broken(path, offset) if offset else _not_a_tar(path, header)
        kind, data = header[156:157], offset + _BLOCK
        stated = extended.get(b"size") if kind not in _ABOUT_NEXT else None
        size = int(stated) if stated else _number(header[124:136], path, offset)
        offset = data + (size + _BLOCK - 1) // _BLOCK * _BLOCK
        if data + size > end:
            raise _truncated(path, end)
        yield kind, header, data, size
    if len(header) < _BLOCK:
        raise _truncated(path, end)
    _check_nothing_follows(descriptor, offset, path)


def _text(descriptor: int, path: str, data: int, size: int) -> bytes:
    if size > _LONG_MAX:
        raise _broken(path, data)
    return os.pread(descriptor, size, data)


def _sound(header: bytes) -> bool:
    """Whether the header's checksum holds (taken with its own eight bytes as blanks)."""
    stated = header[148:156].strip(b" \0")
    try:
        return int(stated, 8) == sum(header) - sum(header[148:156]) + 8 * 32
    except ValueError:
        return False


def _number(field_bytes: bytes, path: str, offset: int) -> int:
    """Octal text, or base 256 for members of 8 GB and more."""
    if field_bytes[0] == 0x80:
        return int.from_bytes(field_bytes[1:], "big")
    digits = field_bytes.strip(b" \0")
    if not _OCTAL.fullmatch(digits):  # int() takes a sign, too, and a size below 0 leads back to where it came from
        raise _broken(path, offset)
    return int(digits or b"0", 8)


def _short_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(data: bytes, path: str, offset: int) -> dict[bytes, bytes]:
    """Records of the form "LENGTH KEY=VALUE\\n", where LENGTH counts the whole record."""
    records = {}
    while data.strip(b"\0"):
        length, _, rest = data.partition(b" ")
        if not _DECIMAL.fullmatch(length) or not len(length) + 3 < int(length) <= len(data):
            raise _broken(path, offset)
        key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        records[key] = value
        data = data[int(length) :]
    if not _DECIMAL.fullmatch(records.get(b"size", b"0")):
        raise _broken(path, offset)
    return records


def _name(raw: bytes, path: str) -> str:
    name = raw.decode("utf-8", "surrogateescape")
    if name.startswith("/"):
        raise _refused(path, name, "an absolute path")
    if ".." in name and ".." in name.split("/"):
        raise _refused(path, name, "a path that climbs out with '..'")
    if name.startswith("./") or name.endswith("/") or "//" in name or "/./" in name or name == ".":
        name = "/".join(part for part in name.split("/") if part not in ("", "."))
    return name


def _check_nothing_follows(descriptor: int, offset: int, path: str) -> None:
    if any(os.pread(descriptor, 20 * _BLOCK, offset)):
        raise DataError(
            f"{path}: there are members after the end mark (tars joined with cat?), and readers differ on whether "
            f"they count; fix: {_packed_again(path, '--ignore-zeros ')}"
        )


def _not_a_tar(path: str, header: bytes) -> DataError:
    if not header:
        return DataError(f"{path}: the file is empty (0 bytes); allowed: an uncompressed tar; fix: download it again")
    beside = _beside(path)
    for magic, tool in _PACKED:
        if header.startswith(magic):
            return DataError(
                f"{path}: the file is compressed ({tool}), so members cannot be read in place; allowed: an "
                f"uncompressed tar; fix: `{tool} -dc < {quote(path)} > {quote(beside + '.tar')}`"
            )
    if header.startswith(_ZIP):
        return DataError(
            f"{path}: the file is a zip; allowed: an uncompressed tar; fix: `python3 -m zipfile -e {quote(path)} "
            f"{quote(beside)}`, and use folder:{beside}"
        )
    return DataError(
        f"{path}: the file is no tar; allowed: an uncompressed tar of class folders; fix: in the folder that holds "
        f"them, `tar -cf {quote(beside + '.tar')} *`"
    )


def _beside(path: str) -> str:
    """A path beside a file that is free, most likely: without its endings, and with another word in their place."""
    return f"{path.removesuffix('.gz').removesuffix('.tar')}-unpacked"


def _packed_again(path: str, options: str) -> str:
    """The command that unpacks a tar and packs plain files."""
    folder = quote(_beside(path))
    packs = f"tar --dereference --hard-dereference -cf {quote(_beside(path) + '.tar')} -C {folder} ."
    return f"`mkdir {folder} && tar {options}-xf {quote(path)} -C {folder} && {packs}`"


def _truncated(path: str, end: int) -> DataError:
    return DataError(
        f"{path}: the tar is truncated: it stops at byte {end:,}, before its end mark; "
        f"fix: copy or download it again and compare sizes"
    )


def _broken(path: str, offset: int) -> DataError:
    return DataError(f"{path}: the tar is damaged: no sound header at byte {offset:,}; fix: copy or download it again")


def _refused(path: str, name: str, what: str) -> DataError:
    return DataError(
        f"{path}: member {name!r} is {what}; allowed: plain files and folders below the root; "
        f"fix: {'remove it before packing' if what in _NO_FILES else _packed_again(path, '')}"
    )
