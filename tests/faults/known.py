"""What must a run hold? One whose every number follows from its place, and who wrote what of it.

`Deed` is one call of a writer. `content` says by a replay of some deeds, row by row, what a run
that stored them holds; `read` says what a run holds, through all that a reader can be asked. Both
are dictionaries from a place to bytes, so that what was lost and what is wrong are set operations.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.layout import Layout
from core.recorder import Chunk
from core.runs import Damaged, Run, Writer
from core.trace import Sample

LAYOUT = Layout(
    layers=(1, 2, 3),
    names=("input", "h1", "h2", "output"),
    depths=(1, 2, 3),
    sizes=(4, 5, 6, 3),
    quadratic=(True, True, True),
    eps=2.0**-23,
    pixel_shape=(1, 2, 2),
)

T = 4
"""Steps of a batch, which has T + 1 rows."""

ROWS = {
    "energy": ((3,), np.float32),
    "precision": ((3,), np.float32),
    "cost": ((), np.float32),
    "energy_sample": ((3, 40), np.float64),  # several pages in each flush
    "force": ((4,), np.float32),
}

FRAMES = {"prediction": ((2, 4), np.float32), "prediction_mse": ((40,), np.float64)}

INDEX = ("batch", "t", "phase", "recipe_id", "T", "seconds")

EVERY = 3
"""A frame every so many rows."""


def numbers(name, lane, version, at, shape, dtype):
    """Values that no other place has by chance, all exact: quarters below 256."""
    width = int(np.prod(shape))
    salt = zlib.crc32(name.encode()) % 997 + 131 * lane + 17 * version
    held = (np.asarray(at)[:, None] * 37 + np.arange(width) * 7 + salt) % 1021 / 4
    return held.reshape(len(at), *shape).astype(dtype)


def chunk(lane, first, count, version=0):
    """The rows and frames of one flush."""
    step = np.arange(first, first + count)
    rows = {name: numbers(name, lane, version, step, *spec) for name, spec in ROWS.items()}
    rows |= {
        "step": step,
        "batch": step // (T + 1),
        "t": step % (T + 1),
        "phase": np.where(step % (T + 1) < 3, "relax", "settle"),
        "recipe_id": np.full(count, version),
        "T": np.full(count, T),
        "seconds": step / 8,
    }
    shown = step[step % EVERY == 0]
    frames = {name: numbers(name, lane, version, shown, *spec) for name, spec in FRAMES.items()}
    return Chunk(rows, frames | {"frame_row": shown} if len(shown) else {})


def per_batch(lane, number):
    """What is logged of a batch."""
    held = numbers("batch", lane, 0, [number], (4,), np.float64)[0]
    return {"accuracy": held[0], "update_norm": held[1:]}


def sample(lane, number):
    """What a batch showed."""
    labels = numbers("labels", lane, 0, [number], (5,), np.int64)[0]
    return Sample(labels, numbers("images", lane, 0, [number], (2, 1, 2, 2), np.float32)[0])


def weights(lane, number):
    """Those with which a batch begins."""
    held = numbers("W", lane, 0, [number], (6, 5), np.float32)[0]
    return {"W1": torch.from_numpy(held), "b1": torch.from_numpy(held[0].copy())}


def recipe(number):
    return {"steps": T, "number": number, "dynamics": {"name": "GradientDescent"}}


def event(number):
    return {"kind": "said", "number": number, "text": f"event {number} of the session"}


ABOUT = {"experiment": {"network": {"name": "MLP"}}, "about": {"data": "known"}}
"""What a writer of a known run is told about it."""


@dataclass(frozen=True)
class Deed:
    """One call of a writer.

    Args:
        what: its name.
        lane: number of the lane.
        first: number of its first row, batch, recipe or event.
        count: how many.
        version: counts how often these rows were measured before.
        parent: of a lane.
    """

    what: str
    lane: int = 0
    first: int = 0
    count: int = 1
    version: int = 0
    parent: int | None = None

    def do(self, writer: Writer) -> None:
        """Call the writer."""
        lane, first, count = self.lane, self.first, self.count
        if self.what == "lane":
            forked = None if self.parent is None else first
            title = f"lane {lane}"
            made = writer.lane(LAYOUT, title=title, parent=self.parent, forked_at=forked)
            assert made == lane
        elif self.what == "rows":
            writer.append(lane, chunk(lane, first, count, self.version))
        elif self.what == "batch":
            writer.batch(lane, first, **per_batch(lane, first))
        elif self.what == "sample":
            writer.sample(lane, first, sample(lane, first))
        elif self.what == "weights":
            writer.weights(lane, first, weights(lane, first))
        elif self.what == "recipes":
            writer.recipes(lane, [recipe(k) for k in range(count)])
        elif self.what == "events":
            writer.events([event(k) for k in range(first, first + count)])
        elif self.what == "close":
            writer.close()
        else:
            raise ValueError(self.what)


def course(flushes: int = 6, size: int = 7, *, forks: bool = True) -> list[Deed]:
    """A session in little: two lanes, the second one forked, a row measured again, all streams."""
    deeds = [Deed("lane"), Deed("recipes", count=1), Deed("events", count=1)]
    for k in range(flushes):
        first = k * size
        deeds.append(Deed("rows", first=first, count=size))
        if k == 1:  # the last two rows once more, and on from there
            deeds.append(Deed("recipes", count=2))
            deeds.append(Deed("rows", first=first + size - 2, count=size, version=1))
        if k % 2:
            number = first // (T + 1)
            deeds += [Deed("batch", first=number), Deed("sample", first=number)]
            deeds += [Deed("weights", first=number), Deed("events", first=k, count=2)]
    if not forks:
        return [*deeds, Deed("close")]
    fork = flushes * size // 2
    deeds += [Deed("lane", lane=1, first=fork, parent=0), Deed("recipes", lane=1, count=2)]
    for k in range(flushes // 2):
        deeds.append(Deed("rows", lane=1, first=fork + 1 + k * size, count=size))
    number = (fork + size) // (T + 1)
    deeds += [Deed("batch", lane=1, first=number), Deed("weights", lane=1, first=number)]
    return [*deeds, Deed("close")]


# What is expected --------------------------------------------------------------------------------


def bytes_of(*values) -> bytes:
    """Numbers by their bytes, and texts."""
    held = (np.asarray(one) for one in values)
    return b"|".join(
        "".join(one.ravel().tolist()).encode() if one.dtype.kind in "UO" else one.tobytes()
        for one in held
    )


def content(deeds: Iterable[Deed]) -> dict[tuple, bytes]:
    """What a run holds after some deeds; parts of a whole are places of their own."""
    lanes: dict[int, tuple[int | None, int]] = {}
    own: dict[int, dict[int, int]] = {}  # lane -> row -> number of the deed that wrote it
    frames: dict[int, dict[int, int]] = {}
    done = list(deeds)
    found: dict[tuple, bytes] = {("manifest",): b"known"}
    batches: dict[int, set[int]] = {}
    for k, deed in enumerate(done):
        lane, first, count = deed.lane, deed.first, deed.count
        rows = range(first, first + count)
        found.pop(("ended",), None)
        if deed.what == "lane":
            lanes[lane] = deed.parent, first
            own[lane], frames[lane], batches[lane] = {}, {}, set()
            found["lane", lane] = f"lane {lane} {deed.parent}".encode()
        elif deed.what == "rows":
            for held in (own[lane], frames[lane]):
                for row in [row for row in held if row >= first]:
                    del held[row]
            own[lane] |= dict.fromkeys(rows, k)
            frames[lane] |= {row: k for row in rows if row % EVERY == 0}
        elif deed.what == "batch":
            batches[lane].add(first)
        elif deed.what == "sample":
            one = sample(lane, first)
            found["sample", lane, first] = bytes_of(one.labels, one.images)
        elif deed.what == "weights":
            found["weights", lane, first] = bytes_of(*weights(lane, first).values())
        elif deed.what == "recipes":
            for number in range(count):
                found["recipe", lane, number] = json.dumps(recipe(number)).encode()
        elif deed.what == "events":
            found |= {("event", 0, number): json.dumps(event(number)).encode() for number in rows}
        elif deed.what == "close":
            found["ended",] = b"finished"
    for lane, (parent, fork) in lanes.items():
        line = [(lane, 10**9)] if parent is None else [(parent, fork), (lane, 10**9)]
        for source, until in line:
            for row, k in own[source].items():
                if row <= until:
                    found["row", lane, row] = _row(source, row, done[k].version)
                    if row == max(r for r, one in own[source].items() if one == k and r <= until):
                        found |= _block(lane, done[k])
            for row, k in frames[source].items():
                if row <= until:
                    held = [numbers(n, source, done[k].version, [row], *FRAMES[n]) for n in FRAMES]
                    found["frame", lane, row] = bytes_of(*held)
            for number in batches[source]:
                if number * (T + 1) <= until:  # it began before the fork
                    found["batch", lane, number] = bytes_of(*per_batch(source, number).values())
            if source != lane:
                shown = [p for p in found if p[:2] == ("sample", source)]
                shown = [p for p in shown if p[2] * (T + 1) <= until]
                found |= {("sample", lane, p[2]): found[p] for p in shown}
    return found


def _row(lane: int, row: int, version: int) -> bytes:
    one = chunk(lane, row, 1, version).rows
    return bytes_of(*(one[name] for name in (*ROWS, *INDEX)))


def _block(lane: int, deed: Deed) -> dict[tuple, bytes]:
    """The block of the overview that a flush makes: exact, because the sums are."""
    step = np.arange(deed.first, deed.first + deed.count)
    energy = numbers("energy", deed.lane, deed.version, step, *ROWS["energy"])
    mean = (energy.astype(np.float64).sum(0) / deed.count).astype(np.float32)
    said = bytes_of(energy.min(0), mean, energy.max(0), deed.first // (T + 1))
    return {("block", lane, deed.first, deed.count): said}


# What is there -----------------------------------------------------------------------------------


def read(run: Run, *, lazily: bool = False) -> dict[tuple, bytes]:
    """All that a run holds, asked for in every way; what raises Damaged is left out.

    Args:
        run: just opened.
        lazily: whether rows are read one variable after the other; else at once and checked.

    Raises:
        AssertionError: if two ways to ask give different answers.
    """
    found: dict[tuple, bytes] = {}
    if run.manifest["about"] == {"data": "known"}:
        found["manifest",] = b"known"
    for number, event_ in enumerate(run.events()):
        found["event", 0, int(event_["number"])] = json.dumps(event_).encode()
        assert number <= event_["number"], "events out of order"
    for lane, info in run.lanes.items():
        assert info.layout == LAYOUT
        found["lane", lane] = f"{info.title} {info.parent}".encode()
        rows = dict(_rows(run, lane, lazily))
        watched = dict(_watched(run, lane))
        assert watched == {k: v for k, v in rows.items() if k in watched or k[0] == "row"}
        found |= rows
        for number, one in run.samples(lane).items():
            found["sample", lane, number] = bytes_of(one.labels, one.images)
        for number, one in enumerate(run.recipes(lane)):
            found["recipe", lane, number] = json.dumps(one).encode()
        for number in run.kept(lane):
            try:
                held = run.weights(number, lane)
            except Damaged:
                found["said", lane, number] = b""
                continue
            found["weights", lane, number] = bytes_of(*held.values())
        logged = run.batches(lane)
        for k, number in enumerate(logged["batch"].values):
            if "accuracy" in logged and np.isfinite(logged["accuracy"].values[k]):
                held = (logged[name].values[k] for name in ("accuracy", "update_norm"))
                found["batch", lane, int(number)] = bytes_of(*held)
        seen = run.overview(lane, width=10**6)
        for k in range(seen.sizes["block"]):
            held = (seen[f"energy_{name}"].values[k] for name in ("min", "mean", "max"))
            place = ("block", lane, int(seen["step"][k]), int(seen["rows"][k]))
            found[place] = bytes_of(*(h.astype(np.float32) for h in held), int(seen["batch"][k]))
    if run.state == "finished":
        found["ended",] = b"finished"
    return found


def _rows(run: Run, lane: int, lazily: bool) -> Iterator[tuple[tuple, bytes]]:
    """Rows and frames of a lane, as a Dataset gives them."""
    try:
        data = run.dataset(lane, verify=not lazily).load()
    except Damaged:
        if not lazily:
            raise
        data = run.dataset(lane, verify=True)
    assert bool(data.attrs["recovered"]) <= bool(run.recovered)
    names = [name for name in ROWS if name in data]
    steps = data["step"].values if "step" in data.coords else []
    assert len(steps) == run.rows(lane)
    whole = [data[name].values for name in (*names, *(INDEX if len(steps) else ()))]
    for k, step in enumerate(steps):
        yield ("row", lane, int(step)), bytes_of(*(one[k] for one in whole))
    if "frame" in data.dims:
        shown = [data[name].values for name in FRAMES if name in data]
        for k, step in enumerate(data["frame_step"].values):
            yield ("frame", lane, int(step)), bytes_of(*(one[k] for one in shown))


def _watched(run: Run, lane: int) -> Iterator[tuple[tuple, bytes]]:
    """Rows of a lane, as they come to whoever watches."""
    for _, part in run.chunks(lane):
        columns = [part.rows[name] for name in (*ROWS, *INDEX)]
        for k, step in enumerate(part.rows["step"]):
            yield ("row", lane, int(step)), bytes_of(*(one[k] for one in columns))
        shown = [part.frames[name] for name in FRAMES] if part.frames else []
        for k, step in enumerate(part.frames["frame_row"] if shown else ()):
            yield ("frame", lane, int(step)), bytes_of(*(one[k] for one in shown))


def judge(path: Path, *candidates: list[Deed]) -> Run:
    """Check that an undamaged run holds exactly what one of these lists of deeds stored.

    Returns: the run, as it was opened.
    """
    run = Run(path)
    found = read(run)
    assert run.recovered == "", run.recovered
    wanted = [content(one) for one in candidates]
    if run.state == "live":
        wanted = [{k: v for k, v in one.items() if k != ("ended",)} for one in wanted]
    if found not in wanted:
        off = [differences(found, one) for one in wanted]
        raise AssertionError(f"run of {len(found)} places: {min(off, key=len)[:6]}")
    return run


def differences(found: dict[tuple, bytes], wanted: dict[tuple, bytes]) -> list[tuple]:
    """Places that are there and should not be, are not there, or hold something else."""
    return [
        ("more" if k not in wanted else "missing" if k not in found else "wrong", *k)
        for k in sorted({*found, *wanted}, key=str)
        if found.get(k) != wanted.get(k)
    ]
