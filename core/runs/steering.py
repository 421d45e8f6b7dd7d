"""How is a training steered while it runs? Between two batches it looks for asks and answers them.

Each answer is an event of the run that names the batch before which it acted, stored before that
batch begins. A training that is gone on with makes the changes of its events again, before the same
batches; new changes wait until that is done.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from core import plugins
from core.catalogue import BadInput
from core.experiment import Experiment
from core.runs import changes
from core.runs.asks import CHANGE, PAUSE, STOP, Ask, Inbox
from core.runs.writer import Writer

if TYPE_CHECKING:
    from core.runs.course import Course

REFUSED = "refused"
"""The command of an event about an ask that was not followed."""

LOOK = 0.1
"""Seconds between two looks of a training that is paused."""


class Stopped(Exception):
    """Somebody asked the training to stop."""


@dataclass(frozen=True)
class Log:
    """What the events of a training say that is gone on with.

    Args:
        later: batch, and all choices from there on, of each change behind the checkpoint.
        answered: ids of the asks that have their answer.
        last: number of the newest batch that was stored; -1 for none.
    """

    later: tuple[tuple[int, Experiment], ...] = ()
    answered: frozenset[str] = frozenset()
    last: int = -1


class Steering:
    """Asks and answers of one training."""

    def __init__(self, course: "Course", writer: Writer, log: Log | None = None) -> None:
        """Begin to listen.

        Args:
            course: that is steered.
            writer: of its run.
            log: what its events say, where it is gone on with.
        """
        self.course, self.writer = course, writer
        self._later = list(log.later) if log else []
        self._last = max([log.last, *(batch for batch, _ in log.later)]) if log else -1
        self._inbox = Inbox(writer.path, log.answered if log else ())
        self._waiting: list[Ask] = []
        self._paused = False
        if log is not None:
            for ask in self._inbox.new()[0]:
                self._refuse(ask, "asked before the training was gone on with: ask again")

    def before(self, number: int) -> None:
        """Do what is asked for before a batch begins; waits here while it is paused.

        Raises:
            Stopped: if that is asked for.
        """
        while self._later and self._later[0][0] <= number:
            self.course.adopt(self._later.pop(0)[1])
        waiting, self._waiting = self._waiting, []
        for ask in waiting:
            self._change(ask)
        self._look()
        if self._paused:
            self._pause()

    def _look(self) -> None:
        """Answer what has been asked since."""
        asks, trouble = self._inbox.new()
        if trouble:
            self._say(REFUSED, {"why": trouble})
        for ask in asks:
            self._answer(ask)

    def _answer(self, ask: Ask) -> None:
        if ask.act == CHANGE:
            self._change(ask)
        elif ask.act == STOP:
            self._say(STOP, {}, ask)
            self._stop()
        elif self._paused == (ask.act == PAUSE):
            self._refuse(ask, f"it is {'' if self._paused else 'not '}paused")
        else:
            self._paused = ask.act == PAUSE
            self._say(ask.act, {}, ask)

    def _pause(self) -> None:
        """Wait; where it stands is kept first, so that a process that is killed loses nothing."""
        course = self.course
        course.keep()
        begun = time.perf_counter()
        self.writer.say(paused=True)
        course.tell(f"paused before batch {course.number}", course.number / course.last)
        try:
            while self._paused:
                time.sleep(LOOK)
                if course.asked():
                    self._stop()
                self._look()
        finally:
            course.apart += time.perf_counter() - begun
        self.writer.say(paused=False)

    def _stop(self) -> NoReturn:
        """End here, where it can be gone on from."""
        self.course.keep()
        raise Stopped

    def _change(self, ask: Ask) -> None:
        """Change choices from the next batch on, or say why not."""
        course = self.course
        if course.number <= self._last:  # it computes again what was stored
            self._waiting.append(ask)
            return
        old = course.experiment
        try:
            new = changes.changed(old, ask.choices)
            self._try_out(new)
        except BadInput as refused:
            self._refuse(ask, str(refused))
            return
        except Exception as failed:  # an ask must not end a training, whatever it breaks
            self._refuse(ask, f"{type(failed).__name__}: {plugins.told(failed)}")
            return
        course.adopt(new)
        more: dict[str, Any] = {"recipe": len(course.trace.recipes) - 1}
        if used := plugins.used(new):
            more["plugins"] = used
        self._say(CHANGE, changes.plain(old, new), ask, told=changes.told(old, new), **more)

    def _try_out(self, new: Experiment) -> None:
        """Begin the next batch under other choices and let go of it: what refuses does so here."""
        course = self.course
        training = course.training
        before = training.experiment, training.optimiser
        try:
            training.follow(new)
            training.relaxation(training.batches.batch(course.number), train=True).step()
        finally:
            training.experiment, training.optimiser = before

    def _refuse(self, ask: Ask, why: str) -> None:
        self._say(REFUSED, {"ask": ask.act, "why": " ".join(why.split())[:500]}, ask)

    def _say(
        self, command: str, args: Mapping[str, Any], ask: Ask | None = None, **more: Any
    ) -> None:
        """Store an event; it lasts before anything follows from it."""
        course = self.course
        said = {"command": command, "args": dict(args), "lane": course.lane, "row": course.row}
        said["batch"] = course.number
        if ask is not None:
            said |= {"id": ask.id, "by": ask.by, "asked": ask.at}
        self.writer.events([said | more])


def log_of(events: list[dict[str, Any]], experiment: Experiment, recipes: int, last: int) -> Log:
    """What events say to a training that is gone on with.

    Args:
        events: of the run.
        experiment: all choices at the checkpoint.
        recipes: how many recipes the checkpoint knows.
        last: number of the newest batch that was stored; -1 for none.

    Raises:
        BadInput: if a change cannot be made again here.
    """
    later = []
    for event in events:
        if event["command"] != CHANGE or event["recipe"] < recipes:
            continue
        if event["recipe"] != recipes + len(later):
            raise BadInput(
                f"run: the event of change {recipes + len(later)} is lost, so that what "
                "followed cannot be made again"
            )
        experiment = changes.changed(experiment, event["args"])
        later.append((int(event["batch"]), experiment))
    return Log(tuple(later), frozenset(str(e["id"]) for e in events if "id" in e), last)
