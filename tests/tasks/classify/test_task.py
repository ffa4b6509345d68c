"""Losses and metrics equal torch's and scikit-learn's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from echo import Echo
from fewer import tasks
from fewer.core.metadata import TaskSetting
from fewer.core.types import At, Batch
from fewer.sync.comm import SingleProcess
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.tasks.classify.metrics import metric_names
from fewer.tasks.classify.task import Classify
from fewer.tasks.classify.tta import Views


def batch_of(logits: torch.Tensor, labels: torch.Tensor, first: int = 0) -> Batch:
    return Batch(torch.arange(first, first + len(labels)), logits, labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_equals_torchs(smoothing: float) -> None:
    logits = torch.randn(32, 7, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 7, (32,))
    ours = cross_entropy(logits, labels, smoothing)
    theirs = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    assert torch.allclose(ours.loss_sum_B, theirs, atol=1e-12)
    (gradient,) = torch.autograd.grad(ours.loss_sum_B.sum(), logits, retain_graph=True)
    (expected,) = torch.autograd.grad(theirs.sum(), logits)
    assert torch.allclose(gradient, expected, atol=1e-12)
    probability = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(ours.score_B, probability, atol=1e-12), "the score does not know of smoothing"
    assert torch.equal(ours.right_B, logits.argmax(1) == labels)
    assert ours.count_B.tolist() == [1] * 32


@pytest.mark.parametrize(("classes", "known"), [(5, False), (6, True)])
def test_no_top5_of_five_classes(classes: int, known: bool) -> None:
    logits, labels = torch.randn(20, classes), torch.arange(20) % classes
    evaluation = Classify(classes).evaluate(Echo(), [batch_of(logits, labels)], SingleProcess())
    assert ("top5" in evaluation.scalars) is known
    assert ("top5" in metric_names((4,) * classes)) is known


def test_metrics_equal_scikit_learns_whatever_the_batches() -> None:
    from sklearn import metrics

    torch.manual_seed(0)
    logits, labels = torch.randn(200, 8, dtype=torch.float64), torch.randint(0, 7, (200,))  # class 7 does not occur
    logits[torch.arange(100), labels[:100]] += 2
    task, comm = Classify(8), SingleProcess()
    whole = task.evaluate(Echo(), [batch_of(logits, labels)], comm)
    parts = [batch_of(logits[i : i + 33], labels[i : i + 33], i) for i in range(0, 200, 33)]
    pieces = task.evaluate(Echo(), parts, comm)
    said, true = logits.argmax(1), labels
    for got in (whole, pieces):
        assert got.scalars["top1"] == pytest.approx(metrics.accuracy_score(true, said))
        assert got.scalars["top5"] == pytest.approx(metrics.top_k_accuracy_score(true, logits, k=5, labels=range(8)))
        present = sorted(set(true.tolist()))
        assert got.scalars["macro_f1"] == pytest.approx(metrics.f1_score(true, said, average="macro", labels=present))
        assert got.scalars["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)))
        assert got.tables["confusion"] == metrics.confusion_matrix(true, said, labels=range(8)).tolist()
        assert got.tables["per_class_accuracy"][7] is None
    worst = F.cross_entropy(logits, labels, reduction="none").argsort(descending=True)[:64]
    assert [sample.id for sample in whole.worst] == worst.tolist()


def test_flip_augmentation_at_test_time_is_the_mean_of_both_views() -> None:
    logits, labels = torch.randn(20, 4), torch.randint(0, 4, (20,))
    plain = Classify(4).evaluate(Echo(), [batch_of((logits + logits.flip(-1)) / 2, labels)], SingleProcess())
    flipped = Classify(4, views=Views("flip")).evaluate(Echo(), [batch_of(logits, labels)], SingleProcess())
    assert flipped.scalars == pytest.approx(plain.scalars)


def test_a_run_and_its_published_model_look_at_the_same_views() -> None:
    classify = tasks.module("classify")
    params = classify.Params(tta="flip_and_shift", tta_below=0.75)
    task = classify.build(params, TaskSetting(("a", "b"), (3, 4)))
    again = classify.restored(classify.Metadata.model_validate(task.metadata()), None)
    assert again.views == task.views == Views("flip_and_shift", 0.75)
    assert again.metadata() == task.metadata()
    old = {"name": "classify", "classes": ["a", "b"], "flip_tta": True}
    assert classify.restored(classify.Metadata.model_validate(old), None).views == Views("flip")


def test_smoothing_touches_training_only() -> None:
    logits, labels = torch.randn(10, 3), torch.randint(0, 3, (10,))
    task = Classify(3, label_smoothing=0.3)
    trained = task.outcome(Echo(), batch_of(logits, labels), At(0, 1, 0.0)).loss_sum_B.mean()
    evaluated = task.evaluate(Echo(), [batch_of(logits, labels)], SingleProcess()).scalars["loss"]
    assert evaluated == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)
    assert float(trained) != pytest.approx(evaluated)


def test_guessing_knows_how_frequent_the_classes_are() -> None:
    """By hand: the entropy of their shares, and the share of the commonest; a class without images takes no part."""
    found = Classify(3).guess([30, 10, 0])
    assert found == pytest.approx({"loss": -0.75 * math.log(0.75) - 0.25 * math.log(0.25), "top1": 0.75})
    smoothed = Classify(2, label_smoothing=0.2).guess([5, 5])
    assert smoothed["loss"] == pytest.approx(math.log(2)), (
        "smoothing changes nothing where classes are equally frequent"
    )
