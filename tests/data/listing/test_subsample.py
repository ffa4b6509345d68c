"""Fewer training images by recipe: a fixed subset, a long tail, and how accuracy is told by the images of a class."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer import report
from fewer.core.allocation import largest_remainders
from fewer.core.errors import RecipeError
from fewer.core.types import Batch
from fewer.data.listing import fingerprint
from fewer.data.listing.splits import Splits, open_splits
from fewer.data.listing.subsample import LongTail, subset, thinned
from fewer.recipe.parse import parse_recipe
from fewer.report.load import load
from fewer.report.shots import by_shots
from fewer.session.build import make_plan, open_data
from fewer.sync.comm import SingleProcess
from fewer.tasks.classify import shots
from fewer.tasks.classify.task import Classify
from fewer.testing.harness import one_thread, session_of, trained
from server import Server


def labels_of(counts: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def counted(label_N: torch.Tensor, ids_M: torch.Tensor, classes: int) -> list[int]:
    counts: list[int] = torch.bincount(label_N[ids_M], minlength=classes).tolist()
    return counts


# --- Subsets ---


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.floats(0, 1), st.integers(0, 99))
def test_a_subset_is_exact_stratified_and_knows_no_order(counts: list[int], part: float, seed: int) -> None:
    label_N, classes = labels_of(counts), len(counts)
    ids = torch.arange(len(label_N))
    total = max(classes, round(part * len(ids)))
    chosen = subset(ids, label_N, total, seed, [])
    assert len(chosen) == total
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    exact = np.array(counts) * total / sum(counts)
    found = np.array(counted(label_N, chosen, classes))
    assert (found >= 1).all()
    if (exact >= 1).all():
        assert (np.abs(found - exact) < 1).all(), "each class has its share, rounded up or down"
    assert torch.equal(chosen, subset(ids[torch.randperm(len(ids))], label_N, total, seed, []))
    assert torch.equal(subset(ids, label_N, len(ids), seed, []), ids), "all is all"


def test_a_larger_subset_holds_the_smaller_one() -> None:
    label_N = labels_of([50, 30, 20])
    small, large = (subset(torch.arange(100), label_N, total, 0, []).tolist() for total in (20, 60))
    assert set(small) < set(large)


def test_largest_remainders_by_hand() -> None:
    """7 of 10 + 5 + 2 + 1: exact parts 3.89, 1.94, 0.78, 0.39; the last two get their least, 1, and 5 remain."""
    count = torch.tensor([10, 5, 2, 1])
    assert largest_remainders(count, 7, count, torch.ones_like(count)).tolist() == [3, 2, 1, 1]
    assert largest_remainders(count, 18, count).tolist() == [10, 5, 2, 1]
    assert largest_remainders(torch.tensor([1.0, 1.0, 1.0, 1.0]), 12, count).tolist() == [5, 4, 2, 1]


def test_validation_and_test_do_not_depend_on_the_subset() -> None:
    plain, part = (open_splits("digits", part=asked) for asked in (None, 300))
    tail = open_splits("digits", tail=LongTail("exp", 50.0))
    for other in (part, tail):
        for name in ("val", "test"):
            assert torch.equal(getattr(other, name).ids_M, getattr(plain, name).ids_M)
        assert set(other.train.ids_M.tolist()) < set(plain.train.ids_M.tolist())
        assert torch.equal((other.train.label_N >= 0).nonzero().flatten(), other.train.ids_M), "others are not labelled"
        assert other.fingerprint != plain.fingerprint
    assert len(part.train) == 300
    assert torch.equal(open_splits("digits", part=300).train.ids_M, part.train.ids_M)
    assert not torch.equal(open_splits("digits", part=300, split_seed=1).train.ids_M, part.train.ids_M)
    assert "subset of 300 of 1,368 training images, stratified by class, split_seed 0" in part.notes
    assert len(open_splits("digits", part="20%").train) == round(0.2 * 1368)


def test_only_the_subset_is_decoded_counted_and_listed() -> None:
    content = {
        "data": {"source": "digits", "test": "20%", "val": "none", "subset": 60},
        "model": {"name": "lenet5", "width": 0.1},
        "train": {"epochs": 1, "batch_size": 30, "lr": 0.01},
    }
    with one_thread():
        session = trained(content)
    session.book_decoding()
    assert session.plan.facts.train_images == session.run.ledger.total("samples_decoded") == 60
    assert session.run.ledger.total("samples_backpropagated") == 60
    assert len(list(session.splits.manifest())) == 60
    assert "subset of 60 of 1,438 training images, stratified by class, split_seed 0" in session.plan.notes
    digests = {make_plan(recipe, open_data(recipe)).digest for recipe in map(parse_recipe, (content, _with(content)))}
    assert len(digests) == 2


def _with(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "data": {**content["data"], "subset": 61}}


def test_images_that_are_left_out_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for the fingerprint, nor without the cache; what the cache knows of others stays known."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "images"
    for label in "ab":
        (root / label).mkdir(parents=True)
        for i in range(20):
            file = root / label / f"{i}.png"
            file.write_bytes(f"{label}{i}".encode())
            os.utime(file, (1e9, 1e9))
    read: list[int] = []

    def opened(part: int | None, cache: bool = True) -> Splits:
        splits = open_splits(f"folder:{root}", "none", "none", cache=cache, part=part)
        own = splits.train.source.read
        monkeypatch.setattr(splits.train.source, "read", lambda id: read.append(id) or own(id), raising=False)
        return splits

    for cache in (False, True):
        read.clear()
        splits = opened(6, cache)
        assert splits.fingerprint
        assert sorted(read) == splits.train.ids_M.tolist()
    read.clear()
    whole = opened(None)
    assert whole.fingerprint
    assert sorted({*read, *splits.train.ids_M.tolist()}) == list(range(40))
    assert len(read) == 34, "those of the subset were known"
    read.clear()
    assert opened(8).fingerprint
    assert opened(None).fingerprint == whole.fingerprint
    assert not read
    hashes = fingerprint.hashes(whole.train.source, True)
    assert len({bytes(hashes[i]) for i in range(40)}) == 40


# --- Long tails ---


@pytest.mark.parametrize(
    ("classes", "each", "factor", "kind", "first", "last", "total"),
    [
        (10, 5000, 100.0, "exp", 5000, 50, 12_406),  # the published sizes of long-tailed CIFAR-10 and CIFAR-100
        (10, 5000, 50.0, "exp", 5000, 100, 13_996),
        (10, 5000, 10.0, "exp", 5000, 500, 20_431),
        (100, 500, 100.0, "exp", 500, 5, 10_847),
        (10, 5000, 100.0, "step", 5000, 50, 25_250),
        (10, 5000, 1.0, "exp", 5000, 5000, 50_000),
        (3, 30, 1000.0, "exp", 30, 1, 32),  # one image at least
        (5, 100, 10.0, "step", 100, 10, 230),
    ],
)
def test_sizes_are_the_published_ones(
    classes: int, each: int, factor: float, kind: Any, first: int, last: int, total: int
) -> None:
    label_N, notes = labels_of([each] * classes), list[str]()
    names = [f"c{i}" for i in range(classes)]
    chosen = thinned(torch.arange(len(label_N)), label_N, names, LongTail(kind, factor), 0, notes)
    counts = counted(label_N, chosen, classes)
    assert (counts[0], counts[-1], sum(counts)) == (first, last, total)
    assert counts == sorted(counts, reverse=True)
    (note,) = notes
    assert f"({kind}, factor {factor:g}): {classes} classes from {first:,} to {last:,} images, {total:,} in all" in note
    assert "allows no more" not in note


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1, max_size=7), st.floats(1, 500), st.sampled_from(["exp", "step"]))
def test_the_shape_is_kept_where_classes_are_of_unequal_size(counts: list[int], factor: float, kind: Any) -> None:
    tail = LongTail(kind, factor)
    found, scarcest = tail.counts(counts), tail.scarcest(counts)
    assert all(1 <= kept <= have for kept, have in zip(found, counts, strict=True))
    head, shares = found[0], tail.profile(len(counts))
    assert found == [max(1, int(head * share + 1e-9)) for share in shares]
    more = [max(1, int((head + 1) * share + 1e-9)) for share in shares]
    assert more[scarcest] > counts[scarcest], "the head is as large as it can be"


def test_the_class_that_allows_no_more_is_named() -> None:
    notes: list[str] = []
    label_N = labels_of([100, 30, 40])
    thinned(torch.arange(170), label_N, ["ant", "bee", "cat"], LongTail("exp", 4.0), 0, notes)
    assert notes[0].endswith("61 to 15 images, 106 in all; class 'bee' with its 30 images allows no more")


def test_a_long_tail_is_taken_from_the_subset_and_from_training_only() -> None:
    recipe = parse_recipe(
        {
            "data": {"source": "digits", "subset": 500, "long_tail": {"kind": "step", "factor": 5}},
            "model": {"name": "lenet5", "width": 0.1},
        }
    )
    splits = open_data(recipe)
    counts = splits.train.class_images()
    assert counts[:5] == [counts[0]] * 5
    assert counts[5:] == [counts[0] // 5] * 5
    assert 48 <= counts[0] <= 50
    assert splits.test is not None
    assert min(splits.test.class_images()) > 30
    assert make_plan(recipe, splits).as_json()["train_images_per_class"] == counts


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ({"subset": 1369}, ["data.subset = 1369", "1,368 training images", "at most 1368"]),
        ({"subset": 9}, ["data.subset = 9", "10 classes", "10 or more"]),
        ({"subset": "0.5%"}, ['data.subset = "0.5%": 7 images', "10 or more"]),
        ({"subset": 0}, ["data.subset = 0", "such as 10000", "leave it out"]),
        ({"subset": True}, ["data.subset = True", "such as 10000"]),
        ({"subset": 0.2}, ["data.subset = 0.2", '"20%"']),
        ({"subset": "101%"}, ["data.subset = '101%'", '"20%"']),
        ({"subset": "many"}, ["data.subset = 'many'"]),
        ({"long_tail": {"factor": 0.5}}, ["data.long_tail.factor = 0.5", "greater than or equal to 1", "100"]),
        ({"long_tail": {"factor": float("nan")}}, ["data.long_tail.factor"]),
        ({"long_tail": {"kind": "linear"}}, ["data.long_tail.kind = 'linear'", "'exp'"]),
        ({"long_tail": {"ratio": 3}}, ['unknown key "data.long_tail.ratio"']),
        ({"long_tail": 100}, ['"data.long_tail" is a section']),
    ],
)
def test_what_cannot_be_is_refused_with_a_fix(data: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        open_data(parse_recipe({"data": {"source": "digits", **data}, "model": {"name": "lenet5"}}))
    (problem,) = caught.value.problems
    assert all(part in problem for part in parts), problem


# --- Accuracy by training images ---


def test_groups_are_the_published_ones() -> None:
    assert shots.groups([500, 101, 100, 20, 19, 1]) == {"many": [0, 1], "medium": [2, 3], "few": [4, 5]}
    assert shots.groups([30, 40]) == {"medium": [0, 1]}
    assert [shots.is_imbalanced(each) for each in ([], [5, 5], [10, 5], [11, 5], [3, 0])] == [False] * 3 + [True] * 2


class Echo(torch.nn.Module):
    """A model whose logits are its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def evaluated(images_C: list[int], labels: list[int], said: list[int]) -> dict[str, float]:
    logits = torch.nn.functional.one_hot(torch.tensor(said), len(images_C)).double()
    batch = Batch(torch.arange(len(labels)), logits, torch.tensor(labels))
    return Classify(len(images_C), images_C=images_C).evaluate(Echo(), [batch], SingleProcess()).scalars


