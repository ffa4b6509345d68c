"""Storage of trials: drawn by their numbers, resumed, shared, and never with a password in a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from fewer.core.errors import RecipeError, ResourceError
from fewer.recipe.search_section import axes_asked
from fewer.tune.search import storage
from fewer.tune.search.storage import JOURNAL, Store, masked

AXES = axes_asked(["train.lr=log:1e-3..1", "train.batch_size=30,45,90"])


def store(folder: Path, address: str = "", name: str = "small") -> Store:
    folder.mkdir(exist_ok=True)
    return Store(address, name, folder, maximize=True)


def drawn(each: Store, count: int, seed: int = 0) -> list[dict[str, str]]:
    found = []
    for _ in range(count):
        trial = each.begin(AXES, "tpe", seed)
        each.report(trial.number, 1.0, 0.5)
        each.end(trial.number, "done", float(trial.values["train.lr"]), seconds=1.0)
        found.append(dict(trial.values))
    return found


def test_the_same_seed_draws_the_same_values_also_in_two_sittings(tmp_path: Path) -> None:
    """Eleven draws: the last one goes by what was reached, behind the sampler's random beginning."""
    whole = drawn(store(tmp_path / "a"), 11)
    assert len({values["train.lr"] for values in whole}) == 11
    halves = drawn(store(tmp_path / "b"), 5) + drawn(store(tmp_path / "b"), 6)
    assert halves == whole
    assert drawn(store(tmp_path / "c"), 3, seed=1) != whole[:3]


def test_trials_come_back_as_they_were_kept(tmp_path: Path) -> None:
    first = store(tmp_path)
    one, two, three, four = (first.begin(AXES, "random", 0) for _ in range(4))
    first.report(one.number, 0.5, 0.25)
    first.report(one.number, 1.0, 0.75)
    first.end(one.number, "done", 0.75, full_epoch_equivalents=1.0, seconds=2.0, epoch=1, interval=[0.7, 0.8])
    first.end(two.number, "diverged", message="not finite")
    first.end(three.number, "failed", message="a reason")
    again = store(tmp_path)
    found = again.trials()
    assert [trial.outcome for trial in found] == ["done", "diverged", "failed", "begun"]
    assert [trial.values for trial in found] == [trial.values for trial in (one, two, three, four)]
    done = found[0]
    assert (done.value, done.curve, done.interval, done.epoch) == (0.75, ((0.5, 0.25), (1.0, 0.75)), (0.7, 0.8), 1)
    assert (done.full_epoch_equivalents, done.seconds, found[2].message) == (1.0, 2.0, "a reason")
    assert [trial.number for trial in again.interrupted()] == [four.number]


def test_a_grid_is_laid_out_once(tmp_path: Path) -> None:
    axes = axes_asked(["train.lr=0.1,0.2", "train.batch_size=30,45"])
    grid = [{"train.lr": lr, "train.batch_size": size} for lr in ("0.1", "0.2") for size in ("30", "45")]
    first = store(tmp_path)
    first.lay_out(grid, 0)
    begun = [first.begin(axes, "grid", 0).values for _ in range(2)]
    again = store(tmp_path)
    again.lay_out(grid, 0)
    begun += [again.begin(axes, "grid", 0).values for _ in range(2)]
    assert sorted(begun, key=str) == sorted(grid, key=str)
    again.lay_out(grid, 0)
    assert len(again.trials()) == 4


def test_two_machines_that_lay_out_one_grid_at_once_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds an empty study, so every combination is in it twice."""
    address, axes = f"sqlite:///{tmp_path / 'study.db'}", axes_asked(["train.lr=0.1,0.2,0.3"])
    grid = [{"train.lr": lr} for lr in ("0.1", "0.2", "0.3")]
    here, there = store(tmp_path / "a", address), store(tmp_path / "b", address)
    here.lay_out(grid, 0)
    with monkeypatch.context() as patched:
        patched.setattr(there._study, "get_trials", lambda **_: [])
        there.lay_out(grid, 0)
    begun = [each.begin(axes, "grid", 0) for each in (here, there, here, there)]
    assert sorted(trial.values["train.lr"] for trial in begun if trial) == ["0.1", "0.2", "0.3"]
    assert begun[3] is None, "nothing is drawn where the other has taken the last one"
    assert len(here.trials()) == len(there.trials()) == 3
    assert len(here.interrupted()) == 2


def test_a_line_that_a_kill_has_torn_is_dropped(tmp_path: Path) -> None:
    drawn(store(tmp_path), 1)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert len(drawn(store(tmp_path), 2)) == 2
    assert len(store(tmp_path).trials()) == 3


def test_a_database_is_shared_and_leaves_others_trials_alone(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path / 'study.db'}"
    here, there = store(tmp_path / "a", address), store(tmp_path / "b", address)
    mine, theirs = here.begin(AXES, "random", 0), there.begin(AXES, "random", 0)
    assert (mine.number, theirs.number) == (0, 1)
    assert [trial.number for trial in here.interrupted()] == [0]
    assert [trial.number for trial in store(tmp_path / "b", address).interrupted()] == [1]
    assert len(here.trials()) == 2
    begun = here._study.ask()  # a trial whose values are being drawn by who knows whom
    assert [trial.number for trial in there.interrupted()] == [1]
    here._study.tell(begun.number, 0.5)


@pytest.mark.parametrize("address", ["nonsense", "sqlite:////no/such/folder/at/all.db", "mysql://me:geheim@nowhere/x"])
def test_an_address_that_leads_nowhere_is_refused_without_its_password(address: str, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="check") as error:
        store(tmp_path, address)
    assert "geheim" not in str(error.value)
    assert masked("postgresql://me:ge:heim@host:5432/db") == "postgresql://me:***@host:5432/db"


def test_a_missing_package_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"optuna is missing; pip install optuna$"):
        storage.require()
