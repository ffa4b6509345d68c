"""Fixtures of inspection: a folder with one file of every kind, checked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from server import Ended, Server
from zoo import damaged_files, encoded, odd_files, picture, plain, written


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train and test that has one of everything."""
    files = plain("train", 1000) | plain("test", 2000)
    files |= {f"train/cat/{name}": raw for name, (_, raw) in damaged_files().items()}
    files |= {f"train/dog/{name}": raw for name, (_, raw) in odd_files().items()}
    same = picture(50)
    files |= {
        "train/cat/twin.png": encoded(same),
        "train/cat/twin-again.png": encoded(same, compress_level=1),
        "train/dog/twin.png": encoded(same),
        "test/cat/leak.png": encoded(same),
        "train/lone/only.png": encoded(picture(51)),
    }
    return written(tmp_path_factory.mktemp("zoo"), files)


@pytest.fixture(scope="session")
def checked(server: Server, zoo: Path) -> Ended:
    return server.run("data", "check", f"folder:{zoo}", "--json", "--processes", "2", cwd=zoo)


@pytest.fixture(scope="session")
def codes(checked: Ended) -> dict[str, set[str]]:
    """Codes by path."""
    found: dict[str, set[str]] = {}
    for finding in checked.json["findings"]:
        found.setdefault(finding["path"], set()).add(finding["code"])
    return found
