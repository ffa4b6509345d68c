"""Addresses of a test's own, and small run folders to copy there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fewer.runs.remote.address import Address, parse_address
from fewer.runs.remote.bucket import Bucket
from storage import BUCKET, Proxy, environment, found_by


@pytest.fixture
def address() -> Address:
    """A prefix that nothing lies below."""
    return parse_address(f"s3://{BUCKET}/runs/{uuid.uuid4().hex}")


@pytest.fixture
def bucket(address: Address, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Objects below the address, reached through the proxy."""
    with found_by(monkeypatch, environment(proxy.url)):
        yield Bucket(address)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a checkpoint of two parts, a published model, a record and a report."""
    folder = tmp_path / "photos"
    checkpoint = folder / "checkpoints" / "epoch00001-batch0000000"
    model = folder / "checkpoints" / "model-epoch00001"
    for each in (checkpoint, model, folder / "tensorboard"):
        each.mkdir(parents=True)
    (checkpoint / "state.safetensors").write_bytes(bytes(range(256)) * (5 << 12))  # 5 MiB
    (model / "model.safetensors").write_bytes(b"weights")
    (folder / "checkpoints" / "best").symlink_to(model.name)
    (folder / "rows.jsonl").write_text('{"kind":"header"}\n')
    (folder / "report.html").write_text("<p>a report")
    (folder / ".lock").touch()
    (folder / "tensorboard" / "events").touch()
    return folder


@pytest.fixture
def next_state(run: Path) -> Callable[[int], None]:
    """Lets the run go on: a new checkpoint in place of the old one, and another line of the record."""

    def step(epoch: int) -> None:
        checkpoints = run / "checkpoints"
        old = next(checkpoints.glob("epoch*"))
        new = checkpoints / f"epoch{epoch:05d}-batch0000000"
        new.mkdir()
        content = bytes(range(256)) * (5 << 12) + bytes([epoch])
        (new / "state.safetensors").write_bytes(content)
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
        with (run / "rows.jsonl").open("a") as file:
            file.write(f'{{"epoch":{epoch}}}\n')

    return step
