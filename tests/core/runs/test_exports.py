"""Does what leaves a run equal what was put in, is it whole or not there, and does damage show?"""

import csv
import errno
import tracemalloc

import netCDF4
import numpy as np
import pytest
import xarray as xr

from core.catalogue import BadInput
from core.layout import Layout
from core.recorder import Chunk
from core.runs import NotWritten, Run, Writer, exports, netcdf_file, tables, zarr_store
from core.runs import rows as stored

LAYOUT = Layout((1, 2), ("x", "é", "y"), (1, 2), (4, 3, 2), (True, True), 1e-7, (1, 2, 2))
T = 4
LARGE = (".zarr", ".nc")


def rows(first, count, rng):
    """Random rows, the way a recorder has them."""
    step = np.arange(first, first + count)
    t = step % (T + 1)
    index = {
        "step": step,
        "t": t,
        "batch": step // (T + 1),
        "recipe_id": step * 0,
        "T": step * 0 + T,
    }
    return index | {
        "phase": np.where(t < 2, "free", "nudged—β"),
        "seconds": step * 0.25,
        "energy": rng.random((count, 2), np.float32),
        "precision": np.ones((count, 2), np.float32),
        "cost": rng.random(count).astype(np.float32),
        "energy_sample": rng.random((count, 2, 5), np.float32),
    }


@pytest.fixture
def made(tmp_path):
    """A run, and all that it was given."""
    rng = np.random.default_rng(0)
    given = [rows(0, 23, rng), rows(23, 30, rng)]
    given[1]["energy"][4, 1] = np.nan
    images = rng.random((2, 3, 4)).astype(np.float32)
    frames = {"frame_row": np.array([0, 5]), "image": images}
    with Writer(tmp_path / "a", about={"data": "Dögits"}) as writer:
        lane = writer.lane(LAYOUT, attrs={"whole": True, "half": 0.5})
        writer.recipes(lane, [{"precision": {"name": "Identity"}}])
        writer.append(lane, Chunk(given[0], frames))
        writer.append(lane, Chunk(given[1], {}))
        writer.batches(lane, [0, 1], accuracy=[0.25, np.nan], update_norm=[[1.0, 2.0], [3.0, 4.0]])
    whole = {name: np.concatenate([one[name] for one in given]) for name in given[0]}
    return tmp_path / "a", whole, images


def opened(path, group=None):
    engine = {".zarr": "zarr", ".nc": "netcdf4"}[path.suffix]
    with xr.open_dataset(path, engine=engine, group=group) as data:
        return data.load()


def scraps(folder, *kept):
    return sorted(path.name for path in folder.iterdir() if path.name not in {"a", *kept})


# What is in it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slab", [1, 2**10, 2**26])
@pytest.mark.parametrize("suffix", LARGE)
def test_all_that_was_put_in_comes_out(made, tmp_path, monkeypatch, suffix, slab):
    path, whole, images = made
    monkeypatch.setattr(exports, "SLAB", slab)
    data = opened(exports.export(Run(path), tmp_path / f"x{suffix}"))
    for name, values in whole.items():
        found = data[name].values
        if values.dtype.kind == "U":
            assert [str(one) for one in found] == values.tolist()
        else:
            assert found.dtype == values.dtype
            assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f"), name
    assert np.array_equal(data["image"].values.reshape(images.shape), images)
    assert data["frame_step"].values.tolist() == [0, 5]
    with np.errstate(invalid="ignore"):
        assert np.array_equal(
            data["error"], np.sqrt(2 * whole["energy"] / np.float32([3, 2])), equal_nan=True
        )
    assert [str(one) for one in data["layer_name"].values] == ["é", "y"]
    assert data["rounding"].dtype == bool
    assert data["energy"].attrs["units"] == "nat"
    assert set(data.coords) >= {"step", "batch", "t", "phase", "layer", "depth", "seconds"}
    assert (data.attrs["run"], data.attrs["half"], bool(data.attrs["whole"])) == ("a", 0.5, True)
    assert data.attrs["recovered"] == ""
    assert scraps(tmp_path) == [f"x{suffix}"]


@pytest.mark.parametrize("suffix", LARGE)
def test_what_is_known_of_batches_is_a_group(made, tmp_path, suffix):
    data = opened(exports.export(Run(made[0]), tmp_path / f"x{suffix}"), "batches")
    assert data["batch"].values.tolist() == list(range(11))
    assert data["accuracy"].values[:1].tolist() == [0.25] and np.isnan(data["accuracy"][1:]).all()
    assert data["update_norm"].values[:2].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert data["rows"].values.tolist() == [5] * 10 + [3]


