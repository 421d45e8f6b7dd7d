"""What does theory predict for a row? Energies over depth, from a few numbers of its batch.

A trace of the page holds those numbers in its attribute `theory`, as JSON: for each batch that
theory was asked about, by its number,

    delta   half the squared norm of what backprop would send to each layer, mean over the batch
    rest    energy of each layer at the equilibrium of a linear network, and `precision` there
    F       total energy at that equilibrium

so that a figure can be drawn from the trace alone. What does not hold is not predicted.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[Any]

ARRIVAL, SPIKING, REST = "arrival", "spiking", "rest"

LABELS = {
    ARRIVAL: r"small-rate law $\binom{t}{L-\ell}^2 \alpha^{2(L-\ell)} |\delta_\ell|^2 / 2$",
    SPIKING: r"$|h_\ell - h_\ell^{(0)}|^2 / 2$ of spiking, $\Pi \to 0$ at rest",
    REST: r"equilibrium $E_\ell^*$",
}


def arrival_energy(delta: ArrayLike, rate: float, t: int) -> Rows:
    r"""Energy of each layer after t steps at a small rate, (L,).

    $\frac12\lVert e_\ell\rVert^2 \approx \binom{t}{L-\ell}^2 \alpha^{2(L-\ell)} \delta_\ell$, with
    delta the energies that the errors of backprop would have.
    """
    import torch

    from core.theory import arrival

    norms = torch.sqrt(2 * torch.as_tensor(np.asarray(delta, dtype=float)))
    return 0.5 * arrival(t, len(norms), rate, norms).square().numpy()


def spiking_energy(delta: ArrayLike, rate: float, t: int) -> Rows:
    r"""Half the squared displacement of each hidden state after t steps, (L,); nan at the output.

    $c_\ell^2 \delta_\ell$: exact under spiking precision whose resting value tends to zero. It is
    the energy that the forward update sees.
    """
    from core.theory import spiking_displacement

    delta = np.asarray(delta, dtype=float)
    c = spiking_displacement(rate, len(delta), t).numpy()
    return np.append(c**2 * delta[:-1], np.nan)


def law_of(recipe: Mapping[str, Any]) -> tuple[str, str]:
    """Which law of arrival a recipe obeys, "arrival" or "spiking"; else "" and why not."""
    from core.catalogue import cards

    init, dynamics = recipe["init"], recipe["dynamics"]
    if init["name"] != "Forward" or init.get("noise"):
        return "", "the arrival law needs a forward init without noise"
    if dynamics["name"] != "GradientDescent":
        return "", "the arrival law is that of plain gradient descent"
    if recipe.get("output_precision", 1.0) != 1.0 or recipe.get("activity_decay"):
        return "", "the arrival law knows neither output precision nor activity decay"
    learning = cards("learning").get(recipe["learning"]["name"])
    if learning is None or getattr(learning.entry, "every_step", False):
        return "", "the arrival law needs weights that rest while the states move"
    precision = recipe["precision"]["name"]
    if precision == "Identity":
        return ARRIVAL, ""
    if precision == "Spiking":
        return SPIKING, ""
    return "", "the arrival law is known for identity and spiking precision"


def predicted(
    recipe: Mapping[str, Any],
    known: Mapping[str, Any],
    t: int,
    precision: ArrayLike,
    *,
    steady: bool,
) -> dict[str, Rows]:
    """Energies over depth, (L,) by name: those that hold at a row, not finite where there is none.

    Args:
        recipe: in force, as plain data.
        known: the numbers of the batch, as this module's header says.
        t: steps taken.
        precision: as applied at the row, (L,).
        steady: whether the recipe has been in force since the batch began, in its one phase.
    """
    found = {}
    law, _ = law_of(recipe)
    if known.get("delta") is not None and law and steady:
        rate = recipe["dynamics"]["rate"]
        law_energy = {ARRIVAL: arrival_energy, SPIKING: spiking_energy}[law]
        energy = law_energy(known["delta"], rate, t)
        found[law] = np.where(energy > 0, energy, np.nan)
    if settles_at(known, precision):
        found[REST] = np.asarray(known["rest"], dtype=float)
    return {name: energy for name, energy in found.items() if np.isfinite(energy).any()}


def settles_at(known: Mapping[str, Any], precision: ArrayLike) -> bool:
    """Whether the equilibrium of a batch is that of the precisions in force."""
    if known.get("rest") is None:
        return False
    return bool(np.allclose(known["precision"], np.asarray(precision, dtype=float), rtol=1e-5))


def of_trace(trace: xr.Dataset, row: int) -> dict[str, Rows]:
    """What a trace's own numbers predict for a row; empty where they are not in it."""
    if "recipes" not in trace.attrs:
        return {}
    batch, t, recipe_id = (trace[name].values for name in ("batch", "t", "recipe_id"))
    known = json.loads(trace.attrs.get("theory", "{}")).get(str(int(batch[row])))
    if known is None:
        return {}
    same = np.flatnonzero(batch == batch[row])
    before, phase = same[same <= row], trace["phase"].values[same]
    steady = bool(
        t[before[0]] == 0
        and (recipe_id[before] == recipe_id[row]).all()
        and (phase == phase[0]).all()
    )
    recipe = json.loads(trace.attrs["recipes"])[int(recipe_id[row])]
    precision = trace["precision"].transpose("step", "layer").values[row]
    return predicted(recipe, known, int(t[row]), precision, steady=steady)
