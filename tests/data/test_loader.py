"""Loader processes: the same pixels as from memory, whatever happens to a process or to memory."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fewer.core.errors import ResourceError
from fewer.core.types import Batch, Request
from fewer.data import loader as loader_module
from fewer.data.augment import Augment
from fewer.data.augment.random_resized_crop import RandomResizedCrop as Crop
from fewer.data.decode.cut import decode_cut
from fewer.data.decode.on_request import DamagedImage, Read, SquareReader
from fewer.data.images import ImageData
from fewer.data.listing.splits import Split
from fewer.data.loader import Loader
from fewer.data.settings import ReadSettings, ViewSettings
from image_files import all_of, write_images

IMAGES = 24
SHIFT = Augment(2, "reflect", "random", cutout_px=3, reference_side_px=16)
FLIP = Augment(flip="random", cutout_px=3, reference_side_px=16)
CROP = Crop((0.1, 1.0), (0.5, 2.0))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return all_of(write_images(tmp_path_factory.mktemp("images")))


@pytest.fixture
def open_loader() -> Iterator[Callable[..., Loader]]:
    opened: list[Loader] = []

    def start(*args: object, **options: object) -> Loader:
        opened.append(Loader(*args, **options))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def data_of(split: Split, loader: Loader | None = None, crop: Crop | None = None, **options: object) -> ImageData:
    views = ViewSettings(FLIP if crop else SHIFT, crop, 3)
    return ImageData(split, views, reads=ReadSettings(keep_sides=4, **options), loader=loader)


def requests(count: int, strength: float = 1.0, size: int = 8) -> Iterator[Request]:
    for i in range(count):
        ids = torch.arange(i * 5, i * 5 + size) % IMAGES
        yield Request(ids, i % 3, (16, 16, 11)[i % 3], strength, copy_B=torch.arange(size) % 2 if i % 2 else None)


def equal(left: Batch, right: Batch) -> bool:
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in ("ids_B", "inputs", "targets"))


def kill(loader: Loader, number: int = signal.SIGKILL) -> None:
    os.kill(loader._workers[0].process.pid, number)


# --- the same pixels -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[None, CROP], ids=["shift", "random_resized"])
def pair(request: pytest.FixtureRequest, split: Split) -> Iterator[tuple[ImageData, list[ImageData]]]:
    loaders = [Loader(0), Loader(0, threads=3), Loader(2)]
    yield data_of(split, crop=request.param), [data_of(split, loader, request.param) for loader in loaders]
    for loader in loaders:
        loader.close()


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, IMAGES - 1), st.integers(0, 2)), max_size=9),
            st.integers(0, 3),
            st.sampled_from([8, 16, 21]),
            st.sampled_from([0.0, 0.4, 1.0]),
        ),
        min_size=1,
        max_size=7,
    )
)
def test_memory_and_loaders_give_the_same_pixels(pair: tuple[ImageData, list[ImageData]], asked: list) -> None:
    wanted = []
    for samples, epoch, side_px, strength in asked:
        columns = torch.tensor(samples, dtype=torch.int64).view(-1, 2)
        wanted.append(Request(columns[:, 0].contiguous(), epoch, side_px, strength, columns[:, 1].contiguous()))
    memory, others = pair
    expected = list(memory.batches(wanted))
    for other in others:
        for left, right in zip(expected, other.batches(wanted), strict=True):
            assert equal(left, right)


def test_moments_do_not_depend_on_the_path(pair: tuple[ImageData, list[ImageData]]) -> None:
    memory, others = pair
    assert {other.moments(16, limit=7) for other in others} == {memory.moments(16, limit=7)}


@dataclass(frozen=True, slots=True)
class Mixing:
    partner_B: Tensor
    share: float


@dataclass(frozen=True, slots=True)
class RicherRequest(Request):
    """A request with fields that nobody knows yet."""

    crops: tuple[str, ...] = ()
    weight_B: Tensor | None = None
    mixing: Mixing | None = None


class Echo(SquareReader):
    """Answers with what has arrived."""

    def read(self, request: Request, out: object, threads: object = None) -> Read:
        return Read(damaged=[DamagedImage(os.getpid(), type(request).__name__, repr(request))])


@pytest.mark.parametrize("copy_B", [None, torch.tensor([0, 4, 1])])
def test_a_request_arrives_whole(split: Split, open_loader: Callable[..., Loader], copy_B: Tensor | None) -> None:
    """Strength, and fields that are added to a request, tensors among them."""
    loader = open_loader(1)
    mixing = Mixing(torch.tensor([[3, 1], [2, 2], [0, 7]], dtype=torch.int16), 0.25)
    weight_B = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    sent = RicherRequest(torch.tensor([5, 2, 9]), 7, 16, 0.3, copy_B, ("left", "right"), weight_B, mixing)
    _, _, read = next(loader.stream(loader.register(Echo(split.source)), [sent]))
    assert read.damaged[0].id != os.getpid()
    assert (read.damaged[0].name, read.damaged[0].reason) == ("RicherRequest", repr(sent))


def test_streams_may_be_nested_and_left_early(split: Split, open_loader: Callable[..., Loader]) -> None:
    memory, loader = data_of(split), open_loader(2)
    train, val = data_of(split, loader), data_of(split, loader, CROP)
    outer = train.batches(requests(9))
    first = next(outer)
    inner = list(val.batches(requests(3)))  # all slots are taken by what the outer one reads ahead
    assert all(map(equal, inner, data_of(split, crop=CROP).batches(requests(3))))
    rest = [first, next(outer)]
    outer.close()
    again = list(train.batches(requests(9)))
    expected = list(memory.batches(requests(9)))
    assert all(map(equal, rest, expected))
    assert all(map(equal, again, expected))


def test_requests_are_not_drawn_far_ahead(split: Split, open_loader: Callable[..., Loader]) -> None:
    drawn = []
    asked = (drawn.append(i) or request for i, request in enumerate(requests(30)))
    batches = data_of(split, open_loader(2, prefetch=3)).batches(asked)
    next(batches)
    assert len(drawn) == 4
    next(batches)
    assert len(drawn) == 5


def test_what_is_decoded_is_counted(split: Split, open_loader: Callable[..., Loader], tmp_path: Path) -> None:
    witness = tmp_path / "witness"

    class Watched(type(split.source)):
        def read(self, id: int) -> bytes:
            with witness.open("ab", buffering=0) as file:  # seen from outside, whichever process reads
                file.write(b".")
            return super().read(id)

    split.source.__class__, before = Watched, split.source.__class__
    try:
        for processes in (0, 2):
            witness.write_bytes(b"")
            data = data_of(split, open_loader(processes), CROP)
            batches = list(data.batches(requests(6)))
            assert sum(map(len, batches)) == 48
            assert witness.stat().st_size == data.counts.decoded == 48
            views, pixels = ViewSettings(crop=CROP, seed=data._views.seed), 0
            for asked in requests(6):
                for index, id in enumerate(asked.ids_B.tolist()):
                    raw = before.read(split.source, id)
                    pixels += decode_cut(raw, views.boxes(asked), index, asked.side_px).pixels
            assert data.counts.decoded_pixels == pixels
    finally:
        split.source.__class__ = before


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_lost_process_is_replaced_and_changes_nothing(
    split: Split, open_loader: Callable[..., Loader], number: int
) -> None:
    loader = open_loader(2, patience_seconds=1.5)
    said: list[str] = []
    loader.note.listen(said.append)
    expected = list(data_of(split, crop=CROP).batches(requests(20)))
    seen = []
    for i, batch in enumerate(data_of(split, loader, CROP).batches(requests(20))):
        seen.append(batch)
        if i == 4:
            lost = loader._workers[0].process
            kill(loader, number)
    assert all(map(equal, seen, expected))
    assert len(seen) == 20
    assert len(said) == 1
    assert ("signal SIGKILL" if number == signal.SIGKILL else "no answer for 1.5 s") in said[0]
    assert lost.exitcode == -signal.SIGKILL
    pids = [worker.process.pid for worker in loader._workers]
    assert lost.pid not in pids
    loader.close()
    for pid in pids:  # neither running nor left as zombies
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def kill_at_batch_10(monkeypatch: pytest.MonkeyPatch, by: signal.Signals) -> None:
    """Every loader process that reads the batch that begins with image 10 is killed."""
    trainer, read = os.getpid(), SquareReader.read

    def deadly(self: object, request: Request, *rest: object) -> object:
        if os.getpid() != trainer and int(request.ids_B[0]) == 10:
            faulthandler.disable()
            os.kill(os.getpid(), by)
        return read(self, request, *rest)

    monkeypatch.setattr(SquareReader, "read", deadly)


def test_a_batch_that_kills_every_process_ends_the_run(
    split: Split, open_loader: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at_batch_10(monkeypatch, signal.SIGBUS)
    batches = data_of(split, open_loader(2)).batches(requests(8))
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(ResourceError, match=r"killed by signal SIGBUS.*data.processes = 0"):
        list(batches)


def test_a_process_that_cannot_be_replaced_says_what_to_do(
    split: Split, open_loader: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at_batch_10(monkeypatch, signal.SIGKILL)

    def refused(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    batches = data_of(split, open_loader(2)).batches(requests(8))
    next(batches)
    monkeypatch.setattr(Loader, "_started", refused)
    with pytest.raises(ResourceError, match=r"SIGKILL, and no other can be started \(Cannot allocate memory\)"):
        list(batches)


def test_a_bug_in_a_process_is_told_with_its_place(
    split: Split, open_loader: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SquareReader, "read", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(data_of(split, open_loader(1)).batches(requests(1)))


@pytest.mark.parametrize(("slots", "ahead", "said"), [(3, 2, "only 2 are read ahead"), (1, 0, "training process")])
def test_little_memory_means_fewer_batches_ahead(
    split: Split,
    open_loader: Callable[..., Loader],
    monkeypatch: pytest.MonkeyPatch,
    slots: int,
    ahead: int,
    said: str,
) -> None:
    slot_bytes = -(-8 * (16 * 16 * 3 + 16) // 4096) * 4096
    monkeypatch.setattr(loader_module, "available_bytes", lambda: 2 * slots * slot_bytes)
    loader = open_loader(2)
    notes: list[str] = []
    loader.note.listen(notes.append)
    seen = list(data_of(split, loader).batches(requests(7)))
    assert all(map(equal, seen, data_of(split).batches(requests(7))))
    assert len(seen) == 7
    assert (loader.prefetch if loader.processes else 0) == ahead
    assert len(notes) == 1
    assert said in notes[0]


def test_a_full_dev_shm_does_not_matter(split: Split) -> None:
    """Really: in a mount namespace of its own, with no byte left in it."""
    fill = "mount -t tmpfs -o size=4k tmpfs /dev/shm && head -c 4096 /dev/zero > /dev/shm/full"
    script = f"""
import torch
from fewer.data.images import ImageData
from fewer.data.loader import Loader
from fewer.data.listing.splits import open_splits
from fewer.core.types import Request
loader, notes = Loader(2), []
loader.note.listen(notes.append)
split = open_splits({split.source.name!r}, test="none", val="none").train
batches = ImageData(split, loader=loader).batches(Request(torch.arange(8), 0, 64) for _ in range(5))
print(sum(map(len, batches)), loader.processes, notes)
loader.close()
"""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "sh", "-c", fill]).returncode:
        pytest.skip("needs the right to mount")
    command = ["unshare", "-m", "sh", "-c", f'{fill} && exec "$0" "$@"', sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("40 2 []\n", "")
