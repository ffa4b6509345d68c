"""The cases of peers.py and who trains in each, and tables of what they took; cells that were not run say so."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matched_cost import markdown, spread

Line = Mapping[str, Any]
FEWER = "fewer"
THEIRS, OURS = "theirs", "ours"
HEAD_ONLY = "textbook, last layer only"
SETTINGS = {THEIRS: "", OURS: ", our precision and layout"}


@dataclass(frozen=True)
class Case:
    """What is trained, by whom, and how far.

    Attributes:
        text: The task, as a reader needs it.
        metric: Of the test images, as a run of fewer names it, and as a reader does.
        target: The share to reach.
        peers: Those that train beside fewer.
        is_other_loop: They are loops of others, which also run with our precision and layout.
    """

    text: str
    metric: tuple[str, str]
    target: float
    peers: tuple[str, ...]
    is_other_loop: bool = True

    def arms(self) -> list[tuple[str, str]]:
        """All who train, with their settings: fewer, then each peer."""
        settings = list(SETTINGS) if self.is_other_loop else [THEIRS]
        return [(FEWER, THEIRS), *((peer, setting) for setting in settings for peer in self.peers)]


PATIENCE_EPOCHS = (3, 5, 10)


def patient(epochs: int) -> str:
    """Who trains plainly until so many epochs brought nothing better."""
    return f"plain, patience {epochs} epochs"


PATIENT = tuple(map(patient, PATIENCE_EPOCHS))
CASES = {
    "photos": Case(
        "2,105 photos of Caltech-101 in 30 classes, from ImageNet's weights of MobileNetV2",
        ("test/top1", "top-1"),
        0.95,
        ("timm", "torchvision", "textbook", HEAD_ONLY),
    ),
    "cifar10": Case(
        "all of CIFAR-10 from scratch", ("test/top1", "top-1"), 0.93, ("timm", "torchvision", "airbench94")
    ),
    "labels": Case(
        "10,000 images of CIFAR-10 with CIFAR-10N's wrong labels", ("test/top1", "top-1"), 0.6, PATIENT, False
    ),
    "longtail": Case("2,478 images of CIFAR-10, a long tail", ("test/macro_f1", "macro-F1"), 0.4, PATIENT, False),
    "detection": Case("BCCD, from ImageNet's weights of MobileNetV2", ("test/ap50", "AP50"), 0.75, ("torchvision",)),
}


def table(lines: Sequence[Line]) -> str:
    """A row for each who trains, case after case, in Markdown; of a case that nobody ran, one row."""
    head = (
        *("case", "trained by", "seeds", "metric, %", "seconds to target", "of fewer's"),
        *("CPU seconds", "FEE", "epochs done"),
    )
    rows: list[tuple[str, ...]] = []
    for name, case in CASES.items():
        runs = {arm: runs_of(lines, name, *arm) for arm in case.arms()}
        title = f"{case.text}: {100 * case.target:g} % {case.metric[1]}"
        if not any(runs.values()):
            rows.append((title, "all", "0", *["not run"] * (len(head) - 3)))
            continue
        ours = _seconds(runs[FEWER, THEIRS])
        for number, ((who, setting), done) in enumerate(runs.items()):
            rows.append((title if number == 0 else "", f"{who}{SETTINGS[setting]}", *_cells(done, ours)))
    return markdown(head, rows)


def best(lines: Sequence[Line]) -> str:
    """A row for each case that fewer and a peer ran: fewer, and the best peer. Seconds are those of CPUs."""
    head = ("task", "`fewer`, CPU s", "%", "best of the others", "CPU s", "%", "seeds")
    rows: list[tuple[str, ...]] = []
    for name, case in CASES.items():
        who, ours, theirs = paired_with_best(lines, name)
        if not theirs:
            continue
        task = f"{case.text}: {100 * case.target:g} % {case.metric[1]}"
        rows.append((task, *_reached(ours), who, *_reached(theirs), str(len(theirs))))
    return markdown(head, rows)


def paired_with_best(lines: Sequence[Line], name: str) -> tuple[str, list[Line], list[Line]]:
    """The best peer of a case, and fewer's and its runs of the seeds that both have, which ran on one machine.

    Best is who reached the target soonest, or came nearest. Nothing if nobody ran.
    """
    ours = {run["seed"]: run for run in runs_of(lines, name, FEWER)}
    found: dict[str, list[Line]] = {}
    for who, setting in CASES[name].arms():
        runs = [run for run in runs_of(lines, name, who, setting) if run["seed"] in ours]
        if who != FEWER and runs:
            found[f"{who}{SETTINGS[setting]}"] = runs
    if not found:
        return "", [], []
    who, theirs = min(found.items(), key=lambda item: _rank(item[1]))
    return who, [ours[run["seed"]] for run in theirs], theirs


def _reached(runs: Sequence[Line]) -> tuple[str, str]:
    """CPU seconds of some runs, which may not have reached the target, and what they reached."""
    best = [100 * run["best"] for run in runs if run["best"] is not None]
    seconds = _times(runs, "cpu_seconds")
    return ("" if _is_reached(runs) else "not reached in ") + seconds, spread(best, 1) if best else "none"


def _times(runs: Sequence[Line], key: str) -> str:
    """Seconds of some runs: their mean and spread, or each by itself where they ran on different processors."""
    values = [run[key] for run in runs]
    if len({run["machine"]["vectors"] for run in runs}) == 1:
        return spread(values, 0)
    return ", ".join(f"{value:.0f}" for value in values)


def _is_reached(runs: Sequence[Line]) -> bool:
    return all(run["seconds_to_target"] is not None for run in runs)


def _rank(runs: Sequence[Line]) -> tuple[bool, float]:
    """Low for what is good: who reached the target by their CPU seconds, then the others by how far they came."""
    if _is_reached(runs):
        return False, statistics.fmean(run["cpu_seconds"] for run in runs)
    return True, -statistics.fmean(run["best"] or 0.0 for run in runs)


def _cells(runs: Sequence[Line], ours: Mapping[int, float]) -> tuple[str, ...]:
    """What one took: seeds, metric, seconds and their ratio, CPU seconds, FEE, epochs."""
    if not runs:
        return ("0", *["not run"] * 6)
    found = _seconds(runs)
    ratios = [found[seed] / ours[seed] for seed in found.keys() & ours.keys()]
    missed = [run for run in runs if run["seconds_to_target"] is None]
    seconds = [_times([run for run in runs if run["seed"] in found], "seconds_to_target")] if found else []
    if missed:
        within = (
            f", ended after {missed[0]['minutes']:g} minutes of computing"
            if any(run["is_over_time"] for run in missed)
            else ""
        )
        of_all = f" by {len(missed)} of {len(runs)}" if found else ""
        seconds.append(f"not reached{within}{of_all}")
    return (
        str(len(runs)),
        _reached(runs)[1],
        "; ".join(seconds),
        spread(ratios, 2) if ratios else "–",
        _times(runs, "cpu_seconds"),
        spread([run["full_epoch_equivalents"] for run in runs], 2),
        spread([run["epochs"] for run in runs], 0),
    )


def runs_of(lines: Sequence[Line], case: str, who: str, setting: str = THEIRS) -> list[Line]:
    """The runs of one who trains in a case."""
    return [line for line in lines if (line["case"], line["trained_by"], line["settings"]) == (case, who, setting)]


def _seconds(runs: Sequence[Line]) -> dict[int, float]:
    """Seconds to the target by seed, of the runs that reached it."""
    return {run["seed"]: run["seconds_to_target"] for run in runs if run["seconds_to_target"] is not None}
