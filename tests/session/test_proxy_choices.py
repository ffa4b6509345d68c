"""Proxies: what they see and choose, what they cost, and who may take over their choices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from counting import Counted
from fewer.core.choices import Choices
from fewer.core.errors import DivergedError, FewerError, RecipeError, Stopped
from fewer.recipe.parse import load_recipe, parse_recipe
from fewer.runs.record import read_rows
from fewer.session import proxy_choices
from fewer.session.build import Session, open_data, open_session
from fewer.session.fit import fit, resume
from fewer.session.progress import Silent
from fewer.session.proxy_choices import choose_by_proxy
from fewer.session.proxy_plan import proxy_plan
from fewer.testing import laws
from fewer.testing.harness import Content, begun, interrupted, one_thread, session_of, trained
from fewer.training.loop import Row, train

SMALL: Content = {
    "data": {"source": "digits", "test": "93%", "val": "none"},
    "augment": {"crop_padding_px": 1},
    "model": {"name": "lenet5", "width": 0.4},
    "train": {"batch_size": 12, "lr": 0.05, "precision": "fp32", "warmup": "1ep"},
    "select": {"method": "proxy", "share": 0.4, "proxy_every": 2, "guards": "off"},
    "stages": [{"epochs": 2, "side_px": 16}, {"epochs": 1, "side_px": 20}],
}
OUT = {"plots": False, "previews": False}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fewer"


def changed(select: dict[str, Any] | None = None, **sections: dict[str, Any]) -> Content:
    found = {name: {**SMALL[name], **keys} for name, keys in sections.items()}
    return {**SMALL, **found, "select": {**SMALL["select"], **(select or {})}}


def cached_session(content: Content) -> Session:
    """A session that may use the cache, unlike `session_of`."""
    recipe = parse_recipe(content)
    return open_session(recipe, open_data(recipe))


def choices_of(session: Session) -> torch.Tensor:
    bits: torch.Tensor = session.run.selection.selector.state_dict()["selector"]["choices"]
    return bits


def test_all_that_a_proxy_does_is_booked_and_predicted() -> None:
    session = session_of(SMALL)
    counted, images = Counted(session), len(session.run.selection.pool_ids)
    proxy_plan(session.plan.settled_recipe, session.plan.facts)  # its dry runs count for nothing, and are taken once
    with FlopCounterMode(display=False) as flops:
        assert choose_by_proxy(session)
        of_proxy, learnt = session.run.ledger.total("flops"), counted.backpropagated
        for _ in train(session.task, session.train_data, session.run):
            pass
    session.book_decoding()
    ledger = session.run.ledger
    assert 3 * round(0.4 * images) + learnt == counted.backpropagated == ledger.total("samples_backpropagated")
    assert 0.4 < learnt / (3 * 0.4 * images) < 0.6, "it learns in every second batch"
    assert counted.forwarded == ledger.total("samples_forwarded") == counted.backpropagated + 3 * images
    assert flops.get_total_flops() == ledger.total("flops")
    assert of_proxy == session.plan.budget.before_flops
    for name, (low, high) in session.plan.predicted.items():
        assert low == high == pytest.approx(ledger.totals()[name]), name
    assert ledger.totals()["seconds"]["select"] > 0
    assert ledger.shared_flops == 0


def test_the_net_sees_the_views_that_its_proxy_has_chosen_among() -> None:
    """Each view of the net is one that the proxy was shown in that epoch, and a batch is part of one of its batches."""
    session = session_of(SMALL)
    shown: list[tuple[int, dict[int, torch.Tensor]]] = []
    outcome = session.task.outcome

    def looking(forward: Any, batch: Any, at: Any, columns: Any = ()) -> Any:
        shown.append((at.epoch, dict(zip(batch.ids_B.tolist(), batch.inputs.clone(), strict=True))))
        return outcome(forward, batch, at, columns)

    session.task.outcome = looking  # type: ignore[method-assign]
    assert choose_by_proxy(session)
    whole = [(epoch, batch) for epoch, batch in shown if len(batch) > 20]  # 30 are scored, 12 of them learnt
    shown.clear()
    for _ in train(session.task, session.train_data, session.run):
        pass
    for epoch, batch in shown:
        looked_at = [views for e, views in whole if e == epoch]
        assert max(len(batch.keys() & views.keys()) for views in looked_at) >= len(batch) - 2, "but for rounding"
        of_proxy = {id: view for views in looked_at for id, view in views.items()}
        assert all(torch.equal(view, of_proxy[id]) for id, view in batch.items())


def test_choices_are_the_highest_losses_of_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[set[int], set[int]]] = []
    keep = proxy_choices.filter_of

    def watched(*given: Any) -> Any:
        chooser = keep(*given)
        original = chooser.keep

        def keeping(seen_G: Any, at: Any) -> Any:
            found = original(seen_G, at)
            chosen = chooser.choices.among(seen_G.ids_B, at.epoch)
            least = seen_G.loss_B[chosen].min()
            assert least >= seen_G.loss_B[~chosen].max()
            seen.append((set(seen_G.ids_B.tolist()), set(seen_G.ids_B[chosen].tolist())))
            return found

        chooser.keep = keeping
        return chooser

    monkeypatch.setattr(proxy_choices, "filter_of", watched)
    session = begun(session_of(SMALL))
    assert [len(batch) for batch, _ in seen[:5]] == [26, 26, 25, 25, 25], "at 30 or fewer"
    first = Choices(choices_of(session), len(session.run.selection.table))
    ids = session.run.selection.pool_ids
    assert set(ids[first.among(ids, 0)].tolist()) == set().union(*(c for _, c in seen[: len(seen) // 3]))


@pytest.mark.usefixtures("cache")
def test_a_second_run_takes_the_choices_over_and_books_them_all_the_same(cache: Path) -> None:
    content = changed(train={"data_seed": 3, "seed": 5})
    own, said = cached_session(content), list[str]()
    assert choose_by_proxy(own, said.append)
    assert len(list(cache.glob("*.proxy.safetensors"))) == 1
    fixed = {"proxy": {"train": {"lr": 0.05}, "model": {"width": 0.1}}}
    assert choose_by_proxy(cached_session({**content, "select": {**content["select"], **fixed}}))
    others = (
        changed(train={"data_seed": 3, "seed": 6}),  # another seed of the net
        {**content, "select": {**content["select"], **fixed}, "train": {**content["train"], "lr": 0.2}},  # a trial
        {**content, "select": {**content["select"], **fixed}, "model": {"name": "cnn", "width": 0.1}},  # another net
    )
    for other in (content, others[0], others[1]):
        again = cached_session(other)
        assert choose_by_proxy(again, said.append)
        assert torch.equal(choices_of(again), choices_of(own))
        assert again.run.ledger.total("flops") == own.run.ledger.total("flops") == again.run.ledger.shared_flops
        assert "from the cache" in said[-1]
    assert not cached_session(others[2]).run.ledger.shared_flops
    for differs in (changed(train={"data_seed": 4}), changed({"share": 0.5}, train={"data_seed": 3})):
        fresh = cached_session(differs)
        assert choose_by_proxy(fresh, said.append)
        assert "from the cache" not in said[-1]
        assert fresh.run.ledger.shared_flops == 0


def test_whether_the_cache_had_them_changes_nothing_that_is_learnt(cache: Path) -> None:
    def digest() -> tuple[str, Any]:
        session = cached_session(SMALL)
        assert choose_by_proxy(session)
        for _ in train(session.task, session.train_data, session.run):
            pass
        return session.run.digest(), session.run.ledger.totals()["flops"]

    first = digest()
    (file,) = cache.glob("*.proxy.safetensors")
    assert digest() == first
    file.write_bytes(b"\x00" * 64)  # a damaged file is computed again
    assert digest() == first
    assert file.stat().st_size > 64


@pytest.mark.parametrize("cost", [0.5, 0.7])
def test_a_stated_cost_holds_the_proxy_too(cost: float) -> None:
    content = changed({"cost": cost}, data={"test": "75%"})
    session = trained(content)
    assert session.run.ledger.total("flops") / session.plan.budget.full_flops == pytest.approx(cost, rel=0.01)


def test_a_resumed_run_is_bit_for_bit_the_same_and_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    original = proxy_choices._trained
    monkeypatch.setattr(proxy_choices, "_trained", lambda *given: times.append(1) or original(*given))
    assert interrupted(SMALL, [1, 9]).run.digest() == trained(SMALL).run.digest()
    assert len(times) == 2


def test_neutral_is_plain_and_needs_no_proxy() -> None:
    assert session_of(changed({"share": 1.0})).plan.facts.preparation is None
    laws.off_is_plain(SMALL, [{"method": "proxy", "share": 1.0}])


def test_two_ranks_equal_one_process() -> None:
    laws.ranks_agree(changed({"proxy_every": 1}, train={"precision": "fp64"}))


class Kills(Silent):
    """Ends a run behind its first batch, before anything is saved."""

    def row(self, row: Row, session: Session) -> None:
        raise Stopped("killed", 75)


def test_a_run_says_what_its_proxy_cost_and_what_of_it_was_shared(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        fit(parse_recipe({**SMALL, "out": OUT}), tmp_path / "run", display=Kills())
    result = resume(tmp_path / "run")
    rows = [row for row in read_rows(tmp_path / "run" / "rows.jsonl") if row["kind"] == "proxy"]
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert len(rows) == 1
    assert rows[0]["cached"], "the killed run had left its choices there"
    assert rows[0]["flops"] == plan["preparation"]["costs"]["flops"][1] == result["ledger"]["shared_flops"]
    assert "the choices of a proxy" in (tmp_path / "run" / "log.txt").read_text()
    assert "another run" in (tmp_path / "run" / "log.txt").read_text().splitlines()[-1]
    assert any("come first, by" in note for note in plan["notes"])


def test_a_wish_to_stop_reaches_the_proxy() -> None:
    session = session_of(SMALL)
    session.run.stop_requested = True
    before = session.run.selection.selector
    assert not choose_by_proxy(session)
    assert session.run.selection.selector is before
    assert session.run.ledger.total("optimizer_steps") == 0


def test_a_proxy_that_diverges_is_called_one() -> None:
    session = session_of(changed({"proxy": {"train": {"lr": 1e30, "warmup": "0ep"}}}))
    with pytest.raises(DivergedError, match=r"the proxy, which chooses the images: .* give select\.proxy\.train\.lr"):
        choose_by_proxy(session)


def test_a_proxy_has_keys_of_its_own_and_those_of_the_run() -> None:
    plan = session_of(changed({"proxy": {"model": {"width": 0.2}, "train": {"lr": 0.3, "optimizer": "adamw"}}})).plan
    theirs = proxy_plan(plan.recipe, plan.facts).recipe
    assert (theirs.model.width, theirs.train.lr, theirs.train.optimizer) == (0.2, 0.3, "adamw")  # type: ignore[attr-defined]
    assert (theirs.train.warmup, theirs.stages[1].side_px) == (plan.recipe.train.warmup, 20)
    narrow = proxy_plan(session_of(SMALL).plan.recipe, plan.facts).recipe
    assert narrow.model.width == pytest.approx(0.1)  # type: ignore[attr-defined]
    named = session_of(changed({"proxy": {"model": {"name": "cnn", "width": 0.1}}})).plan
    assert proxy_plan(named.recipe, named.facts).recipe.model.name == "cnn"


def test_tables_of_a_recipe_file_are_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[data]\nsource = "digits"\n[model]\nname = "lenet5"\n[select]\nmethod = "proxy"\nshare = 0.5\n'
        "[select.proxy.model]\nwidth = 0.1\n[select.proxy.train]\nlr = 0.2\n"
    )
    recipe = load_recipe(tmp_path / "r.toml", ["select.proxy.train.momentum=0.8"])
    assert recipe.select.proxy.train == {"lr": 0.2, "momentum": 0.8}  # type: ignore[attr-defined]
    (tmp_path / "again.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "again.toml") == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed({"proxy": {"model": {"widht": 0.1}}}), r"select\.proxy: .*widht"),
        (changed({"proxy": {"train": {"lr": -1.0}}}), r"select\.proxy: .*train\.lr"),
        (changed({"proxy": {"train": {"epochs": 3}}}), r"select\.proxy\.train\.epochs: a proxy has none of its own"),
        (changed({"proxy": {"train": {"compile": "nonsense"}}}), r"select\.proxy\.train\.compile: a proxy has none"),
        (changed({"proxy": {"data": {"source": "x"}}}), r"select\.proxy\.data"),
        ({**SMALL, "model": {"name": "mobilenet_v2"}}, r"has no width to be divided; name a small net"),
        (changed({"refresh_every": 4}), "has no effect"),
        (changed({"cost": 0.01}), r"cannot do with less than .*, give select\.proxy a smaller net"),
    ],
    ids=["key", "value", "shared key", "not compiled", "section", "no width", "refresh", "cost"],
)
def test_bad_input_is_refused_with_a_fix(content: Content, message: str) -> None:
    with pytest.raises(FewerError, match=message):
        session_of(content)


def test_a_ramp_is_refused() -> None:
    stages = [{"epochs": 2, "ramp": "timm", "ramp_px": [16, 20]}]
    with pytest.raises(RecipeError, match="a ramp draws a side for each batch"):
        session_of({**SMALL, "stages": stages})


def test_a_proxy_that_is_no_small_net_is_named_one() -> None:
    notes = session_of(changed({"proxy": {"model": {"width": 0.4}}})).plan.notes
    assert any("of which a tenth or less pays best" in note for note in notes)
