"""Time to accuracy as a user counts it: `fewer` beside what people use now, from process start to process end.

    python benchmarks/peers.py --case photos --photos data/caltech101_subset --weights mobilenet_v2.pt \\
        [--seeds 0,1,2] [--only TEXT] [--settings theirs ours] [--minutes 15]

The same data, first weights, machine and target accuracy; one after the other, seeds outermost, so that what else the
machine does meets all alike. Data sets are folders train/ and test/ of class folders; BCCD is as in its recipe. A peer
is a file of benchmarks/peers/ and names its settings and where they were read. It evaluates on the test images after
each of its epochs and ends at the first evaluation that reaches the target; `fewer` runs to its end, chooses by images
that it holds out, and tests once. `--settings ours` runs the peers with our precision and layout: bfloat16 where
`fewer` takes it by itself, channels last. A process is ended once it has computed for `--minutes` on its threads, which
are minutes of the clock where nothing else runs.

FEE: operations of training and scoring over those of one epoch of all training images, forwards and backwards of the
whole net at the peers' side, the same for all of a case; of a run that was ended, up to its last evaluation. CPU
seconds are those of all processes; where a machine is shared they tell more than the clock. One line a run in
results/peers.jsonl; only missing runs are made, from their beginning. At the end a table.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import ROOT, Results, parsed, parser, photos
from peer_costs import Network
from peer_table import CASES, FEWER, HEAD_ONLY, OURS, PATIENCE_EPOCHS, SETTINGS, THEIRS, patient, table
from variants import GUARDS, RARE, STUDIES, TRUSTED, as_recorded

LOOPS = Path(__file__).resolve().parent / "peers"
RECIPES = ROOT / "recipes"
THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


@dataclass(frozen=True)
class Setup:
    """A case on this machine.

    Attributes:
        network: What FEE are counted in, and what the loops train unless `networks` says otherwise.
        images: How many train.
        words: What stands behind `python`, by who trains.
        networks: What a loop trains in place of it.
    """

    network: Network
    images: int
    words: dict[str, tuple[object, ...]]
    networks: dict[str, Network]


@dataclass(frozen=True)
class Outcome:
    """What a process left.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: Of it and all that it started.
        evaluations: Lines of a loop.
        result: `result.json` of a run of fewer; empty if it was ended before.
        is_over_time: It was ended.
    """

    seconds: float
    cpu_seconds: float
    evaluations: list[dict[str, float]]
    result: dict[str, Any]
    is_over_time: bool


def main() -> None:
    command = parser(__doc__)
    command.add_argument("--case", nargs="*", choices=list(CASES), default=list(CASES))
    command.add_argument("--photos", type=Path, default=ROOT / "data" / "caltech101_subset")
    command.add_argument("--cifar10", type=Path, default=ROOT / "data" / "cifar10")
    command.add_argument("--boxes", default=f"voc:{ROOT / 'data' / 'BCCD'}")
    command.add_argument("--weights", type=Path, help="file of a MobileNetV2's weights; left out: random ones")
    command.add_argument("--seeds", default="0", help="comma-separated")
    command.add_argument("--only", nargs="*", default=[""], metavar="TEXT", help="who holds one of these texts")
    command.add_argument("--settings", nargs="*", choices=list(SETTINGS), default=[THEIRS])
    command.add_argument("--minutes", type=float, default=15.0, help="of computing, after which a process is ended")
    args = parsed(command, "--case=photos", "--only", "fewer", "textbook")
    results = Results("peers", args.smoke)
    with photos(2, 12, 48) if args.smoke else nullcontext() as made_up:
        setups = {name: tiny(made_up) if made_up else SETUPS[name](args) for name in args.case}
        for seed in map(int, args.seeds.split(",")):
            for name, setup in setups.items():
                for who, settings in CASES[name].arms():
                    if who in setup.words and settings in args.settings and any(text in who for text in args.only):
                        take_turn(results, name, setup, (who, settings), seed, args.minutes)
    print(table(results.lines))


def take_turn(results: Results, name: str, setup: Setup, arm: tuple[str, str], seed: int, minutes: float) -> None:
    """Makes one run and keeps its line, unless it is on record."""
    who, settings = arm
    done = {(line["case"], line["trained_by"], line["settings"], line["seed"]) for line in results.lines}
    if (name, *arm, seed) in done:
        return
    case, load = CASES[name], os.getloadavg()[0]
    network = setup.networks.get(who, setup.network)
    is_loop = str(setup.words[who][0]).startswith(str(LOOPS))
    with tempfile.TemporaryDirectory() as folder:
        if is_loop:
            extra = ("--target", case.target, "--seed", seed, *(our_settings(network) if settings == OURS else ()))
        else:
            extra = (f"train.seed={seed}", "--out", Path(folder, "run"))
        outcome = run((*setup.words[who], *extra), Path(folder), minutes)
    line = costs_of(outcome, setup, network) if is_loop else result_of(outcome, name, setup)
    is_reached = line["best"] is not None and line["best"] >= case.target
    at = next((each["seconds"] for each in outcome.evaluations if each["accuracy"] >= case.target), outcome.seconds)
    results.keep(
        case=name,
        trained_by=who,
        settings=settings,
        seed=seed,
        target=case.target,
        minutes=minutes,
        seconds_to_target=at if is_reached else None,
        seconds=outcome.seconds,
        cpu_seconds=outcome.cpu_seconds,
        is_over_time=outcome.is_over_time,
        **line,
        evaluations=outcome.evaluations,
        load=[load, os.getloadavg()[0]],
        threads=THREADS,
        versions={package: version(package) for package in ("fewer", "torchvision", "timm")},
    )
    print(name, who, settings, seed, line, f"{outcome.seconds:.0f} s", flush=True)


def run(words: tuple[object, ...], folder: Path, minutes: float) -> Outcome:
    """Starts a process and reads the lines that it prints; the kernel ends it after so many minutes on its threads."""
    began, limit = time.monotonic(), round(60 * minutes * THREADS)
    command = [sys.executable, *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit, limit + 60))
    assert process.stdout is not None
    evaluations = [json.loads(text) for text in process.stdout if text.startswith("{")]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    is_over_time = process.returncode == -signal.SIGXCPU
    if process.returncode and not is_over_time:
        raise SystemExit(f"this ended with {process.returncode}: {' '.join(command)}")
    result = folder / "run" / "result.json"
    return Outcome(
        time.monotonic() - began,
        usage.ru_utime + usage.ru_stime,
        evaluations,
        json.loads(result.read_text()) if result.exists() else {},
        is_over_time,
    )


def costs_of(outcome: Outcome, setup: Setup, network: Network) -> dict[str, Any]:
    """The best accuracy of a loop, its epochs, and what they cost up to its last evaluation."""
    told = outcome.evaluations
    flops = network.training_flops(told)
    return {
        "best": max((each["accuracy"] for each in told), default=None),
        "epochs": told[-1]["epoch"] if told else 0,
        "flops": flops,
        "full_epoch_equivalents": flops / (setup.images * setup.network.sample_flops()),
    }


def result_of(outcome: Outcome, name: str, setup: Setup) -> dict[str, Any]:
    """The same of a run of fewer: the accuracy on the test images, which it looks at once."""
    if not outcome.result:
        return {"best": None, "epochs": 0, "flops": 0, "full_epoch_equivalents": 0.0}
    ledger, case = outcome.result["ledger"], CASES[name]
    own = ledger["full_epoch_equivalents"]
    plain = setup.images * setup.network.sample_flops() if case.is_other_loop else 0
    return {
        "best": outcome.result["metrics"][case.metric[0]],
        "epochs": outcome.result["epochs"],
        "flops": ledger["flops"],
        "full_epoch_equivalents": ledger["flops"] / plain if plain else own,
        "own_full_epoch_equivalents": own,
        "digest": outcome.result["digest"],
    }


def our_settings(network: Network) -> tuple[str, ...]:
    """Flags of a loop for the precision and layout that fewer takes for this network on this machine."""
    from fewer.machine.precision import auto_precision, native_bf16

    precision = auto_precision("cpu", native_bf16("cpu"), network.depthwise_share())
    return ("--channels-last", "--precision", precision)


# --- The cases on this machine ---------------------------------------------------------------------------------------


def of_photos(args: argparse.Namespace) -> Setup:
    data, weights = args.photos.resolve(), args.weights.resolve() if args.weights else None
    flags = ("--weights", weights) if weights else ()
    loops = {"timm": "timm:mobilenetv2_100", "torchvision": "mobilenet_v2", "textbook": "mobilenet_v2"}
    words = {who: (LOOPS / f"{who}_loop.py", data, "--model", net, *flags) for who, net in loops.items()}
    network = Network("mobilenet_v2", 224, sum(1 for each in (data / "train").iterdir() if each.is_dir()))
    return Setup(
        network,
        pictures(data / "train"),
        {
            FEWER: ("-m", "fewer", "train", data, *((f"model.weights={weights}",) if weights else ())),
            **words,
            HEAD_ONLY: (*words["textbook"], "--head-only"),
        },
        {HEAD_ONLY: replace(network, is_head_only=True)},
    )


def of_cifar10(args: argparse.Namespace) -> Setup:
    data = args.cifar10.resolve()
    own = {"whiten": True, "whiten_bias_epochs": 3}
    flags = ("--model", "fewer:cnn", "--side", 32, "--crop-pct", 1.0)
    # The one line, in six epochs where its recipe takes eight, which end at 94 %, by six views as airbench94's.
    shorter = ("train.epochs=6", "task.tta=flip_and_shift", "task.tta_below=0.7")
    return Setup(
        Network("cnn", 32, 10),
        pictures(data / "train"),
        {
            FEWER: ("-m", "fewer", "train", data, *shorter),
            **{who: (LOOPS / f"{who}_loop.py", data, *flags) for who in CASES["cifar10"].peers},
        },
        {"airbench94": Network("cnn", 32, 10, own)},
    )


def of_boxes(args: argparse.Namespace) -> Setup:
    from fewer.data.listing.splits import open_splits

    train = open_splits(args.boxes).train
    weights = args.weights.resolve() if args.weights else None
    given = (f"model.weights={weights}",) if weights else ()
    flags = ("--model", "fewer:fcos_mobilenet_v2", "--side", 320, *(("--weights", weights) if weights else ()))
    return Setup(
        Network("fcos_mobilenet_v2", 320, len(train.classes), task="detect", aspect=train.native_frame()[1]),
        len(train),
        {
            FEWER: ("-m", "fewer", "train", RECIPES / "detect-bccd.toml", f"data.source={args.boxes}", *given),
            "torchvision": (LOOPS / "detection_loop.py", args.boxes, *flags),
        },
        {},
    )


def of_study(name: str, variant: tuple[str, ...]) -> Setup:
    """A study of selection.py, whose tars lie in data/cifar10: a variant, and plain training that stops early."""
    study = STUDIES[name]
    common = ("-m", "fewer", "train", study.recipe, *study.overrides)
    plain = {patient(epochs): (*common, "data.val=10%", f"train.patience={epochs}ep") for epochs in PATIENCE_EPOCHS}
    return Setup(Network("lenet5", 32, 10), 0, {FEWER: (*common, *as_recorded(variant)), **plain}, {})


def tiny(folder: Path) -> Setup:
    """For --smoke: the photos of a folder to train and to test on, a small net, an epoch."""
    classes = list(folder.iterdir())
    (folder / "train").mkdir()
    for each in classes:
        each.rename(folder / "train" / each.name)
    (folder / "test").symlink_to(folder / "train")
    keys = ("model.name=lenet5", "train.epochs=1", "train.side_px=32", "out.plots=false")
    flags = ("--model", "fewer:lenet5", "--side", 32, "--workers", 0, "--epochs", 1)
    words = {FEWER: ("-m", "fewer", "train", folder, *keys), "textbook": (LOOPS / "textbook_loop.py", folder, *flags)}
    return Setup(Network("lenet5", 32, len(classes)), pictures(folder / "train"), words, {})


def pictures(folder: Path) -> int:
    """How many files lie in the class folders."""
    return sum(1 for each in folder.glob("*/*") if each.is_file())


SETUPS = {
    "photos": of_photos,
    "cifar10": of_cifar10,
    "labels": lambda args: of_study("noisy40", GUARDS[TRUSTED]),
    "longtail": lambda args: of_study("longtail", RARE["logit adjustment"]),
    "detection": of_boxes,
}

if __name__ == "__main__":
    main()
