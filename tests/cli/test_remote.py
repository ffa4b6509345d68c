"""Copies in object storage, from the command line."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from command_line import RECIPE
from server import Ended, Server, complains
from storage import BUCKET, SECRET, Proxy, StorageServer, environment


def test_a_run_is_copied_pushed_and_resumed_by_its_address(server: Server, proxy: Proxy, tmp_path: Path) -> None:
    env, place = environment(proxy.url), f"s3://{BUCKET}/cli/{uuid.uuid4().hex}"
    (tmp_path / "small.toml").write_text(RECIPE + f'[out]\nremote = "{place}"\nplots = false\npreviews = false\n')
    short = ("data.subset=100", "train.epochs=1")

    def fewer(*arguments: object, **more: str) -> Ended:
        return server.run(*arguments, cwd=tmp_path, env={**env, **more})

    wrong = fewer("train", "small.toml", *short, AWS_SECRET_ACCESS_KEY="wrong-secret")
    complains(wrong, 7, "the secret key is another; correct AWS_SECRET_ACCESS_KEY", 'out.remote = ""')
    assert "wrong-secret" not in wrong.stderr
    assert fewer("train", "small.toml", *short).code == 0
    complains(fewer("train", "small.toml", *short), 2, "holds another run already", f"`fewer resume {place}`")
    pushed = fewer("push", "runs/small")
    assert (pushed.code, pushed.stdout) == (0, f"{place}: complete, 0.0 MB were sent\n")
    complains(fewer("push", "runs/small", "s3://No"), 2, "no name of a bucket")
    complains(fewer("push", "small.toml"), 2, "not a run folder")
    complains(fewer("resume", place), 2, "runs/small: exists already", "--out")
    complains(fewer("resume", "runs/small", "--out", "other"), 2, "--out other", "fetched from s3://")
    complains(fewer("resume", f"{place}/nothing"), 2, "no run has been copied there")
    on = fewer("resume", place, "--out", "elsewhere", "train.epochs=2")
    assert on.code == 0, on.stderr
    assert "after 2 epochs" in on.stdout
    assert f"fetching {place}" in on.stderr
    assert (tmp_path / "elsewhere" / "result.json").exists()
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in content for content in written)
    proxy.set("drop")
    complains(fewer("resume", "elsewhere", "train.epochs=3"), 7, "no answer from 127.0.0.1", 'out.remote = ""')


def test_a_run_whose_machine_vanishes_goes_on_elsewhere_bit_for_bit(
    server: Server, proxy: Proxy, storage: StorageServer, tmp_path: Path
) -> None:
    """kill -9 while the newest state is being sent: the one before it is whole."""
    env, prefix = environment(proxy.url), f"cli/{uuid.uuid4().hex}"
    more = f'[out]\nremote = "s3://{BUCKET}/{prefix}"\nplots = false\npreviews = false\ncheckpoint_every = "1step"\n'
    (tmp_path / "small.toml").write_text(RECIPE + more)

    def committed() -> bool:
        return len(storage.keys(f"{prefix}/states")) >= 4

    short = ("data.subset=200", "train.batch_size=20", "train.epochs=12")
    started = server.start("train", "small.toml", *short, cwd=tmp_path, env=env)
    assert started.until(committed)
    proxy.delay_s = 0.05
    started.kill()
    started.wait()
    proxy.reset()
    shutil.rmtree(tmp_path / "runs")
    on = server.run("resume", f"s3://{BUCKET}/{prefix}", "--json", cwd=tmp_path, env=env)
    plain = server.run("train", "small.toml", *short, "out.remote=", "--out", "plain", "--json", cwd=tmp_path, env=env)
    assert (on.code, plain.code) == (0, 0), on.stderr
    assert "resumed from epoch" in on.stderr
    assert on.json["metrics"] == plain.json["metrics"]
    state = "checkpoints/epoch00012-batch0000000/state.safetensors"
    assert (tmp_path / "runs/small" / state).read_bytes() == (tmp_path / "plain" / state).read_bytes()
