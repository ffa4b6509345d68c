"""Reference losses: where they come from, what they cost, how a run with them resumes, and what they are good for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from counting import Counted
from fewer import select
from fewer.core.errors import CheckpointError, DataError, DivergedError, FewerError, RecipeError, Stopped
from fewer.core.population import Population
from fewer.core.protocols import Selector
from fewer.core.types import At, Request
from fewer.inference.loaded import load_published
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.session import reference_losses
from fewer.session.build import Session, make_plan, open_data, open_session
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.session.reference_models import halves
from fewer.tasks.classify.cross_entropy import cross_entropy
from fewer.testing import laws
from fewer.testing.harness import Content, interrupted, one_thread, session_of, trained
from fewer.training.loop import Row, train

SMALL: Content = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "model": {"name": "lenet5", "width": 0.1},
    "train": {"batch_size": 24, "lr": 0.05, "ema": "0.5ep", "precision": "fp32", "warmup": "1ep"},
    "select": {"method": "rho", "proxy_epochs": "2ep", "guards": "off"},
    "stages": [{"epochs": 2, "side_px": 16}, {"epochs": 2, "side_px": 20}],
}
OUT = {"plots": False, "previews": False}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that has trained its proxies, and its result."""
    folder = tmp_path_factory.mktemp("rho") / "run"
    return folder, fit(parse_recipe({**SMALL, "out": OUT}), folder)


def with_select(**keys: Any) -> Content:
    content = {"method": "rho", "guards": "off", **keys}
    return {**SMALL, "select": content if "reference" in keys else {"proxy_epochs": "2ep", **content}}


# --- Proxies ----------------------------------------------------------------------------------------------------------


def test_each_half_has_every_class_and_all_are_in_one() -> None:
    split = open_data(parse_recipe(SMALL)).train
    first, second = halves(split, 3)
    assert torch.equal(torch.cat([first, second]).sort().values, split.ids_M)
    counts = [torch.bincount(split.label_N[half], minlength=10) for half in (first, second)]
    assert int((counts[0] - counts[1]).abs().max()) <= 1
    assert len(first) - len(second) in (0, 1)
    assert not torch.equal(halves(split, 4)[0], first)


def test_all_that_proxies_do_is_booked_and_predicted() -> None:
    """2 epochs of the two halves, a look at the others, 4 epochs of which 3 are halves: nothing is left out."""
    session = session_of(SMALL)
    counted, images = Counted(session), len(session.run.selection.pool_ids)
    with FlopCounterMode(display=False) as flops:
        assert reference_losses.compute_reference_losses(session)
        of_proxies = session.run.ledger.total("flops")
        for _ in train(session.task, session.train_data, session.run):
            pass
    session.book_decoding()
    ledger = session.run.ledger
    assert (
        counted.backpropagated == ledger.total("samples_backpropagated") == 2 * images + images + 3 * round(images / 2)
    )
    assert counted.forwarded == ledger.total("samples_forwarded") == counted.backpropagated + images
    assert counted.loaded == ledger.total("samples_loaded") == counted.forwarded
    assert flops.get_total_flops() == ledger.total("flops")
    assert of_proxies == session.plan.budget.before_flops
    for name, (low, high) in session.plan.predicted.items():
        spent = ledger.totals()[name]
        assert low == high == pytest.approx(spent), name
    assert ledger.totals()["seconds"]["select"] > 0


def test_a_proxy_has_not_seen_what_it_looks_at() -> None:
    """Each half's losses are those of a proxy that any other training images would not change."""
    session = session_of(SMALL)
    looked: list[tuple[set[int], set[int]]] = []
    batches, seen = session.train_data.batches, [set[int](), set[int]()]

    def watching(requests: Any) -> Any:
        for request in requests:
            seen[request.strength == 0.0].update(request.ids_B.tolist())
            yield from batches([request])
            if len(seen[1]) and len(seen[0] | seen[1]) == len(session.run.selection.pool_ids):
                looked.append((set(seen[0]), set(seen[1])))
                seen[0].clear()
                seen[1].clear()

    session.train_data.batches = watching  # type: ignore[method-assign]
    assert reference_losses.compute_reference_losses(session)
    assert len(looked) == 2
    for trained_on, scored in looked:
        assert not trained_on & scored
    assert torch.isfinite(
        session.run.selection.selector.state_dict()["selector"]["reference"][session.run.selection.pool_ids]
    ).all()


