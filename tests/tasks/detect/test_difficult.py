"""Objects that VOC marks as difficult: trained on or not, counted or not, as `data.difficult` says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from annotated import dataset, photo, xml
from fewer import models
from fewer.core import rng
from fewer.core.detection import Detected, Detections, Limits
from fewer.core.errors import DataError
from fewer.core.types import At, Batch, Request
from fewer.data.images import ImageData
from fewer.data.listing.splits import Splits, open_splits
from fewer.data.settings import ViewSettings
from fewer.data.sources import open_source
from fewer.inspection.conversion import Conversion, converted
from fewer.inspection.split import Wanted, split
from fewer.inspection.splitting import sizes
from fewer.recipe.parse import parse_recipe
from fewer.session.build import make_plan, open_data
from fewer.session.selector import shown_classes
from fewer.sync.comm import SingleProcess
from fewer.tasks import detect

EASY, HARD = ("bee", 3, 3, 20, 25), ("bee", 26, 5, 38, 22)
MARK = "<difficult>1</difficult>"
LISTS = {"train": "ab", "val": "c"}


def written(root: Path, hard: bool = True, easy: bool = True) -> str:
    """Three pictures, each with an object and, if asked for, a difficult one behind it."""
    files = {f"ImageSets/Main/{part}.txt": "\n".join(names).encode() for part, names in LISTS.items()}
    for seed, name in enumerate("abc"):
        files[f"JPEGImages/{name}.jpg"] = photo(seed)
        objects = xml("", [EASY] if easy else []).partition(b"</annotation>")[0]
        marked = xml("", [HARD] if hard else [], None, MARK).partition(b"</filename>")[2]
        files[f"Annotations/{name}.xml"] = objects + marked
    return f"voc:{dataset(root, files)}"


def opened(text: str, difficult: Any = "train", **options: Any) -> Splits:
    return open_splits(text, test="none", opens=partial(open_source, difficult=difficult), **options)


def batch_of(splits: Splits, part: str = "train", is_training: bool = True) -> Batch:
    split = getattr(splits, part)
    data = ImageData(split, ViewSettings(aspect=4 / 3))
    request = Request(split.ids_M, 0, 64) if is_training else Request.evaluation(64, 0, split.ids_M)
    (batch,) = data.batches([request])
    return batch


class Finder(torch.nn.Module):
    """Finds some boxes in each picture, given in pixels of the picture."""

    def __init__(self, batch: Batch, found: list[tuple[tuple[Any, ...], float]]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.own = torch.tensor([[left - 1, top - 1, right, bottom] for (_, left, top, right, bottom), _ in found])
        self.scores = torch.tensor([score for _, score in found], dtype=torch.float64)
        self.place = [target["to_picture"] for target in batch.targets]  # type: ignore[index]

    def forward(self, image_BCHW: torch.Tensor, targets: Any = None) -> Detected:
        ones_B = torch.ones(len(image_BCHW))

        def find(limits: Limits) -> list[Detections]:
            kept_K = self.scores > limits.score
            frames = [(self.own - place[[1, 3, 1, 3]]) / place[[0, 2, 0, 2]] for place in self.place]
            labels = torch.zeros(int(kept_K.sum()), dtype=torch.int64)
            return [Detections(box_K4[kept_K], labels, self.scores[kept_K]) for box_K4 in frames]

        return Detected(1, find, {"class": ones_B, "box": ones_B}, ones_B.long(), ones_B)


def ap50(text: str, difficult: str, found: list[tuple[tuple[Any, ...], float]]) -> tuple[float, list[int]]:
    """AP50 of what is found in the validation picture, and the objects that count."""
    batch = batch_of(opened(text, difficult), "val", is_training=False)
    evaluation = detect.plain(["bee"]).evaluate(Finder(batch, found), [batch], SingleProcess())
    return evaluation.scalars["ap50"], evaluation.tables["per_class"]["objects"]


def test_by_vocs_rule_a_difficult_object_is_neither_missed_nor_wrongly_found(tmp_path: Path) -> None:
    """By hand: precision is the share of right ones among the first that count, its mean is taken over 101 recalls."""
    text = written(tmp_path)
    nothing: tuple[Any, ...] = ("bee", 1, 26, 8, 30)
    for difficult in ("train", "ignore"):
        assert ap50(text, difficult, [(EASY, 0.8)]) == (1.0, [1]), "not missed"
        assert ap50(text, difficult, [(HARD, 0.9), (EASY, 0.8)]) == (1.0, [1]), "not wrongly found"
        assert ap50(text, difficult, [(HARD, 0.9)]) == (0.0, [1]), "and not found in place of the other"
        assert ap50(text, difficult, [(nothing, 0.9), (EASY, 0.8)]) == (0.5, [1])
    assert ap50(text, "use", [(EASY, 0.8)]) == (pytest.approx(51 / 101), [2])
    assert ap50(text, "use", [(HARD, 0.9), (EASY, 0.8)]) == (1.0, [2])
    part: tuple[Any, ...] = ("bee", 27, 6, 30, 10)
    assert ap50(text, "train", [(part, 0.9), (EASY, 0.8)]) == (0.5, [1]), "no crowd: a detection in it is not of it"


def losses(batch: Batch) -> torch.Tensor:
    rng.reseed(0, "difficult")
    model = models.build("fcos_mobilenet_v3_small", channels=32, head_convs=1, classes=1, side_px=64).train()
    return detect.plain(["bee"], aspect=4 / 3).outcome(model, batch, At(0, 1, 0.0)).loss_sum_B.detach()


def test_what_is_ignored_changes_no_loss_and_what_is_trained_on_does(tmp_path: Path) -> None:
    text, other = written(tmp_path / "both"), written(tmp_path / "easy", hard=False)
    without = losses(batch_of(opened(other)))
    assert losses(batch_of(opened(text, "ignore"))).tolist() == without.tolist()
    trained, used = (losses(batch_of(opened(text, each))) for each in ("train", "use"))
    assert trained.tolist() == used.tolist()
    assert (trained != without).all()


def test_what_is_not_trained_on_is_no_object_of_its_image(tmp_path: Path) -> None:
    """For groups of images, classes that they show, and counts of the plan."""
    text = written(tmp_path)
    for difficult, each in (("ignore", 1), ("train", 2), ("use", 2)):
        train = opened(text, difficult).train
        assert train.class_objects() == [2 * each]
        assert train.source.objects is not None
        assert train.source.objects.count_N.tolist() == [each] * 3
        shown = shown_classes(train, 1)
        assert shown is not None
        assert len(shown.id_P) == 2
    written(tmp_path / "hard", easy=False)
    hard = opened(f"voc:{tmp_path / 'hard'}").train
    assert hard.source.objects is not None
    hard.source.set_difficult("ignore")
    shown = shown_classes(hard, 1)
    assert shown is not None
    assert not len(shown.id_P)


def test_a_split_says_how_many_objects_do_not_count(tmp_path: Path) -> None:
    text, hard = written(tmp_path / "both"), written(tmp_path / "hard", easy=False)
    notes = opened(text).notes
    assert '2 of 4 objects of the train set are marked as difficult: trained on (data.difficult = "train")' in notes
    assert any(note.startswith("1 of 2 objects of the val set are marked as difficult: not counted") for note in notes)
    assert not any("difficult" in note for note in opened(text, "use").notes)
    assert any("all 1 objects of the val set" in note and "AP is 0" in note for note in opened(hard).notes)
    with pytest.raises(
        DataError, match=r"leaves nothing to train on: all 2 objects .*; fix: data.difficult = \"train\""
    ):
        opened(hard, "ignore")


def test_only_difficult_objects_change_the_fingerprint_and_the_digest(tmp_path: Path) -> None:
    text, plain = written(tmp_path / "both"), written(tmp_path / "easy", hard=False)
    modes = ("train", "ignore", "use")
    assert len({opened(text, each).fingerprint for each in modes}) == 3
    assert len({opened(plain, each).fingerprint for each in modes}) == 1
    model = {"name": "fcos_mobilenet_v3_small", "channels": 32, "head_convs": 1}

    def digest(source: str, difficult: str) -> str:
        data = {"source": source, "test": "none", "difficult": difficult}
        train = {"side_px": 64, "batch_size": 2, "precision": "fp32"}
        recipe = parse_recipe({"data": data, "model": model, "task": {"name": "detect"}, "train": train})
        return make_plan(recipe, open_data(recipe)).digest

    assert len({digest(text, each) for each in modes}) == 3
    assert len({digest(plain, each) for each in modes} | {digest(text, "use")}) == 1


def test_marks_survive_conversions_where_a_format_has_them(tmp_path: Path) -> None:
    found: Any = open_source(written(tmp_path / "voc"))
    for number, kind in enumerate(("coco", "voc", "coco", "voc")):
        converted(Conversion(found.name, tmp_path / str(number), kind, "copy"))  # type: ignore[arg-type]
        found = open_source(f"{kind}:{tmp_path / str(number)}")
        assert found.objects.difficult_A.tolist() == [False, True] * 3
    told = converted(Conversion(found.name, tmp_path / "yolo", "yolo", "copy"))
    assert told["lost"]["marks of difficult objects"] == 3


def test_lists_and_chosen_images_keep_what_was_said_of_them(tmp_path: Path) -> None:
    text = written(tmp_path / "voc")
    split(Wanted(text, sizes("fractions", "train=0.7,test=0.3"), tmp_path / "lists", form="lists", pool=True), 0)
    listed: Any = open_source(f"lists:{tmp_path / 'lists'}", difficult="ignore")
    for source in (listed, listed.in_classes(["ant", "bee"], "test")):
        assert source.objects.difficult == "ignore"
        assert source.objects.trained_A.tolist() == [True, False] * 3
        assert source.objects.only(source.objects.difficult_A).trained_A.tolist() == [False] * 3
