"""Splits of a source: layouts, held-out shares and agreement of classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fewer.data.listing.splits import open_splits
from fewer.data.listing.strata import stratified
from fewer.data.sources import open_source
from sources import folder, packed, refusal, sizes


def test_classes_must_agree(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", {"b": 4, "c": 4})
    test = folder(tmp_path / "test", {"a": 2, "c": 2})
    message = refusal(f"folder:{train}", test=f"folder:{test}")
    assert "'a'" in message
    assert "a/000.png" in message
    assert str(test) in message
    fewer = folder(tmp_path / "fewer", {"c": 2})
    splits = open_splits(f"folder:{train}", test=f"folder:{fewer}", val="none")
    assert splits.test is not None
    assert splits.test.label_N.tolist() == [1, 1]
    assert "the test set has no image of b" in splits.notes


def test_layouts(tmp_path: Path) -> None:
    three = folder(tmp_path / "3", {f"{part}/{c}": 20 for part in ("train", "val", "test") for c in "ab"})
    assert sizes(open_splits(f"folder:{three}")) == (40, 40, 40)
    assert sizes(open_splits(f"folder:{three}", test="none", val="none")) == (40, 0, 0)
    assert sizes(open_splits(f"tar:{packed(tmp_path / '3.tar', three)}")) == (40, 40, 40)
    splits = open_splits(f"folder:{three}")
    assert splits.train.source.names[int(splits.train.ids_M[0])] == "train/a/000.png"
    imagenet = folder(tmp_path / "2", {f"x/{part}/{c}": 20 for part in ("train", "val", "extra") for c in "ab"})
    splits = open_splits(f"folder:{imagenet}")
    assert sizes(splits) == (38, 2, 40)
    assert any("test is the folder val/" in note for note in splits.notes)
    assert any("extra/" in note for note in splits.notes)
    assert sizes(open_splits(f"folder:{imagenet}", test="10%")) == (36, 40, 4)
    lone = folder(tmp_path / "1", {"train/a": 20, "train/b": 20})
    assert sizes(open_splits(f"folder:{lone}")) == (30, 2, 8)
    assert sizes(open_splits(f"folder:{lone}", test=f"folder:{three}", val=f"folder:{three}")) == (40, 40, 40)


def test_a_share_that_is_asked_for_wins_over_a_folder(tmp_path: Path) -> None:
    three = folder(tmp_path / "3", {f"{part}/{c}": 20 for part in ("Train", "Val", "Test") for c in "ab"})
    assert sizes(open_splits(f"folder:{three}")) == (40, 40, 40)
    splits = open_splits(f"folder:{three}", val="10%")
    assert sizes(splits) == (36, 4, 40)
    assert f'the folder val/ of folder:{three} is not used: data.val = "10%"' in splits.notes


def test_the_level_of_classes_holds_for_all_sources(tmp_path: Path) -> None:
    train = folder(tmp_path / "a", {f"{c}/{year}": 5 for c in "ab" for year in (1, 2)})
    test = folder(tmp_path / "b", {f"{c}/{year}": 5 for c in "ab" for year in (3, 4)})
    assert "which folder is the class?" in refusal(f"folder:{train}", test=f"folder:{test}")
    opens = partial(open_source, class_level=1)
    splits = open_splits(f"folder:{train}", test=f"folder:{test}", val="none", opens=opens)
    assert (splits.classes, sizes(splits)) == (["a", "b"], (20, 0, 20))


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), share=st.floats(0.01, 0.99), seed=st.integers(0, 99)
)
def test_held_out_shares_are_stratified_and_know_no_order(counts: list[int], share: float, seed: int) -> None:
    label_N = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    ids = torch.arange(len(label_N))
    chosen = stratified(ids, label_N, share, seed, "val")
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    for label, count in enumerate(counts):
        taken = int((label_N[chosen] == label).sum())
        assert taken == min(max(int(count * share + 0.5), 1), count - 1)
    assert torch.equal(chosen, stratified(ids[torch.randperm(len(ids))], label_N, share, seed, "val"))


def test_splits_are_disjoint_complete_and_repeatable() -> None:
    splits = open_splits("digits", test="20%", val="10%", split_seed=3)
    assert splits.val is not None
    assert splits.test is not None
    parts = [splits.train, splits.val, splits.test]
    ids = torch.cat([part.ids_M for part in parts])
    assert ids.sort().values.tolist() == list(range(1797))
    for part in parts:
        assert torch.equal(torch.nonzero(part.label_N >= 0).flatten(), part.ids_M)
        assert torch.bincount(part.label_N[part.ids_M]).float().std() < 4
    again = open_splits("digits", test="20%", val="10%", split_seed=3)
    assert torch.equal(again.train.ids_M, splits.train.ids_M)
    other = open_splits("digits", test="20%", val="10%", split_seed=4)
    assert other.val is not None
    assert not torch.equal(other.val.ids_M, splits.val.ids_M)
    small = splits.train.without(splits.train.ids_M[:5])
    assert len(small) == len(splits.train) - 5
    assert (small.label_N >= 0).sum() == len(small)


def test_a_class_with_one_image_keeps_it_for_training(tmp_path: Path) -> None:
    root = folder(tmp_path, {"lone": 1, "many": 9})
    splits = open_splits(f"folder:{root}")
    assert splits.train.label_N.tolist().count(0) == 1
    assert sizes(splits) == (7, 1, 2)
    for part in ("test", "val"):
        assert f"the {part} set has no image of lone" in splits.notes