@pytest.mark.parametrize("keys", [{"cost": 0.9}, {"cost": 0.95, "score": "fresh"}], ids=str)
def test_a_stated_cost_holds_the_proxies_too(keys: dict[str, Any]) -> None:
    content = with_select(**{**keys, "proxy_epochs": "1ep"})
    session = trained({**content, "data": {"source": "digits", "test": "75%", "val": "none"}})
    assert session.run.ledger.total("flops") / session.plan.budget.full_flops == pytest.approx(keys["cost"], rel=0.01)


def test_a_cost_that_proxies_alone_exceed_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"cannot do with less than .* give select\.reference a finished run"):
        session_of(with_select(cost=0.5))


def test_a_run_that_its_proxies_make_dearer_than_plain_training_says_so() -> None:
    """2 epochs of proxies, a forward, one full epoch and three halves are more than four; 1 + 0.4 + 1.3 is less."""
    assert any("costs more than plain training" in note for note in session_of(SMALL).plan.notes)
    cheap = session_of(with_select(proxy_epochs="1ep", share=0.1)).plan
    assert not any("costs more than plain training" in note for note in cheap.notes)


def test_a_resumed_run_is_bit_for_bit_the_same_and_trains_no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    original = reference_losses._of_proxies
    monkeypatch.setattr(reference_losses, "_of_proxies", lambda *given: times.append(1) or original(*given))
    for keys, kills in (({}, [1, 9]), ({"score": "fresh", "share": 0.4}, [3])):
        times.clear()
        content = with_select(proxy_epochs="1ep", **keys)
        unstopped = trained(content)
        assert interrupted(content, kills).run.digest() == unstopped.run.digest()
        assert len(times) == 2, "one for each of the two runs, none for what was resumed"


def test_neutral_is_plain_and_needs_no_proxies() -> None:
    neutral = with_select(share=1.0)
    assert session_of(neutral).plan.facts.preparation is None
    chosen = [{"method": "rho", "share": 1.0}, {"method": "rho", "share": 1.0, "score": "fresh"}]
    laws.off_is_plain(SMALL, chosen)


def test_two_ranks_equal_one_process() -> None:
    laws.ranks_agree(with_select(proxy_epochs="1ep"))


class Kills(Silent):
    """Ends a run behind its first batch, before anything is saved."""

    def row(self, row: Row, session: Session) -> None:
        raise Stopped("killed", 75)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe({**SMALL, "out": OUT}), tmp_path / "run", display=Kills())
    result = resume(tmp_path / "run")
    assert result["state"] == finished[1]["state"]
    for folder in (tmp_path / "run", finished[0]):
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        (row,) = (row for row in rows if row["kind"] == "reference")
        assert row["by"] == "proxies"
        assert row["unknown"] == 0
        assert 0 < row["mean_loss"] < 5
        plan = json.loads((folder / "plan.json").read_text())
        assert row["flops"] == plan["preparation"]["costs"]["flops"][1]
        assert row["fee"] == pytest.approx(row["flops"] / plan["plain_epoch_flops"])
        assert "reference losses by two proxies" in (folder / "log.txt").read_text()


def test_a_wish_to_stop_reaches_the_proxies() -> None:
    session = session_of(SMALL)
    session.run.stop_requested = True
    before = session.run.selection.selector
    assert not reference_losses.compute_reference_losses(session)
    assert session.run.selection.selector is before
    assert session.run.ledger.total("optimizer_steps") == 0


def test_a_proxy_that_diverges_is_called_one() -> None:
    session = session_of({**SMALL, "train": {**SMALL["train"], "lr": 1e30, "warmup": "0ep"}})
    with pytest.raises(DivergedError, match=r"a proxy, which reference losses were to come from: the .* is not finite"):
        reference_losses.compute_reference_losses(session)


# --- A model that is given --------------------------------------------------------------------------------------------


