"""The way back: the newest committed state of a copy as a run folder, every part checked by its SHA-256."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from fewer.core.errors import RecipeError, RemoteError, ResourceError
from fewer.core.text import command
from fewer.runs.record import write_json, writing
from fewer.runs.remote.bucket import Absent, Bucket
from fewer.runs.remote.layout import (
    LATEST,
    STATES,
    Latest,
    Manifest,
    Part,
    is_state,
    manifest_key,
    marker_key,
    marker_of,
    part_key,
    read_latest,
    read_manifest,
)
from fewer.runs.remote.retry import Tries
from fewer.runs.remote.upload import LEDGER

_TRIES_OF_A_PART = 3
_SPARE_BYTES = 64 << 20


class Damaged(Exception):
    """A state that is not what was written."""


class Copy:
    """The newest whole state of a copy.

    Args:
        bucket: Where it lies.
        note: What is to be said of states that are passed over.

    Raises:
        RecipeError: Nothing has been copied there.
        RemoteError: It cannot be read, or no state is whole.
    """

    def __init__(self, bucket: Bucket, note: Callable[[str], None] = lambda text: None) -> None:
        self._bucket, self._note, self._patience = bucket, note, Tries()
        self._latest = self._read_latest()
        self.state, self.manifest = self._newest(self._candidates())

    def fetch(self, target: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Makes the run folder; it appears under its name only when all of it is there and right.

        Args:
            target: The folder, which must be new.
            progress: Takes bytes done and bytes in all.

        Raises:
            RecipeError: There is something at this place.
            RemoteError: Storage cannot be reached, or no state is whole.
            ResourceError: The disk is full or cannot be written.
        """
        if target.exists() or target.is_symlink():
            again = command("fewer", "resume", target)
            raise RecipeError(f"{target}: exists already; {again} goes on with it; or give --out")
        temporary = target.with_name(f".fetched-{target.name}")
        older = iter(self._candidates(below=self.state))
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                while True:
                    shutil.rmtree(temporary, ignore_errors=True)
                    try:
                        self._fill(temporary, progress)
                        break
                    except (Damaged, Absent) as error:
                        self._note(f"passed over the state {self.state} of the copy: {error}")
                        self.state, self.manifest = self._newest(older)
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _fill(self, folder: Path, progress: Callable[[int, int], None]) -> None:
        manifest, done = self.manifest, 0
        folder.mkdir()
        free = shutil.disk_usage(folder).free
        if free < manifest.size_bytes + _SPARE_BYTES:
            raise ResourceError(
                f"{folder.parent}: {free / 1e6:.0f} MB free, but the copy needs {manifest.size_bytes / 1e6:.0f} MB; "
                "free some space, or give another folder with --out"
            )
        for path, parts in manifest.files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                for part in parts:
                    file.write(self._part(path, part))
                    done += part.size_bytes
                    progress(done, manifest.size_bytes)
        for path, name in manifest.links.items():  # last: nothing has been written through them
            (folder / path).symlink_to(name)
        ledger = {"schema": 1, "place": str(self._bucket.address), "run": manifest.run, "state": self._latest.state}
        write_json(folder / LEDGER, {**ledger, "next": ""})

    def _part(self, path: str, part: Part) -> bytes:
        for _ in range(_TRIES_OF_A_PART):
            content, _tag = self._patience(lambda: self._bucket.get(part_key(path, part.sha256)))
            if hashlib.sha256(content).hexdigest() == part.sha256 and len(content) == part.size_bytes:
                return content
        raise Damaged(f"{path} is not what was written (SHA-256)")

    def _newest(self, states: Iterator[str]) -> tuple[str, Manifest]:
        for state in states:
            try:
                return state, self._read_manifest(state)
            except (Damaged, Absent) as error:
                self._note(f"passed over the state {state} of the copy: {error}")
        raise RemoteError(f"{self._bucket.address}: no state of the copy is whole; resume the run folder itself")

    def _candidates(self, below: str = "") -> Iterator[str]:
        """The newest state, then those before it, newest first; lists only where the newest will not do."""
        if not below:
            yield self._latest.state
        listed = self._patience(lambda: self._bucket.sizes(STATES))
        states = {key.split("/")[1] for key in listed if key.endswith("/COMMITTED")}
        limit = below or self._latest.state
        yield from sorted((state for state in states if is_state(state) and state < limit), reverse=True)

    def _read_latest(self) -> Latest:
        address = self._bucket.address
        try:
            return read_latest(self._patience(lambda: self._bucket.get(LATEST))[0])
        except Absent:
            raise RecipeError(
                f"{address}: no run has been copied there; correct the address: it is what out.remote says"
            ) from None
        except ValueError as error:
            raise RemoteError(f"{address}: its {LATEST} is {error}; resume the run folder itself") from None

    def _read_manifest(self, state: str) -> Manifest:
        content = self._patience(lambda: self._bucket.get(manifest_key(state)))[0]
        marker = self._patience(lambda: self._bucket.get(marker_key(state)))[0]
        if marker != marker_of(content):
            raise Damaged("its manifest is not the one that was committed")
        try:
            manifest = read_manifest(content)
        except ValueError as error:
            raise Damaged(f"its manifest is {error}") from None
        if manifest.run != self._latest.run:
            raise Damaged("it is another run's")
        return manifest
