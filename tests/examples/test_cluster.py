"""Files for clusters: they fit the published schemas, and their commands start or resume as they should."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from paths import ROOT

CLUSTER = ROOT / "examples" / "cluster"
FEWER = """#!/bin/bash
printf '%s\\n' "$*" >> said.txt
[ "$1" = resume ] && [ "${2#s3:}" != "$2" ] && exit "$CODE"
exit 0
"""


def loaded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text("utf-8"))
    return content


def said(folder: Path, script: str, **environment: str) -> list[str]:
    """Runs a script with stand-ins for fewer and torchrun, and returns what they were asked."""
    commands = folder / "bin"
    commands.mkdir(exist_ok=True)
    for name in ("fewer", "torchrun"):
        (commands / name).write_text(FEWER)
        (commands / name).chmod(0o755)
    (folder / "said.txt").write_text("")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-c", script], cwd=folder, env={**os.environ, "PATH": path, **environment}, check=False)
    return (folder / "said.txt").read_text().splitlines()


def test_the_train_job_fits_its_schema_without_a_key_too_many() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="its package is not installed")
    content = loaded("trainjob.yaml")
    # The models drop what they do not know, and want quantities as texts, where YAML has a number.
    limits = content["spec"]["trainer"]["resourcesPerNode"]["limits"]
    limits.update({name: str(quantity) for name, quantity in limits.items()})
    job = models.TrainerV1alpha1TrainJob.from_dict(content)
    assert job.to_dict() == content


def test_the_train_job_trains_and_resumes(tmp_path: Path) -> None:
    bash, option, script = loaded("trainjob.yaml")["spec"]["trainer"]["command"]
    assert (bash, option) == ("bash", "-c")
    script = script.replace("/runs/photos", f"{tmp_path}/photos")
    look, train = said(tmp_path, script)
    assert look == "data stats s3://my-bucket/photos"
    assert train.startswith("-m fewer train /recipe/photos.toml data.source=s3://my-bucket/photos out.remote=s3:")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "recipe.resolved.toml").touch()
    assert said(tmp_path, script)[-1] == f"-m fewer resume {tmp_path}/photos"


# What a task may say, as SkyPilot's documentation lists it; the package itself is too heavy for tests.
TASK = {"name", "resources", "num_nodes", "workdir", "envs", "secrets", "setup", "run", "file_mounts", "config"}
RESOURCES = {"accelerators", "use_spot", "disk_size", "job_recovery", "infra", "cpus", "memory", "image_id", "ports"}


def test_the_task_of_skypilot_has_no_key_too_many() -> None:
    content = loaded("skypilot.yaml")
    assert content.keys() <= TASK
    assert content["resources"].keys() <= RESOURCES
    if (schemas := _schemas_of_skypilot()) is not None:
        import jsonschema

        jsonschema.validate(content, schemas.get_task_schema())


def _schemas_of_skypilot() -> Any:
    try:
        from sky.utils import schemas
    except ImportError:
        return None
    return schemas


@pytest.mark.parametrize(
    ("code", "there", "expected"),
    [
        (2, False, ["resume s3://my-bucket/runs/photos --out runs/photos", "train photos.toml"]),  # the first time
        (0, False, ["resume s3://my-bucket/runs/photos --out runs/photos"]),
        (75, False, ["resume s3://my-bucket/runs/photos --out runs/photos"]),
        (7, False, ["resume s3://my-bucket/runs/photos --out runs/photos"]),  # never start anew over a copy
        (2, True, ["resume runs/photos"]),
    ],
)
def test_the_task_of_skypilot_trains_and_resumes(tmp_path: Path, code: int, there: bool, expected: list[str]) -> None:
    content = loaded("skypilot.yaml")
    if there:
        (tmp_path / "runs" / "photos").mkdir(parents=True)
        (tmp_path / "runs" / "photos" / "recipe.resolved.toml").touch()
    first, *rest = said(tmp_path, content["run"], CODE=str(code), SKYPILOT_NUM_GPUS_PER_NODE="4", **content["envs"])
    assert first == "doctor --devices 4"
    for asked, start in zip(rest, expected, strict=True):
        assert asked.startswith(start)
        assert asked.endswith("--devices 4")
