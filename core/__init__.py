"""The core: what a predictive coding network does while it relaxes, and nothing of how it is shown.

Choices come in kinds, one folder each: `inits` (where a relaxation begins), `precisions` (how much
each layer weighs), `dynamics` (how states move), `learning` (how weights move), `energies` (what an
error costs), `tasks` (what is clamped), `networks`, `datasets` and `weights` (torch's optimisers).
An `Experiment` picks one of each; a `Relaxation` iterates its steps; a `Recorder` measures them; a
`Trace` keeps them as an xarray Dataset, and `runs` keep them for good. `theory` is what mathematics
says about all of it, and `own` brings networks of anybody's modules.
"""

from importlib.metadata import PackageNotFoundError, version

from core.allocator import keep_memory
from core.catalogue import BadInput, Card, Dial, card_of, cards, dial, entry, make
from core.citations import bibtex
from core.experiment import Experiment, Recipe
from core.free_energy import FreeEnergy
from core.network import Network, Node, States, chain
from core.phase import Phase
from core.recorder import FULL, LEAN, Recorder
from core.recording import relax
from core.relaxation import Relaxation
from core.step import Moment, Step
from core.trace import Trace
from core.training import Training, accuracy

from core import (  # isort: skip  # registers every entry of every kind
    datasets,
    dynamics,
    energies,
    inits,
    learning,
    networks,
    own,
    precisions,
    runs,
    tasks,
    theory,
    weights,
)

try:
    __version__ = version("relaxoscope")
except PackageNotFoundError:
    __version__ = "0.1.0"

__all__ = [
    "FULL",
    "LEAN",
    "BadInput",
    "Card",
    "Dial",
    "Experiment",
    "FreeEnergy",
    "Moment",
    "Network",
    "Node",
    "Phase",
    "Recipe",
    "Recorder",
    "Relaxation",
    "States",
    "Step",
    "Trace",
    "Training",
    "accuracy",
    "bibtex",
    "card_of",
    "cards",
    "chain",
    "datasets",
    "dial",
    "dynamics",
    "energies",
    "entry",
    "inits",
    "keep_memory",
    "learning",
    "make",
    "networks",
    "own",
    "precisions",
    "relax",
    "runs",
    "tasks",
    "theory",
    "weights",
]
