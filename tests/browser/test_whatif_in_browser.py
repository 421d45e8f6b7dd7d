"""What if it stopped here, in Chromium: the table follows the cursor, a menu changes the lines."""

from driving import (
    changed,
    menu,
    open_drawer,
    press,
    settle,
    shot,
    step,
    until,
    wait_for,
    wait_in_drawer,
)

TABLE = """table => [
  [...table.querySelectorAll('th')].map(e => e.innerText),
  ...[...table.querySelectorAll('tbody tr')].map(
    row => [...row.querySelectorAll('td')].map(e => e.innerText))]"""


def table_of(page, before=None):
    """The table, one dictionary a layer from the bottom up, once there is one and another one."""
    table = page.locator("#drawer table.rules")

    def found():
        heads, *rows = table.evaluate(TABLE)
        now = [dict(zip(heads, cells, strict=True)) for cells in reversed(rows)]
        return now if now != before else []

    return until(found, "the table")


def picture(page):
    """The figure."""
    return page.locator("#drawer .bk-Figure").filter(visible=True).first


def test_every_rule_has_a_column_that_follows_the_cursor_and_a_menu_chooses_what_is_drawn(page):
    step(page, 12)
    open_drawer(page, "what-if")
    wait_in_drawer(page, "row 12, batch 0: phase .*, t = 12")
    for title in ("Predictive coding", "Forward update", "Incremental", "Backprop", "Z-IL"):
        wait_in_drawer(page, title)
    wait_in_drawer(page, "Equilibrium propagation: ")  # a refused rule says why
    shown = table_of(page)
    assert [one["layer"] for one in shown] == [str(k) for k in range(1, 11)]
    assert all(one["Backprop"] == "1" for one in shown)
    assert shown[-1]["Forward update"] == "1", "the output gets exactly backprop's gradient"
    assert shown[-1]["drift"] != "0"

    press(page, "Home")
    wait_for(page, lambda r: r["cursor"] == 0, what="rewound")
    wait_in_drawer(page, "row 0, batch 0")
    first = table_of(page, shown)
    assert [one["drift"] for one in first] == ["0"] * 10
    updates = [one["Predictive coding"] for one in first]
    assert updates == ["–"] * 9 + ["1"], "the error has not come down, the output's is backprop's"

    press(page, "End")
    wait_in_drawer(page, "row 12, ")
    cosine = table_of(page, first)
    settle(page)
    before = shot(picture(page))
    menu(page, "compares").select_option(label="norm of the gradient")
    changed(picture(page), before)
    norms = table_of(page, cosine)
    assert float(norms[-1]["Backprop"]) > 0
