"""Precision by hand in Chromium: a cell is clicked, changed, applied, acts; keys stay in fields."""

import numpy as np
from driving import (
    all_pixels,
    canvas_pixels,
    dial,
    leave_field,
    menu,
    open_drawer,
    press,
    push,
    readout,
    set_steps,
    settle,
    shot,
    step,
    still,
    turn,
    until,
    wait_for,
    wait_in_drawer,
    wait_refused,
)

LEFT, WIDE = 38, 364
"""Pixels beside the cells, and of all of them."""

SPILLS = """() => {
  const found = [];
  const walk = root => { for (const e of root.children ?? []) {
    const b = e.getBoundingClientRect();
    if (b.width && (['SELECT', 'BUTTON', 'INPUT'].includes(e.tagName)
        || e.classList.contains('bk-Figure'))) found.push(b.right);
    if (e.shadowRoot) walk(e.shadowRoot);
    walk(e);
  } };
  walk(document.getElementById('drawer'));
  return Math.max(...found); }"""


def picture(page):
    return page.locator("#drawer .bk-Figure").filter(visible=True).first


def place(page, t, layer, T=20, L=10):
    """Where a cell is on the screen."""
    settle(page)
    box = still(picture(page))
    inner = page.evaluate(
        "() => { const v = Bokeh.index.query_one(v => v.model.name === 'table');"
        " const b = v.frame.bbox; return [b.top, b.height]; }"
    )
    across = box["x"] + LEFT + (t + 0.5) * WIDE / (T + 1)
    return across, box["y"] + inner[0] + inner[1] * (L - layer + 0.5) / L


def test_a_cell_is_clicked_changed_and_applied_and_acts(page):
    open_drawer(page, "precision")
    wait_in_drawer(page, "this acts: Identity")
    menu(page, "starting point").select_option(label="Spiking")
    wait_in_drawer(page, "not applied yet")
    page.mouse.click(*place(page, 3, 2))
    wait_in_drawer(page, "layer 2, step 3: 0.001")
    before = shot(picture(page))
    turn(page, "value", "100")
    wait_in_drawer(page, r"1 cell of 200 differs from Spiking, ×1e\+05 at layer 2, step 3")
    x, y = place(page, 3, 2)
    corner = still(picture(page))
    at = round(y - corner["y"]), round(x - corner["x"])
    until(lambda: not np.array_equal(shot(picture(page))[at], before[at]), "another colour")
    assert readout(page)["experiment"]["precision"]["name"] == "Identity"
    push(page, "apply")
    wait_for(page, lambda r: r["experiment"]["precision"]["name"] == "Table", what="applied")
    wait_in_drawer(page, "this acts: Table")
    settle(page)
    plot = canvas_pixels(page, "precision")
    shown = step(page, 4)
    rows = shown["experiment"]["precision"]["rows"]
    assert shown["recipe"]["precision"]["rows"] == rows
    assert rows[3] == [0.001, 100.0, 0.001, 0.001, 0.001, 0.001, 1.0, 0.001, 0.001, 0.001]
    settle(page)
    # the plot of precisions has the cell in the colour that the picture has
    after = all_pixels(page)["precision"]
    assert not np.array_equal(after, plot)
    leave_field(page)
    page.mouse.move(5, 5)
    colour = shot(picture(page))[at[0] + 5, at[1] - 5]
    assert (np.abs(after.astype(int) - colour.astype(int)).sum(2) < 9).sum() > 20


def test_a_block_is_dragged_over_and_spikes_are_shifted(fresh):
    page = fresh
    open_drawer(page, "precision")
    menu(page, "starting point").select_option(label="Spiking")
    wait_in_drawer(page, "not applied yet")
    begin, end = place(page, 12, 2), place(page, 14, 4)  # a drag that waits is a long press
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*end, steps=6)
    page.mouse.up()
    wait_in_drawer(page, "layers 2–4, steps 12–14: 0.001")
    push(page, "multiply")
    wait_in_drawer(page, "9 cells of 200 differ from Spiking")
    push(page, "undo")
    wait_in_drawer(page, "no cell of 200 differs")
    push(page, "later")
    push(page, "apply")
    shown = wait_for(page, lambda r: r["experiment"]["precision"]["name"] == "Table", what="it")
    rows = shown["experiment"]["precision"]["rows"]
    spikes = [(t, k + 1) for t, row in enumerate(rows) for k, one in enumerate(row) if one == 1.0]
    assert spikes == [(t, 11 - t) for t in range(1, 11)]
    set_steps(page, "5")
    wait_in_drawer(page, "T went from 20 to 5")
    wait_refused(page)


def test_letters_and_arrows_in_a_field_are_no_keys_of_the_page(page):
    step(page, 2)
    open_drawer(page, "precision")
    wait_in_drawer(page, "this acts: Identity")
    field = dial(page, "value")
    field.click()
    before = readout(page)
    page.keyboard.type("n r x f c ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_in_drawer(page, r"a finite number in \[0, 1e\+06\]")
    after = readout(page)
    for name in ("row", "cursor", "lane", "batch", "commands", "playing", "drawer"):
        assert after[name] == before[name], name
    press(page, "ArrowRight")
    wait_for(page, lambda r: r["row"] == before["row"] + 1, what="a key of the page")


def test_nothing_spills_and_every_tab_can_be_reached_in_a_narrow_drawer(visit):
    page = visit("?theme=dark", viewport={"width": 1280, "height": 720})
    open_drawer(page, "precision")
    wait_in_drawer(page, "this acts: Identity")
    settle(page)
    assert page.evaluate(SPILLS) <= 1280
    open_drawer(page, "choices")
    wait_for(page, lambda r: not r["wide"], what="narrow")
    settle(page)
    tabs = page.locator("#drawer .bk-tab").evaluate_all(
        "all => all.filter(e => e.closest('.bk-headers-wrapper'))"
        ".map(e => e.getBoundingClientRect().right)"
    )
    assert len(tabs) >= 7 and max(tabs) <= 1280
