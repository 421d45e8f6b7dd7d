"""What is on the screen now? Plain arrays of one lane around one cursor, computed once a frame."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from core.experiment import Experiment, Recipe, sentence
from workbench import measures, predictions
from workbench.curves import COMPARED, Curves, Rows, curves
from workbench.lanes import Lane
from workbench.plan import Plan, left
from workbench.poking import behind, course, logged, pictures
from workbench.session import Session
from workbench.showing import Showing
from workbench.watched import Watched, WatchedLane

WINDOW = 448
"""Rows that are drawn at once; the newest, or those up to the cursor."""

STRIDE = 128
"""Rows by which the window moves on: each move costs the browser all axes."""

DRAWN = ("energy", "error", "precision", "cost", "force", *COMPARED)
"""Variables of rows that the plots are made of."""


@dataclass(frozen=True)
class Scene:
    """Everything that one frame shows.

    Args:
        of: the place that is drawn.
        cursor: row number under the cursor.
        at: position of that row in the curves.
        curves: of the lane.
        ghost: of the lane before, or None.
        slope: of log10 energy against depth at the cursor, and its R2.
        changes: (row, sentence) wherever another recipe came into force or a state was poked.
        updates: rows that the weight update of their batch sees, the next one included.
        phases: (row, name) wherever a phase begins; empty where batches have only one.
        images: pictures at the cursor, (S, C, H, W) each, by name.
        labels: class of each picture.
        probability: of the classes at the cursor, (S, C); empty where it is not recorded.
        errors: mean squared error of the pictures at the cursor, by name.
        predicted: energy of each layer at the cursor by theory, (L,), by name of the law.
        rest: F at the equilibrium, nat, where it is known.
        pixels: those that are black and white, one for all channels or one for each.
        absent: what was not logged, of `DRAWN` and "images"; nothing of what a session draws.
        marked: number of the chosen sample, None for none.
        brought: whether it is the last of the pictures, behind the first ones of the batch.
    """

    of: Showing
    cursor: int
    at: int
    curves: Curves
    ghost: Curves | None
    slope: tuple[float, float]
    changes: list[tuple[int, str]]
    updates: list[int]
    phases: list[tuple[int, str]]
    images: dict[str, Rows] = field(default_factory=dict)
    labels: Rows = field(default_factory=lambda: np.zeros(0, int))
    probability: Rows = field(default_factory=lambda: np.zeros((0, 0)))
    errors: dict[str, float] = field(default_factory=dict)
    predicted: dict[str, Rows] = field(default_factory=dict)
    rest: float | None = None
    pixels: tuple[Any, Any] = (0.0, 1.0)
    absent: frozenset[str] = frozenset()
    marked: int | None = None
    brought: bool = False

    @property
    def lane(self) -> int:
        """Number of the lane."""
        return self.of.lane.id


def scene(session: Session | Watched, per: str = "layer", *, theory: bool = False) -> Scene | None:
    """The frame for a session as it stands, or None before its first row.

    Args:
        session: whose lane and ghost are drawn, or a run that is watched.
        per: "layer" or "unit": what the imbalance compares.
        theory: whether to draw what theory predicts, as far as it was asked.
    """
    of = session.showing
    if of is None:
        return None
    lane, cursor = of.lane, of.cursor
    newest = len(lane.trace)
    rows = lane.trace.tail(min(newest, WINDOW - STRIDE) + max(0, newest - WINDOW + STRIDE) % STRIDE)
    if not newest or not rows:
        return None
    if cursor < rows["step"][0]:
        rows = lane.trace.tail(WINDOW, until=-(-cursor // STRIDE) * STRIDE + WINDOW // 2)
    drawn = curves(lane.trace, rows, per, _gaps(lane))
    at = int(np.abs(drawn.step - cursor).argmin())
    ghost = of.ghost
    behind = None
    if ghost is not None:
        old = ghost.trace.tail(WINDOW, until=int(drawn.step[-1]) + WINDOW // 2)
        if old and len(ghost.trace.layers) == len(lane.trace.layers):
            behind = curves(ghost.trace, old, per, _gaps(ghost))
    depth = np.array(lane.trace.depths)
    slope, r2 = measures.slope_of(drawn.raw[at : at + 1], depth, drawn.reached[at : at + 1])
    pictures, labels, errors = _pictures(lane, int(drawn.step[at]), int(drawn.batch[at]))
    held = rows.get("probability")
    predicted, rest = {}, None
    if theory and isinstance(lane, Lane):
        predicted, rest = _theory(lane, {name: values[at] for name, values in rows.items()})
    return Scene(
        of=of,
        cursor=int(drawn.step[at]),
        at=at,
        curves=drawn,
        ghost=behind,
        slope=(float(slope[0]), float(r2[0])),
        changes=_changes(session, lane, rows),
        updates=_updates(rows, lane.plan, lane.trace.recipes, grows=_grows(session)),
        phases=_phases(rows, lane.plan),
        images=pictures,
        labels=labels,
        probability=np.zeros((0, 0)) if held is None else held[at][: len(labels)],
        errors=errors,
        predicted=predicted,
        rest=rest,
        pixels=_pixels(lane),
        absent=_absent(session, rows, pictures),
    )


def _gaps(lane: Lane | WatchedLane) -> Any:
    """Rows that were lost; a session loses none."""
    return lane.gaps if isinstance(lane, WatchedLane) else ()


def _grows(session: Session | Watched) -> bool:
    """Whether more rows may come."""
    return session.live if isinstance(session, Watched) else True


def _pixels(lane: Lane | WatchedLane) -> tuple[Any, Any]:
    """The pixels that are black and white, of each channel where they are known."""
    if isinstance(lane, WatchedLane):
        return lane.pixels
    images = lane.training.images
    black, white = zip(*(images.channel(c) for c in range(images.shape[0])), strict=True)
    return black, white


def _absent(
    session: Session | Watched, rows: dict[str, Rows], images: dict[str, Rows]
) -> frozenset[str]:
    """What was not logged; what a session does not record does not exist."""
    if not isinstance(session, Watched):
        return frozenset()
    found = {name for name in DRAWN if name not in rows}
    if "energy" in rows and all(session.layout.layer_sizes) and all(session.layout.quadratic):
        found.discard("error")  # it follows
    return frozenset(found if images else found | {"images"})


def _theory(lane: Lane, row: dict[str, Any]) -> tuple[dict[str, Rows], float | None]:
    """Curves of theory over depth at a row, and F at rest, as far as theory was asked."""
    known = lane.trace.attrs["theory"].get(str(int(row["batch"])))
    number, t = int(row["recipe_id"]), int(row["t"])
    first = lane.trace.row(int(row["step"]) - t)
    if known is None or first is None or number >= len(lane.trace.recipes):
        return {}, None
    begun = int(first["t"]) == 0 and int(first["recipe_id"]) == number
    found = predictions.predicted(
        lane.trace.recipes[number],
        known,
        t,
        row["precision"],
        steady=begun and len(lane.phases) == 1 and not _poked_since(lane, first, row),
    )
    return found, known["F"] if predictions.REST in found else None


def _poked_since(lane: Lane, first: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a state was poked between two rows."""
    return any(first["step"] <= one.row <= row["step"] for one in lane.pokes)


