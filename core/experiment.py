"""What was chosen? A recipe may change between two steps; an experiment is everything.

`Experiment` is the only thing that presets, links, manifests and "copy as command" write.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from core import compatibility, kinds
from core.catalogue import KINDS, BadInput, Dial, card_of, cards, from_dict, shown, to_dict, unknown
from core.datasets.digits import Digits
from core.dynamics.gradient import GradientDescent
from core.energies.squared_error import SquaredError
from core.engines import AUTO, ENGINES
from core.inits.forward import Forward
from core.learning.local import PredictiveCoding
from core.network import Network
from core.networks.mlp import MLP
from core.precisions.identity import Identity
from core.tasks.classify import Classify
from core.weights.adamw import AdamW

SCHEMA = 1
"""Number of the format that `Experiment.to_dict` writes."""

TERMS = ("steps", "window", "output_precision", "activity_decay", "tolerance", "stop")
"""The scalars of a recipe."""

LIVE = ("precision", "dynamics", "learning", "weights", *TERMS)
"""Choices that act on the next step; any other change starts a new lane."""

RANDOM, TRAINED = "random", "trained"

DTYPES = {"float32": torch.float32, "float64": torch.float64}

SCALARS = {
    "steps": Dial("steps", int, 20, (1, 100_000), symbol="T", help="state updates per batch"),
    "window": Dial(
        "window", bool, False, help="at step t only layers l >= L - t count in the energy"
    ),
    "output_precision": Dial(
        "output_precision", float, 1.0, (0.0, 1e6), symbol="λ", help="multiplies E_L", log=True
    ),
    "activity_decay": Dial(
        "activity_decay", float, 0.0, (0.0, 1e3), symbol="c", help="adds c/2 |h|² of free states"
    ),
    "tolerance": Dial(
        "tolerance",
        float,
        0.0,
        (0.0, 1e3),
        help="RMS of dF/dh at which it stops; 0: at T",
        log=True,
    ),
    "stop": Dial(
        "stop", str, "batch", choices=("batch", "sample"), help="what the tolerance looks at"
    ),
    "batch_size": Dial("batch_size", int, 20, (1, 65_536), symbol="B", help="samples per batch"),
    "seed": Dial("seed", int, 0, (0, 2**32 - 1), help="of weights, batches and noise"),
    "dtype": Dial("dtype", str, "float32", choices=tuple(DTYPES), help="of states and weights"),
    "device": Dial("device", str, "cpu", help="any device that torch finds here"),
    "engine": Dial(
        "engine", str, AUTO, choices=ENGINES, help="how energies and forces are computed"
    ),
    "pretraining": Dial(
        "pretraining", str, TRAINED, help="first weights: random, trained, or epoch k of training"
    ),
}
"""The dials that belong to no entry."""


@dataclass(frozen=True)
class Recipe:
    """How states and weights move: what may change between two steps of one relaxation.

    Args:
        init: first states; a change needs a restart.
        precision: the schedule of precisions.
        dynamics: the rule of the states.
        learning: the rule of the weights.
        steps: T, state updates before the weight update.
        window: whether at step t only layers l >= max(L - t, 1) count in the energy, as in the
            released code of qi2026. With forward init and identity precision it changes nothing.
        output_precision: lambda, multiplies the precision of the output layer.
        activity_decay: c, adds c / 2 |h|^2 of the free states to F.
        tolerance: the RMS of dF/dh over free units at which a phase ends; 0 for never.
        stop: whether the tolerance is that of the "batch", or each "sample" stops by itself.
    """

    init: kinds.Init
    precision: kinds.Precision
    dynamics: kinds.Dynamics
    learning: kinds.Learning
    steps: int
    window: bool = False
    output_precision: float = 1.0
    activity_decay: float = 0.0
    tolerance: float = 0.0
    stop: str = "batch"

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain data."""
        names = ("init", "precision", "dynamics", "learning")
        entries = {name: to_dict(getattr(self, name)) for name in names}
        return entries | {name: getattr(self, name) for name in TERMS}


