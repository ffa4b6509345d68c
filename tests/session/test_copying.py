"""A run that is copied: the same run, whole elsewhere in the end, and whole here if that fails."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fewer import parse_recipe
from fewer.core.errors import CopyIncomplete, RecipeError, RemoteError, Stopped
from fewer.runs.record import read_object, read_rows
from fewer.runs.remote.address import parse_address
from fewer.runs.remote.bucket import Bucket
from fewer.runs.remote.fetch import Copy
from fewer.session.copying import from_copy, push
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.testing.harness import one_thread
from storage import BUCKET, KEY, SECRET, Proxy, environment, found_by


@pytest.fixture(autouse=True)
def _reached(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with found_by(monkeypatch, environment(proxy.url)), one_thread():
        yield


@pytest.fixture
def place() -> str:
    return f"s3://{BUCKET}/runs/{uuid.uuid4().hex}"


def recipe(place: str, **out: Any) -> Any:
    """Three epochs of three batches."""
    content = {
        "data": {"source": "digits", "test": "5%", "val": "5%", "subset": 90},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 3, "batch_size": 30, "lr": 0.05},
        "stages": [{"epochs": 3, "side_px": 16}],
        "out": {"plots": False, "previews": False, "remote": place, "checkpoint_every": "1step", **out},
    }
    return parse_recipe(content)


class At(Silent):
    """A display that does something behind the first epoch, and keeps the notes."""

    def __init__(self, action: Any = lambda: None) -> None:
        self.action, self.notes = action, []  # type: ignore[var-annotated]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, line: Mapping[str, Any], session: Any) -> None:
        if line["epoch"] == 0:
            self.action()


def state_of(folder: Path) -> bytes:
    return max((folder / "checkpoints").glob("epoch*")).joinpath("state.safetensors").read_bytes()


def fetched(place: str, target: Path) -> Path:
    Copy(Bucket(parse_address(place))).fetch(target)
    return target


def test_a_copied_run_is_the_same_run_and_whole_elsewhere(tmp_path: Path, place: str) -> None:
    result = fit(recipe(place), tmp_path / "run")
    plain = fit(recipe(""), tmp_path / "plain")
    assert result["metrics"] == plain["metrics"]
    assert result["digest"] == plain["digest"]
    assert state_of(tmp_path / "run") == state_of(tmp_path / "plain")
    back = fetched(place, tmp_path / "back")
    assert state_of(back) == state_of(tmp_path / "run")
    assert read_object(back / "status.json")["state"] == "done"
    assert read_rows(back / "rows.jsonl") == read_rows(tmp_path / "run" / "rows.jsonl")
    assert (back / "checkpoints" / "best").is_symlink()
    assert (back / "report.html").exists() == (tmp_path / "run" / "report.html").exists()
    for path in back.rglob("*"):
        assert not path.is_file() or not any(secret.encode() in path.read_bytes() for secret in (KEY, SECRET))


def test_an_outage_lets_the_run_end_and_a_push_completes_the_copy(tmp_path: Path, place: str, proxy: Proxy) -> None:
    with pytest.raises(CopyIncomplete, match=r"`fewer push .*run` completes it") as caught:
        fit(recipe(place, remote_wait_seconds=0.5), tmp_path / "run", display=At(lambda: proxy.set("drop")))
    assert caught.value.exit_code == 7
    assert caught.value.result == read_object(tmp_path / "run" / "result.json")
    out = recipe(place, remote_wait_seconds=0.5).out
    with pytest.raises(RemoteError, match="no answer from"):
        push(tmp_path / "run", out, print)
    status = read_object(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("done", 7)
    assert "its copy is not complete" in status["message"]
    proxy.reset()
    where, sent_bytes = push(tmp_path / "run", recipe(place).out, print)
    assert {"message", "exit_code"}.isdisjoint(read_object(tmp_path / "run" / "status.json"))
    assert where == place
    assert sent_bytes > 0
    assert push(tmp_path / "run", recipe(place).out, print) == (place, 0)
    assert state_of(fetched(place, tmp_path / "back")) == state_of(tmp_path / "run")


def test_a_run_that_is_stopped_is_copied_and_goes_on_elsewhere(tmp_path: Path, place: str, proxy: Proxy) -> None:
    with pytest.raises(Stopped, match="SIGTERM"):
        fit(recipe(place), tmp_path / "run", display=At(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    back = fetched(place, tmp_path / "back")
    assert state_of(back) == state_of(tmp_path / "run")
    assert read_object(back / "status.json")["state"] == "preempted"
    on = resume(back, from_copy(place, []))
    plain = fit(recipe(""), tmp_path / "plain")
    assert on["metrics"] == plain["metrics"]
    assert state_of(back) == state_of(tmp_path / "plain"), "bit for bit"
    assert state_of(fetched(place, tmp_path / "done")) == state_of(back), "and it is copied to where it came from"
    with pytest.raises(RecipeError, match="holds a newer state"):
        resume(tmp_path / "run")


def test_a_stop_stays_a_stop_where_its_copy_fails(tmp_path: Path, place: str, proxy: Proxy) -> None:
    def act() -> None:
        proxy.set("drop")
        os.kill(os.getpid(), signal.SIGTERM)

    display = At(act)
    with pytest.raises(Stopped, match="SIGTERM"):
        fit(recipe(place, remote_wait_seconds=0.5), tmp_path / "run", display=display)
    assert "the copy is not complete" in display.notes[-1]


def test_what_is_wrong_with_the_place_is_said_before_any_image_is_listed(
    tmp_path: Path, place: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fewer.session.fit.open_data", lambda recipe: pytest.fail("too late"))
    with pytest.raises(RemoteError, match="there is no such bucket; create it"):
        fit(recipe("s3://another-bucket/x"), tmp_path / "run")
    proxy.set("drop")
    with pytest.raises(RemoteError, match=r'no answer .*; or train without a copy: out.remote = ""'):
        fit(recipe(place), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match="no name of a bucket"):
        recipe("s3://No/x")
    with pytest.raises(RecipeError, match=r"its recipe has no out\.remote"):
        push(tmp_path / "run", recipe("").out, print)
