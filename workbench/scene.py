"""What is on the screen now? Plain arrays of one lane around one cursor, computed once a frame."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench import measures, predictions
from workbench.lanes import Lane
from workbench.plan import Plan, left
from workbench.session import Session

WINDOW = 400
"""Rows that are drawn at once; the newest, or those up to the cursor."""

COMPARED = ("alignment", "update_ratio", "agreement", "prediction_drift")
"""Variables of the trace, of layers, of which the page draws one at a time."""

Rows = NDArray[Any]


@dataclass(frozen=True)
class Curves:
    """One lane's rows as they are drawn; n rows, L layers, cells without a value are nan.

    Args:
        step: row numbers, (n,).
        energy: of the layers that are reached, (n, L), nat.
        raw: of all layers, (n, L), nat.
        reached: which layers stand above their rounding floor, (n, L).
        floor: energy that rounding alone can make, (n, L), nat.
        eps: of the dtype that rounds.
        total: F, weighted by precision, (n,), nat.
        residual: RMS of dF/dh, (n,).
        imbalance: decades between the largest and smallest reached energy, (n,).
        error: RMS error of the layers that are reached, (n, L).
        alignment: cosine to the backprop update, (n, L); empty where it is not recorded.
        update_ratio: norm of the update by that of backprop's, as `alignment`.
        agreement: share of weights that move to the side to which backprop does, as `alignment`.
        prediction_drift: RMS of how far predictions have moved since t = 0, (n, L).
        precision: as applied, (n, L).
        t: step within the phase, (n,).
        batch: number of the batch, (n,).
        phase: its name, (n,).
    """

    step: Rows
    energy: Rows
    raw: Rows
    reached: Rows
    floor: Rows
    eps: float
    total: Rows
    residual: Rows
    imbalance: Rows
    error: Rows
    alignment: Rows
    update_ratio: Rows
    agreement: Rows
    prediction_drift: Rows
    precision: Rows
    t: Rows
    batch: Rows
    phase: Rows

    @property
    def noise(self) -> Rows:
        """Which energies are not zero and yet not above their floor, (n, L)."""
        return measures.noise_of(self.raw, self.reached)


@dataclass(frozen=True)
class Scene:
    """Everything that one frame shows.

    Args:
        lane: number of the lane.
        cursor: row number under the cursor.
        at: position of that row in the curves.
        curves: of the lane.
        ghost: of the lane before, or None.
        slope: of log10 energy against depth at the cursor, and its R2.
        changes: (row, sentence) wherever another recipe came into force.
        updates: rows that the weight update of their batch sees, the next one included.
        phases: (row, name) wherever a phase begins; empty where batches have only one.
        images: pictures at the cursor, (S, H, W) each, by name.
        labels: class of each picture.
        probability: of the classes at the cursor, (S, C); empty where it is not recorded.
        errors: mean squared error of the pictures at the cursor, by name.
        predicted: energy of each layer at the cursor by theory, (L,), by name of the law.
        rest: F at the equilibrium, nat, where it is known.
    """

    lane: int
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


def scene(session: Session, per: str = "layer", *, theory: bool = False) -> Scene | None:
    """The frame for a session as it stands, or None before its first row.

    Args:
        session: whose lane and ghost are drawn.
        per: "layer" or "unit": what the imbalance compares.
        theory: whether to draw what theory predicts, as far as it was asked.
    """
    lane, cursor = session.lane, session.cursor
    if lane is None:
        return None
    newest = len(lane.trace)
    rows = lane.trace.tail(WINDOW)
    if not newest or not rows:
        return None
    if cursor < rows["step"][0]:
        rows = lane.trace.tail(WINDOW, until=cursor + WINDOW // 2)
    drawn = curves(lane, rows, per)
    at = int(np.abs(drawn.step - cursor).argmin())
    ghost = session.ghost
    behind = None
    if ghost is not None:
        old = ghost.trace.tail(WINDOW, until=int(drawn.step[-1]) + WINDOW // 2)
        if old and len(ghost.trace.layers) == len(lane.trace.layers):
            behind = curves(ghost, old, per)
    depth = np.array(lane.trace.depths)
    slope, r2 = measures.slope_of(drawn.raw[at : at + 1], depth, drawn.reached[at : at + 1])
    pictures, labels, errors = _pictures(lane, int(drawn.step[at]), int(drawn.batch[at]))
    held = rows.get("probability")
    predicted, rest = {}, None
    if theory:
        predicted, rest = _theory(lane, {name: values[at] for name, values in rows.items()})
    return Scene(
        lane=lane.id,
        cursor=int(drawn.step[at]),
        at=at,
        curves=drawn,
        ghost=behind,
        slope=(float(slope[0]), float(r2[0])),
        changes=_changes(lane, drawn.step[0]),
        updates=_updates(rows, lane.plan, lane.trace.recipes),
        phases=_phases(rows, lane.plan),
        images=pictures,
        labels=labels,
        probability=np.zeros((0, 0)) if held is None else held[at][: len(labels)],
        errors=errors,
        predicted=predicted,
        rest=rest,
    )


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
        steady=begun and len(lane.phases) == 1,
    )
    return found, known["F"] if predictions.REST in found else None


def curves(lane: Lane, rows: dict[str, Rows], per: str = "layer") -> Curves:
    """What is drawn of some rows of a lane."""
    trace = lane.trace
    energy = rows["energy"].astype(float)  # (n, L)
    sizes = np.array(trace.sizes)
    layer_sizes = sizes[trace.layers]
    floor = trace.floors(rows)
    reached = measures.reached_of(energy, floor)
    total, _ = measures.total_energy_of(energy, rows["precision"], rows["cost"])
    compared = energy / layer_sizes if per == "unit" else energy
    shown = np.where(reached, energy, np.nan)
    return Curves(
        step=rows["step"],
        energy=shown,
        raw=energy,
        reached=reached,
        floor=floor,
        eps=trace.eps,
        total=total,
        residual=_residual(rows, sizes),
        imbalance=measures.imbalance_of(compared, reached),
        error=np.where(reached, _error(lane, rows, energy, layer_sizes), np.nan),
        **{name: rows.get(name, np.zeros((len(energy), 0))) for name in COMPARED},
        precision=rows["precision"],
        t=rows["t"],
        batch=rows["batch"],
        phase=rows["phase"],
    )


def _residual(rows: dict[str, Rows], sizes: Rows) -> Rows:
    if "force" not in rows:
        return np.full(len(rows["step"]), np.nan)
    free = measures.free_of(rows["force"], rows["batch"])
    return measures.residual_of(rows["force"], sizes, free)


def _error(lane: Lane, rows: dict[str, Rows], energy: Rows, sizes: Rows) -> Rows:
    exact = np.sqrt(2 * energy / sizes)
    return exact if "error" not in rows else np.where(lane.trace.quadratic, exact, rows["error"])


def _updates(rows: dict[str, Rows], plan: Plan, recipes: list[dict[str, Any]]) -> list[int]:
    """Rows that the weight update sees: the end of each batch, also the one still to come.

    A batch ends with step T of its last phase, or where it has settled within the tolerance.
    """
    step, batch = rows["step"], rows["batch"]
    ends = (rows["t"] == rows["T"]) & (rows["phase"] == plan[-1][0])
    settling = np.array([bool(one.get("tolerance")) for one in recipes])
    settles = settling[np.minimum(rows["recipe_id"], len(settling) - 1)]
    ends[:-1] |= settles[:-1] & (batch[1:] != batch[:-1])
    found = [int(s) for s in step[ends]]
    more = left(plan, str(rows["phase"][-1]), int(rows["t"][-1]))
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


def _changes(lane: Lane, first: int) -> list[tuple[int, str]]:
    """Where the recipe changed, from the lane's own log of choices."""
    found = []
    for (_, old, _), (row, new, _) in zip(lane.choices, lane.choices[1:], strict=False):
        if row >= first and old != new:
            found.append((row, lane.difference(old, new)))
    return found


