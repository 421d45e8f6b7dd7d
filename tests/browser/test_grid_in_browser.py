"""A grid in Chromium: cells come while the page goes on, a tap opens one in a lane."""

import pytest
from driving import (
    open_drawer,
    push,
    readout,
    settle,
    step,
    still,
    turn,
    wait_for,
    wait_in_drawer,
    wait_refused,
)


def test_a_grid_is_relaxed_and_a_cell_is_opened(page):
    before = step(page, 5)
    open_drawer(page, "grid")
    turn(page, "values", "fast", 0)
    push(page, "relax the grid")
    wait_in_drawer(page, "dynamics.rate: fast; a number")
    wait_refused(page, "fast")
    assert readout(page)["lanes"] == before["lanes"]
    turn(page, "values", "0.05, 0.3", 0)
    turn(page, "values", "4, 8, 12", 1)
    push(page, "relax the grid")
    wait_in_drawer(page, f"from the beginning of lane {before['lane']}, batch 0")
    shown = step(page, 2)
    assert shown["row"] == before["row"] + 2, "the page goes on"
    page.wait_for_function(
        """() => Bokeh.index.query_one(v => v.model.name === 'grid')
             ?.model.renderers[0].data_source.data.x.length === 6""",
        timeout=60_000,
    )
    settle(page)
    box = still(page.locator("#drawer .bk-Figure").filter(visible=True).first)
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.15 * box["height"])
    shown = wait_for(
        page, lambda r: r["lanes"] > before["lanes"] and r["row"] == 12, what="the cell's lane"
    )
    assert shown["experiment"]["dynamics"]["rate"] == 0.3 and shown["experiment"]["steps"] == 12
    said = wait_in_drawer(page, r"dynamics\.rate 0\.3, T 12 : imbalance \(decades\) ([\d.]+)")
    assert shown["imbalance"] == pytest.approx(float(said[1]), rel=0.01)