def test_accuracy_by_group_by_hand() -> None:
    """Classes of 200, 150, 50, 10, 5 training images; recalls 1, 1/2, 0, 1, none: the last is not in the set."""
    labels, said = [0, 0, 1, 1, 2, 2, 2, 3], [0, 0, 1, 0, 0, 1, 3, 3]
    scalars = evaluated([200, 150, 50, 10, 5], labels, said)
    assert scalars["many_shot"] == pytest.approx(0.75)
    assert scalars["medium_shot"] == 0.0
    assert scalars["few_shot"] == 1.0
    assert scalars["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    absent = evaluated([200, 150, 50, 10, 5], [0, 1], [0, 1])
    assert absent.keys() & {"medium_shot", "few_shot"} == set(), "groups without test images are left out"
    even = evaluated([200, 150, 120, 100, 100], labels, said)
    assert not even.keys() & {"many_shot", "medium_shot", "balanced_accuracy"}


def test_balanced_accuracy_is_scikit_learns() -> None:
    from sklearn.metrics import balanced_accuracy_score

    generator = torch.Generator().manual_seed(0)
    labels, said = (torch.randint(0, 5, (300,), generator=generator).tolist() for _ in range(2))
    scalars = evaluated([900, 90, 9, 2, 1], labels, said)
    assert scalars["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, said))


RECIPE = """[data]
source = "digits"
val = "10%"
long_tail = {factor = 60}

[model]
name = "lenet5"
width = 0.1
head = "normalized"

[task]
loss = "ldam"
class_weights = "effective_number"
reweight_from = "50%"

[train]
epochs = 2
batch_size = 32
lr = 0.03
"""


@pytest.fixture(scope="module")
def run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a long tail, with margins and a normalised head."""
    folder = tmp_path_factory.mktemp("tail")
    (folder / "tail.toml").write_text(RECIPE)
    ended = server.run("train", "tail.toml", "--out", "run", cwd=folder)
    assert ended.code == 0, ended.stderr
    assert "long tail (exp, factor 60): 10 classes from " in ended.stderr
    return folder / "run"


@pytest.mark.parametrize("split", ["test", "val"])
def test_evaluating_again_gives_the_runs_own_numbers(server: Server, run: Path, split: str) -> None:
    """Groups, a head of its own and scaled logits come back from what was published, to the last bit."""
    before = json.loads((run / "result.json").read_text())["metrics"]
    found = server.run("eval", "run", "--split", split, "--json", cwd=run.parent).json["metrics"]
    assert {f"{split}/{name}" for name in ("many_shot", "medium_shot", "few_shot", "balanced_accuracy")} <= set(found)
    assert found == {key: value for key, value in before.items() if key in found}
    assert "few-shot" in server.run("eval", "run", cwd=run.parent).stdout


def test_a_finished_run_is_extended(server: Server, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run", symlinks=True)
    ended = server.run("resume", "run", "train.epochs=3", cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 3


def test_the_report_tells_accuracy_by_training_images(run: Path, tmp_path: Path) -> None:
    page = report.write(run).read_text()
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    table = page.partition("Accuracy by training images of the class")[2]
    for name, words in (("many", "more than 100"), ("medium", "20 to 100"), ("few", "fewer than 20")):
        row = table.partition(f"{name}: {words}")[2].partition("</tr>")[0]
        assert f"{100 * metrics[f'test/{name}_shot']:.1f}" in row
    (tmp_path / "plan.json").write_text(json.dumps({"train_images_per_class": [500, 3]}))
    html = by_shots(load(tmp_path), [0.5, None], ["<b>", "&"])
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    for damage in ([500], [500, "x"], [500, -3], "ab", None, [5, 5]):
        (tmp_path / "plan.json").write_text(json.dumps({"train_images_per_class": damage}))
        assert by_shots(load(tmp_path), [0.5, None], ["a", "b"]) == ""


def test_what_the_classifier_is_told_is_what_trains() -> None:
    content = {
        "data": {"source": "digits", "test": "80%", "val": "none", "long_tail": {"factor": 20.0}},
        "model": {"name": "lenet5", "width": 0.1},
    }
    session = session_of({**content, "train": {"batch_size": 16}})
    labels = session.splits.train.label_N[session.run.selection.pool_ids]
    assert list(session.task.images_C) == torch.bincount(labels, minlength=10).tolist()  # type: ignore[attr-defined]
