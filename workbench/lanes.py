"""What can be gone back to? Lanes of a session, each with its trace and the marks to return by.

A lane is only appended to. A mark is everything needed to relax on from one of its rows; between
marks a lane is replayed. Marks stay within a memory budget: when it is full, every second one goes.
"""

from dataclasses import dataclass, field
from typing import Any

from core.catalogue import to_dict
from core.experiment import Experiment, sentence
from core.network import States
from core.poke import Poke
from core.pretraining import Course
from core.recording import Guard
from core.schema import CLOCK
from core.snapshot import Snapshot
from core.trace import Trace
from core.training import Training
from workbench.beginning import Begin
from workbench.plan import Plan
from workbench.poking import Poked

STEP, BATCH = "step", "batch"
"""Gears: relax one batch, or relax, update the weights and take the next."""


def in_force(experiment: Experiment) -> dict[str, Any]:
    """What a row of the trace was made with: the recipe and the optimiser of the weights."""
    return experiment.recipe.to_dict() | {"weights": to_dict(experiment.weights)}


@dataclass(frozen=True, eq=False)
class Mark:
    """A row to return to.

    Args:
        row: its number in the lane.
        batch: number of the batch.
        snapshot: of the relaxation.
        memory: what the init remembered when the batch began.
        previous: final states of the batch before.
    """

    row: int
    batch: int
    snapshot: Snapshot
    memory: Any
    previous: States | None


@dataclass
class Lane:
    """One line of rows under a changing recipe.

    Args:
        id: number in the session.
        training: the network and what its batches left behind.
        trace: the rows.
        title: how it differs from its parent.
        parent: id of the lane it came from.
        forked_at: row of the parent from which it goes on; None for a fresh start.
        left: row of the parent that was looked at when it began.
        marks: rows to return to, in order.
        choices: from which row's update on which experiment and gear were in force.
        pokes: what disturbed its states, in order.
        starts: first row and number of each batch.
        parked: where it was left.
        diverged: why it cannot go on, or None.
        guard: watches its total energy for divergence.
        scores: number of a batch and the test accuracy before it, in the batch gear.
        course: the training behind its first weights; None where they are random.
        origin: the batch of a run whose weights its network began with; None for other weights.
        phases: name of each phase of a batch with its own number of steps, None where it is T.
        seconds: spent relaxing up to its newest row; waiting and measuring do not count.
    """

    id: int
    training: Training
    trace: Trace
    title: str
    parent: int | None = None
    forked_at: int | None = None
    left: int = 0
    marks: list[Mark] = field(default_factory=list)
    choices: list[tuple[int, Experiment, str]] = field(default_factory=list)
    pokes: list[Poked] = field(default_factory=list)
    starts: list[tuple[int, int]] = field(default_factory=list)
    parked: Mark | None = None
    diverged: str | None = None
    guard: Guard = field(init=False)
    scores: list[tuple[int, float]] = field(default_factory=list)
    course: Course | None = None
    origin: Begin | None = None
    phases: tuple[tuple[str, int | None], ...] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Watch the rows from the first one on."""
        self.guard = Guard(self.trace)

    @property
    def experiment(self) -> Experiment:
        """The choices in force at the end of the lane."""
        return self.choices[-1][1]

    @property
    def plan(self) -> Plan:
        """Name and T of each phase of a batch, by the newest choices."""
        T = self.experiment.steps
        return tuple((name, T if steps is None else steps) for name, steps in self.phases)

    def begun_at(self, row: int) -> int:
        """The row at which the batch of a row began."""
        return max(first for first, _ in self.starts if first <= row)

    def choices_at(self, row: int) -> tuple[Experiment, str]:
        """The choices and the gear of the update that follows a row."""
        _, experiment, gear = self.choices[0]
        for first, later, its_gear in self.choices:
            if first > row:
                break
            experiment, gear = later, its_gear
        return experiment, gear

    def acts_at(self, row: int) -> list[Experiment | Poke]:
        """What was changed and poked at a row, in the order in which it was."""
        found: list[Experiment | Poke] = []
        here = [one for one in self.pokes if one.row == row]
        for made, (first, experiment, _) in enumerate(self.choices, start=1):
            found += [experiment] if first == row else []
            found += [one.poke for one in here if one.choices == made]
        return found

    @staticmethod
    def difference(old: Experiment, new: Experiment) -> str:
        """What changed between two choices, in one line."""
        return sentence(old.to_dict(), new.to_dict())

    def seconds_at(self, row: int) -> float:
        """What had been spent relaxing at the recorded row nearest to this one."""
        held = self.trace.row(row)
        return 0.0 if held is None else float(held[CLOCK])

    def mark_before(self, row: int) -> Mark:
        """The last mark at or before a row."""
        return max((one for one in self.marks if one.row <= row), key=lambda one: one.row)

    def add(self, mark: Mark, budget: int) -> None:
        """Keep a mark; thin the old ones when the budget is full."""
        self.marks.append(mark)
        while self.bytes > budget and self.thin():
            pass

    def thin(self) -> bool:
        """Let half of the marks go, first those within a batch; whether any went."""
        if len(self.marks) <= 4:
            return False
        begun = {row for row, _ in self.starts}
        kept = [m for m in self.marks if m.row in begun]
        if len(kept) > len(self.marks) - 2:
            kept = self.marks[::2]
        ends = (self.marks[0], self.marks[-1])
        self.marks = [m for m in self.marks if m in ends or m in kept]
        return True

    @property
    def bytes(self) -> int:
        """Memory of the marks; weights, and what an init remembers, count once if shared."""
        weights = {id(m.snapshot.weights): m.snapshot.weights.bytes for m in self.marks}
        learnt = {id(m.memory): getattr(m.memory, "bytes", 0) for m in self.marks}
        shared = sum(weights.values()) + sum(learnt.values())
        return sum(m.snapshot.bytes for m in self.marks) + shared
