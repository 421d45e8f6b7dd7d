"""What does theory say about the relaxation on the screen? A few numbers, each with its formula.

The worker hands over a situation: states as they stand and a copy of the weights. All else is
computed outside of it, so that relaxing goes on.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core import kinds
from core.catalogue import BadInput
from core.experiment import DTYPES, Experiment
from core.free_energy import FreeEnergy
from core.network import Network, States
from core.phase import Phase
from core.theory import Account, backprop_errors, reach, rest, spectrum
from core.theory.accounts import accounts
from workbench import predictions
from workbench.driver import Driver
from workbench.look import short
from workbench.plan import Plan

LARGEST = 200_000
"""Free units of one sample up to which the curvature is looked at."""


@dataclass(frozen=True)
class Situation:
    """Where a relaxation stands, and all that theory needs to know about it.

    Args:
        lane: its number.
        row: in the lane.
        batch: number of the batch.
        t: step of the phase.
        experiment: in force.
        phase: in force.
        plan: name and T of each phase.
        network: a copy.
        free_energy: of that copy.
        states: h_0 ... h_N, (B, *shape).
    """

    lane: int
    row: int
    batch: int
    t: int
    experiment: Experiment
    phase: Phase
    plan: Plan
    network: Network
    free_energy: FreeEnergy
    states: States


@dataclass(frozen=True)
class Line:
    """One thing that theory says.

    Args:
        name: what it is about, in a few words.
        value: the number, with its unit.
        formula: LaTeX without dollar signs, or "".
        note: how it was found, and what it holds for.
        source: BibTeX key.
        alarm: whether it is a warning.
    """

    name: str
    value: str
    formula: str = ""
    note: str = ""
    source: str = "this project"
    alarm: bool = False


@dataclass(frozen=True)
class Outlook:
    """All that theory says about one situation.

    Args:
        key: of the situation, to see whether it is out of date.
        lines: in the order in which they are shown.
        known: numbers of the batch for `predictions`.
        largest_rate: above which the rule in force diverges; None where there is no such rate.
        smm: products in sequence of a batch, where they are counted.
        took: seconds.
    """

    key: Any
    lines: list[Line]
    known: dict[str, Any]
    largest_rate: float | None
    smm: int | None
    took: float


@dataclass
class _Findings:
    lines: list[Line] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    largest_rate: float | None = None
    smm: int | None = None


def situation(driver: Driver) -> Situation:
    """Where the worker stands; called by the worker, between two steps."""
    lane, relaxation = driver.lane, driver._relaxation
    assert lane is not None and relaxation is not None
    step = relaxation.step()
    network = copy.deepcopy(relaxation.network)
    free_energy = step.free_energy
    alone = FreeEnergy(
        network,
        free_energy.precision,
        free_energy.clamped,
        nudge=free_energy.nudge,
        cost=free_energy.cost,
        target=free_energy.target,
        held=free_energy.held,
        decay=free_energy.decay,
    )
    return Situation(
        lane.id,
        driver.row,
        driver._batch,
        step.moment.t,
        lane.experiment,
        step.phase,
        lane.plan,
        network,
        alone,
        step.states,
    )


def outlook(at: Situation, key: Any = None) -> Outlook:
    """Everything that theory can say, in some tenths of a second for a small network."""
    begun = time.perf_counter()
    found = _Findings()
    for say in (_rate, _rest, _cost, _reach):
        _say(say, at, found)
    took = time.perf_counter() - begun
    return Outlook(key, found.lines, found.known, found.largest_rate, found.smm, took)


def _say(say: Callable[[Situation, _Findings], None], at: Situation, found: _Findings) -> None:
    """One part; where it fails the others still come."""
    try:
        say(at, found)
    except Exception as error:  # a network of a user may break any of it
        line = " ".join(str(error).split()) or type(error).__name__
        found.lines.append(Line(say.__name__.strip("_"), "cannot be said", note=line))


# Rate --------------------------------------------------------------------------------------------

LIMITS: dict[str, tuple[Callable[[float], float], str]] = {
    "GradientDescent": (lambda m: 2.0, r"\alpha < 2 / \lambda_{\max}"),
    "Langevin": (lambda m: 2 * (1 + m), r"\alpha < 2 (1 + m) / \lambda_{\max}"),
    "HeavyBall": (lambda m: 2 * (1 + m), r"\alpha < 2 (1 + m) / \lambda_{\max}"),
    "Nesterov": (
        lambda m: 2 * (1 + m) / (1 + 2 * m),
        r"\alpha < 2 (1 + m) / ((1 + 2m)\, \lambda_{\max})",
    ),
    "ErrorBased": (lambda m: 2.0, r"\alpha < 2 / \lambda_{\max}(I + J^\top J)"),
}
"""What the product of a rule's rate and lambda_max must stay below, by its momentum."""


