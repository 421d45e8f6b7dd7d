"""A bundle holds everything, comes back unchanged, and is the same bytes whenever it is made."""

import io
import json
import tomllib
import zipfile
from types import SimpleNamespace

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image
from test_views import full_lane

from workbench import figures, look, measures
from workbench.plate import Plate
from workbench.views import views

FILES = {
    "figure.pdf",
    "figure.svg",
    "figure.png",
    "data.nc",
    "data.csv",
    "recipe.toml",
    "events.json",
    "redraw.py",
    "references.bib",
    "README.txt",
}


def unpacked(zipped):
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def trace():
    return full_lane(recipe_id=[0] * 4 + [1] * 5)


@pytest.fixture(scope="module")
def bundle(trace):
    return figures.bundle("energy_time", trace)


@pytest.fixture(scope="module")
def total(trace):
    return figures.bytes_of("total", trace)


@pytest.fixture
def svg_alone(monkeypatch):
    """Only one format, which shows every line and letter: the others take most of the time."""
    monkeypatch.setattr(figures, "FORMATS", formats("svg"))


def formats(*endings):
    """A table of its own: one whose entries are taken out and put back has another order."""
    return {ending: figures.FORMATS[ending] for ending in endings}


def test_the_same_trace_gives_the_same_bytes(bundle, trace):
    again = unpacked(figures.bytes_of("energy_time", trace.copy(deep=True)))
    assert set(again) == FILES
    assert [key for key in FILES if bundle[key] != again[key]] == []


@pytest.mark.parametrize("name", views())
def test_every_figure_is_drawn_the_same_again(name, trace, monkeypatch):
    monkeypatch.setattr(figures, "FORMATS", formats("pdf", "svg"))
    first, again = (figures.drawn(Plate((name,), 5), trace) for _ in range(2))
    assert [key for key in first if first[key] != again[key]] == []


