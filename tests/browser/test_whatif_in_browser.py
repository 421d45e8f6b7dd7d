"""What if it stopped here, in Chromium: the table follows the cursor, a menu changes the lines."""

import numpy as np
from driving import decoded, in_drawer, menu, open_drawer, press, step, wait_for, wait_in_drawer


def layers(page):
    """The table, one dictionary a layer from the bottom up."""
    table = page.locator("#drawer table.rules")
    heads = table.locator("th").all_inner_texts()
    found = [row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()]
    return [dict(zip(heads, cells, strict=True)) for cells in reversed(found)]


def picture(page):
    """The pixels of the figure."""
    return decoded(page.locator("#drawer .bk-Figure").filter(visible=True).first.screenshot())


def test_every_rule_has_a_column_that_follows_the_cursor(page):
    step(page, 12)
    open_drawer(page, "what-if")
    wait_in_drawer(page, "row 12, batch 0: phase .*, t = 12")
    for title in ("Predictive coding", "Forward update", "Incremental", "Backprop", "Z-IL"):
        wait_in_drawer(page, title)
    assert "Equilibrium propagation: " in in_drawer(page), "a refused rule says why"
    shown = layers(page)
    assert [one["layer"] for one in shown] == [str(k) for k in range(1, 11)]
    assert all(one["Backprop"] == "1" for one in shown)
    assert shown[-1]["Forward update"] == "1", "the output gets exactly backprop's gradient"
    assert shown[-1]["drift"] != "0"

    for _ in range(12):
        press(page, "ArrowLeft")
    wait_for(page, lambda r: r["cursor"] == 0, what="rewound")
    wait_in_drawer(page, "row 0, batch 0")
    first = layers(page)
    assert [one["drift"] for one in first] == ["0"] * 10
    updates = [one["Predictive coding"] for one in first]
    assert updates == ["–"] * 9 + ["1"], "the error has not come down, the output's is backprop's"


def test_the_menu_chooses_what_is_drawn(page):
    step(page, 12)
    open_drawer(page, "what-if")
    wait_in_drawer(page, "row 12, ")
    page.wait_for_timeout(500)
    before, cosine = picture(page), layers(page)
    menu(page, "compares").select_option(label="norm of the gradient")
    page.wait_for_timeout(1000)
    assert np.any(picture(page) != before)
    norms = layers(page)
    assert norms != cosine and float(norms[-1]["Backprop"]) > 0