@dataclass(frozen=True)
class Experiment:
    """Everything that decides a run: the same experiment and event log give the same trace.

    Raises:
        BadInput: in one line, when a value is illegal or two choices do not go together.
    """

    init: kinds.Init = field(default_factory=Forward)
    precision: kinds.Precision = field(default_factory=Identity)
    dynamics: kinds.Dynamics = field(default_factory=GradientDescent)
    learning: kinds.Learning = field(default_factory=PredictiveCoding)
    energy: kinds.Energy = field(default_factory=SquaredError)
    task: kinds.Task = field(default_factory=Classify)
    network: kinds.NetworkKind = field(default_factory=MLP)
    dataset: kinds.DatasetKind = field(default_factory=Digits)
    weights: kinds.WeightOptimiser = field(default_factory=AdamW)
    pretraining: str = TRAINED
    steps: int = 20
    window: bool = False
    output_precision: float = 1.0
    activity_decay: float = 0.0
    tolerance: float = 0.0
    stop: str = "batch"
    batch_size: int = 20
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    engine: str = AUTO

    def __post_init__(self) -> None:
        """Check every value and every pair at the door."""
        for name, one in SCALARS.items():
            one.check(getattr(self, name), name)
        for kind in KINDS:
            value, known = getattr(self, kind), cards(kind)
            if type(value) not in (card.entry for card in known.values()):
                raise BadInput(f"{kind}: {shown(value)}; one of {', '.join(known)}, as an object")
        epoch_of(self.pretraining)
        compatibility.check(self)

    @property
    def recipe(self) -> Recipe:
        """The part that may change between two steps."""
        names = [one.name for one in dataclasses.fields(Recipe)]
        return Recipe(**{name: getattr(self, name) for name in names})

    def changed(self, **choices: Any) -> "Experiment":
        """This experiment with other choices.

        Raises:
            BadInput: for an unknown name, or whatever the constructor refuses.
        """
        names = [one.name for one in dataclasses.fields(self)]
        for name in choices:
            if name not in names:
                raise BadInput(f"experiment.{name}: {unknown(name, names)}")
        return dataclasses.replace(self, **choices)

    def to_dict(self) -> dict[str, Any]:
        """All choices as plain data, with the schema's number."""
        data: dict[str, Any] = {"schema": SCHEMA}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            data[one.name] = value if one.name in SCALARS else to_dict(value)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Experiment":
        """What `to_dict` wrote; missing choices take their defaults.

        Raises:
            BadInput: for an unknown key (the nearest is offered), another schema or a bad value.
        """
        if not isinstance(data, Mapping):
            raise BadInput(f"experiment: {shown(data)}; a table of choices")
        schema = data.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise BadInput(f"experiment.schema: {shown(schema)}; this version reads {SCHEMA}")
        names = [one.name for one in dataclasses.fields(cls)]
        given: dict[str, Any] = {}
        for key, value in data.items():
            if key == "schema":
                continue
            if key not in names:
                raise BadInput(f"experiment.{key}: {unknown(key, names)}")
            given[key] = value if key in SCALARS else from_dict(key, value)
        return cls(**given)

    def citations(self) -> str:
        """The works whose methods it uses, and no others, as BibTeX."""
        from core.citations import bibtex  # here, because it asks about experiments

        return bibtex(self)

    def build(self, shape: tuple[int, ...], classes: int) -> Network:
        """The network with random weights of this seed, torch's own initialization of each module.

        Args:
            shape: of an image, (C, H, W).
            classes: number of classes.

        Raises:
            BadInput: if the device is not here, or cannot hold the weights and states.
        """
        from core import footprint  # here, because it asks about experiments

        device = available(self.device)
        footprint.check(self, shape, classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.network(shape, classes)
        network.give_output_energy(self.energy)
        return network.to(device=device, dtype=DTYPES[self.dtype])


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What differs between two experiments or recipes as plain data: (field, old, new), dotted.

    Where the entry itself differs its dials are not compared.
    """
    found = []
    for key in new:
        a, b = old.get(key), new[key]
        if a == b or key == "schema":
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if a.get("name") != b.get("name"):
                found.append((key, str(a.get("name")), str(b.get("name"))))
            else:
                found += [
                    (f"{key}.{dial}", _short(a.get(dial)), _short(b[dial], a.get(dial)))
                    for dial in b
                    if a.get(dial) != b[dial]
                ]
        else:
            found.append((key, _short(a), _short(b)))
    return found


def sentence(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The difference in one line: "precision: Identity -> Spiking"."""
    return ", ".join(f"{name}: {a} -> {b}" for name, a, b in difference(old, new))


def citations(experiment: Experiment) -> list[str]:
    """BibTeX keys of the works whose methods the experiment uses, each once."""
    found = []
    for one in dataclasses.fields(experiment):
        if one.name not in SCALARS:
            key = card_of(getattr(experiment, one.name)).source
            if key != "this project" and key not in found:
                found.append(key)
    return found


def epoch_of(pretraining: str) -> int | None:
    """Epochs of training behind the first weights: 0 for random, None for all of them.

    Raises:
        BadInput: unless it is "random", "trained" or "epoch k".
    """
    if pretraining == RANDOM:
        return 0
    if pretraining == TRAINED:
        return None
    word, _, number = pretraining.partition(" ")
    if word == "epoch" and number.isdecimal() and len(number) < 10 and int(number) >= 1:
        return int(number)
    raise BadInput(f"pretraining: {shown(pretraining)}; random, trained, or epoch k with k from 1")


def available(name: str) -> torch.device:
    """The torch device of that name, if it is here.

    Raises:
        BadInput: naming what is available. There is no fallback.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadInput(f"device: {shown(name)}; one of {', '.join(devices())}") from None
    if device.type == "cuda" and not (
        torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    ):
        raise BadInput(f"device: {name}; no such CUDA device; available: {', '.join(devices())}")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput(f"device: {name}; no Apple GPU here; available: {', '.join(devices())}")
    if device.type not in ("cpu", "cuda", "mps"):
        raise BadInput(f"device: {name}; one of {', '.join(devices())}")
    return device


def devices() -> list[str]:
    """Names of the devices that torch finds on this machine."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def _short(value: Any, before: Any = None) -> str:
    """A value in few letters; of a table, how many cells are others than before."""
    if isinstance(value, float):
        return f"{value:g}"
    if _is_table(value):
        size = f"{len(value)} x {len(value[0])} table"
        if not _is_table(before) or len(before[0]) != len(value[0]):
            return size
        span = max(len(before), len(value))  # past its last row a table holds it
        pairs = (
            (old, new)
            for t in range(span)
            for old, new in zip(
                before[min(t, len(before) - 1)], value[min(t, len(value) - 1)], strict=True
            )
        )
        changed = sum(old != new for old, new in pairs)
        return f"{size}, {changed} {'cell' if changed == 1 else 'cells'} changed"
    if isinstance(value, list) and len(value) > 2 and len(set(map(str, value))) == 1:
        return f"{len(value)} x {_short(value[0])}"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _is_table(value: Any) -> bool:
    """Whether it is a table of more than one cell, as files hold it."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, list) and row for row in value)
        and len(value) * len(value[0]) > 1
    )
