"""The copy of one state: parts, manifest, marker, `latest.json`, in this order, each only behind the one before it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar, final

from fewer.core.errors import RecipeError, RemoteError
from fewer.core.text import command
from fewer.runs.record import read_object, write_json
from fewer.runs.remote.bucket import Absent, Bucket, Conflict
from fewer.runs.remote.layout import (
    FILES,
    LATEST,
    PART_BYTES,
    STATES,
    Latest,
    Manifest,
    Part,
    as_name,
    manifest_key,
    marker_key,
    marker_of,
    part_key,
    read_latest,
    read_manifest,
    state_name,
)
from fewer.runs.remote.staging import Held

LEDGER = "remote.json"  # in the run folder: where its copy stands
_Result = TypeVar("_Result")


class Patience(Protocol):
    """Tries an action again for as long as that makes sense."""

    def __call__(self, action: Callable[[], _Result]) -> _Result: ...


class Superseded(RemoteError):
    """Another process has copied a newer state there: this one must not take that back."""


def probe(bucket: Bucket) -> str:
    """Writes, reads and removes an object, so that whatever is wrong is known before training.

    Returns:
        What is to be said of a server that can be used with a reservation; mostly "".

    Raises:
        RemoteError: No network, wrong credentials, wrong bucket, too few rights.
    """
    key = f"probe/{secrets.token_hex(8)}"
    with suppress(Absent):  # asked first, because some servers make a bucket that is missing when it is written to
        bucket.get(key)
    bucket.put(key, b"fewer", only_new=True)
    try:
        bucket.get(key)
        bucket.sizes(f"{STATES}/probe")
        bucket.put(key, b"fewer again", only_new=True)
    except Conflict:
        said = ""
    else:
        said = (
            f"warning: {bucket.address}: this server takes conditional writes without looking at their condition; "
            "let only one process copy there"
        )
    bucket.delete([key])
    return said


@final
class Uploader:
    """One process's way of copying one run to one place.

    Args:
        bucket: Where to.
        run: The run folder, whose `remote.json` says what lies there from before.
    """

    def __init__(self, bucket: Bucket, run: Path) -> None:
        self.bucket, self._run = bucket, run
        self._token = secrets.token_hex(4)
        self._id = secrets.token_hex(16)
        self._latest: Latest | None = None
        self._tag = ""
        self._known: dict[str, int] | None = None

    def claim(self) -> None:
        """Makes sure that the place is free, or holds this very run and nothing newer of it.

        Raises:
            RecipeError: It holds another run, or a newer state that was made elsewhere.
            RemoteError: It cannot be read.
        """
        address = self.bucket.address
        ledger = _ledger(self._run / LEDGER, str(address))
        self._latest, self._tag = self._read_latest()
        self._id = ledger.get("run", self._id)
        if self._latest is None:
            return
        if self._latest.run != ledger.get("run"):
            raise RecipeError(
                f'out.remote = "{address}": holds another run already; {command("fewer", "resume", address)} goes on '
                "with that one; give another prefix"
            )
        if self._latest.state not in (ledger.get("state"), ledger.get("next")):
            raise RecipeError(
                f'out.remote = "{address}": holds a newer state of this run, copied from elsewhere; '
                f"{command('fewer', 'resume', address)} goes on with that; or give another prefix"
            )

    def copy(self, held: Held, keep: int, patience: Patience) -> int:
        """Copies a state and makes it the newest one.

        Args:
            held: The state.
            keep: How many committed states stay.
            patience: Tries each request until it is answered.

        Returns:
            The bytes that had to be sent.

        Raises:
            Superseded: Another process has copied a newer state.
            RemoteError: What patience gave up on.
            OSError: The held files cannot be read.
        """
        if self._known is None:
            self._known = patience(lambda: self.bucket.sizes(FILES))
        number = self._latest.number + 1 if self._latest else 1
        state = state_name(number, self._token)
        files, sent = {}, 0
        for path, size in held.bytes_of.items():
            files[path], more = self._copy_file(path, held.folder / path, size, patience)
            sent += more
        links = {path: name for path, name in held.links.items() if path not in files}
        manifest = Manifest(self._id, as_name(self._run.resolve().name), files, links)
        packed = manifest.packed()
        self._note(state)
        patience(lambda: self._put_new(manifest_key(state), packed))
        patience(lambda: self._put_new(marker_key(state), marker_of(packed)))
        patience(lambda: self._advance(Latest(self._id, number, state)))
        self._note("")
        patience(lambda: self._prune(keep, manifest))
        return sent

    def _copy_file(self, path: str, place: Path, size: int, patience: Patience) -> tuple[tuple[Part, ...], int]:
        assert self._known is not None, "listed before the first file"
        parts, sent = [], 0
        for content in _pieces(place, size):
            part = Part(hashlib.sha256(content).hexdigest(), len(content))
            key = part_key(path, part.sha256)
            if self._known.get(key) != part.size_bytes:
                patience(lambda key=key, content=content: self.bucket.put(key, content))  # type: ignore[misc]
                self._known[key] = part.size_bytes
                sent += part.size_bytes
            parts.append(part)
        return tuple(parts), sent

    def _put_new(self, key: str, content: bytes) -> None:
        """Writes what is written once; a try whose answer was lost may have done so."""
        try:
            self.bucket.put(key, content, only_new=True)
        except Conflict:
            if self.bucket.get(key)[0] != content:
                raise Superseded(f"{self.bucket.address}: another process copies to the same place") from None

    def _advance(self, latest: Latest) -> None:
        """Moves `latest.json` on, from the state that this process knows to be the newest."""
        try:
            self._tag = self.bucket.put(LATEST, latest.packed(), only_new=not self._tag, replacing=self._tag)
        except Conflict:
            found, tag = self._read_latest()
            if found != latest:  # else a try whose answer was lost
                raise Superseded(
                    f"{self.bucket.address}: another process has copied a newer state of this run; it stays"
                ) from None
            self._tag = tag
        self._latest = latest

    def _read_latest(self) -> tuple[Latest | None, str]:
        try:
            content, tag = self.bucket.get(LATEST)
            return read_latest(content), tag
        except Absent:
            return None, ""
        except ValueError as error:
            raise RemoteError(
                f"{self.bucket.address}: its {LATEST} is {error}; give another prefix, or restore it"
            ) from None

    def _prune(self, keep: int, newest: Manifest) -> None:
        """Removes all but the newest states, and every part that none of those needs."""
        assert self._known is not None, "a state has been copied"
        assert self._latest is not None, "a state has been copied"
        keys = self.bucket.sizes(STATES).keys()
        states = sorted({key.split("/")[1] for key in keys} - {self._latest.state}, reverse=True)
        kept = [state for state in states if marker_key(state) in keys][: keep - 1]
        old = [state for state in states if state not in kept]
        needed = set(newest.keys()).union(*map(self._parts_of, kept))
        self.bucket.delete(map(marker_key, old))  # first: from here on nobody begins to read them
        for key in self._known.keys() - needed:
            self.bucket.delete([key])
            del self._known[key]
        self.bucket.delete(map(manifest_key, old))

    def _parts_of(self, state: str) -> set[str]:
        try:
            return set(read_manifest(self.bucket.get(manifest_key(state))[0]).keys())
        except (Absent, ValueError):
            return set()

    def _note(self, upcoming: str) -> None:
        """Keeps, in the run folder, where the copy stands and what it will be next."""
        state = self._latest.state if self._latest else ""
        content = {"schema": 1, "place": str(self.bucket.address), "run": self._id, "state": state, "next": upcoming}
        write_json(self._run / LEDGER, content)


def _ledger(path: Path, place: str) -> dict[str, str]:
    try:
        found = read_object(path)
    except (OSError, ValueError):
        return {}
    texts = {key: value for key, value in found.items() if isinstance(value, str) and value}
    return texts if texts.get("place") == place else {}


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """The first bytes of a file, a part at a time."""
    with path.open("rb") as file:
        while size > 0:
            content = file.read(min(size, PART_BYTES))
            if not content:
                return
            size -= len(content)
            yield content
