"""What can be seen of a relaxation between two state updates?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from core.free_energy import FreeEnergy
from core.network import States
from core.phase import Phase

if TYPE_CHECKING:
    from core.experiment import Recipe


@dataclass(frozen=True)
class Moment:
    """Where in a relaxation a step stands.

    Args:
        t: number of state updates since the phase began.
        phase: its name.
        phase_end: whether the phase has had its steps, or has settled within the tolerance.
        last: whether that phase is the last one: the weights see these states.
    """

    t: int
    phase: str
    phase_end: bool
    last: bool


@dataclass(frozen=True)
class Step:
    """One row of a relaxation: the states h^(t), before update t.

    Args:
        moment: where it stands.
        states: h_0 ... h_N.
        before: the states one update earlier; None at the start.
        first: the states at t = 0 of the first phase.
        free_energy: in force at this step.
        recipe: in force at this step.
        phase: in force at this step.
        ended: the phases before this one, each with its last states.
    """

    moment: Moment
    states: States
    before: States | None
    first: States
    free_energy: FreeEnergy
    recipe: "Recipe"
    phase: Phase
    ended: tuple[tuple[Phase, States], ...] = ()

    @property
    def target(self) -> Tensor:
        """What the output should be, (B, *shape): the phase's target, else its state."""
        phase = self.phase
        return self.states[-1] if phase.target is None else phase.target
