"""The menu of presets in a browser: what works have printed stands under their names."""

from driving import choose_preset, control, open_drawer, readout, wait_for, wait_said
from playwright.sync_api import expect

from workbench.presets import menu, published


def test_presets_stand_under_their_works_and_tell_their_status(page):
    found = menu()
    select = control(page, "preset", "select")
    groups = select.evaluate(
        "one => [...one.querySelectorAll('optgroup')].map(g => "
        "[g.label, [...g.querySelectorAll('option')].map(o => o.textContent)])"
    )
    assert groups == [[work, list(lines)] for work, lines in found.items()]
    open_drawer(page)
    before = readout(page)
    name = "ep-vgg5-mnist-ce-ep"
    preset = published()[name]
    choose_preset(page, f"{preset.title} · {preset.printed.status}")
    wait_for(page, lambda r: "relaxoscope data MNIST" in r["message"], what="how to get the images")
    wait_said(page, "relaxoscope data MNIST")
    assert readout(page)["experiment"] == before["experiment"]
    told = page.locator("#drawer small").first
    for line in (preset.about, *preset.printed.lines):
        expect(told).to_contain_text(line)
