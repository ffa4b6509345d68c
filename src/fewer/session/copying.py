"""The copy of a run in object storage, as its fit loop and `fewer push` drive it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewer.core.errors import CopyIncomplete, RecipeError, RemoteError, Stopped
from fewer.core.text import command
from fewer.recipe.schema import OutRecipe
from fewer.runs.folder import RunFolder
from fewer.runs.names import RUNS
from fewer.runs.remote.address import parse_address
from fewer.runs.remote.bar import transferring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fewer.runs.remote.copies import Copies
    from fewer.runs.remote.fetch import Copy
    from fewer.runs.remote.upload import Uploader
    from fewer.session.fit_loop import FitLoop


def claimed(out: OutRecipe, folder: RunFolder, note: Callable[[str], None]) -> Uploader | None:
    """Looks whether the place that `out.remote` names can be written and is this run's; None where there is none.

    Only the process that writes the folder looks, and copies.

    Raises:
        RecipeError: The package is missing, or the place holds another run, or a newer state.
        RemoteError: No network, wrong credentials, wrong bucket.
    """
    if not (out.remote and folder.writes):
        return None
    from fewer.runs.remote import bucket, upload

    bucket.require(f'out.remote = "{out.remote}"')
    try:
        place = bucket.Bucket(parse_address(out.remote))
        if reservation := upload.probe(place):
            note(reservation)
        uploader = upload.Uploader(place, folder.path)
        uploader.claim()
    except RemoteError as error:
        raise RemoteError(f'out.remote: {error}; or train without a copy: out.remote = ""') from None
    return uploader


def driven(loop: FitLoop, uploader: Uploader | None) -> dict[str, Any]:
    """Drives a fit loop to its end, copies its states meanwhile, and waits until the copy has caught up.

    Args:
        loop: The fit loop, ready to be driven.
        uploader: What copies; None where nothing is copied.

    Raises:
        CopyIncomplete: The run is done, and its copy is not.
    """
    if uploader is None:
        with _waiting_for_copier(loop):
            return loop.drive()
    from fewer.runs.remote.copies import Copies

    folder, out = loop.folder, loop.session.plan.recipe.out
    copies = loop.copies = Copies(uploader, folder.path, out.keep)
    again = f"{command('fewer', 'push', folder.path)} completes it"
    with _waiting_for_copier(loop):
        try:
            result = loop.drive()
        except BaseException:
            if not loop.is_hurried:
                _finish_quietly(loop, copies, again)
            raise
        else:
            loop.stop.run, loop.stop.where = None, f"while the copy at {copies.place} was being completed; {again}"
            loop.display.phase("copying")
            try:
                copies.finish(out.remote_wait_seconds)
            except RemoteError as error:
                text = f"trained, and whole in {folder.path}, but its copy is not complete: {error}; {again}"
                folder.amend_status(message=text, exit_code=CopyIncomplete.exit_code)
                raise CopyIncomplete(text, folder.path, result) from None
            return result
        finally:
            copies.abandon()


@contextmanager
def _waiting_for_copier(loop: FitLoop) -> Iterator[None]:
    """Lets the other ranks wait for the one that copies: the first rank that ends would hurry it."""
    try:
        yield
    except Stopped:  # by all of them, unless one was hurried
        if not loop.is_hurried:
            _meet(loop)
        raise
    except CopyIncomplete:
        _meet(loop)
        raise
    _meet(loop)


def _meet(loop: FitLoop) -> None:
    if loop.session.plan.recipe.out.remote and loop.comm.world_size > 1:
        import torch

        loop.comm.all_reduce(torch.zeros(1))


def _finish_quietly(loop: FitLoop, copies: Copies, again: str) -> None:
    """Completes the copy of a run that has ended otherwise; what is said of that end must stay what it is."""
    try:
        copies.finish(loop.session.plan.recipe.out.remote_wait_seconds)
    except RemoteError as error:
        with suppress(Exception):
            loop.artifacts.note(f"warning: the copy is not complete: {error}; {again}")


def push(path: Path, out: OutRecipe, note: Callable[[str], None]) -> tuple[str, int]:
    """Copies a run folder as it is, trying for `out.remote_wait_seconds`.

    Returns:
        The place, and the bytes that had to be sent.

    Raises:
        RecipeError: Nothing says where to, the place holds another run, or the folder is being trained in.
        RemoteError: The copy could not be completed.
    """
    folder = RunFolder(path)
    if not out.remote:
        raise RecipeError(f"{path}: its recipe has no out.remote; say where to: fewer push {path} s3://BUCKET/PREFIX")
    folder.lock()
    try:
        uploader = claimed(out, folder, note)
        assert uploader is not None, "there is a place, and this process writes"
        from fewer.runs.remote.copies import Copies

        copies = Copies(uploader, path, out.keep)
        # The copy must not say of itself that it is incomplete.
        if was_incomplete := folder.exit_code == CopyIncomplete.exit_code:
            folder.amend_status(message=None, exit_code=None)
        try:
            copies.finish(out.remote_wait_seconds)
        except RemoteError as error:
            if was_incomplete:
                folder.amend_status(message=f"its copy is not complete: {error}", exit_code=CopyIncomplete.exit_code)
            raise RemoteError(f"{path}: not copied: {error}; the folder is untouched: try again later") from None
        finally:
            copies.abandon()
        return copies.place, copies.sent_bytes
    finally:
        folder.release()


def fetched(place: str, out: Path | None, note: Callable[[str], None]) -> Path:
    """Makes a run folder of a copy's newest whole state, with a bar for people who watch.

    Args:
        place: `s3://BUCKET/PREFIX`, as `out.remote` had it.
        out: The folder, which must be new; left out: `runs/NAME`, by the name that the run had.
        note: What is to be said of states that are passed over.

    Raises:
        RecipeError: The address is none, nothing has been copied there, or the folder exists.
        RemoteError: Storage cannot be reached or refuses, or no state is whole.
        ResourceError: The disk is full or cannot be written.
    """
    copy = _copy(place, note)
    folder = out or RUNS / copy.manifest.name
    with transferring(f"fetching {place}") as show:
        copy.fetch(folder, show)
    return folder


def from_copy(place: str, overrides: Sequence[str]) -> list[str]:
    """The keys that a fetched run goes on with: it is copied to where it came from, unless they say otherwise."""
    is_said = any(text.startswith("out.remote=") for text in overrides)
    return [*overrides, *([] if is_said else [f"out.remote={place}"])]


def _copy(place: str, note: Callable[[str], None]) -> Copy:
    from fewer.runs.remote import bucket
    from fewer.runs.remote.fetch import Copy

    bucket.require(place)
    try:
        address = parse_address(place)
    except ValueError as error:
        raise RecipeError(f'"{place}": {error}') from None
    return Copy(bucket.Bucket(address), note)