@pytest.mark.parametrize("lines", [1, 7, 2**15])
def test_a_csv_has_a_line_for_each_row_and_layer(made, tmp_path, monkeypatch, lines):
    from core.runs import csv_table

    path, whole, _ = made
    monkeypatch.setattr(csv_table, "LINES", lines)
    with exports.export(Run(path), tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 53 * 2
    assert [int(line["step"]) for line in found] == np.repeat(np.arange(53), 2).tolist()
    assert [line["layer_name"] for line in found] == ["é", "y"] * 53
    assert [line["phase"] for line in found[::2]] == whole["phase"].tolist()
    energy = np.array([np.float32(line["energy"]) for line in found]).reshape(53, 2)
    assert np.array_equal(energy, whole["energy"], equal_nan=True)
    cost = np.array([np.float32(line["cost"]) for line in found[::2]])
    assert np.array_equal(cost, whole["cost"])
    assert {line["rounding"] for line in found} <= {"0", "1"}


def test_a_lane_that_was_forked_has_its_parents_rows_first(tmp_path):
    rng = np.random.default_rng(1)
    first, own = rows(0, 10, rng), rows(6, 3, rng)
    with Writer(tmp_path / "a") as writer:
        writer.append(writer.lane(LAYOUT), Chunk(first, {}))
        writer.append(writer.lane(LAYOUT, parent=0, forked_at=5), Chunk(own, {}))
    expected = np.concatenate([first["energy"][:6], own["energy"]])
    data = opened(exports.export(Run(tmp_path / "a"), tmp_path / "x.nc", 1))
    assert np.array_equal(data["energy"], expected)
    data = opened(exports.export(Run(tmp_path / "a"), tmp_path / "x.zarr", 0))
    assert np.array_equal(data["energy"], first["energy"])
    with pytest.raises(BadInput, match=r"^lane: 2; one of .*0, 1"):
        exports.export(Run(tmp_path / "a"), tmp_path / "y.nc", 2)


@pytest.mark.parametrize("suffix", exports.FORMATS)
def test_a_run_without_rows_leaves_as_what_it_is(tmp_path, suffix):
    with Writer(tmp_path / "a") as writer:
        writer.lane(LAYOUT)
    to = exports.export(Run(tmp_path / "a"), tmp_path / f"x{suffix}")
    if suffix == ".csv":
        assert to.read_text().count("\n") == 1
    else:
        assert opened(to)["layer"].values.tolist() == [1, 2]


@pytest.mark.parametrize("suffix", exports.FORMATS)
def test_a_large_run_is_never_held_whole(made, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(tables, "EAGER", 0)
    monkeypatch.setattr(stored, "CACHED", 2**19)
    monkeypatch.setattr(exports, "SLAB", 2**19)
    rng = np.random.default_rng(0)
    wide = Layout((1,), ("x", "y"), (1,), (2, 2), (True,), 1e-7)
    with Writer(tmp_path / "large") as writer:
        lane = writer.lane(wide)
        for part in range(20):
            step = np.arange(100) + 100 * part
            index = dict.fromkeys(("t", "batch", "recipe_id", "T"), step * 0) | {"step": step}
            values = {"energy_sample": rng.random((100, 1, 1500), np.float32)}
            energy = {"energy": rng.random((100, 1), np.float32)}
            phase = {"phase": np.full(100, "relax")}
            writer.append(lane, Chunk(index | values | energy | phase, {}))
    run = Run(tmp_path / "large")  # 2,000 rows of 6,000 bytes, 12 MB
    exports.export(Run(made[0]), tmp_path / f"small{suffix}")  # imports what it needs
    tracemalloc.start()
    exports.export(run, tmp_path / f"x{suffix}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


# Checksums ---------------------------------------------------------------------------------------


@pytest.mark.row(31)
def test_a_flipped_bit_in_any_chunk_of_a_zarr_is_noticed(made, tmp_path):
    to = exports.export(Run(made[0]), tmp_path / "x.zarr")
    chunks = [path for path in to.rglob("*") if path.is_file() and path.name != "zarr.json"]
    rng = np.random.default_rng(0)
    assert len(chunks) >= 25
    for path in chunks:
        held = path.read_bytes()
        bad = bytearray(held)
        bad[rng.integers(len(bad))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        group = "batches" if "batches" in path.relative_to(to).parts else None
        with pytest.raises(Exception, match=r"(?i)checksum|zstd|decompress|corrupt|size"):
            opened(to, group)
        path.write_bytes(held)
    opened(to)


def test_the_metadata_of_a_zarr_is_gathered_and_its_format_the_third(made, tmp_path):
    import json

    to = exports.export(Run(made[0]), tmp_path / "x.zarr")
    held = json.loads((to / "zarr.json").read_text())
    assert held["zarr_format"] == 3
    gathered = held["consolidated_metadata"]["metadata"]
    assert {"energy", "step", "batches", "batches/accuracy"} <= set(gathered)
    for one in gathered.values():
        for codec in one.get("codecs", []):
            if codec["name"] == "zstd":
                assert codec["configuration"]["checksum"] is True
        if one["node_type"] == "array":
            assert "zstd" in [codec["name"] for codec in one["codecs"]]


def test_every_variable_of_a_netcdf_has_a_checksum(made, tmp_path):
    with netCDF4.Dataset(exports.export(Run(made[0]), tmp_path / "x.nc")) as file:
        for group in (file, file["batches"]):
            assert group.variables
            assert all(one.filters()["fletcher32"] for one in group.variables.values())


def test_chunks_have_at_most_four_megabytes_unless_a_row_has_more():
    rows = np.zeros((200_000, 64), np.float32)
    data = xr.Dataset({"energy": (("step", "layer"), rows), "cost": ("step", np.zeros(200_000))})
    chunks = exports.plan(data)
    assert chunks["energy"] == (2**14, 64)  # of 256 bytes each
    # 264 bytes a row in all: 2**16 of them are 16.5 MiB, 2**17 would be more than a piece may have.
    assert chunks["cost"] == (2**16,)
    wide = xr.Dataset({"image": (("frame", "pixel"), np.zeros((3, 2**21), np.float32))})
    assert exports.plan(wide)["image"] == (1, 2**21)


# Places ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", exports.FORMATS)
def test_what_lies_there_is_replaced_only_by_force(made, tmp_path, suffix):
    run, to = Run(made[0]), tmp_path / f"x{suffix}"
    exports.export(run, to)
    with pytest.raises(BadInput, match=rf"out: .*x{suffix}; exists"):
        exports.export(run, to)
    exports.export(run, to, force=True)
    assert scraps(tmp_path) == [f"x{suffix}"]
    other = tmp_path / f"other{suffix}"
    other.mkdir()
    (other / "mine").write_text("dear to me")
    with pytest.raises(BadInput, match=r"something else"):
        exports.export(run, other, force=True)
    assert (other / "mine").read_text() == "dear to me"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("x.zip", r"out: \.zip; one of \.zarr, \.nc, \.csv"),
        ("x", r"out: x; one of \.zarr"),
        ("no/x.nc", "there is no folder"),
    ],
)
def test_a_wrong_place_is_refused_before_the_work(made, tmp_path, monkeypatch, to, said):
    monkeypatch.setattr(Run, "dataset", lambda *_: pytest.fail("it read"))
    with pytest.raises(BadInput, match=said):
        exports.export(Run(made[0]), tmp_path / to)
    assert scraps(tmp_path) == []


TARGETS = {".zarr": zarr_store.ZarrTarget, ".nc": netcdf_file.NetcdfTarget}


@pytest.mark.row(36)
@pytest.mark.parametrize("suffix", LARGE)
def test_a_full_disk_leaves_the_export_before_and_no_scraps(made, tmp_path, monkeypatch, suffix):
    run, to = Run(made[0]), tmp_path / f"x{suffix}"
    exports.export(run, to)

    def full(self, name, first, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TARGETS[suffix], "put", full)
    with pytest.raises(NotWritten, match=r"No space left on device"):
        exports.export(run, to, force=True)
    assert scraps(tmp_path) == [f"x{suffix}"]
    assert opened(to).sizes["step"] == 53


@pytest.mark.parametrize("suffix", LARGE)
def test_what_does_not_read_back_as_it_was_written_gets_no_name(
    made, tmp_path, monkeypatch, suffix
):
    read = TARGETS[suffix].read

    def wrong(self, name, first, count):
        found = read(self, name, first, count).copy()
        if name == "energy":
            found.flat[-1] += 1
        return found

    monkeypatch.setattr(TARGETS[suffix], "read", wrong)
    with pytest.raises(NotWritten, match=r"energy reads back other than it was written"):
        exports.export(Run(made[0]), tmp_path / f"x{suffix}")
    assert scraps(tmp_path) == []


def test_progress_ends_at_one(made, tmp_path):
    told = []
    for suffix in exports.FORMATS:
        exports.export(
            Run(made[0]), tmp_path / f"x{suffix}", progress=lambda line, share: told.append(share)
        )
        assert told == sorted(told) and told[-1] == 1.0
        told.clear()
