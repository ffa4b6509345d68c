"""Copies to a real S3 server, through a proxy that spoils connections."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fewer.core.errors import RecipeError, RemoteError
from fewer.runs.remote.address import Address, parse_address
from fewer.runs.remote.bucket import Bucket, Outage
from fewer.runs.remote.fetch import Copy
from fewer.runs.remote.layout import FILES, STATES, manifest_key, marker_key
from fewer.runs.remote.retry import Tries
from fewer.runs.remote.staging import hold
from fewer.runs.remote.upload import Superseded, Uploader, probe
from storage import KEY, SECRET, Proxy, StorageServer, environment, found_by


def copied(uploader: Uploader, run: Path, keep: int = 3) -> int:
    held = hold(run, "now")
    try:
        return uploader.copy(held, keep, Tries())
    finally:
        held.release()


def begun(bucket: Bucket, run: Path) -> Uploader:
    uploader = Uploader(bucket, run)
    uploader.claim()
    return uploader


def same(run: Path, other: Path) -> None:
    """Two run folders hold the same, but for what stays on its machine."""

    def content(folder: Path) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file() and not name.startswith((".", "remote.json", "tensorboard/")):
                found[name] = path.read_bytes()
        return found

    assert content(run) == content(other)


def test_a_state_comes_back_as_it_was_and_the_next_sends_only_what_is_new(
    bucket: Bucket, run: Path, tmp_path: Path, next_state: Callable[[int], None], storage: StorageServer
) -> None:
    uploader = begun(bucket, run)
    first = copied(uploader, run)
    assert first > 5 << 20
    Copy(bucket).fetch(tmp_path / "back")
    same(run, tmp_path / "back")
    with (run / "rows.jsonl").open("a") as file:
        file.write('{"kind":"step"}\n')
    assert 0 < copied(uploader, run) < 100, "the record alone has grown"
    for epoch in (2, 3, 4, 5):
        next_state(epoch)
        copied(uploader, run, keep=2)
    Copy(bucket).fetch(tmp_path / "again")
    same(run, tmp_path / "again")
    below = f"{bucket.address.prefix}"
    states = {key.split("/")[-2] for key in storage.keys(f"{below}/{STATES}")}
    assert len(states) == 2, "older states are removed"
    kept = [key for key in storage.keys(f"{below}/{FILES}") if "/state.safetensors/" in key]
    assert len(kept) == 4, "and with them the parts that only they had"


@pytest.mark.parametrize("fault", ["503", "drop", "cut sent", "cut received"])
def test_connections_that_fail_are_tried_again(
    bucket: Bucket, run: Path, tmp_path: Path, proxy: Proxy, fault: str
) -> None:
    uploader = begun(bucket, run)
    proxy.set(fault, after_bytes=100_000 if fault == "cut sent" else 20, times=3)
    copied(uploader, run)
    assert proxy.hits == 3
    Copy(bucket).fetch(tmp_path / "back")
    same(run, tmp_path / "back")


def test_an_answer_that_is_lost_leaves_the_commit_as_it_would_be(bucket: Bucket, run: Path, proxy: Proxy) -> None:
    """Each of marker and `latest.json` is written although the answer never came; the second try finds its own."""
    uploader = begun(bucket, run)

    def lossy(action: Callable[[], object]) -> object:
        action()
        return action()

    held = hold(run, "now")
    uploader.copy(held, 3, lossy)  # type: ignore[arg-type]
    held.release()
    assert Copy(bucket).manifest.name == "photos"


def test_a_bit_that_turns_on_the_way_back_is_noticed_and_the_part_is_read_again(
    bucket: Bucket, run: Path, tmp_path: Path, proxy: Proxy
) -> None:
    copied(begun(bucket, run), run)
    copy = Copy(bucket)
    proxy.set("flip", after_bytes=100_000, times=2)
    copy.fetch(tmp_path / "back")
    assert proxy.hits == 2
    same(run, tmp_path / "back")


def test_a_damaged_state_is_passed_over_for_the_one_before_it(
    bucket: Bucket, run: Path, tmp_path: Path, next_state: Callable[[int], None], storage: StorageServer
) -> None:
    uploader, prefix = begun(bucket, run), bucket.address.prefix
    copied(uploader, run)
    rows = (run / "rows.jsonl").read_text()
    next_state(2)
    copied(uploader, run)
    parts = [key for key in storage.keys(f"{prefix}/{FILES}/rows.jsonl") if storage.get(key).decode() != rows]
    assert len(parts) == 1
    storage.put(parts[0], b"other bytes")
    said: list[str] = []
    Copy(bucket, said.append).fetch(tmp_path / "back")
    assert (tmp_path / "back" / "rows.jsonl").read_text() == rows
    assert len(said) == 1
    assert "rows.jsonl is not what was written" in said[0]
    newest = Copy(bucket).state
    storage.put(f"{prefix}/{marker_key(newest)}", b"0" * 64)
    said.clear()
    assert Copy(bucket, said.append).state < newest, "a marker that does not fit its manifest commits nothing"
    assert "not the one that was committed" in said[0]
    for state in (newest, Copy(bucket).state):
        storage.put(f"{prefix}/{manifest_key(state)}", b"{}")
    with pytest.raises(RemoteError, match="no state of the copy is whole"):
        Copy(bucket)


def test_a_server_killed_in_the_middle_leaves_the_last_state_and_takes_the_next(
    bucket: Bucket, run: Path, tmp_path: Path, storage: StorageServer, proxy: Proxy, next_state: Callable[[int], None]
) -> None:
    uploader = begun(bucket, run)
    copied(uploader, run)
    before = Copy(bucket).state
    next_state(2)
    held = hold(run, "now")
    proxy.delay_s = 0.02  # a part takes more than a second
    threading.Timer(0.3, storage.kill).start()
    with pytest.raises(Outage):
        uploader.copy(held, 3, lambda action: action())
    proxy.delay_s = 0
    storage.start()
    assert Copy(bucket).state == before
    uploader.copy(held, 3, Tries())
    held.release()
    Copy(bucket).fetch(tmp_path / "back")
    same(run, tmp_path / "back")


def test_a_second_writer_takes_nothing_back(bucket: Bucket, run: Path, next_state: Callable[[int], None]) -> None:
    first = begun(bucket, run)
    copied(first, run)
    second = begun(bucket, run)
    next_state(2)
    copied(second, run)
    newest = Copy(bucket).state
    next_state(3)
    with pytest.raises(Superseded, match="newer state"):
        copied(first, run)
    assert Copy(bucket).state == newest


def test_a_run_of_any_name_comes_back(bucket: Bucket, run: Path, tmp_path: Path) -> None:
    odd = run.rename(run.with_name("lr: 0.1"))
    (odd / "checkpoints" / ".tmp-best").symlink_to(next((odd / "checkpoints").glob("epoch*")).name)
    copied(begun(bucket, odd), odd)
    Copy(bucket).fetch(tmp_path / "back")
    (odd / "checkpoints" / ".tmp-best").unlink()
    same(odd, tmp_path / "back")


def test_a_state_that_was_never_committed_takes_no_place(
    bucket: Bucket, run: Path, next_state: Callable[[int], None]
) -> None:
    copied(begun(bucket, run), run, keep=2)
    first = Copy(bucket).state
    bucket.put(manifest_key("00000002-0badc0de"), b"{}")  # of a process that was killed here
    next_state(2)
    copied(begun(bucket, run), run, keep=2)
    kept = {key.split("/")[1] for key in bucket.sizes(STATES) if key.endswith("COMMITTED")}
    assert kept == {first, Copy(bucket).state}


def test_a_place_that_holds_another_run_or_a_newer_state_is_refused(
    bucket: Bucket, run: Path, tmp_path: Path, next_state: Callable[[int], None]
) -> None:
    copied(begun(bucket, run), run)
    (tmp_path / "other").mkdir()
    with pytest.raises(RecipeError, match="another run already; `fewer resume s3://"):
        begun(bucket, tmp_path / "other")
    Copy(bucket).fetch(tmp_path / "elsewhere")
    next_state(2)
    copied(begun(bucket, tmp_path / "elsewhere"), tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="a newer state of this run"):
        begun(bucket, run)


def test_the_probe_says_what_is_wrong_without_a_secret(
    storage: StorageServer, proxy: Proxy, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(where: Address, values: dict[str, str]) -> str:
        with found_by(monkeypatch, values), pytest.raises(RemoteError) as caught:
            probe(Bucket(where))
        text = str(caught.value)
        assert SECRET not in text
        assert "wrong-secret" not in text
        assert KEY not in text
        return text

    assert "no such bucket" in said(parse_address("s3://another-bucket/x"), environment(storage.url))
    wrong = environment(storage.url, secret="wrong-secret")
    assert "the secret key is another" in said(address, wrong)
    assert "does not know the access key" in said(address, environment(storage.url, key="nobody"))
    nobody = {k: v for k, v in environment(storage.url).items() if "KEY" not in k}
    assert "credentials" in said(address, nobody)
    proxy.set("drop")
    assert "no answer from 127.0.0.1" in said(address, environment(proxy.url))
    proxy.set("503")
    assert "answered 503 SlowDown" in said(address, environment(proxy.url))
    with found_by(monkeypatch, environment(storage.url)):
        assert probe(Bucket(address)) == ""
    assert storage.keys(f"{address.prefix}/probe") == []


def test_a_server_that_does_not_look_at_conditions_is_named(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Bucket.put
    monkeypatch.setattr(Bucket, "put", lambda self, key, content, **conditions: put(self, key, content))
    assert "let only one process copy there" in probe(bucket)


def test_a_held_state_stays_while_the_run_goes_on(run: Path, next_state: Callable[[int], None]) -> None:
    held = hold(run, "now")
    next_state(2)
    rows = held.folder / "rows.jsonl"
    assert rows.read_bytes()[: held.bytes_of["rows.jsonl"]] == b'{"kind":"header"}\n'
    old = held.folder / "checkpoints/epoch00001-batch0000000/state.safetensors"
    assert old.stat().st_size == held.bytes_of["checkpoints/epoch00001-batch0000000/state.safetensors"]
    assert held.links == {"checkpoints/best": "model-epoch00001"}
    assert not any(path.startswith(("tensorboard", ".", "remote")) for path in held.bytes_of)
    held.release()
    assert not held.folder.exists()
