"""What `fewer plan` says of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from fewer.cli.plan_view import show_plan
from fewer.plan.compile import compile_plan
from fewer.plan.flops import Flops
from fewer.session.probe import Outlook
from planning import facts, recipe


def said(capsys: pytest.CaptureFixture[str], outlook: Outlook | None = None, **sections: Any) -> str:
    show_plan(compile_plan(recipe(**sections), facts(val_images=100)), outlook, everything=False)
    return capsys.readouterr().out


def test_each_stage_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    stages = [
        {"epochs": 5, "side_px": 16, "batch_size": 50, "strength": 0.5, "evaluation_side_px": 32},
        {"epochs": 1, "side_px": 32, "lr_scale": 0.5},
    ]
    text = said(capsys, stages=stages, train={"lr": 0.1, "warmup": "1ep", "schedule": "linear"})
    assert "epochs 1 to 5: 16 px, batches of 50, learning rate 0.01 to 0.1 to " in text
    assert "augmentation at 50%, evaluated at 32 px" in text
    assert "epoch 6: 32 px, batches of 128, learning rate 0.01 to 0.0005" in text


def test_a_stage_says_how_its_batches_are_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    augment = {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_until": "90%"}
    stages = [{"epochs": 4, "mix": 0.5}, {"epochs": 3, "strength": 0.25}, {"epochs": 3}, {"epochs": 2, "mix": 0.0}]
    text = said(capsys, augment=augment, stages=stages)
    first, second, third, fourth = (line for line in text.splitlines() if line.startswith("epochs"))
    assert first.endswith("mixup or CutMix in 50% of the batches")
    assert second.endswith("augmentation at 25%, mixup or CutMix in 25% of the batches")
    assert third.endswith("mixup or CutMix")
    assert "mix" not in fourth
    assert "a mixed image is taken for what it shows most of" in text
    ramp = said(capsys, augment={"mixup_alpha": 1.0}, stages=[{"epochs": 4, "strength": [0.25, 1.0]}])
    assert "augmentation at 25% to 100%, mixup in 25% to 100% of the batches" in ramp
    assert "mixup until 50% of the run" in said(capsys, augment={"mixup_alpha": 1.0, "mix_until": "50%"})


def test_the_cost_is_one_sentence_and_an_interval_where_the_run_decides(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cost: 20.00 full-epoch equivalents (FEE), as much as" in said(capsys, train={"epochs": 20})
    patient = said(capsys, train={"epochs": 20, "patience": "3ep"})
    assert "cost: 7.00 to 20.00 full-epoch equivalents (FEE), 35% to 100% of training on every image" in patient


def test_what_costs_more_or_less_than_plain_training_is_not_as_much(capsys: pytest.CaptureFixture[str]) -> None:
    ramp = said(capsys, stages=[{"epochs": 2, "ramp": "timm", "ramp_px": [16, 24, 32]}])
    (cost,) = (line for line in ramp.splitlines() if line.startswith("cost: "))
    fee, share = float(cost.split()[1]), float(cost.partition("(FEE), ")[2].partition("%")[0])
    assert fee < 1.5
    assert share == pytest.approx(50 * fee, abs=0.5)
    assert cost.endswith("% of plain training, 2 epochs of all images at 32 px")
    # An optimizer whose 8 steps of an epoch take as long as its images do; then one that takes next to nothing.
    plain = {"train": {"epochs": 2, "batch_size": 125, "optimizer": "muon"}}
    for step, text in ((384_000, "4.00 full-epoch equivalents (FEE), 200%"), (384, "(FEE), 100.1%")):
        flops = {32: (Flops(0, 1024, 2048, step=step),)}
        show_plan(compile_plan(recipe(**plain), facts(flops=flops)), None, everything=False)
        told = f"{text} of training on every image in every epoch; the arithmetic of muon itself is in it"
        assert told in capsys.readouterr().out


def test_stages_are_priced_in_a_table_beside_plain_training(capsys: pytest.CaptureFixture[str]) -> None:
    stages = [{"epochs": 4, "side_px": 16, "batch_size": 64}, {"epochs": 1, "side_px": 32}, {"epochs": 5}]
    times = Outlook((40.0, 51.0), 1e9, ((9.0, 10.0), (5.0, 5.0), (25.0, 36.0)), (80.0, 100.0))
    lines = said(capsys, times, stages=stages).splitlines()
    place = next(place for place, line in enumerate(lines) if line.split()[:2] == ["epochs", "px"])
    table = lines[place : place + 5]
    assert max(map(len, table)) <= 80
    assert [line.split() for line in table] == [
        ["epochs", "px", "batch", "FEE", "saves", "time"],
        ["stage", "1", "1-4", "16", "64", "1.00", "75%", "0:09", "to", "0:10"],
        ["stage", "2", "5", "32", "128", "1.00", "0%", "0:05"],
        ["stage", "3", "6-10", "32", "128", "5.00", "0%", "0:25", "to", "0:36"],
        ["the", "run", "10", "7.00", "30%", "0:40", "to", "0:51"],
    ]
    assert (
        "7.00 full-epoch equivalents (FEE), 70% of plain training, 10 epochs of all images at 32 px" in lines[place + 5]
    )
    assert "(plain training about 2 minutes)" in lines[place + 6]
    assert "time" not in said(capsys, stages=stages).splitlines()[place], "without a probe"


def test_time_and_memory_are_rough(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, Outlook((600.0, 1200.0), 1.5 * 2**30))
    assert "time: about 10 to 20 minutes on this machine" in text
    assert "memory up to about 1.5 GiB" in text
    assert "time:" not in said(capsys)
    assert "a process" not in text
    show_plan(compile_plan(recipe(), facts(processes=2)), Outlook((1.0, 2.0), 2**30), everything=False)
    assert "memory up to about 1.0 GiB a process" in capsys.readouterr().out