def _updates(
    rows: dict[str, Rows], plan: Plan, recipes: list[dict[str, Any]], *, grows: bool
) -> list[int]:
    """Rows that the weight update sees: the end of each batch, also the one still to come.

    A batch ends with step T of its last phase, or where it has settled within the tolerance.
    """
    if not plan:
        return []
    step, batch = rows["step"], rows["batch"]
    ends = (rows["t"] == rows["T"]) & (rows["phase"] == plan[-1][0])
    settling = np.array([bool(one.get("tolerance")) for one in recipes] or [False])
    settles = settling[np.minimum(rows["recipe_id"], len(settling) - 1)]
    ends[:-1] |= settles[:-1] & (batch[1:] != batch[:-1])
    found = [int(s) for s in step[ends]]
    more = left(plan, str(rows["phase"][-1]), int(rows["t"][-1])) if grows else 0
    return [*found, int(step[-1]) + more] if more > 0 else found


def _phases(rows: dict[str, Rows], plan: Plan) -> list[tuple[int, str]]:
    """Where a phase begins, if there is more than one."""
    if len(plan) < 2:
        return []
    batch, phase = rows["batch"], rows["phase"]
    begins = np.ones(len(phase), dtype=bool)
    begins[0] = rows["t"][0] == 0
    begins[1:] = (batch[1:] != batch[:-1]) | (phase[1:] != phase[:-1])
    return [(int(rows["step"][k]), str(phase[k])) for k in np.flatnonzero(begins)]


def _changes(
    session: Session | Watched, lane: Lane | WatchedLane, rows: dict[str, Rows]
) -> list[tuple[int, str]]:
    """Where the recipe changed: from a lane's own log of choices, else from its rows."""
    if isinstance(lane, WatchedLane):
        pokes = [one for one in logged(session.events, lane.id) if one[0] >= rows["step"][0]]
        return sorted([*_changes_of(rows, lane.trace.recipes), *pokes], key=lambda one: one[0])
    found = []
    for (_, old, _), (row, new, _) in zip(lane.choices, lane.choices[1:], strict=False):
        if row >= rows["step"][0] and old != new:
            found.append((row, lane.difference(old, new)))
    found += [(one.row, one.poke.sentence()) for one in lane.pokes if one.row >= rows["step"][0]]
    return sorted(found, key=lambda one: one[0])


