"""Fewer training images by recipe: a fixed subset and a long tail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.core.errors import RecipeError
from fewer.data.listing import fingerprint
from fewer.data.listing.splits import Splits, open_splits
from fewer.data.listing.subsample import LongTail, subset, thinned
from fewer.plan.document import plan_json
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from fewer.testing.harness import one_thread, trained


def labels_of(counts: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def counted(label_N: torch.Tensor, ids_M: torch.Tensor, classes: int) -> list[int]:
    counts: list[int] = torch.bincount(label_N[ids_M], minlength=classes).tolist()
    return counts


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
    assert session.plan.facts.data.train_images == session.run.ledger.total("samples_decoded") == 60
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
    assert plan_json(make_plan(recipe, splits))["train_images_per_class"] == counts


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
