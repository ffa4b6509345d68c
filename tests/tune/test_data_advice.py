"""Advice on a data path, worked out by hand from the costs of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fewer.machine.loading import Loading
from fewer.plan.compile import compile_plan
from fewer.plan.facts import StoreFacts
from fewer.plan.plan import Plan
from fewer.plan.stores import store_side_px
from fewer.session.data_costs import Costs
from fewer.tune.data_advice import best_of, changes, images_per_second, limit_of, path_of, seconds_of, spare_threads
from planning import facts, recipe

MS = 1e-3
FILES = Loading(in_memory=False, processes=1, prefetched_batches=2, threads=4)


def costs(**changed: Any) -> Costs:
    given = {"decode": 4, "from_store": 1, "copy": 0, "augment": 0.5, "collate": 0.5, "step": 1} | changed
    return Costs(**{name: value * MS for name, value in given.items()}, step_of={32: 0.9 * MS, 128: 1.1 * MS})


def plan(device: str = "cpu", cores: int = 4, threads: int = 1, memory: float = 0, store: bool = False) -> Plan:
    stored = StoreFacts("x", "x", 64, "raw", False) if store else None
    given = facts(threads=threads, cores=cores, available_bytes=int(memory), device=device, store=stored)
    made = compile_plan(recipe(data={"source": "folder:x", "in_memory": "no", "processes": 1}), given)
    assert not made.loading.in_memory
    return made


def test_the_slowest_link_says_how_fast_training_is() -> None:
    path, made = path_of(plan()), plan()
    assert images_per_second(costs(), path, made) == pytest.approx(250), "one process, 4 ms an image"
    assert limit_of(costs(), path, made) == "decode"
    assert images_per_second(costs(decode=1), path, made) == pytest.approx(500), "1 ms of batch, 1 ms of step"
    assert limit_of(costs(decode=1), path, made) == "train"
    two = replace(path, loading=replace(FILES, processes=8))
    assert images_per_second(costs(step=0), two, made) == pytest.approx(800), "4 cores, 4 + 1 ms of them an image"
    assert limit_of(costs(step=0), two, made) == "cores"
    assert images_per_second(costs(), two, plan("cuda")) == pytest.approx(500), "a step on a device takes no core"
    stored = replace(path, stored=True)
    assert images_per_second(costs(step=0, collate=0), stored, made) == pytest.approx(1000)


def test_of_decoding_and_training_in_turn_the_longer_one_is_the_limit() -> None:
    path, made = path_of(plan()), plan()
    alone = replace(path, loading=replace(FILES, processes=0))
    assert images_per_second(costs(decode=50), alone, made) == pytest.approx(1000 / 14.5), "4 threads decode"
    assert limit_of(costs(decode=50), alone, made) == "decode"
    assert limit_of(costs(decode=50), replace(alone, stored=True), made) == "train", "1 ms in 4 threads, then 2 ms"
    assert limit_of(costs(decode=50, step=12), alone, made) == "train"
    assert limit_of(costs(decode=50), replace(alone, loading=replace(FILES, in_memory=True)), made) == "train"


def test_more_processes_are_named_where_decoding_is_slow() -> None:
    made = plan("cuda", cores=8)
    best = best_of(changes(made, [costs()], "r.toml"))
    assert best is not None
    assert (best.name, best.how) == ("processes", "data.processes=2"), "a third would bring nothing more"
    assert best.gain == pytest.approx(2)


def test_memory_is_named_where_it_suffices() -> None:
    assert "memory" not in {change.name for change in changes(plan(memory=1000), [costs()], "r.toml")}
    best = best_of(changes(plan(cores=1, memory=1e12), [costs(decode=50)], "r.toml"))
    assert best is not None
    assert best.name == "memory"
    assert not best.changes_result


def test_a_store_is_named_where_cores_are_short_and_only_if_there_is_none() -> None:
    made = plan(cores=1, memory=1000)
    best, side_px = best_of(changes(made, [costs(decode=50)], "my r.toml")), store_side_px(made.recipe, made.stages)
    assert best is not None
    assert (best.name, best.how) == ("store", f"`fewer data store 'my r.toml' --side {side_px}`")
    assert best.gain == pytest.approx(52 / 3), "cores: 50 + 1 + 1 ms before, 1 + 1 + 1 ms after"
    assert "store" not in {change.name for change in changes(plan(store=True), [costs()], "r.toml")}


def test_nothing_is_named_where_training_takes_the_time() -> None:
    made = plan("cuda", memory=1e12)
    assert best_of(changes(made, [costs(decode=0.1)], "r.toml")) is None
    much = replace(costs(decode=0.1), step_of={32: 0.2 * MS})
    best = best_of(changes(made, [much], "r.toml"))
    assert best is not None
    assert (best.how, best.changes_result) == ("train.batch_size=32", True)
    assert best.gain == pytest.approx(2 / 1.2)


def test_threads_are_spared_only_for_loader_processes_on_the_same_cores() -> None:
    assert spare_threads(plan(cores=4, threads=4)) == 3
    assert spare_threads(plan(cores=1, threads=2)) == 1
    assert spare_threads(plan(cores=4, threads=3)) == 0
    assert spare_threads(plan("cuda", cores=4, threads=4)) == 0


def test_seconds_are_those_of_all_stages() -> None:
    made = plan()
    images = made.facts.data.train_images
    assert seconds_of([costs()], path_of(made), made) == pytest.approx(made.epochs * images * 4 * MS)