def _rate(at: Situation, found: _Findings) -> None:
    """The largest stable rate against the one in force."""
    rule = at.experiment.dynamics
    name = type(rule).__name__
    units = sum(h[0].numel() for i, h in enumerate(at.states) if i not in at.phase.clamped)
    if not units:
        return
    if units > LARGEST:
        found.lines.append(Line("curvature", "not computed", note=f"{units} free units a sample"))
        return
    variables = "errors" if name == "ErrorBased" else "states"
    curved = spectrum(at.free_energy, at.states, 0, variables=variables)
    how = "all eigenvalues" if curved.exact else f"Lanczos, to within {short(curved.margin)}"
    where = f"Hessian of sample 0 at row {at.row}: {how}; exact where F is quadratic"
    if name in LIMITS:
        share, formula = LIMITS[name]
        limit = share(float(getattr(rule, "momentum", 0.0))) / curved.largest
        above = rule.rate >= limit > 0
        said = f"α {short(rule.rate)} {'≥' if above else '<'} {short(limit)}"
        title = "rate above the stable one" if above else "rate, and the largest stable one"
        found.largest_rate = limit
        found.lines.append(Line(title, said, formula, where, "innocenti2025", above))
    else:
        said = short(curved.largest_rate)
        note = f"of gradient descent; the rule in force has no such bound. {where}"
        formula = LIMITS["GradientDescent"][1]
        found.lines.append(Line("largest stable rate", said, formula, note, "innocenti2025"))
    convex = curved.smallest > 0
    best = f"λ {short(curved.smallest)} … {short(curved.largest)}"
    best += f", best α {short(curved.best_rate)}" if convex else ", not convex"
    formula = r"\alpha^\ast = 2 / (\lambda_{\min} + \lambda_{\max})"
    cond = f"condition number {short(curved.condition)}; settles by 1 − αλ_min a step. {where}"
    cond = cond if convex else f"F bends down in some direction here. {where}"
    found.lines.append(Line("curvature", best, formula, cond, "innocenti2025"))


# Equilibrium -------------------------------------------------------------------------------------


def _rest(at: Situation, found: _Findings) -> None:
    """F at the equilibrium of a linear network."""
    formula = (
        r"F^\ast = \frac{1}{2} r^\top S^{-1} r,\quad "
        r"S = I/\Pi_L + \sum_\ell P_\ell P_\ell^\top / \Pi_\ell"
    )
    why = _restless(at)
    if why:
        found.lines.append(Line("F at rest", "not known", formula, why, "innocenti2025"))
        return
    try:
        settled = rest(at.network, at.phase.clamped, at.free_energy.precision)
    except BadInput:
        note = "a closed form is known for chains of linear layers with squared errors only"
        found.lines.append(Line("F at rest", "not known", formula, note, "innocenti2025"))
        return
    F = float(settled.energy.mean())
    energy = [0.5 * float(e.square().sum(1).mean()) for e in settled.errors]
    found.known |= {"rest": energy, "F": F, "precision": at.free_energy.precision.tolist()}
    found.lines.append(
        Line("F at rest", f"F* {short(F)} nat", formula, "mean over the batch", "innocenti2025")
    )


def _restless(at: Situation) -> str:
    """Why there is no equilibrium to compare with, or ""."""
    if at.phase.nudged or at.phase.held or at.network.top not in at.phase.clamped:
        return "the closed form is of a clamped output"
    if at.free_energy.decay:
        return "activity decay is not in the closed form"
    precision, T = at.experiment.precision, max(at.experiment.steps, 1)
    if at.experiment.window:
        return "the energy window moves with t"
    if not isinstance(precision, kinds.Adaptive):
        table = precision.table(T, at.network.depth)
        if not bool((table == table[0]).all()):
            return "the precisions move with t"
    return ""