def losses_by_hand(session: Session, folder: Path) -> torch.Tensor:
    """Cross-entropy of all training images under a finished run's model, as its own evaluation would see them."""
    handed = load_published(folder)
    data = session.train_data
    data.mean, data.std = handed.about.mean, handed.about.std
    (batch,) = data.batches([Request(session.run.selection.pool_ids, 0, handed.side_px, strength=0.0)])
    with torch.no_grad():
        return cross_entropy(handed.task.predict(handed.model, batch.inputs), batch.targets).loss_sum_B


def provided(content: Content) -> tuple[Session, torch.Tensor]:
    session = session_of(content)
    assert reference_losses.compute_reference_losses(session)
    return session, session.run.selection.selector.state_dict()["selector"]["reference"][session.run.selection.pool_ids]


def test_the_reference_is_the_run_that_is_named(finished: tuple[Path, dict[str, Any]]) -> None:
    """Also where that run saw other images, at another side, with other statistics."""
    content = with_select(reference=str(finished[0]))
    content = {**content, "stages": [{"epochs": 3, "side_px": 24}], "data": {**SMALL["data"], "split_seed": 1}}
    session, losses = provided(content)
    images, ledger = len(session.run.selection.pool_ids), session.run.ledger
    assert torch.allclose(losses, losses_by_hand(session, finished[0]), atol=1e-5)
    assert ledger.total("samples_forwarded") == ledger.total("samples_loaded") == images
    assert ledger.total("flops") == session.plan.budget.before_flops
    with FlopCounterMode(display=False) as flops:
        losses_by_hand(session, finished[0])
    assert flops.get_total_flops() == ledger.total("flops")


