"""Every block of docs/coming-from.md is a recipe, or a command on one, that can be planned."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from fewer import select, tasks
from fewer.core.errors import RecipeError
from fewer.core.population import Population
from fewer.plan.compile import compile_plan
from fewer.plan.facts import DataFacts, Facts, ModelFacts
from fewer.plan.flops import Flops
from fewer.plan.plan import Plan
from fewer.recipe import shipped
from fewer.recipe.parse import parse_recipe
from fewer.recipe.search_section import axes_asked
from paths import DOCS

PAGE = DOCS / "coming-from.md"
IMAGES, CLASSES = 5000, 10
FLOPS = {side: (Flops(0, side * side, 2 * side * side),) for side in range(8, 641)}


@dataclass(frozen=True)
class Block:
    """A fenced block: the line it stands in, its language, its text."""

    line: int
    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        yield Block(page.count("\n", 0, found.start()) + 1, found[1], found[2])


def recipes(page: str) -> Iterator[tuple[int, dict[str, Any], list[str]]]:
    """The line, the whole content and the overrides of every recipe on the page.

    A block with [data] is whole; one without takes the place of the sections of the whole recipe above it. What
    `fewer init` writes is the ready recipe that it names.
    """
    whole: dict[str, Any] = {}
    named: dict[str, dict[str, Any]] = {}
    for block in blocks(page):
        if block.language == "toml":
            content = tomllib.loads(block.text)
            assert content, f"line {block.line}: an empty block"
            if "data" in content:
                whole = content
                if name := re.match(r"# (\S+\.toml)\n", block.text):
                    named[name[1]] = content
            yield block.line, {**whole, **content}, []
        elif block.language == "sh":
            for command in block.text.splitlines():
                words = shlex.split(command)
                if words[:2] == ["fewer", "init"]:
                    named[words[-1]] = tomllib.loads(shipped.text(words[words.index("--recipe") + 1]))
                    yield block.line, named[words[-1]], []
                    continue
                assert words[0] == "fewer", f"line {block.line}: {command}"
                assert words[1] in ("train", "plan", "tune"), f"line {block.line}: {command}"
                overrides = [word for word in words[3:] if re.match(r"[\w.]+=", word)]
                if words[1] == "tune":
                    (axis,) = axes_asked([overrides.pop()])
                    ends = ([*overrides, f"{axis.key}={value}"] for value in axis.ends)
                    yield from ((block.line, named[words[2]], keys) for keys in ends)
                    continue
                yield block.line, named[words[2]], overrides
        else:
            raise AssertionError(f"line {block.line}: a block of {block.language or 'no language'} cannot be planned")


def planned(content: dict[str, Any], overrides: list[str]) -> Plan:
    """The plan for a data set that nobody has to have: `IMAGES` images of `CLASSES` classes."""
    recipe = parse_recipe(content, overrides)
    population = Population(0, torch.arange(IMAGES) % CLASSES, CLASSES)
    classes = tuple(map(str, range(CLASSES)))
    val = 0 if recipe.data.val == "none" else IMAGES // 20
    annotations = tasks.module(recipe.task.name).ANNOTATIONS
    images_C = (IMAGES // CLASSES,) * CLASSES if annotations == "classes" else ()
    data = DataFacts(IMAGES, val, 1000, classes, 32, class_images=images_C, annotations=annotations)
    facts = Facts(data, ModelFacts(FLOPS, plain_sample_flops=3 * 224 * 224, parameters=10))
    selector = select.build(recipe.select, population, recipe.epochs)  # type: ignore[arg-type]
    return compile_plan(recipe, facts, selector.expected)


PAGE_RECIPES = [(line, content, overrides) for line, content, overrides in recipes(PAGE.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("content", "overrides"),
    [(content, overrides) for _, content, overrides in PAGE_RECIPES],
    ids=[f"line {line} {content.get('select', {}).get('method', '')}" for line, content, _ in PAGE_RECIPES],
)
def test_every_recipe_can_be_planned(content: dict[str, Any], overrides: list[str]) -> None:
    plan = planned(content, overrides)
    low, high = plan.predicted["full_epoch_equivalents"]
    assert 0 < low <= high
    assert [each.every for each in plan.evaluations if each.name == "val"] == [1], "accuracy over time, and a best"


FLAGS = (
    *("mode", "epoch", "task", "model", "pretrained", "mae_checkpoint", "dataset", "download", "batch_size"),
    *("learning_rate", "scheduler_type", "threshold", "epoch_threshold", "start_revision", "interval", "increment"),
    *("warmup_epochs", "refresh_interval", "ema_alpha", "epsilon", "long_tail", "ldam", "noisy", "save_path"),
)
MODES = (
    *("baseline", "train_with_revision", "train_with_random", "train_with_percentage", "train_with_inv_lin"),
    *("train_with_log", "train_with_adaptive", "train_with_alternative", "warmup_random", "periodic_full_random"),
    *("train_with_stratified", "train_with_adaptive_dropout", "noisy_*", "selective_gradient", "selective_epoch"),
    *("train_with_samples", "train_with_revision_3d"),
)


def test_every_flag_and_mode_of_the_published_code_is_in_a_table() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(--\w+|[\w*]+)[^`]*`", row.split("|")[1])}
    assert not {f"--{flag}" for flag in FLAGS} - named
    assert not set(MODES) - named


OF_IMAGENET = (
    *("train_standard.py", "finetune.py", "train_progessive_resizing.py", "train_hybrid.py", "split.py"),
    *("auto_benchmark_dataloader.py", "data_loader.py", "cyclic_scheduler.py", "lr_finder_custom.py", "--distributed"),
    *("DATA_DIR", "BATCH_SIZE", "IMG_SIZE", "NUM_EPOCHS", "ROOT_DIR", "USE_MIXUP", "ENABLE_LR_FINDER"),
    *("ENABLE_HYBRID_TRAINING", "ENABLE_STAGE_WISE_SCHEDULER", "ENABLE_PROGRESSIVE_FREEZING", "ENABLE_EMA"),
    *("SAVE_FREQ_LAST", "stages", "img_size", "batch_size", "epochs", "resize_schedule", "ProgressiveResizeDataset"),
    *("mixup_alpha", "cutmix_alpha", "mixup_prob", "label_smoothing", "get_mixup_fn", "momentum", "weight_decay"),
    *("base_lr = min(0.1 * (batch_size / 256), 0.4)", "make_optimizer_and_scheduler", "OneCycleLR", "ModelEMA"),
    *("create_onecycle_scheduler_global", "create_onecycle_scheduler_stage_wise", "set_trainable_layers"),
    *("create_model", "create_finetuned_model", "weights_path", "best_weights.pth", "torch.amp", "GradScaler"),
    *("torch.compile", "get_base_transforms", "drop_last", "DistributedSampler", "upload_file_to_s3", "hybrid-run-1/"),
    *("training_log.csv", "training_log.txt", "accuracy_live.png", "loss_live.png", "lr_live.png"),
    *("momentum_live.png", "accuracy_time.png", "loss_time.png", "lr_finder_plot.png"),
)


def test_every_command_and_constant_of_the_scripts_for_imagenet_is_in_a_table() -> None:
    page = PAGE.read_text("utf-8")
    part = page[page.index("## Training scripts for ImageNet") : page.index("## Large batches and local methods")]
    there = "\n".join(line.split("|")[1] for line in part.splitlines() if line.startswith("| "))
    named = re.findall(r"`([^`]+)`", there)
    assert not {each for each in OF_IMAGENET if not any(each == name or each in name.split() for name in named)}


OF_SEVERAL_GPUS = (
    *("main_classification.py", "run_classification.sh", "main_segmentation.py", "main_detection.py", "ddp_utils.py"),
    *("CUDA_VISIBLE_DEVICES=$GPU_IDS", "--nnodes", "--nproc_per_node", "setup_ddp", "cleanup_ddp", "setup_logging"),
    *("setup_environment(args.seed + rank)", "broadcast_object_list", "create_ddp_dataloaders", "DistributedSampler"),
    *("set_epoch", "model.to(device)", "DDP(model, find_unused_parameters=False)", "is_main_process", "evaluate"),
    *("run_training_loop(rank=..., world_size=...)", "train_epoch", "finalize_experiment", "--batch_size 32"),
)


def test_every_command_and_pattern_of_the_scripts_for_several_gpus_is_in_a_table() -> None:
    page = PAGE.read_text("utf-8")
    part = page[page.index("## Scripts for several GPUs") : page.index("## Not yet")]
    there = "\n".join(line.split("|")[1] for line in part.splitlines() if line.startswith("| "))
    assert not set(OF_SEVERAL_GPUS) - set(re.findall(r"`([^`]+)`", there))


OF_LARGE_BATCHES = (
    *("RandomHorizontalFlip", "RandomRotation", "RandomCrop", "RandomAffine", "RandomPerspective", "ColorJitter"),
    *("Normalize", "T_max"),
)


def test_every_transform_of_the_study_of_large_batches_is_in_a_table() -> None:
    page = PAGE.read_text("utf-8")
    part = page[page.index("### Step 1") : page.index("### Step 2")]
    there = "\n".join(line.split("|")[1] for line in part.splitlines() if line.startswith("| "))
    assert not [each for each in OF_LARGE_BATCHES if f"`{each}" not in there]


def test_every_optimizer_and_local_method_of_the_study_of_large_batches_is_planned() -> None:
    contents = [content for _, content, _ in PAGE_RECIPES]
    assert {"sgd", "adamw", "lars", "lamb"} <= {content["train"].get("optimizer") for content in contents}
    rounds = [content["sync"] for content in contents if "sync" in content]
    assert {"local_sgd", "slowmo", "diloco", "post_local"} <= {sync["method"] for sync in rounds}
    assert {"adacomm", "qsr", "variance"} <= {sync.get("schedule") for sync in rounds}


def test_every_method_of_the_published_code_is_on_the_page() -> None:
    ours = {"adaptive", "alternate", "apd", "dbpd", "full", "periodic_full", "smrd", "srd", "stratified"}
    chosen = {content["select"]["method"] for _, content, _ in PAGE_RECIPES if "select" in content}
    assert {*ours, "warmup_random"} <= chosen


def test_methods_with_a_published_form_have_it_on_the_page() -> None:
    able = {name for name in select.names() if "published" in select.params(name).model_fields}
    chosen = [content.get("select", {}) for _, content, _ in PAGE_RECIPES]
    # Of smrd, `published` is but another word for fresh scores.
    is_code = [each.get("published") or (each.get("score"), each.get("guards")) == ("fresh", "off") for each in chosen]
    assert able <= {each["method"] for each, published in zip(chosen, is_code, strict=True) if published}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ('toml\n[select]\nmethod = "dpbd"\n', 'did you mean "dbpd"'),
        ('toml\n[select]\nmethod = "dbpd"\nthreshold = 3\n', "less than or equal to 1"),
        ('toml\n[select]\nmethod = "dbpd"\ncost = 0.0001\n', "cannot do with less"),
        ("toml\n[[stages]]\nepochs = 3\nbatch_size = 6000\n", "larger than the 5000 training images"),
        ("toml\n", "an empty block"),
        ("toml\nno toml\n", "Expected '='"),
        ("sh\nfewer train pdd.toml select.treshold=0.5\n", 'did you mean "select.threshold"'),
        ("sh\nfewer train other.toml\n", "other.toml"),
        ("sh\npython main.py\n", "python main.py"),
        ("\n[select]\n", "no language"),
        ("python\nimport fewer\n", "cannot be planned"),
    ],
)
def test_a_block_that_is_no_recipe_fails(block: str, said: str) -> None:
    page = PAGE.read_text("utf-8")
    page = page[: page.index("### Modes")] + f"```{block}```\n"
    with pytest.raises((RecipeError, AssertionError, KeyError, tomllib.TOMLDecodeError), match=re.escape(said)):
        _plan_the_last(page)


def _plan_the_last(page: str) -> None:
    *_, (_, content, overrides) = recipes(page)
    planned(content, overrides)
