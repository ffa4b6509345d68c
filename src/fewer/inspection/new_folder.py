"""New folders of files: nothing is overwritten, and nothing half made is left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fewer.core.errors import DataError, RecipeError, ResourceError


def require_free(out: Path) -> None:
    """Refuses a folder that holds something already.

    Raises:
        RecipeError: It does, or is a file.
    """
    if os.path.lexists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise RecipeError(f"--out {out}: there is something already, and nothing is overwritten; fix: another folder")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A folder that takes its place only once all is well, and else leaves nothing behind.

    Raises:
        DataError: A file of another folder cannot be read.
        ResourceError: The folder cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name[:50]}-", dir=out.parent))
    except OSError as error:
        raise ResourceError(f"--out {out}: cannot be written: {error.strerror}; fix: another folder") from None
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(out)
    except OSError as error:
        if _is_outside(error, folder):
            what = f"{error.filename}: cannot be read: {error.strerror}; fix: make the file readable"
            raise DataError(what) from None
        raise ResourceError(
            f"--out {out}: cannot be written: {error.strerror}; fix: free space, or another folder"
        ) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_outside(error: OSError, folder: Path) -> bool:
    """Whether what failed is about a file of another folder alone; copying and linking name two files."""
    if error.filename is None or error.filename2 is not None:
        return False
    return not Path(os.path.abspath(os.fsdecode(error.filename))).is_relative_to(folder.absolute())