def test_a_zip_holds_no_date_of_its_making(total):
    with zipfile.ZipFile(io.BytesIO(total)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_fonts_are_embedded_as_truetype_and_pixels_are_400_to_the_inch(bundle):
    assert b"/FontFile2" in bundle["figure.pdf"] and b"/Type3" not in bundle["figure.pdf"]
    assert b"CreationDate" not in bundle["figure.pdf"]
    assert b"<text" not in bundle["figure.svg"]
    image = Image.open(io.BytesIO(bundle["figure.png"]))
    assert image.width == 1300
    assert image.info["dpi"] == pytest.approx((400, 400), abs=0.1)


def test_the_trace_comes_back_and_draws_the_same_bundle(bundle, trace, tmp_path):
    out = figures.export("energy_time", trace, tmp_path / "new" / "figure")
    again = figures.load(out / "data.nc")
    xr.testing.assert_identical(again, trace)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == bundle
    assert figures.bundle("energy_time", again) == bundle


def test_the_table_is_the_measure(bundle, trace):
    table = pd.read_csv(io.BytesIO(bundle["data.csv"])).set_index(["step", "layer"])
    found = views()["energy_time"].measure(trace)
    for step in (0, 3, 8):
        for layer in (1, 5):
            cell = table.loc[(step, layer)]
            one = found.sel(step=step, layer=layer)
            assert cell["energy"] == pytest.approx(one["energy"].item(), rel=1e-8)
            assert cell["reached"] == one["reached"].item()
            assert cell["rounding"] == one["rounding"].item()
            assert cell["t"] == step


def test_the_recipe_is_the_whole_experiment(bundle, trace):
    assert tomllib.loads(bundle["recipe.toml"].decode()) == json.loads(trace.attrs["experiment"])


def test_a_toggle_is_in_the_log_and_in_the_caption(bundle):
    events = json.loads(bundle["events.json"])
    assert events["changes"] == [{"step": 4, "change": "precision: Identity -> Spiking"}]
    assert events["recipes"][1]["precision"]["name"] == "Spiking"
    said = bundle["README.txt"].decode()
    assert "row 4: precision: Identity -> Spiking" in said


def test_the_caption_says_how_it_was_made(bundle):
    said = bundle["README.txt"].decode()
    for part in ("Forward (noise 0)", "GradientDescent (rate 0.1)", "T = 2 steps", "seed 7"):
        assert part in said


def test_attributes_of_any_kind_are_written(trace):
    odd = trace.assign_attrs(
        flag=True, none=None, huge=2**70, small=np.int32(3), table={"a": [1, None]}, real=0.5
    )
    odd["energy"].attrs = {"units": "nat", "none": None}
    with netCDF4.Dataset("memory", memory=figures.netcdf(odd)) as written:
        assert written.flag == 1 and written.small == 3 and written.real == 0.5
        assert written.huge == str(2**70)
        assert json.loads(written.table) == {"a": [1, None]}
        assert json.loads(written["energy"].none) is None


def test_a_trace_without_an_experiment_can_be_exported(trace, svg_alone):
    bare = trace.drop_attrs(deep=False).assign_attrs(
        eps=trace.attrs["eps"], recipes=trace.attrs["recipes"]
    )
    files = figures.bundle("total", bare)
    assert "does not name its experiment" in files["README.txt"].decode()
    assert files["recipe.toml"] == b""


def test_none_is_left_out_of_toml():
    written = figures.toml({"a": None, "b": {"c": None, "d": 1}, "e": [1, 2]})
    assert tomllib.loads(written.decode()) == {"b": {"d": 1}, "e": [1, 2]}


def test_a_zip_replaces_the_one_before_and_leaves_nothing_beside_it(trace, total, tmp_path):
    path = tmp_path / "one.zip"
    path.write_bytes(b"old")
    assert figures.export("total", trace, path) == path
    assert path.read_bytes() == total
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file/figure", "file/figure.zip"])
def test_a_path_that_cannot_be_written_is_named_in_one_line(trace, tmp_path, place, svg_alone):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match=r"^figure: .*file/figure") as refused:
        figures.export("total", trace, tmp_path / place)
    assert "\n" not in str(refused.value)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_no_trace_is_named_in_one_line(tmp_path):
    (tmp_path / "other.nc").write_text("not NetCDF")
    for name in ("missing.nc", "other.nc"):
        with pytest.raises(ValueError, match=f"^trace: .*{name}; cannot be read") as refused:
            figures.load(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_a_view_that_has_nothing_to_draw_writes_nothing(trace, tmp_path):
    with pytest.raises(ValueError, match=r"^alignment: "):
        figures.export("alignment", trace.drop_vars("alignment"), tmp_path / "figure")
    assert list(tmp_path.iterdir()) == []


def test_what_batches_showed_travels_with_the_trace(trace, tmp_path, svg_alone):
    out = figures.export("reconstruction", trace, tmp_path / "figure", step=4)
    again = figures.load(out / "data.nc")
    assert again["label"].dims == ("shown_batch", "sample")
    assert measures.changes(again) == measures.changes(trace)


def test_a_lean_trace_is_written_whole_and_comes_back(trace, tmp_path, svg_alone):
    lean = trace[["energy", "error", "precision"]].assign_coords(
        state=np.arange(6), state_size=("state", [2] * 6)
    )
    out = figures.export("energy_time", lean, tmp_path / "figure")
    xr.testing.assert_identical(figures.load(out / "data.nc"), lean)


@pytest.mark.parametrize("step", [-1, 2, 9, 10**6])
def test_a_step_beyond_the_recorded_rows_is_refused_in_one_line(trace, tmp_path, step):
    later = trace.isel(step=slice(3, None))
    with pytest.raises(ValueError, match=rf"^step: {step}; a row 3\.\.8$"):
        figures.export("total", later, tmp_path / "figure", step=step)
    with pytest.raises(ValueError, match=r"^step: "):
        figures.bytes_of("total", later, step)
    assert list(tmp_path.iterdir()) == []


def test_a_step_between_two_rows_of_a_thinned_trace_draws_the_nearest(trace, svg_alone):
    thinned = trace.isel(step=slice(None, None, 4))
    said = figures.bundle("total", thinned, 3)["README.txt"].decode()
    assert "step t = 4 of" in said
    assert figures.bundle("total", thinned, 8)


def test_the_page_exports_the_newest_row_while_its_cursor_runs_ahead(trace, svg_alone):
    from workbench.export_tab import ExportTab
    from workbench.plate_dials import PlateDials
    from workbench.sight import Sight

    held = SimpleNamespace(dataset=lambda: trace, batches={})
    session = SimpleNamespace(lane=SimpleNamespace(trace=held), cursor=50)
    tab = SimpleNamespace(
        _watches=False,
        _page=SimpleNamespace(session=session, sight=Sight()),
        _view=SimpleNamespace(value="total"),
        _dials=PlateDials({"Total": "total"}, look.LIGHT, lanes=True),
        _refused=SimpleNamespace(object=""),
    )
    tab._trace = lambda session: ExportTab._trace(tab, session)
    assert ExportTab._zip(tab).read() == figures.bytes_of("total", trace, 8)


def test_the_menu_of_columns_has_the_widths_of_the_chosen_paper():
    from workbench.plate_dials import PlateDials

    dials = PlateDials({"Total": "total"}, look.LIGHT, lanes=True)
    assert list(dials._columns.options) == ["one, 82.55 mm", "two, 171.45 mm"]
    dials._columns.value = 2
    dials._paper.value = "Nature"
    assert list(dials._columns.options) == ["one, 89 mm", "two, 183 mm"]
    assert (dials.plate("total", 0).paper, dials.plate("total", 0).columns) == ("Nature", 2)


def test_the_command_of_a_lane_without_rows_is_that_of_its_first_batch():
    from core import Experiment
    from workbench.export_tab import ExportTab

    tab = SimpleNamespace(
        _watches=False,
        _record=None,
        _command=SimpleNamespace(object=""),
        _repeat=lambda session: None,
    )
    empty = SimpleNamespace(row=lambda number: None)
    lane = SimpleNamespace(experiment=Experiment(), trace=empty)
    ExportTab.show(tab, SimpleNamespace(lane=lane, cursor=0))
    assert "relaxoscope relax" in tab._command.object