# Cost --------------------------------------------------------------------------------------------


def _cost(at: Situation, found: _Findings) -> None:
    """Products in sequence and multiply-adds of a batch."""
    counted = accounts(at.experiment, at.network, at.plan)
    if isinstance(counted, str):
        found.lines.append(Line("products in sequence (SMM)", "not counted", note=counted))
        return
    sequential, each = counted
    found.smm = sequential.total
    found.lines.append(
        Line(
            "products in sequence (SMM)",
            f"{sequential.total} a batch",
            r"\mathrm{SMM}",
            f"{sequential.how}; {sequential.status}. All layers at once count as one product",
            "pinchetti2026",
        )
    )
    if isinstance(each, Account):
        found.lines.append(Line("multiply-adds", f"{_counted(each.total)} a batch", "", each.how))
    else:
        found.lines.append(Line("multiply-adds", "not counted", "", each))


def _counted(count: int) -> str:
    """A large count in words: 1.23 million."""
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:.3g} {name}"
    return str(count)


# Arrival -----------------------------------------------------------------------------------------


def _reach(at: Situation, found: _Findings) -> None:
    """What comes down to each layer, and which layers the dtype keeps still."""
    law, why = predictions.law_of(at.experiment.recipe.to_dict())
    formula = r"|e_\ell(t)| \approx \binom{t}{L-\ell} \alpha^{L-\ell} |\delta_\ell|"
    if len(at.plan) > 1 or not {0, at.network.top} <= set(at.phase.clamped):
        law, why = "", "the arrival law is of one phase with both ends clamped"
    if at.experiment.window:
        law, why = "", "the arrival law is of the whole energy"
    if law and not _chain(at.network):
        law, why = "", "the arrival law is of a chain"
    if not law:
        found.lines.append(Line("arrival law", "does not hold here", formula, why))
        return
    roots, target = {0: at.phase.clamped[0]}, at.phase.clamped[at.network.top]
    deltas = backprop_errors(at.network, roots, target)
    found.known["delta"] = [0.5 * float(_norm(d).square().mean()) for d in deltas]
    if law == predictions.SPIKING:
        rested = r"h_\ell - h_\ell^{(0)} = (1 - \alpha)\, \alpha^{L-\ell}\, \delta_\ell"
        held = (
            "exact as the resting precision tends to 0, for T > L − ℓ; at T = L − ℓ without 1 − α"
        )
        found.lines.append(Line("spiking displacement", "dashed over depth", rested, held))
        return
    found.lines.append(
        Line("arrival law", "dashed over depth", formula, "the leading term for small αt")
    )
    dtype = DTYPES[at.experiment.dtype]
    rate, T = at.experiment.dynamics.rate, at.experiment.steps
    moves = reach(at.network, roots, target, rate=rate, steps=T, dtype=dtype).moves
    still = [k + 1 for k, one in enumerate(moves[:-1].tolist()) if not one]
    said = f"layers {_spans(still)}" if still else "none"
    name = f"still in {at.experiment.dtype} at T = {T}"
    smaller = (
        r"\alpha^{k}\binom{T-1}{k-1}|\delta_\ell| < \frac{1}{2}\,\mathrm{ulp}(h_\ell),\ k = L-\ell"
    )
    note = "an update below half the spacing of numbers around a state is lost; an estimate"
    found.lines.append(Line(name, said, smaller, note, alarm=bool(still)))


def _chain(network: Network) -> bool:
    return all(node.parents == ((i - 1,) if i else ()) for i, node in enumerate(network.nodes))


def _norm(values: Tensor) -> Tensor:
    """Of each sample, (B,)."""
    return torch.linalg.vector_norm(values.flatten(1).double(), dim=1)


def _spans(numbers: list[int]) -> str:
    """Rising numbers in short: 1–3, 5."""
    spans: list[list[int]] = []
    for n in numbers:
        if spans and n == spans[-1][-1] + 1:
            spans[-1].append(n)
        else:
            spans.append([n])
    return ", ".join(f"{s[0]}–{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