def _pictures(lane: Lane, row: int, batch: int) -> tuple[dict[str, Rows], Rows, dict[str, float]]:
    """Pictures, labels and errors at a row."""
    trace = lane.trace
    shape = trace.pixel_shape
    sample = trace.batches.get(batch)
    found: dict[str, Rows] = {}
    labels = np.zeros(0, int)
    if sample is not None:
        found["input"] = sample.images.reshape(-1, *shape)[:, 0]
        labels = sample.labels[: len(found["input"])]
    errors = {}
    for name, values in trace.frame(row).items():
        if name.endswith("_mse"):
            errors[name.removesuffix("_mse")] = float(values.mean())
        elif name != "frame_row":
            found[name] = values.reshape(-1, *shape)[:, 0]
    return found, labels, errors


def readout(session: Session, drawn: Scene | None) -> dict[str, Any]:
    """What the page shows, as plain data: the contents of the element #readout."""
    lane = session.lane
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
    if lane is None or drawn is None:
        return found
    c, at = drawn.curves, drawn.at
    experiment, _ = lane.choices_at(drawn.cursor)
    return found | {
        "lane": lane.id,
        "lane_title": lane.title,
        "ghost": None if session.ghost is None else session.ghost.id,
        "cursor": drawn.cursor,
        "row": session.row,
        "batch": int(c.batch[at]),
        "step": int(c.t[at]),
        "phase": str(c.phase[at]),
        "phases": [name for name, _ in lane.plan],
        "recipe_id": _recipe_id(lane, drawn.cursor),
        "recipe": experiment.recipe.to_dict(),
        "experiment": lane.experiment.to_dict(),
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
    }


def _recipe_id(lane: Lane, row: int) -> int:
    held = lane.trace.row(row)
    return int(held["recipe_id"]) if held else 0


def _number(value: float) -> float | None:
    """JSON has no nan."""
    return float(value) if np.isfinite(value) else None
