"""What does each command do to the lanes? It acts between two steps and is logged for repetition.

The log is a list of events; the same experiment and the same events give the same lanes.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from core import plugins
from core.catalogue import BadInput, from_dict
from core.experiment import LIVE, SCALARS, Experiment, sentence
from core.poke import Poke, poke
from core.recording import Guard
from workbench.beginning import Begin
from workbench.driver import Driver
from workbench.lanes import BATCH
from workbench.plan import left, rows_of
from workbench.poking import Poked, behind, course, lack, shown


@dataclass(frozen=True)
class Command:
    """One thing asked for, with the number of steps taken when it was asked."""

    name: str
    args: dict[str, Any]
    asked: int


@dataclass(frozen=True)
class Aside:
    """Something that changes no lane and is not logged; pages are woken after it if it `tells`."""

    look: Callable[[], None]
    tells: bool = False


class Ended(Exception):
    """The session was closed while something long was under way."""


class Commands(Driver):
    """The driver under commands, each of which is logged with the number of steps taken."""

    def __init__(
        self, experiment: Experiment, *, begin: Begin | None, budget: int, align: bool
    ) -> None:
        """Describe the lanes; `_prepare` opens the first one.

        Args:
            experiment: the first choices.
            begin: the batch of a run from which the first lane goes on.
            budget: bytes for the marks that rewinding needs.
            align: whether to record each layer's cosine to the backprop update.
        """
        super().__init__(experiment, begin=begin, budget=budget, align=align)
        self.speed: float | None = 6.0
        self.ready = False
        self.events: list[dict[str, Any]] = []
        self._first = experiment
        self._history: tuple[list[dict[str, Any]], int] = ([], 0)
        self._closing = False
        self._due = 0.0
        self._to_end = False

    def log(self) -> dict[str, Any]:
        """All that is needed to make this session again: first choices, events, steps taken.

        Where it began from a run, also which.
        """
        events, taken = (self.events, self.taken) if self.ready else self._history
        begun = {} if self.begin is None else {"begin": self.begin.to_dict()}
        said = {"experiment": self._first.to_dict(), "events": list(events), "taken": taken}
        return said | begun

    def repeat(self, events: Iterable[dict[str, Any]], taken: int = 0) -> None:
        """Before `start`: do again, without a clock, what an event log describes.

        Args:
            events: as `log` gives them.
            taken: steps in all, also those after the last event.
        """
        self._history = (list(events), taken)

    def _apply(self, command: Command) -> None:
        """Let one command act between two steps, and log it.

        A command may say with which arguments it is to be repeated, if not with its own.
        """
        self.message = ""
        command = self._absolute(command)
        applied = self.taken
        said = getattr(self, f"_do_{command.name}")(**command.args)
        assert self.lane is not None
        self.events.append(
            {
                "command": command.name,
                "args": said or command.args,
                "asked": command.asked,
                "applied": applied,
                "lane": self.lane.id,
                "row": self._row,
            }
        )
        self.lane.trace.events = list(self.events)

    def _absolute(self, command: Command) -> Command:
        """A move is the seek or the steps that it comes to where the cursor stands now."""
        if command.name != "move":
            return command
        by: int = command.args["by"]
        if by > 0 and self.at_end:
            return Command("step", {"n": by}, command.asked)
        row = min(max(0, self.cursor + by), self._row)
        return Command("seek", {"row": row}, command.asked)

    def _do_play(self) -> None:
        self.playing = True
        self._due = time.monotonic()
        self._stopwatch = (self._due, self.taken)

    def _do_pause(self) -> None:
        self.playing, self._owed = False, 0

    def _do_step(self, n: int) -> None:
        self.playing = self._to_end = False
        self._owed += n

    def _do_run_to_end(self) -> None:
        self.playing = False
        if not self.at_end:
            self._fork(self.cursor)
        lane, relaxation = self.lane, self._relaxation
        assert lane is not None and relaxation is not None
        self._to_end = not relaxation.done
        rows = left(lane.plan, relaxation.phase.name, relaxation.t)
        if not self._to_end:
            rows = rows_of(lane.plan) if self.gear == BATCH else relaxation.steps
        self._owed = rows

    def _do_seek(self, row: int) -> dict[str, Any] | None:
        """Go to the nearest row that is held; that one is logged.

        Which rows a thinned trace holds does not follow from a log, so a repetition goes there
        whether or not it holds the row.
        """
        self.playing, self._owed = False, 0
        self._drain()
        assert self.lane is not None
        wanted = min(row, self._row)
        held = self.lane.trace.row(row) if self.ready else None
        self.cursor = wanted if held is None else int(held["step"])
        self.following = self.cursor >= self._row
        return None if self.cursor == wanted else {"row": self.cursor}

    def _do_follow(self) -> None:
        self.following, self.cursor = True, self._row

    def _do_set_speed(self, speed: float | None) -> None:
        self.speed = speed
        self._due = time.monotonic()
        self._stopwatch = (self._due, self.taken)

    def _do_set_gear(self, gear: str) -> None:
        assert self.lane is not None
        self.gear = gear
        self.lane.choices.append((self._row, self.lane.experiment, gear))
        self._hold_or_move()

    def _do_restart(self, **choices: Any) -> None:
        """This batch from its beginning in a new lane, under these choices where there are some."""
        assert self.lane is not None
        old = self.lane.experiment
        made = {k: v if k in SCALARS else from_dict(k, v) for k, v in choices.items()}
        new = old.changed(**made)
        changed = {name for name, value in made.items() if value != getattr(old, name)}
        if changed:
            self._rebuild(new, sentence(old.to_dict(), new.to_dict()), changed)
        else:
            self._again(old, "restart")

    def _do_swap(self) -> None:
        if self.ghost is None:
            self.message = "there is no other lane yet: rewind, restart or change the init"
            return
        self._open(self.ghost)

    def _do_next_batch(self) -> None:
        self._drain()
        assert self.lane is not None
        if self.lane.diverged:
            self._stop(self.lane.diverged)
            return
        self.following = True
        self._take_next_batch()

    def _do_warm_up(self, batches: int) -> None:
        assert self.lane is not None
        experiment, old = self.lane.experiment, self.lane
        self._park()
        begun = self._begun(old)
        training = self._training(experiment, old.training, begun)
        around = training.batches.per_epoch
        for k in range(batches, 0, -1):
            number = (begun.batch - k) % around
            if number == begun.batch % around:
                continue
            self._tell(f"relaxing batch {number} first", 1 - k / batches)
            relaxation = training.relaxation(training.batches.batch(number), train=False)
            relaxation.run()
            training.finish(relaxation)
        self._new_lane(training, experiment, begun.batch, f"{batches} batches relaxed first")

    def _do_change(self, **choices: Any) -> None:
        assert self.lane is not None and self._relaxation is not None
        old = self.lane.experiment
        made = {k: v if k in SCALARS else from_dict(k, v) for k, v in choices.items()}
        new = old.changed(**made)
        title = sentence(old.to_dict(), new.to_dict())
        if not all(name in LIVE for name in choices):
            self._rebuild(new, title, set(choices))
            return
        if self.at_end:
            self._go_on_with(new)
        else:
            self._fork(self.cursor, new)

    def _do_reload(self, files: list[dict[str, str]]) -> None:
        """Relax this batch again with files that were saved again, as far as the cursor.

        Where they fail on the way, the lane that was stays the live one.
        """
        names = ", ".join(str(one["name"]) for one in files)
        if not self.ready:
            raise BadInput(
                f"reload: {names} was saved again while this session ran; what ran before is not "
                "kept, so that the session cannot be repeated"
            )
        lane = self.lane
        assert lane is not None
        self.playing, self._owed = False, 0
        rows = self.cursor - lane.begun_at(self.cursor)
        changed = plugins.renewed(lane.experiment)
        try:
            self._rebuild(lane.experiment.changed(**changed), f"{names} saved again", set(changed))
            for k in range(rows):
                self._tell(f"relaxing with {names}", k / rows)
                self._one()
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(f"reload: {plugins.told(error)}; the version before stays") from error
        self._drain()

    def _do_poke(self, **args: Any) -> dict[str, Any]:
        """Disturb a state; the row is measured again, so that it tells where the next update goes.

        Without a seed noise gets one of its own; it is logged.
        """
        assert self.lane is not None
        one = Poke(**{"seed": len(self.events), **args})
        if not self.at_end:
            self._fork(self.cursor)
        lane, relaxation = self.lane, self._relaxation
        assert relaxation is not None
        if lane.diverged:
            raise BadInput(lane.diverged)
        self._drain()
        before, shape = lane.trace.row(self._row), lane.training.images.shape
        assert before is not None
        poke(relaxation, one, shape)
        lane.pokes.append(
            Poked(
                self._row,
                one,
                len(lane.choices),
                self._batch,
                before["energy"].copy(),
                shown(relaxation, one, shape),
            )
        )
        lane.guard = Guard(lane.trace, lane.guard.first[:4])  # what a poke raises has not diverged
        known = lane.trace.attrs["theory"]
        lane.trace.attrs["theory"] = {k: v for k, v in known.items() if k != str(self._batch)}
        self._measure()
        self._drain()
        self._mark()
        return one.to_dict()

    def _do_without_poke(self, **again: int) -> dict[str, int]:
        """Relax as far as this lane, without its newest poke, in a lane beside it; come back."""
        self._drain()
        lane = self.lane
        assert lane is not None
        if not again:
            wants = lack(lane, self.lanes, course(lane, behind(self.ghost, self.lanes)))
            if not wants.args:
                raise BadInput(f"without_poke: {wants.why or 'it is there already'}")
            again = wants.args
        self.playing, self._owed = False, 0
        if "beside" in again:
            self._open(self.lanes[again["beside"]])
        elif again["start"] < 0:
            self.following, self.cursor = False, 0
            self._again(lane.experiment, "without the poke")
        else:
            self._fork(again["start"])
        for k in range(again["rows"]):
            self._tell("relaxing without the poke", k / again["rows"])
            self._one()
        self._drain()
        self._open(lane)
        return again

    # Replay --------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Data, weights, the first lane, and whatever is to be repeated."""
        title = "start" if self.begin is None else f"from {self.begin}"
        self._rebuild(self.wanted, title, None)
        self._repeat()
        self._be_ready()

    def _repeat(self) -> None:
        events, taken = self._history
        for k, event in enumerate(events):
            self._tell("bringing the session back", k / len(events))
            self._run_until(event["applied"])
            self._apply(Command(event["command"], dict(event["args"]), event["asked"]))
            self._owed = 0
        self._run_until(taken)

    def _be_ready(self) -> None:
        self.playing, self._owed = False, 0
        assert self.lane is not None
        self.wanted = self.lane.experiment
        self.ready = True
        self.progress = ("ready", 1.0)

    def _run_until(self, taken: int) -> None:
        """Rows without a clock, until so many were taken."""
        before = -1
        while before < self.taken < taken:
            if self._closing:
                raise Ended
            before = self.taken
            self._one()
        self._drain()

    def _tell(self, line: str, share: float) -> None:
        if self._closing:
            raise Ended
        super()._tell(line, share)
