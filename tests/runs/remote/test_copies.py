"""Copies in the background: an outage holds nothing up, and the queue is short."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fewer.core.errors import RemoteError
from fewer.runs.remote import staging
from fewer.runs.remote.bucket import Bucket
from fewer.runs.remote.copies import Copies
from fewer.runs.remote.fetch import Copy
from fewer.runs.remote.staging import HELD
from fewer.runs.remote.upload import Uploader
from storage import KEY, SECRET, Proxy

FAR_SECONDS = 60.0  # no test depends on how long something takes


@pytest.fixture
def copies(bucket: Bucket, run: Path) -> Copies:
    uploader = Uploader(bucket, run)
    uploader.claim()
    return Copies(uploader, run, keep=2)


def test_an_outage_holds_nothing_up_and_the_newest_state_follows_it(
    copies: Copies, bucket: Bucket, run: Path, tmp_path: Path, proxy: Proxy, next_state: Callable[[int], None]
) -> None:
    said: list[str] = []
    proxy.set("drop")
    for epoch in range(2, 7):
        copies.offer()
        next_state(epoch)
        assert len(os.listdir(run / HELD)) <= 2, "one that is sent, and one that waits"
    assert copies.report(said.append) in ("copy 4 behind", "copy 5 behind")
    while not said:  # three tries of a request
        copies.report(said.append)
    assert "no answer from 127.0.0.1" in said[0]
    assert "training goes on" in said[0]
    assert not any(secret in said[0] for secret in (KEY, SECRET))
    proxy.reset()
    copies.finish(FAR_SECONDS)
    assert copies.report(said.append) == ""
    assert "complete again" in said[-1]
    assert not (run / HELD).exists()
    Copy(bucket).fetch(tmp_path / "back")
    assert (tmp_path / "back" / "rows.jsonl").read_bytes() == (run / "rows.jsonl").read_bytes()


def test_a_copy_that_is_late_in_the_end_is_given_up_and_nothing_is_lost_here(
    copies: Copies, run: Path, proxy: Proxy, tmp_path: Path
) -> None:
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    proxy.delay_s = 0.5
    with pytest.raises(RemoteError, match="not complete after 0 s"):
        copies.finish(0.2)
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before


def fail_once(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Has the second link that is made fail."""
    link, left = os.link, [2]

    def failing(source: Path, target: Path) -> None:
        left[0] -= 1
        if not left[0]:
            raise OSError(number, os.strerror(number))
        link(source, target)

    monkeypatch.setattr(staging.os, "link", failing)


def test_a_state_that_cannot_be_held_is_followed_by_the_next(
    copies: Copies, bucket: Bucket, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    fail_once(monkeypatch, errno.ENOSPC)
    copies.offer()
    copies.report(said.append)
    assert said == ["remote copy: this state cannot be held: No space left on device"]
    assert not os.listdir(run / HELD)
    copies.finish(FAR_SECONDS)
    assert copies.report(said.append) == ""
    assert len(said) == 1
    assert Copy(bucket).manifest.name == "photos"


def test_a_last_state_that_cannot_be_held_is_told(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once(monkeypatch, errno.EIO)
    with pytest.raises(RemoteError, match="the last state could not be held"):
        copies.finish(FAR_SECONDS)


def test_without_hard_links_files_are_copied(copies: Copies, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_once(monkeypatch, errno.EOPNOTSUPP)
    copies.finish(FAR_SECONDS)
    assert Copy(bucket).manifest.name == "photos"


def test_another_writer_ends_the_copies_and_not_the_training(
    copies: Copies, bucket: Bucket, run: Path, next_state: Callable[[int], None]
) -> None:
    bucket.put("latest.json", b"another")
    said: list[str] = []
    copies.offer()
    while not said:
        assert copies.report(said.append) != "copy 2 behind"
    assert "no more remote copies" in said[0]
    next_state(2)
    copies.offer()
    assert not (run / HELD).exists() or not os.listdir(run / HELD)
    with pytest.raises(RemoteError, match="latest"):
        copies.finish(FAR_SECONDS)


def test_credentials_that_are_renewed_are_found(
    copies: Copies, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "expired")
    bucket.renew()
    said: list[str] = []
    copies.offer()
    while not said:
        copies.report(said.append)
    assert "refuses these credentials" in said[0]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    copies.finish(FAR_SECONDS)
    assert Copy(bucket).manifest.name == "photos"
