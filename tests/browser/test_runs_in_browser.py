"""Runs in a browser: found, opened, watched while they are written, annotated, put away, exported.

The server has a folder of runs of its own, whose runs are made here.
"""

import contextlib
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from driving import assert_whole, canvas_pixels, colours, serving, settle, still, until, wait_for
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workbench"))

from shelves import energies, record, rows

from core.catalogue import make
from core.experiment import Experiment
from core.recorder import Chunk
from core.runs import annotate, trash
from core.runs.shelf import found
from core.runs.train import train
from tests.missing import missing

HOSTILE = '<img src=x onerror="window.hit=1">'

FIGURES = ("heat", "accuracy", "energy", "imbalance", "update_norm", "update_alignment")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of runs of the server."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def server(server, tmp_path_factory, root):
    """A server that looks for runs there, and has the other one's weights."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, runs=root, cache=server.cache) as running:
        yield running


@pytest.fixture
def runs(root):
    """Three runs: one with everything, one of own code, one damaged; afterwards none."""
    generator = np.random.default_rng(0)
    logged = {
        k: {
            "accuracy": 0.5 + k / 100,
            "seconds": 0.1,
            "smm": 21,
            "update_norm": generator.uniform(0.1, 1, 3),
            "update_alignment": generator.uniform(0.5, 1, 3),
        }
        for k in range(20)
    }
    chosen = Experiment(seed=5).to_dict()
    record(root / "bad", energies(3, 2), 2)
    (root / "bad" / "rows.sqlite").write_bytes(b"rubbish")
    record(root / "own", energies(8, 4), 4, data=HOSTILE)
    annotate(root / "own", title=HOSTILE, note=HOSTILE, tags=[HOSTILE[:30]])
    record(root / "whole", energies(20, 4), 4, logged=logged, experiment=chosen)
    yield root
    for path in found(root):
        trash(path)


@pytest.fixture
def before_pages(request):
    """The runs of a test that asks for some are there before its pages, and go after them."""
    if "runs" in request.fixturenames:
        request.getfixturevalue("runs")


@pytest.fixture
def visit(before_pages, visit):
    return visit


def shown(page, count=3):
    """The readout once the table has so many runs."""
    return wait_for(page, lambda r: len(r.get("runs", ())) == count, timeout=60)


def cell(page, text):
    return page.locator("#table .tabulator-cell", has_text=text).first


def choose(page, name):
    """Click a run; the readout once it is open and read."""
    cell(page, name).wait_for()
    still(cell(page, name))
    cell(page, name).click()
    return wait_for(page, lambda r: r["open"] == name and r["read"] == 1.0, what=f"{name} is open")


def tick(page, name):
    """Tick a run, once the table has come to rest: it is drawn anew for what was read."""
    settle(page)
    box = page.locator("#table .tabulator-row", has_text=name).locator("input[type=checkbox]").first
    box.check()
    expect(box).to_be_checked()


def sort(page, head):
    """Click a head of the table."""
    settle(page)
    page.locator("#table .tabulator-col", has_text=head).first.click()


def field(page, label):
    group = page.locator("#desk .bk-input-group", has=page.locator(f'label:text-is("{label}")'))
    return group.locator("input, textarea, select")


def test_without_a_run_the_page_says_how_to_get_one(visit):
    page = visit("?page=runs", ready=False)
    wait_for(page, lambda r: r.get("none"), timeout=60)
    for words in ("core.Trace.open", "relaxoscope train", "Relax page"):
        expect(page.locator("#none")).to_contain_text(words)


def test_a_run_is_found_opened_drawn_and_exported(visit, runs, tmp_path):
    page = visit("?page=runs&theme=dark", ready=False)
    said = shown(page)
    assert sorted(said["runs"]) == ["bad", "own", "whole"] and not said["none"]
    said = choose(page, "whole")
    assert said["rows"] == 100 and said["state"] == "finished" and said["why"] == {}
    assert said["points"] == {
        "accuracy": 20,
        "energy": 60,
        "imbalance": 20,
        "update_norm": 60,
        "update_alignment": 60,
        "smm": 20,
        "seconds": 20,
    }
    settle(page)
    page.screenshot(path=tmp_path / "runs.png")
    for name in FIGURES:
        until(lambda n=name: colours(canvas_pixels(page, n)) > 16, f"{name} is drawn")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280
    assert page.evaluate("() => document.documentElement.scrollHeight") <= 800
    assert_whole(page)
    assert_an_export_has_the_rows(page, tmp_path)


def test_what_was_not_logged_is_greyed_with_the_reason_and_text_is_never_markup(visit, runs):
    page = visit("?page=runs&run=own", ready=False)
    said = wait_for(page, lambda r: r.get("open") == "own" and r["read"] == 1.0, timeout=60)
    assert set(said["why"]) == {"accuracy", "update_norm", "update_alignment", "smm", "seconds"}
    assert said["points"]["accuracy"] == 0 and said["points"]["energy"] == 24
    expect(page.locator("#desk")).to_contain_text(HOSTILE)
    expect(cell(page, HOSTILE[:20])).to_be_visible()
    for tab in ("experiment", "events", "export", "notes"):
        page.locator("#desk .bk-tab", has_text=tab).click()
    settle(page)
    assert page.evaluate("() => window.hit") is None
    assert page.locator("#page img").count() == 0


def test_a_damaged_run_says_what_is_wrong(visit, runs):
    page = visit("?page=runs", ready=False)
    shown(page)
    expect(cell(page, "rows.sqlite")).to_be_visible()
    still(cell(page, "bad"))
    cell(page, "bad").click()
    said = wait_for(page, lambda r: r["message"])
    assert "rows.sqlite" in said["message"] and said["open"] == ""
    expect(page.locator("#said")).to_contain_text("rows.sqlite")


def test_an_unknown_run_is_a_message_with_the_nearest(visit, runs):
    page = visit("?page=runs&run=whoel", ready=False)
    said = wait_for(page, lambda r: r.get("message") and len(r["runs"]) == 3, timeout=60)
    assert "whole" in said["message"]


def test_the_address_names_the_run_that_is_open(visit, runs):
    page = visit("?page=runs", ready=False)
    shown(page)
    choose(page, "whole")
    until(lambda: "run=whole" in page.url, "the address names the run")
    page.reload(wait_until="commit")
    wait_for(page, lambda r: r.get("open") == "whole" and r["rows"] == 100, timeout=60)
    settle(page)
    page.get_by_role("button", name="close").click()
    wait_for(page, lambda r: r["open"] == "")
    until(lambda: "run=" not in page.url, "the address names no run")


def test_the_table_is_ticked_sorted_opened_by_a_click_and_narrowed_by_words(visit, runs):
    page = visit("?page=runs", ready=False)
    shown(page)
    assert_ticked_runs_are_compared(page)
    assert_a_click_opens_the_run_of_its_row(page)
    names = page.locator('#table .tabulator-cell[tabulator-field="run"]')
    sort(page, "rows")
    expect(names).to_have_text(["bad", "own", "whole"])
    sort(page, "rows")
    expect(names).to_have_text(["whole", "own", "bad"])
    page.locator("#controls input").first.fill("seed 5")
    wait_for(page, lambda r: r["runs"] == ["whole"])
    assert choose(page, "whole")["open"] == "whole"


def assert_a_click_opens_the_run_of_its_row(page):
    """However the table is sorted."""
    for _ in range(2):
        sort(page, "rows")
        for name in ("own", "whole"):
            assert choose(page, name)["open"] == name


def test_a_live_run_moves_by_itself_until_it_ends(visit, root):
    energy = energies(12, 4)
    writer = record(root / "alive", energy[:20], 4, close="")
    try:
        page = visit("?page=runs&run=alive", ready=False)
        wait_for(page, lambda r: r.get("rows") == 20 and r["state"] == "live", timeout=60)
        writer.append(0, Chunk(rows(energy[20:40], 4, first=20)))
        said = wait_for(page, lambda r: r["rows"] == 40)
        assert said["points"]["imbalance"] == 8
        writer.append(0, Chunk(rows(energy[40:], 4, first=40)))
        wait_for(page, lambda r: r["points"]["imbalance"] == 12)
    finally:
        writer.close()
    wait_for(page, lambda r: r["state"] == "finished")
    trash(root / "alive")
    wait_for(page, lambda r: r["open"] == "" and "alive" in r["message"], what="it is gone")


def test_a_training_is_paused_changed_gone_on_with_and_stopped(visit, root):
    small = {"network": make("network", "MLP", {"hidden": (8,)}), "steps": 3}
    chosen = Experiment(dataset=make("dataset", "SmallDigits"), pretraining="random", **small)
    over = threading.Event()
    work = threading.Thread(
        target=lambda: train(chosen, root / "busy", batches=10**6, stop=over.is_set)
    )
    work.start()
    try:
        page = visit("?page=runs&run=busy", ready=False)
        button = page.locator("#desk").get_by_role("button")
        wait_for(page, lambda r: r.get("state") == "live" and r["rows"], timeout=60)
        button.get_by_text("pause", exact=True).click()
        rows = wait_for(page, lambda r: r["state"] == "paused" and not r["waiting"])["rows"]
        expect(cell(page, "paused")).to_be_visible()
        menu = page.locator("#desk select").first
        menu.select_option(label="steps = 3")
        expect(field(page, "to")).to_have_value("3")
        field(page, "to").fill("none")
        field(page, "to").press("Enter")
        wait_for(page, lambda r: "steps: none; an integer" in r["message"])
        field(page, "to").fill("2")
        button.get_by_text("change", exact=True).click()
        expect(page.locator("#desk")).to_contain_text("change steps: 3 → 2, before batch")
        wait_for(page, lambda r: not r["message"] and r["rows"] == rows)
        button.get_by_text("go on", exact=True).click()
        wait_for(page, lambda r: r["state"] == "live" and r["rows"] > rows)
        button.get_by_text("stop", exact=True).click()
        wait_for(page, lambda r: r["state"] == "interrupted", timeout=60)
        expect(menu).to_be_hidden()
    finally:
        over.set()
        work.join(60)
        trash(root / "busy")


def test_title_tags_note_and_name_are_changed_on_the_page(visit, runs):
    page = visit("?page=runs&run=whole", ready=False)
    wait_for(page, lambda r: r.get("open") == "whole", timeout=60)
    for label, text in (("title", "A deep one"), ("tags, with commas between", "deep, good")):
        field(page, label).fill(text)
        field(page, label).press("Enter")
        expect(cell(page, text)).to_be_visible()
    field(page, "name").fill("../outside")
    field(page, "name").press("Enter")
    assert "outside" in wait_for(page, lambda r: r["message"])["message"]
    expect(field(page, "name")).to_have_value("whole")
    field(page, "name").fill("deep-1")
    field(page, "name").press("Enter")
    said = wait_for(page, lambda r: r["open"] == "deep-1")
    assert sorted(said["runs"]) == ["bad", "deep-1", "own"] and said["message"] == ""
    assert (runs / "deep-1").is_dir() and not (runs / "whole").exists()


def test_a_run_goes_to_the_trash_and_comes_back(visit, runs):
    page = visit("?page=runs&run=whole", ready=False)
    wait_for(page, lambda r: r.get("open") == "whole", timeout=60)
    page.get_by_role("button", name="move to the trash").click()
    said = wait_for(page, lambda r: r["open"] == "" and len(r["runs"]) == 2)
    assert sorted(said["runs"]) == ["bad", "own"] and not (runs / "whole").exists()
    page.get_by_role("button", name="trash", exact=True).click()
    wait_for(page, lambda r: "whole" in r["runs"])
    tick(page, "whole")
    page.get_by_role("button", name="restore the ticked ones").click()
    page.get_by_role("button", name="trash", exact=True).click()
    wait_for(page, lambda r: sorted(r["runs"]) == ["bad", "own", "whole"])
    assert (runs / "whole").is_dir()


def assert_ticked_runs_are_compared(page):
    for name in ("own", "whole"):
        tick(page, name)
    door = page.locator("#controls a", has_text="compare 2")
    expect(door).to_be_visible()
    assert sorted(door.get_attribute("href").split("&")[1:3]) == ["run=own", "run=whole"]


def assert_an_export_has_the_rows(page, tmp_path):
    page.locator("#desk .bk-tab", has_text="export").click()
    with page.expect_download() as got:
        page.get_by_text("export whole.nc").click()
    got.value.save_as(tmp_path / "whole.nc")
    energy = xr.load_dataset(tmp_path / "whole.nc")["energy"].values
    np.testing.assert_array_equal(energy, energies(20, 4))


def test_the_doors_lead_to_the_pages_and_keep_theme_and_session(visit, runs):
    page = visit("?page=runs&theme=dark&session=abcdefgh", ready=False)
    shown(page)
    here = page.locator("#pages a[aria-current]")
    expect(here).to_have_text("Runs")
    page.locator("#pages a", has_text="Relax").click()
    page.wait_for_url("**page=relax**", wait_until="commit")
    assert "theme=dark" in page.url and "session=abcdefgh" in page.url
    expect(page.locator("#page")).to_have_attribute("data-theme", "dark")


def test_an_unknown_page_offers_the_nearest(visit):
    page = visit("?page=rnus%3Cb%3E%7B%7B7*7%7D%7D", ready=False)
    words = page.locator("main.words")
    expect(words).to_contain_text(
        "rnus<b>{{7*7}}; one of home, relax, runs, compare", timeout=60_000
    )
    expect(words.locator("a")).to_have_text("Runs")


def test_a_page_that_has_gone_holds_no_file_of_a_run(visit, runs, server):
    files = Path(f"/proc/{server.process.pid}/fd")
    if not files.is_dir():
        missing("/proc (Linux), where the open files of a process are listed")

    def held():
        targets = []
        for one in files.iterdir():
            with contextlib.suppress(OSError):
                targets.append(str(one.readlink()))
        return [one for one in targets if "whole/rows.sqlite" in one]

    page = visit("?page=runs&run=whole", ready=False)
    wait_for(page, lambda r: r.get("open") == "whole" and r["rows"], timeout=60)
    until(held, "it is read")
    page.goto("about:blank")
    until(lambda: not held(), "it is let go")
