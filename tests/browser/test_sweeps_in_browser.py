"""A sweep in a browser: its results as a parameter map, its points as lanes of Compare."""

import shutil
from dataclasses import asdict

import pytest
from driving import open_drawer, settle, still, wait_for, wait_in_drawer

from core import make
from core.experiment import Experiment
from core.runs.relaxed import relax
from workbench import sweep_plan, sweep_store, sweeps
from workbench.grid_sweep import SWEPT

BASE = Experiment(
    dataset=make("dataset", "SmallDigits"),
    network=make("network", "MLP", {"hidden": (8, 8)}),
    pretraining="random",
    batch_size=50,
)

OVER = {"dynamics.rate": [0.05, 0.2], "init": ["Forward", "Zero"], "seed": [0, 1]}


@pytest.fixture(scope="module")
def sweep(server):
    """A sweep among the runs of the server, one of whose points is not there."""
    folder = server.runs / "rates"
    folder.mkdir(parents=True)
    amount = asdict(sweep_plan.Amount())
    said = {"base": BASE.to_dict(), "over": OVER, "listed": None, "amount": amount, "plugins": []}
    plan = sweep_plan.made(said)
    sweep_store.write_plan(folder, said, plan.identity)
    for point in plan.points[:-1]:
        relax(point.experiment, folder / point.name, align=True)
    sweeps.write(folder)
    yield folder
    shutil.rmtree(folder)


def menu(page, label):
    """The menu of the drawer with this label that is in sight."""
    group = page.locator("#drawer .bk-input-group", has=page.locator(f'label:text-is("{label}")'))
    return group.locator("select").filter(visible=True).first


def test_a_sweep_is_a_parameter_map_whose_cells_lead_to_their_runs(visit, sweep):
    page = visit()
    open_drawer(page, "grid")
    menu(page, "grid").select_option("rates")
    wait_in_drawer(page, "8 points: 7 finished, 1 not begun; mean over 2 seeds")
    menu(page, "at the end").select_option(label=SWEPT["total"])
    page.wait_for_function(
        """() => Bokeh.index.query_one(v => v.model.name === 'grid')
             ?.model.renderers[0].data_source.data.x.length === 4"""
    )
    settle(page)
    box = still(page.locator("#drawer .bk-Figure").filter(visible=True).first)
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.7 * box["height"])
    said = wait_in_drawer(
        page, r"dynamics\.rate 0\.05, init Forward : .*total energy F \(nat\) ([\d.]+)"
    )
    found = sweeps.results(sweep).sel({"dynamics.rate": 0.05, "init": "Forward"})
    assert float(said[1]) == pytest.approx(float(found["F"].mean()), rel=0.01)
    page.get_by_text("compare its runs").click()
    shown = wait_for(
        page, lambda r: r.get("page") == "compare" and len(r.get("lanes", ())) == 2, 60
    )
    assert shown["lanes"] == [f"rates: rate0.05-Forward-seed{k}" for k in (0, 1)]
    page.get_by_role("link", name="Runs").click()
    wait_for(page, lambda r: r.get("page") == "runs" and r["sweeps"] == ["rates"], 60)
    page.get_by_role("link", name="sweep rates").click()
    wait_for(page, lambda r: r.get("page") == "compare" and len(r.get("lanes", ())) == 7, 60)


def test_a_sweep_is_compared_by_its_name(visit, sweep):
    page = visit("?page=compare&run=rates&several=seeds+as+one", ready=False)
    shown = wait_for(page, lambda r: r.get("ready") and len(r["lanes"]) == 7, 90, "the lanes")
    assert "rates" in shown["offers"] and shown["groups"] == 3 and not shown["refused"]
    assert len(shown["curves"]) == 4, "three pairs of seeds, and one alone"
    page.get_by_role("link", name="rates: rate0.2-Forward-seed1").click()
    watched = wait_for(page, lambda r: r.get("row") == BASE.steps, 60, "the rows of a point")
    assert watched["experiment"]["dynamics"]["rate"] == 0.2 and watched["state"] == "finished"
