"""The JSON form of a plan: the content of `plan.json`, whose keys are documented in docs/run-folder.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fewer import tasks
from fewer.plan.facts import workers_of
from fewer.plan.plan import Plan


def plan_json(plan: Plan) -> dict[str, Any]:
    """The content of `plan.json`."""
    data, model, machine, before = plan.facts.data, plan.facts.model, plan.facts.machine, plan.facts.preparation
    train, sync = plan.recipe.train, plan.recipe.sync.model_dump(mode="json")
    low, high = ({key: value[i] for key, value in plan.predicted.items()} for i in (0, 1))
    return {
        "schema": 1,
        "digest": plan.digest,
        "task": tasks.description(plan.recipe.task.name),
        "epochs": plan.epochs,
        "train_images": data.train_images,
        "val_images": data.val_images,
        "test_images": data.test_images,
        "classes": list(data.classes),
        "train_images_per_class": list(data.class_images),
        "stages": [asdict(stage) for stage in plan.stages],
        "evaluation_side_px": plan.evaluation_side_px,
        "precision": plan.precision,
        "optimizer": train.optimizer,
        "compile": train.compile,
        "deterministic": train.deterministic,
        "channels_last": plan.channels_last,
        "ranks": machine.processes,
        "threads": machine.threads,
        "device": machine.device,
        "loading": asdict(plan.loading),
        "store": asdict(data.store) if data.store else None,
        "device_settings": asdict(plan.device_settings),
        "select": {"method": plan.own_selector} if plan.own_selector else plan.recipe.select.model_dump(mode="json"),
        "sync": {**sync, "workers": workers_of(plan.recipe, machine)},
        "model": {"name": plan.recipe.model.name, "parameters": model.parameters, "weights": model.weights},
        "preparation": asdict(before) if before else None,
        "plain_epoch_flops": plan.plain_epoch_flops,
        "predicted": {"low": low, "high": high},
        "stage_costs": [asdict(cost) for cost in plan.stage_costs],
        "notes": list(plan.notes),
    }
