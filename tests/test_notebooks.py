"""Notebooks run from the first cell to the last, and are stored without what they print."""

import base64
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="missing: nbformat, of the test extra")
nbclient = pytest.importorskip("nbclient", reason="missing: nbclient, of the test extra")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_two_and_both_are_stored_without_outputs():
    assert [one.stem for one in NOTEBOOKS] == ["first-steps", "imbalance"]
    for path in NOTEBOOKS:
        notebook = read(path)
        nbformat.validate(notebook)
        cells = [one for one in notebook.cells if one.cell_type == "code"]
        assert not any(one.outputs or one.execution_count for one in cells), path.name


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a notebook in a folder of its own; gives its cells of code by what they begin with."""

    def cells(stem):
        folder = tmp_path_factory.mktemp(stem)
        notebook = read(ROOT / "notebooks" / f"{stem}.ipynb")
        there = {"metadata": {"path": str(folder)}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))
            patch.setenv("OMP_NUM_THREADS", "1")  # as the tests beside it
            done = nbclient.NotebookClient(notebook, timeout=240, resources=there).execute()
        return [one for one in done.cells if one.cell_type == "code"]

    return cells


def of_kind(cell, kind):
    """What a cell shows of a kind of data."""
    return [out.data[kind] for out in cell.outputs if kind in out.get("data", {})]


LOAD = "application/vnd.holoviews_load.v0+json"
LOADED = re.compile(r"const (?:js_urls|js_modules|css_urls) = \[(.*?)\]|js_exports = \{(.*?)\}")
"""What a script that loads a notebook's libraries fetches."""


def fetched(cell):
    """Addresses that a browser asks for to show what the cell shows."""
    loads = of_kind(cell, LOAD)
    found = ["".join(groups) for text in loads for groups in LOADED.findall(text)]
    shown = "".join(of_kind(cell, "text/html"))
    return re.findall(r"https?://[^\s\"]+", " ".join(found)) + re.findall(
        r"""(?:"url":|(?:src|href)=)\s*\\?"(https?://[^"]+)""", shown
    )


def printed(cell):
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def assert_figures(cells, least):
    drawing = [one for one in cells if re.search(r"^(views.*\.)?figure\(", one.source, re.M)]
    assert len(drawing) >= least
    for cell in drawing:
        (shown,) = of_kind(cell, "image/png")
        assert base64.b64decode(shown)[:4] == b"\x89PNG", cell.source


def test_first_steps_show_figures_an_element_and_a_session_with_its_controls(run):
    cells = run("first-steps")
    assert_figures(cells, 2)
    (element,) = [one for one in cells if one.source.endswith(".view(trace)")]
    assert of_kind(element, "text/html")
    (session,) = [one for one in cells if one.source.endswith("\nsession")]
    assert "to the end" in "".join(of_kind(session, "text/html"))
    assert sum(map(len, map(LOADED.findall, of_kind(element, LOAD)))) > 2
    assert [fetched(one) for one in cells if fetched(one)] == []
    (training,) = [one for one in cells if "accuracy" in one.source]
    before, after = (int(one) for one in re.findall(r"(\d+)%", printed(training)))
    assert before < 20 and after > 30, "chance is 10 %"
    (refusal,) = [one for one in cells if one.source.startswith("try:")]
    assert printed(refusal).startswith("steps: -1; ")


def test_imbalance_is_shown_figure_by_figure_and_more_layers_are_reached_at_larger_rates(run):
    cells = run("imbalance")
    assert_figures(cells, 6)
    (rates,) = [one for one in cells if one.source.startswith("for rate")]
    reached = [int(one) for one in re.findall(r"(\d+) of 10 layers", printed(rates))]
    # An error loses a factor of about the rate in each layer, and rounding is the same for all.
    assert len(reached) == 4 and reached == sorted(reached) and reached[0] < reached[-1]
    (average,) = [one for one in cells if one.source.startswith("average")]
    energies = [float(one) for one in re.findall(r"\d\.\de[+-]\d+", printed(average))]
    swept, others = energies[:4], energies[4:]  # the preset has m = 4
    assert len(energies) == 10 and max(swept) < 1e-9 < 1e-4 < min(others)
