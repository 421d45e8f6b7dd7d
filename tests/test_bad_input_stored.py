"""Bad input, row by row: what lies on a disk, and what a page or a person does beside the choices.

The numbers are those of `tests/rows.py`. Most rows from 29 on are provoked where their part of the
code is tested; here are those that no other test has, and the test that none is forgotten.
"""

import errno
import fcntl
import re
import shutil
import time
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from core.catalogue import BadInput
from core.runs import Run, Writer, exports
from core.runs import manifest as manifests
from tests.commands import snapshot
from tests.faults.known import ABOUT, course, judge
from tests.rows import ROWS
from workbench import drawing
from workbench.taping import free_name

DEEDS = course(flushes=2, size=4, forks=False)


def written(path, deeds=DEEDS):
    """A finished run."""
    with Writer(path, **ABOUT) as writer:
        for deed in deeds:
            deed.do(writer)
    return path


@pytest.mark.row(32)
def test_a_missing_chunk_of_an_export_reads_as_nothing_that_was_measured(tmp_path):
    to = exports.export(Run(written(tmp_path / "run")), tmp_path / "x.zarr")
    whole = xr.open_zarr(to).load()
    chunks = sorted(one for one in to.rglob("*") if one.is_file() and one.name != "zarr.json")
    assert len(chunks) >= 10
    for chunk in chunks:
        if "batches" in chunk.relative_to(to).parts:
            continue
        name, held = chunk.relative_to(to).parts[0], chunk.read_bytes()
        chunk.unlink()
        seen = xr.open_zarr(to)[name].values
        chunk.write_bytes(held)
        kind = seen.dtype.kind
        if kind == "f":
            assert np.isnan(seen).any() and not np.isnan(whole[name].values).any(), name
        elif kind == "i":
            assert (seen == np.iinfo(seen.dtype).min).any(), name
        elif kind in "UOT":
            assert "" in seen.tolist(), name


@pytest.mark.row(34)
def test_no_older_schema_is_guessed_at(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "SCHEMA", 0)
    written(tmp_path / "run")
    monkeypatch.undo()
    before = snapshot(tmp_path)
    with pytest.raises(BadInput, match="schema 0, this version reads 1"):
        Run(tmp_path / "run")
    assert snapshot(tmp_path) == before


def declared(path, **sizes):
    """A small NetCDF file of huge variables of which nothing was written."""
    with netCDF4.Dataset(path, "w") as held:
        for name, size in sizes.items():
            held.createDimension(name, size)
        for name in (*sizes, "energy"):
            dims = tuple(sizes) if name == "energy" else (name,)
            chunks = [min(sizes[one], 1000) for one in dims]
            held.createVariable(name, "f8", dims, zlib=True, chunksizes=chunks)
    return path


@pytest.mark.row(48)
@pytest.mark.parametrize("sizes", [{"step": 5 * 10**11}, {"step": 10**7, "layer": 10**6}])
def test_a_trace_that_declares_terabytes_is_refused_with_the_number(place, sizes):
    trace = declared(place.folder / "big.nc", **sizes)
    assert trace.stat().st_size < 10**5
    begun = time.monotonic()
    for command in (["figure", "--view", "total"], ["movie"]):
        out = place.folder / ("o.zip" if "figure" in command else "o.gif")
        code, line = place.refused(command[0], trace, *command[1:], "--out", out)
        assert code == 4 and re.search(r"big\.nc; .* declares \S+ GB; at most half of ", line)
    assert time.monotonic() - begun < 30


@pytest.mark.row(49)
def test_a_run_that_vanishes_while_it_is_open_is_said(tmp_path):
    run = Run(written(tmp_path / "run"))
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(BadInput, match=r"rows\.sqlite; missing, so that no row can be read"):
        run.refresh()
    with pytest.raises(BadInput, match="no run lies there"):
        Run(tmp_path / "run")


@pytest.mark.row(50)
def test_a_file_system_without_locks_is_said_once_and_the_run_is_written(tmp_path, monkeypatch):
    def unsupported(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    writer = Writer(tmp_path / "run", **ABOUT)
    assert "cannot lock (No locks available)" in writer.note and "\n" not in writer.note
    for deed in DEEDS:
        deed.do(writer)
    monkeypatch.undo()
    judge(tmp_path / "run", DEEDS).close()


@pytest.mark.row(51)
def test_names_and_orders_do_not_follow_a_clock_that_goes_back(tmp_path, monkeypatch):
    clock = [2e9]

    def back(*_):
        clock[0] -= 1000
        return clock[0]

    monkeypatch.setattr(time, "time", back)
    monkeypatch.setattr(time, "time_ns", lambda: int(back() * 1e9))
    with Writer(tmp_path / "run", **ABOUT) as writer:
        for deed in DEEDS[:4]:
            deed.do(writer)
    with Writer(tmp_path / "run", resume=True) as writer:
        for deed in DEEDS[4:]:
            deed.do(writer)
    judge(tmp_path / "run", DEEDS).close()
    monkeypatch.setenv("RELAXOSCOPE_RUNS", str(tmp_path / "runs"))
    names = [free_name()]
    for _ in range(3):
        written(tmp_path / "runs" / names[-1], DEEDS[:2])
        names.append(free_name())
    assert len(set(names)) == 4


@pytest.mark.row(59)
def test_a_figure_without_a_number_or_a_place_is_refused(place):
    trace = place.relax(*place.scalar())
    trace["energy"][:] = np.nan
    trace.to_netcdf(place.folder / "nan.nc", engine="netcdf4")
    words = ["figure", place.folder / "nan.nc", "--view", "energy_time", "--out"]
    code, line = place.refused(*words, place.folder / "o.zip")
    assert code == 2 and "no finite value" in line
    place.write("file", "")
    code, line = place.refused("figure", place.out, "--view", "total", "--out", "/dev/null/x/o.zip")
    assert code in (2, 3) and "/dev/null" in line


def test_a_trace_that_the_library_gives_up_on_or_never_opens_is_told_in_one_line(
    place, monkeypatch, capfd
):
    def fails(*_, **__):
        raise RuntimeError("NetCDF: HDF error")

    place.relax(*place.scalar())
    with monkeypatch.context() as patch:
        patch.setattr(xr, "load_dataset", fails)
        words = ["figure", place.out, "--view", "total", "--out", place.folder / "o.zip"]
        code, line = place.refused(*words)
        assert code == 4 and line.endswith("trace.nc; cannot be read: NetCDF: HDF error\n")
    ended = []
    monkeypatch.setattr(drawing, "OPENS", 0.05)
    monkeypatch.setattr("workbench.figures.check_size", lambda path: time.sleep(0.5))
    monkeypatch.setattr("os._exit", ended.append)
    drawing._loaded([str(place.out)])
    assert ended == [4] and "trace.nc; not opened within 0.05 s" in capfd.readouterr().err


# All rows ----------------------------------------------------------------------------------------


def test_every_row_of_the_catalogue_has_a_test():
    texts = [path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py")]
    marked = {
        int(number)
        for text in texts
        for numbers in re.findall(r"(?:mark\.|^@)row\(([\d, ]+)\)", text, re.MULTILINE)
        for number in numbers.split(",")
    }
    from tests.test_bad_input import ROWS as CHOICES

    marked |= {row[0] for row in CHOICES} | {14, 15}
    assert set(ROWS) == set(range(1, 73))
    assert marked == set(ROWS)
