"""Charts of a run: points, scales and limits, before anything is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fewer import tasks
from fewer.report.charts import Chart, best, curve_charts, judged_by, schedule_charts, stacked, star_name
from fewer.report.history import history
from fewer.report.load import Folder, load
from fewer.report.loss_axis import top_of
from fewer.report.plots import svg
from run_folders import DIGITS, Json, plan_document


def folder_of(root: Path, rows: list[Json], result: Json | None = None, status: Json | None = None) -> Folder:
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "plan.json").write_text(json.dumps(plan_document(2, DIGITS)))
    for name, content in (("result.json", result), ("status.json", status)):
        if content is not None:
            (root / name).write_text(json.dumps(content))
    return load(root)


def steps(losses: list[float], seconds: float = 1.0) -> list[Json]:
    """Steps of two epochs."""
    count = len(losses)
    return [
        {"kind": "step", "epoch": 2 * i // count, "step": i + 1, "progress": (i + 1) / count, "loss": loss,
         "lr": 0.1, "seconds": (i + 1) * seconds, "fee": (i + 1) / count}
        for i, loss in enumerate(losses)
    ]  # fmt: skip


def chart_of(charts: list[Chart], key: str) -> Chart:
    (found,) = (chart for chart in charts if chart.key == key)
    return found


@pytest.mark.parametrize(
    ("seconds", "unit", "last"), [(1.0, "seconds", 4.0), (100.0, "minutes", 400 / 60), (2000.0, "hours", 8000 / 3600)]
)
def test_time_is_in_the_unit_that_suits_its_length(tmp_path: Path, seconds: float, unit: str, last: float) -> None:
    folder = folder_of(tmp_path, steps([4.0, 3.0, 2.0, 1.0], seconds))
    chart = chart_of(curve_charts(folder, history(folder)), "curves-seconds")
    assert chart.x_name == unit
    role, points = chart.panels[0].lines[0]
    assert role == "steps"
    assert points[-1] == pytest.approx((last, 1.0))


def test_epochs_are_the_axis_of_progress(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, steps([4.0, 3.0, 2.0, 1.0]))
    chart = chart_of(curve_charts(folder, history(folder)), "curves-epochs")
    assert chart.panels[0].lines[0][1] == [(0.5, 4.0), (1.0, 3.0), (1.5, 2.0), (2.0, 1.0)]
    assert chart.whole_x
    assert [band[:2] for band in chart.bands] == [(0, 1), (1, 2)], "the plan's two stages"


def test_one_spike_does_not_flatten_the_loss(tmp_path: Path) -> None:
    losses = [1.0 + i % 2 for i in range(400)]
    losses[200] = 1e6
    folder = folder_of(tmp_path, steps(losses))
    panel = curve_charts(folder, history(folder))[0].panels[0]
    assert panel.top == pytest.approx(2.1)  # the highest hundredth is cut off, and a twentieth of room added
    assert max(y for _, y in panel.lines[0][1]) == 1e6, "the value itself stays"
    few = folder_of(tmp_path, steps(losses[150:250]))
    assert curve_charts(few, history(few))[0].panels[0].top is None


@pytest.mark.parametrize("wild", [0, 2, 5])
def test_one_wild_epoch_is_cut_off_and_marked(wild: int, tmp_path: Path) -> None:
    losses = [2.3, 1.0, 0.7, 0.5, 0.4, 0.3]
    losses[wild] = 60.0
    rows = [{"kind": "evaluation", "split": "val", "epoch": i, "scalars": {"loss": y}} for i, y in enumerate(losses)]
    folder = folder_of(tmp_path, rows)
    panel = curve_charts(folder, history(folder))[0].panels[0]
    assert panel.top is not None
    assert panel.top < 3
    assert panel.clipped == [(wild + 1, 60.0)]
    drawing = svg(curve_charts(folder, history(folder))[0])
    assert ">60<" in drawing, "its value stands at the edge"
    assert ">-" not in drawing, "the axis does not reach down as if it still showed the point"
    assert ">−" not in drawing


def test_a_loss_that_falls_far_is_shown_whole() -> None:
    assert top_of([2.3, 1.1, 0.6, 0.3, 0.2, 0.15], []) is None
    assert top_of([-2.0], []) is None, "a file may say anything"
    assert top_of([1.0, 1.0, 1.0, 9.0], [2.0] * 300) == pytest.approx(1.05), "steps that are all alike cut nothing off"


def test_macro_f1_has_a_panel_of_its_own(tmp_path: Path) -> None:
    scalars = {"loss": 1.0, "top1": 0.5, "macro_f1": 0.4}
    rows = [{"kind": "evaluation", "split": "val", "epoch": 0, "scalars": scalars}]
    folder_of(tmp_path, rows)
    (tmp_path / "plan.json").write_text(json.dumps({"task": tasks.description("classify")}))
    folder = load(tmp_path)
    panels = curve_charts(folder, history(folder))[0].panels
    assert [panel.name for panel in panels] == ["loss", "top-1, %", "macro-F1, %"]


def test_what_holds_nothing_is_not_drawn(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, steps([2.0, 1.0]))
    assert [chart.key for chart in schedule_charts(folder, history(folder))] == ["lr"]
    bare = folder_of(tmp_path, [{"kind": "header", "schema": 1}])
    assert (curve_charts(bare, history(bare)), schedule_charts(bare, history(bare))) == ([], [])


def test_stacked_charts_keep_their_order(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, steps([2.0, 1.0]))
    charts = curve_charts(folder, history(folder))
    one = stacked("both", charts[:2])
    assert (one.key, one.x_name) == ("both", charts[0].x_name)
    assert list(one.panels) == [panel for chart in charts[:2] for panel in chart.panels]


def test_the_best_model_is_the_results_or_for_now_the_states(tmp_path: Path) -> None:
    running = folder_of(tmp_path, [], status={"epoch": 1, "best": {"epoch": 1, "metric": "val/macro_f1"}})
    assert (best(running)["epoch"], judged_by(running).name) == (1, "macro_f1")
    assert star_name(running) == "best model so far"
    done = folder_of(tmp_path, [], result={"best": {"epoch": 2, "metric": "val/top5"}})
    assert (best(done)["epoch"], judged_by(done).name) == (2, "top5")
    assert star_name(done) != "best model so far"


def test_a_run_that_the_loss_decided_is_known_by_its_tasks_metric(tmp_path: Path) -> None:
    done = folder_of(tmp_path, [], result={"best": {"epoch": 2, "metric": "val/loss"}})
    assert judged_by(done).name == "top1"


def test_trust_ratios_have_a_chart_where_an_optimizer_has_them(tmp_path: Path) -> None:
    rows = [{"kind": "epoch", "epoch": at, "trust_ratio": 0.01 * (at + 1)} for at in range(2)]
    folder = folder_of(tmp_path, [*steps([2.0, 1.0]), *rows])
    (line,) = chart_of(schedule_charts(folder, history(folder)), "trust").panels[0].lines
    assert [value for _, value in line[1]] == [0.01, 0.02]


def test_updates_and_growing_batches_have_charts(tmp_path: Path) -> None:
    rows = [{"kind": "epoch", "epoch": at, "update_norm": 0.01 * (at + 1), "batch_size": 16 << at} for at in range(2)]
    folder = folder_of(tmp_path, [*steps([2.0, 1.0]), *rows])
    charts = schedule_charts(folder, history(folder))
    for key, values in (("update", [0.01, 0.02]), ("batch", [16, 32])):
        (line,) = chart_of(charts, key).panels[0].lines
        assert [value for _, value in line[1]] == values