def test_a_file_of_weights_is_the_same_reference(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    handed = load_published(finished[0])
    about = {name: json.dumps(getattr(handed.about, name)) for name in ("mean", "std")}
    weights = {name: value.contiguous() for name, value in handed.model.state_dict().items()}
    save_file(weights, tmp_path / "a.safetensors", about)
    of_file, of_run = (provided(with_select(reference=str(p)))[1] for p in (tmp_path / "a.safetensors", finished[0]))
    assert torch.allclose(of_file, of_run, atol=1e-5)


def test_the_digest_names_the_weights_and_not_their_place(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    linked = tmp_path / "elsewhere"
    linked.symlink_to(finished[0])
    recipes = [parse_recipe(with_select(reference=path)) for path in (str(finished[0]), str(linked))]
    plain = parse_recipe(with_select())
    digests = [make_plan(recipe, open_data(recipe)).digest for recipe in (*recipes, plain)]
    assert digests[0] == digests[1] != digests[2]
    unused = [parse_recipe(with_select(share=1.0, reference=path)) for path in ("a", "b")]
    assert len({make_plan(recipe, open_data(recipe)).digest for recipe in unused}) == 1


def test_a_resumed_run_keeps_its_reference(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    named = tmp_path / "reference_losses.safetensors"
    weights = {name: value.contiguous() for name, value in load_published(finished[0]).model.state_dict().items()}
    save_file(weights, named)
    with pytest.raises(Stopped):
        fit(parse_recipe({**with_select(reference=str(named)), "out": OUT}), tmp_path / "run", display=Kills())
    save_file({name: value + 1 if value.is_floating_point() else value for name, value in weights.items()}, named)
    with pytest.raises(RecipeError, match=r"select\.reference = .*: not the weights that the run began with"):
        resume(tmp_path / "run")


def test_a_path_is_relative_to_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[data]\nsource = "digits"\n[model]\nname = "lenet5"\n[select]\nmethod = "rho"\nreference = "runs/a"\n'
    )
    recipe = load_recipe(tmp_path / "r.toml")
    assert recipe.select.reference == str(tmp_path / "runs" / "a")  # type: ignore[attr-defined]
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "again.toml") == recipe


# --- Wrong labels -----------------------------------------------------------------------------------------------------


def test_wrong_labels_are_left_out() -> None:
    """40 % of the labels are wrong: the hardest half holds more of them than all images do, this half far fewer."""
    recipe = parse_recipe(
        {
            "data": {"source": "digits", "val": "none", "test": "55%"},
            "model": {"name": "lenet5", "width": 0.2},
            "train": {"batch_size": 32, "lr": 0.05, "precision": "fp32"},
            "select": {"method": "rho", "guards": "off"},
            "stages": [{"epochs": 6, "side_px": 16}],
        }
    )
    splits = replace(open_data(recipe), test=None)
    ids = splits.train.ids_M
    wrong = ids[torch.rand(len(ids), generator=torch.Generator().manual_seed(1)) < 0.4]
    label_N = splits.train.label_N.clone()
    label_N[wrong] = (label_N[wrong] + 1 + wrong % 9) % 10
    session = open_session(recipe, replace(splits, train=replace(splits.train, label_N=label_N)))
    assert reference_losses.compute_reference_losses(session)
    for _ in train(session.task, session.train_data, session.run):
        pass
    run = session.run
    dbpd = select.build(select.params("dbpd")(guards="off"), Population(0, label_N, 10), 6)
    moment = At(5, 6, 5 / 6, share=0.5)

    def wrong_share(selector: Selector) -> float:
        chosen = selector.select(run.selection.table, run.selection.pool_ids, moment).ids_M
        return float(torch.isin(chosen, wrong).double().mean())

    assert wrong_share(dbpd) > 0.6
    assert wrong_share(run.selection.selector) < 0.3
    trained_last = run.selection.table.column("trained", "epoch")[ids] == 5
    assert float(torch.isin(ids[trained_last], wrong).double().mean()) < 0.3


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"share": 0.0}, r"select\.share = 0\.0: input should be greater than 0"),
        ({"share": 1.5}, r"select\.share = 1\.5: input should be less than or equal to 1"),
        ({"proxy_epochs": "5step"}, r'proxy_epochs = "5step": only "ep" and "%" are known before training'),
        ({"proxy_epochs": "0ep"}, r'proxy_epochs = "0ep" trains no proxy; give more'),
        ({"proxy_epochs": "9ep"}, r'proxy_epochs = "9ep" is longer than the run of 4 epochs'),
        ({"reference": "x", "proxy_epochs": "2ep"}, r'proxy_epochs = "2ep" has no effect beside select\.reference'),
        ({"reference": " "}, r"give a run folder or a file of weights"),
        ({"reference": 3}, r"select\.reference = 3"),
    ],
    ids=str,
)
def test_bad_keys_are_told_before_training(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe({**SMALL, "select": {"method": "rho", **keys}})


def test_a_reference_that_cannot_be_one_is_told_before_training(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = finished
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no weights")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    about = json.loads((folder / "checkpoints" / "best" / "model.json").read_text())
    weights = {name: value.contiguous() for name, value in load_published(folder).model.state_dict().items()}
    save_file({**weights, list(weights)[-1]: torch.zeros(7)}, tmp_path / "seven.safetensors")
    save_file({"other": torch.zeros(3)}, tmp_path / "other.safetensors")
    cases: list[tuple[str, type[FewerError], str]] = [
        ("missing", RecipeError, r'select\.reference = ".*missing": no such file or folder; check the path'),
        ("empty", RecipeError, r"select\.reference: .*neither a run nor a published model"),
        ("notes.txt", DataError, r"notes\.txt: damaged, or no file of tensors"),
        ("broken", CheckpointError, r"select\.reference: .*broken"),
        ("seven.safetensors", RecipeError, r'not the weights of a whole "lenet5" with 10 classes'),
        ("other.safetensors", RecipeError, r'not the weights of a whole "lenet5" with 10 classes'),
    ]
    for name, kind, message in cases:
        with pytest.raises(kind, match=message):
            session_of(with_select(reference=str(tmp_path / name)))
    assert about["task"]["classes"] == [str(i) for i in range(10)]
    splits = open_data(parse_recipe(SMALL))
    other = replace(splits, classes=["a", *splits.classes[1:]], val=None, test=None)
    with pytest.raises(RecipeError, match=r"its classes, 10 \(0, 1, 2, \.\.\.\), are not those of the data, 10 \(a, 1"):
        make_plan(parse_recipe(with_select(reference=str(folder))), other)
