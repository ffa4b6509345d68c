"""A checkpoint is whole or not there, whatever kills its writer; a damaged one is noticed and the one before it used.

The functions with a leading underscore run in forked children of the start server, where they may die.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from server import Ended, Server

if TYPE_CHECKING:
    from torch import nn

KINDS = ("kill", "half")


# --- Death at every call -----------------------------------------------------------------------------------------


def _state(step: int) -> dict[str, Any]:
    """A state of the shape that runs have; every number in it tells its step."""
    import torch

    weights = {"weight": torch.full((40, 30), float(step)), "bias": torch.full((5,), step, dtype=torch.float64)}
    return {
        "cursor": {"epoch": 0, "batch": step, "step": step},
        "workers": {"0": {"model": weights, "optimizer": {"momentum": torch.full((7,), step)}}},
        "averages": {},
        "best": {"value": step / 7},
    }


def _step_of(folder: Path) -> int:
    """The step of the newest state, which must be complete to the last number."""
    from fewer.runs import checkpoint
    from fewer.training.run import state_digest

    state, _, damaged = checkpoint.load_newest(folder)
    step: int = state["cursor"]["step"]
    assert state_digest(state) == state_digest(_state(step)), "neither the old state nor the new one"
    assert not damaged, "nothing half-written stands under a final name"
    return step


def _model(seed: int) -> nn.Module:
    import torch

    torch.manual_seed(seed)
    return torch.nn.Linear(20, 30)


def _handed_over(folder: Path, link: str) -> int:
    """The seed of the model that a link points to; it must be whole."""
    from fewer.models.published import load_model
    from fewer.training.run import state_digest

    model = _model(0)
    seed: int = load_model(model, folder / link)["seed"]
    assert state_digest(dict(model.state_dict())) == state_digest(dict(_model(seed).state_dict()))
    return seed


def _leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*") if path.name != ".lock")


def _everywhere(template: Path, act: Callable[[Path], object], check: Callable[[Path], object], fault: str) -> int:
    """Lets `act` die at each of its calls in turn, each time on a fresh copy of a folder; returns how many it makes."""
    import shim

    scratch = template.with_name("scratch")
    points = [
        number
        for number, name in enumerate(_counted(template, scratch, act))
        if fault == "kill" or name == "write"  # half a write is something for writes only
    ]
    for number in points:
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(template, scratch, symlinks=True)
        shim.killed(lambda: act(scratch), number, fault)
        check(scratch)
    return len(points)


def _counted(template: Path, scratch: Path, act: Callable[[Path], object]) -> list[str]:
    import shim

    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(template, scratch, symlinks=True)
    return shim.calls(lambda: act(scratch))


def _saves(fault: str) -> int:
    from fewer.runs import checkpoint

    template = Path("template")
    for step in (1, 2):
        checkpoint.save(_state(step), template, keep=2)

    def check(folder: Path) -> None:
        assert _step_of(folder) in (2, 3)
        for step in (3, 4):  # goes on as a resumed run would
            checkpoint.save(_state(step), folder, keep=2)
            assert _step_of(folder) == step
        assert len(list(checkpoint.newest_first(folder))) == 2
        assert not _leftovers(folder)

    return _everywhere(template, lambda folder: checkpoint.save(_state(3), folder, keep=2), check, fault)


def _replaces_a_damaged_one(fault: str) -> int:
    from fewer.runs import checkpoint

    template = Path("template")
    for step in (1, 2):
        last = checkpoint.save(_state(step), template, keep=2)
    (last / "state.json").write_bytes(b"")

    def check(folder: Path) -> None:
        state, _, _ = checkpoint.load_newest(folder)
        assert state["cursor"]["step"] in (1, 2)
        checkpoint.save(_state(2), folder, keep=2)
        assert _step_of(folder) == 2
        assert not _leftovers(folder)

    return _everywhere(template, lambda folder: checkpoint.save(_state(2), folder, keep=2), check, fault)


def _hands_over(fault: str, epoch: int, link: str) -> int:
    """Publishes model 2 after model 1; `epoch` 1: over one of the same epoch, as an inexact resume may."""
    from fewer.models.published import publish_model
    from fewer.runs import checkpoint

    template = Path("template")
    template.mkdir()
    publish_model(_model(1), {"seed": 1}, template, 1, "best")
    publish_model(_model(1), {"seed": 1}, template, 1, "last")

    def act(folder: Path) -> None:
        publish_model(_model(2), {"seed": 2}, folder, epoch, link)

    def check(folder: Path) -> None:
        assert _handed_over(folder, link) in (1, 2)
        assert _handed_over(folder, "last" if link == "best" else "best") == 1
        act(folder)
        assert _handed_over(folder, link) == 2
        checkpoint.save(_state(1), folder, keep=2)
        assert not _leftovers(folder)
        assert len(list(folder.glob("model-*"))) == 2

    return _everywhere(template, act, check, fault)


def _publishes_a_file(fault: str) -> int:
    from fewer.runs import record

    template = Path("template")
    template.mkdir()
    record.publish(template / "status.json", "old" * 1000)

    def act(folder: Path) -> None:
        record.publish(folder / "status.json", "new" * 1000)

    def check(folder: Path) -> None:
        assert (folder / "status.json").read_text() in ("old" * 1000, "new" * 1000)
        act(folder)
        assert (folder / "status.json").read_text() == "new" * 1000
        record.sweep(folder)
        assert not _leftovers(folder)

    return _everywhere(template, act, check, fault)


def _rewinds(fault: str) -> int:
    from fewer.runs import record

    template = Path("template")
    template.mkdir()
    rows = [{"kind": "step", "step": step} for step in range(9)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (template / "rows.jsonl").write_text(lines + '{"kind":"st')  # torn by the kill before this one

    def act(folder: Path) -> None:
        record.rewind(folder / "rows.jsonl", lambda row: row["step"] < 5)

    def check(folder: Path) -> None:
        assert record.read_rows(folder / "rows.jsonl") in (rows, rows[:5])

    return _everywhere(template, act, check, fault)


@pytest.mark.parametrize("fault", KINDS)
@pytest.mark.parametrize("scenario", [_saves, _replaces_a_damaged_one, _publishes_a_file, _rewinds])
def test_killed_at_every_call(server: Server, tmp_path: Path, scenario: Callable[[str], int], fault: str) -> None:
    """Whichever call a writer dies at: the old or the new is there, whole, and the next writer clears up."""
    points = server.call(scenario, fault, cwd=tmp_path)
    assert points >= 1


@pytest.mark.parametrize(("epoch", "link", "fault"), [(1, "best", "kill"), (2, "last", "kill"), (2, "best", "half")])
def test_killed_at_every_call_of_a_hand_over(server: Server, tmp_path: Path, epoch: int, link: str, fault: str) -> None:
    """`best` and `last` always point to a whole model, also where one of the same epoch is replaced."""
    assert server.call(_hands_over, fault, epoch, link, cwd=tmp_path) >= 1


def _begins(scratch: str) -> int:
    from fewer.runs.folder import RunFolder

    def act(parent: Path) -> None:
        folder = RunFolder(parent / "run")
        try:
            folder.create()
            folder.file("recipe.given.toml", "")
            folder.file("data.tsv.gz", b"\0")
            folder.file("recipe.resolved.toml", "")
        finally:
            folder.release()

    def check(parent: Path) -> None:
        act(parent)
        assert not _leftovers(parent / "run")

    Path("template").mkdir()
    return _everywhere(Path("template"), act, check, scratch)


@pytest.mark.parametrize("fault", KINDS)
def test_killed_at_every_call_of_a_beginning(server: Server, tmp_path: Path, fault: str) -> None:
    """A run that dies before its first step can be started again in the same folder."""
    assert server.call(_begins, fault, cwd=tmp_path) >= 1


# --- Power failure -----------------------------------------------------------------------------------------------


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill spares what was written; a power failure spares only what was flushed: files, folder, then the name."""
    from fewer.runs import checkpoint, record

    happened: list[tuple[str, str]] = []

    def noted(name: str, place: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            happened.append((name, Path(place(*arguments)).relative_to(tmp_path).as_posix()))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    noted("fsync", lambda descriptor: os.readlink(f"/proc/self/fd/{descriptor}"))
    noted("rename", lambda source, target: str(target))
    noted("replace", lambda source, target: str(target))
    checkpoint.publish_folder(tmp_path / "final", {"a": b"a", "b": b"b"}, {})
    flushed = [("fsync", f".tmp-final/{name}") for name in ("a", "b", "manifest.json")]
    assert happened == [*flushed, ("fsync", ".tmp-final"), ("rename", "final"), ("fsync", ".")]
    happened.clear()
    record.publish(tmp_path / "file", "text")
    (first, temporary), last = happened
    assert (first, last) == ("fsync", ("replace", "file"))
    assert temporary.startswith(".file.")
    happened.clear()
    rows = record.Recorder(tmp_path / "rows.jsonl")
    rows.close()
    with record.publishing(tmp_path / "table"):
        pass
    assert [name for name, _ in happened] == ["fsync", "fsync", "replace"]


# --- Full and read-only disks ------------------------------------------------------------------------------------


def _meets(fault: str) -> dict[str, int]:
    """Every call of every writer in turn fails, as do those after it."""
    import shim
    from fewer.core.errors import ResourceError
    from fewer.models.published import publish_model
    from fewer.runs import checkpoint

    template, scratch, met = Path("template"), Path("scratch"), {}
    for step in (1, 2):
        checkpoint.save(_state(step), template, keep=2)
    publish_model(_model(1), {"seed": 1}, template, 1, "best")
    acts: dict[str, Callable[[Path], object]] = {
        "save": lambda folder: checkpoint.save(_state(3), folder, keep=2),
        "hand over": lambda folder: publish_model(_model(2), {"seed": 2}, folder, 2, "best"),
    }
    for name, act in acts.items():
        refused = 0
        for number in range(len(_counted(template, scratch, act))):
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(template, scratch, symlinks=True)
            with contextlib.suppress(ResourceError), shim.Shim(number, fault):
                refused += 1
                act(scratch)
                refused -= 1
            assert _step_of(scratch) in (2, 3)
            assert _handed_over(scratch, "best") in (1, 2)
            act(scratch)  # there is space again
        met[name] = refused
    return met


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_disk_fails_at_every_call(server: Server, tmp_path: Path, fault: str) -> None:
    """A disk that is full or read-only from any call on is a `ResourceError`; what was there before stays whole."""
    met = server.call(_meets, fault, cwd=tmp_path)
    assert met["save"] > 10
    assert met["hand over"] > 10


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 3 MB."""
    yield from _mounted(tmp_path / "disk", ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs"])


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system that cannot be written, not even by root."""
    yield from _mounted(tmp_path / "disk", ["mount", "-t", "tmpfs", "-o", "size=3m,ro", "tmpfs"])


def _mounted(folder: Path, command: list[str]) -> Iterator[Path]:
    folder.mkdir()
    try:
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


SMALL = """
data.source = "digits"
model = { name = "lenet5", width = 0.25 }
train = { epochs = 2, batch_size = 32, lr = 0.05 }
select = { method = "random", share = 0.2 }
out.checkpoint_every = "2step"
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def done(server: Server, recipe: Path) -> Path:
    """A run that nothing happened to, with all of its checkpoints."""
    ended = server.run("train", recipe, "out.keep=99", "--out", "done", cwd=recipe.parent)
    assert ended.code == 0, ended.stderr
    return recipe.parent / "done"


def _same_result(one: Path, other: Path) -> bool:
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    return results[0]["state"] == results[1]["state"] and results[0]["metrics"] == results[1]["metrics"]


def test_too_little_space_is_said_before_training(server: Server, recipe: Path, small_disk: Path) -> None:
    ended = server.run("train", recipe, "model.width=4", "--out", small_disk / "run", cwd=recipe.parent)
    assert ended.code == 6
    assert "MB free" in ended.stderr
    assert "out.keep" in ended.stderr


def _fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(10_000))


def test_disk_fills_up_during_training(server: Server, recipe: Path, done: Path, small_disk: Path) -> None:
    """The run ends with 6 and a reason; given space, it goes on as if nothing had happened."""
    run, ballast = small_disk / "run", small_disk / "ballast"
    process = server.start("train", recipe, "out.keep=1", "--out", run, cwd=recipe.parent)
    assert process.until(lambda: bool(list((run / "checkpoints").glob("epoch*"))))
    _fill(ballast)
    ended = process.wait()
    assert ended.code == 6, ended.stderr
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    ballast.unlink()
    assert server.run("resume", run, cwd=recipe.parent).code == 0
    assert _same_result(run, done)


def test_read_only_folder_is_said_before_training(server: Server, recipe: Path, read_only_disk: Path) -> None:
    ended = server.run("train", recipe, "--out", read_only_disk / "run", cwd=recipe.parent)
    assert ended.code == 6
    assert str(read_only_disk / "run") in ended.stderr
    assert "Read-only file system" in ended.stderr
    assert "--out" in ended.stderr


# --- Damage ------------------------------------------------------------------------------------------------------


def _damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "flipped":
        place = random.Random(path.name).randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
    elif how == "deleted":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"truncated": data[: len(data) // 2], "emptied": b"", "garbage": b"\xff{garbage" * 99}[how])


DAMAGES = ("truncated", "emptied", "flipped", "deleted", "garbage", "a folder")
FILES = ("state.safetensors", "state.json", "manifest.json")


def _load_beside(name: str, how: str) -> dict[str, Any]:
    from fewer.runs import checkpoint

    for step in (1, 2):
        last = checkpoint.save(_state(step), Path("run"), keep=2)
    _damage(last / name, how)
    state, path, damaged = checkpoint.load_newest(Path("run"))
    return {"step": state["cursor"]["step"], "path": path.name, "damaged": damaged, "damaged_path": str(last)}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_noticed_and_the_one_before_is_used(server: Server, tmp_path: Path, name: str, how: str) -> None:
    loaded = server.call(_load_beside, name, how, cwd=tmp_path)
    assert loaded["step"] == 1
    (note,) = loaded["damaged"]
    assert loaded["damaged_path"] in note


def _load_with_flipped_bits() -> dict[str, int]:
    from fewer.runs import checkpoint

    for step in (1, 2):
        last = checkpoint.save(_state(step), Path("run"), keep=2)
    found = {"1": 0, "2": 0}
    for name in FILES:
        data = (last / name).read_bytes()
        for place in random.Random(0).sample(range(8 * len(data)), 150):
            (last / name).write_bytes(
                data[: place // 8] + bytes([data[place // 8] ^ 1 << place % 8]) + data[place // 8 + 1 :]
            )
            state, _, _ = checkpoint.load_newest(Path("run"))
            step = state["cursor"]["step"]
            assert state["best"]["value"] == step / 7
            found[str(step)] += 1
        (last / name).write_bytes(data)
    return found


def test_no_flipped_bit_gets_into_a_state(server: Server, tmp_path: Path) -> None:
    """Whichever bit flips, what is loaded is one of the states that were saved."""
    found = server.call(_load_with_flipped_bits, cwd=tmp_path)
    assert found["1"] >= 300, "every bit of the state is guarded, and most of the manifest's"


def _refuses_non_finite() -> list[str]:
    import torch

    from fewer.core.errors import DivergedError
    from fewer.models.published import publish_model
    from fewer.runs import checkpoint

    folder, said = Path("run"), []
    folder.mkdir()
    state = _state(1)
    state["workers"]["0"]["model"]["weight"][3, 4] = float("nan")
    model = _model(1)
    with torch.no_grad():
        next(model.parameters())[0, 0] = float("inf")
    for act in (lambda: checkpoint.save(state, folder, 1), lambda: publish_model(model, {}, folder, 1, "best")):
        try:
            act()
        except DivergedError as error:
            said.append(str(error))
    assert not list(folder.iterdir())
    # Of workers that the next sync leaves out another one has to be there, and averages are always finite.
    broken = state["workers"]["0"]
    others = {"1": _state(1)["workers"]["0"]}
    for workers, averages in (({"0": broken}, {}), ({"0": broken} | others, {"ema": broken["model"]})):
        try:
            checkpoint.save({**state, "workers": workers, "averages": averages}, folder, 1, one_is_enough=True)
        except DivergedError as error:
            said.append(str(error))
    assert not list(folder.iterdir())
    assert checkpoint.load(checkpoint.save({**state, "workers": {"0": broken} | others}, folder, 1, one_is_enough=True))
    return said


def test_non_finite_weights_are_never_published(server: Server, tmp_path: Path) -> None:
    said = server.call(_refuses_non_finite, cwd=tmp_path)
    assert ["weight is not finite" in text for text in said] == [True] * 4


def _copied(run: Path, to: Path) -> Path:
    """A run whose last checkpoints are gone, as if it had been stopped in its last epoch."""
    shutil.copytree(run, to, symlinks=True)
    for path in [to / "result.json", *sorted((to / "checkpoints").glob("epoch*"))[-3:]]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return to


def _resumed(server: Server, run: Path) -> Ended:
    return server.run("resume", run.name, cwd=run.parent)


def test_resume_passes_over_damaged_checkpoints_and_says_so(server: Server, done: Path, tmp_path: Path) -> None:
    run = _copied(done, tmp_path / "run")
    newest, second = sorted((run / "checkpoints").glob("epoch*"))[:-3:-1]
    _damage(newest / "state.safetensors", "truncated")
    _damage(second / "manifest.json", "flipped")
    ended = _resumed(server, run)
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("passed over a damaged checkpoint") == 2
    assert newest.name in ended.stderr
    assert _same_result(run, done)


def test_no_intact_checkpoint_left(server: Server, done: Path, tmp_path: Path) -> None:
    """Exit 5 with every reason; the run is not begun again behind the user's back."""
    run = _copied(done, tmp_path / "run")
    checkpoints = list((run / "checkpoints").glob("epoch*"))
    for path in checkpoints:
        _damage(path / "state.safetensors", "emptied")
    ended = _resumed(server, run)
    assert ended.code == 5
    assert all(path.name in ended.stderr for path in checkpoints)
    assert "Traceback" not in ended.stderr


def test_damaged_run_folder_says_what_is_wrong(server: Server, done: Path, tmp_path: Path) -> None:
    """Files beside the checkpoints: what is needed is missed with a reason, the rest is done without."""
    run = _copied(done, tmp_path / "run")
    for name in ("env.json", "status.json", "metrics.csv", "plan.json"):
        _damage(run / name, "garbage")
    with (run / "rows.jsonl").open("ab") as file:
        file.write(b'{"kind":"step","epo')
    ended = _resumed(server, run)
    assert ended.code == 0, ended.stderr
    assert _same_result(run, done)
    (run / "result.json").unlink()
    _damage(run / "data.tsv.gz", "truncated")
    ended = _resumed(server, run)
    assert ended.code == 3
    assert "data.tsv.gz" in ended.stderr
    _damage(run / "recipe.resolved.toml", "garbage")
    ended = _resumed(server, run)
    assert ended.code == 2
    assert "recipe.resolved.toml" in ended.stderr


def test_checkpoints_at_chosen_epochs_stay(tmp_path: Path) -> None:
    from fewer.runs import checkpoint

    for epoch in range(1, 6):
        checkpoint.save({"cursor": {"epoch": epoch, "batch": 0, "step": epoch}}, tmp_path, 1, [2, 3])
    checkpoint.save({"cursor": {"epoch": 5, "batch": 2, "step": 6}}, tmp_path, 1, [2, 3, 9])
    assert sorted(path.name for path in checkpoint.newest_first(tmp_path)) == [
        checkpoint.name_of(2),
        checkpoint.name_of(3),
        checkpoint.name_of(5, 2),
    ]