def _changes_of(rows: dict[str, Rows], recipes: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Where rows name another recipe than the row before."""
    number, found = rows["recipe_id"], []
    for at in np.flatnonzero(np.diff(number)) + 1:
        old, new = int(number[at - 1]), int(number[at])
        if max(old, new) < len(recipes):
            found.append((int(rows["step"][at]), sentence(recipes[old], recipes[new])))
    return found


def _pictures(
    lane: Lane | WatchedLane, row: int, batch: int
) -> tuple[dict[str, Rows], Rows, dict[str, float]]:
    """Pictures, labels and errors at a row."""
    trace = lane.trace
    shape = trace.pixel_shape
    sample = trace.batches.get(batch)
    found: dict[str, Rows] = {}
    labels = np.zeros(0, int)
    if sample is not None:
        images = sample.images.reshape(-1, *shape) if shape else sample.images
        if images.ndim == 4 and len(images):
            poked = pictures(lane, row, batch) if isinstance(lane, Lane) else None
            found["input"] = images if poked is None else poked
        labels = sample.labels[: len(images)]
    errors = {}
    for name, values in trace.frame(row).items():
        if name.endswith("_mse"):
            errors[name.removesuffix("_mse")] = float(values.mean())
        elif name != "frame_row" and len(shape) == 3:
            found[name] = values.reshape(-1, *shape)
    return found, labels, errors


def readout(session: Session | Watched, drawn: Scene | None) -> dict[str, Any]:
    """What the page shows, as plain data: the contents of the element #readout."""
    found: dict[str, Any] = {
        "ready": session.ready,
        "playing": session.playing,
        "gear": session.gear,
        "speed": session.speed,
        "following": session.following,
        "taken": session.taken,
        "commands": len(session.events),
        "message": session.message,
        "offer": session.offer,
        "lanes": len(session.lanes),
    }
    if isinstance(session, Watched):
        found |= {"run": session.name, "state": session.state, "recovered": session.recovered}
    if drawn is None:
        return found
    c, at, of = drawn.curves, drawn.at, drawn.of
    lane = of.lane
    return found | {
        "lane": drawn.lane,
        "lane_title": lane.title,
        "lanes": of.lanes,
        "playing": of.playing and not lane.diverged,
        "ghost": None if of.ghost is None else of.ghost.id,
        "cursor": drawn.cursor,
        "row": of.row,
        "batch": int(c.batch[at]),
        "step": int(c.t[at]),
        "phase": str(c.phase[at]),
        "phases": [name for name, _ in lane.plan],
        "recipe_id": _recipe_id(lane, drawn.cursor),
        **_chosen(lane, drawn.cursor),
        "energies": [_number(v) for v in c.raw[at]],
        "reached": int(c.reached[at].sum()),
        "rounding": int(c.noise[at].sum()),
        "layers": len(lane.trace.layers),
        "total": _number(c.total[at]),
        "residual": _number(c.residual[at]),
        "imbalance": _number(c.imbalance[at]),
        "slope": _number(drawn.slope[0]),
        "accuracy": session.accuracy,
        "diverged": lane.diverged,
        "rises": lane.trace.attrs.get("rises", ""),
        "absent": sorted(drawn.absent),
        **_poked(session, of),
    }


def _poked(session: Session | Watched, of: Showing) -> dict[str, Any]:
    """Row of the last poke of a lane, and the steps in which it recovered; None for none."""
    if isinstance(session, Watched):
        rows = [row for row, _ in logged(session.events, of.lane.id)]
        return {"poked": max(rows, default=None), "recovery": None}
    found = course(of.lane, behind(of.ghost, session.lanes))
    if found is None:
        return {"poked": None, "recovery": None}
    return {"poked": found.poked.row, "recovery": found.recovery}


def _chosen(lane: Lane | WatchedLane, row: int) -> dict[str, Any]:
    """The recipe that acts at a row, and the newest experiment; empty where none is known."""
    if isinstance(lane, WatchedLane):
        number, recipes = _recipe_id(lane, row), lane.trace.recipes
        recipe = recipes[number] if 0 <= number < len(recipes) else {}
        return {"recipe": recipe, "experiment": lane.choices}
    return {"recipe": _told(lane.choices_at(row)[0].recipe), "experiment": _told(lane.experiment)}


@lru_cache(maxsize=64)
def _told(chosen: Experiment | Recipe) -> dict[str, Any]:
    """Choices as plain data, to be read only: each frame asks for them."""
    return chosen.to_dict()


def _recipe_id(lane: Lane | WatchedLane, row: int) -> int:
    held = lane.trace.row(row)
    return int(held["recipe_id"]) if held else 0


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return float(value) if np.isfinite(value) else None
