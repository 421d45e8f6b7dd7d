"""What does a person do to a relaxation? A session: lanes, a worker thread, a queue of commands.

Commands are applied between two steps and logged. Only the worker touches states; what leaves it
are rows of traces and plain attributes that are replaced as a whole. Nothing is ever deleted:
relaxing on after a rewind, a restart or a changed init starts a new lane. The same experiment and
the same event log give the same lanes.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from core import plugins
from core.catalogue import BadInput, from_dict, to_dict
from core.experiment import SCALARS, Experiment
from core.poke import Poke
from core.runs import shelf
from workbench.beginning import Begin
from workbench.commands import Aside, Command
from workbench.lanes import BATCH, STEP
from workbench.lanes_moves import Moves
from workbench.notebook import Inline
from workbench.poking import aim
from workbench.showing import Showing
from workbench.taping import Tape, free_name

BEAT = 0.03
"""Seconds between two hand-overs of rows while running freely."""


class Session(Moves, Inline):
    """Relaxes live. Every public method may be called from any thread; none of them waits."""

    def __init__(
        self,
        experiment: Experiment | None = None,
        *,
        begin: Begin | None = None,
        wake: Callable[[], None] | None = None,
        budget: int = 512 * 2**20,
        align: bool = True,
    ) -> None:
        """Describe the session; `start` begins it.

        Args:
            experiment: the first choices; by default those of `begin`, or the plain ones.
            begin: the batch of a run from which to go on, with its weights.
            wake: called after each command has had its effect, from the worker's thread.
            budget: bytes for the marks that rewinding needs.
            align: whether to record each layer's cosine to the backprop update.

        Raises:
            BadInput: if the run of `begin` names no experiment, or has no such batch.
        """
        if experiment is None:
            experiment = Experiment() if begin is None else begin.experiment()
        super().__init__(experiment, begin=begin, budget=budget, align=align)
        self.wake = wake
        self.changes = 0
        self.showing: Showing | None = None
        self._queue: queue.SimpleQueue[Command | Aside | None] = queue.SimpleQueue()
        self._asking = threading.Lock()
        self._thread: threading.Thread | None = None

    # What a person can do ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin in a thread: load the data, get the first weights, open the first lane."""
        self._thread = threading.Thread(target=self._work, name="relaxation", daemon=True)
        self._thread.start()

    def play(self) -> None:
        """Relax on at the chosen speed."""
        self._ask("play")

    def pause(self) -> None:
        """Stop between two steps."""
        self._ask("pause")

    def step(self, n: int = 1) -> None:
        """Take n steps at once and pause."""
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 100_000:
            raise BadInput(f"step: {n}; an integer 1..100000")
        self._ask("step", n=n)

    def run_to_end(self) -> None:
        """Relax to the end of this batch's last phase at once; from there, by another T."""
        self._ask("run_to_end")

    def seek(self, row: int) -> None:
        """Look at a recorded row; relaxing on from it starts a new lane."""
        if not isinstance(row, int) or isinstance(row, bool) or row < 0:
            raise BadInput(f"seek: {row}; the number of a recorded row, from 0")
        self._ask("seek", row=row)

    def move(self, by: int) -> None:
        """Look so many rows further, or back; further from the newest row, relax on."""
        if not isinstance(by, int) or isinstance(by, bool) or not 1 <= abs(by) <= 100_000:
            raise BadInput(f"move: {by}; an integer 1..100000, or below zero for back")
        self._ask("move", by=by)

    def follow(self) -> None:
        """Look at the newest row again."""
        self._ask("follow")

    def restart(self) -> None:
        """Begin this batch again in a new lane, with the weights that it began with."""
        self._ask("restart")

    def next_batch(self) -> None:
        """Take the next batch in this lane."""
        self._ask("next_batch")

    def swap(self) -> None:
        """Exchange the lane and its ghost."""
        self._ask("swap")

    def warm_up(self, batches: int = 5) -> None:
        """Relax other batches first, so that an init that remembers has a past."""
        if not isinstance(batches, int) or isinstance(batches, bool) or not 1 <= batches <= 1000:
            raise BadInput(f"warm_up: {batches}; an integer 1..1000")
        self._ask("warm_up", batches=batches)

    def set_gear(self, gear: str) -> None:
        """Relax one batch ("step") or train batch after batch ("batch")."""
        if gear not in (STEP, BATCH):
            raise BadInput(f"gear: {gear}; one of {STEP}, {BATCH}")
        self._ask("set_gear", gear=gear)

    def set_speed(self, speed: float | None) -> None:
        """Steps per second, or None for as fast as it goes."""
        number = isinstance(speed, int | float) and not isinstance(speed, bool)
        if speed is not None and not (number and 0 < speed <= 1e6):
            raise BadInput(f"speed: {speed}; steps per second in (0, 1e6], or none for free")
        self._ask("set_speed", speed=speed)

    def change(self, **choices: Any) -> None:
        """Change choices between two steps.

        Args:
            **choices: entries, or plain data as recipes hold them, by the names of an Experiment.

        Raises:
            BadInput: before anything happens, when the new experiment is refused.
        """
        made = {
            name: from_dict(name, value)
            if name not in SCALARS and isinstance(value, str | dict)
            else value
            for name, value in choices.items()
        }
        with self._asking:
            new = self.wanted.changed(**made)
            if new == self.wanted:
                return
            self.wanted = new
            plain = {k: v if k in SCALARS else to_dict(v) for k, v in made.items()}
            self._ask("change", **plain)

    def poke(self, **args: Any) -> None:
        """Disturb a state at the row under the cursor; at an old row that starts a new lane.

        Args:
            **args: of a `core.poke.Poke`; without a seed noise gets one of its own.

        Raises:
            BadInput: before anything happens, when there is no such target.
        """
        aim(self.lane, Poke(**args))
        self._ask("poke", **args)

    def without_poke(self) -> None:
        """Relax as far as this lane without its newest poke, in a lane beside it."""
        self._ask("without_poke")

    def record(self, name: str | None = None) -> None:
        """Record the whole session from its beginning, and on, as a run.

        It is no command: the lanes stay what they are, and the log does not tell of it, so that a
        session that comes back by replay does not write the run again.

        Args:
            name: of the run, which must be new; by default one from the time of day.

        Raises:
            BadInput: if no run can have this name.
        """
        if name is not None:
            shelf.check_name(name, "record")
        self._queue.put(Aside(lambda: self._begin_recording(name), tells=True))

    def stop_recording(self) -> None:
        """End the recording; the run stays as it is."""
        self._queue.put(Aside(self._end_recording, tells=True))

    @property
    def recording(self) -> str:
        """Name of the run that is being recorded, or ""."""
        tape = self._tape
        return "" if tape is None else tape.name

    @property
    def recorded_rows(self) -> int:
        """Rows of that run so far."""
        tape = self._tape
        return 0 if tape is None else tape.rows

    def aside(self, look: Callable[[], None]) -> None:
        """Let the worker call something that changes nothing, between two steps."""
        self._queue.put(Aside(look))

    def close(self) -> None:
        """End the worker; safe to call twice."""
        self._closing = True
        self._queue.put(None)
        if self._thread is None:
            self._end_recording()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout=10)

    @classmethod
    def replay(cls, log: Mapping[str, Any], **options: Any) -> "Session":
        """The session that `log` describes, made again in this thread."""
        begin = Begin.from_dict(log["begin"]) if log.get("begin") else None
        again = cls(Experiment.from_dict(log["experiment"]), begin=begin, **options)
        again.repeat(log["events"], log["taken"])
        again._prepare()
        return again

    # The worker ----------------------------------------------------------------------------------

    def _ask(self, name: str, **args: Any) -> None:
        self._queue.put(Command(name, args, self.taken))

    def _work(self) -> None:
        torch.set_num_threads(1)
        try:
            self._prepare()
        except Exception as error:
            if self.lane is None or self._closing:
                self._fail(error)
                return
            self._be_ready()  # the log is damaged: what could be repeated stays
            back, all_ = len(self.events), len(self._history[0])
            self.message = f"{back} of {all_} commands could be brought back: {error}"
        self._wake()
        while not self._closing:
            wait = self._wait()
            try:
                command = self._queue.get(timeout=wait) if wait != 0 else self._queue.get_nowait()
            except queue.Empty:
                self._turn()
                continue
            if command is None:
                break
            self._attempt(command)
        self._end_recording()

    def _wait(self) -> float | None:
        """Seconds until the next step is due; None for none."""
        if self._owed:
            return 0
        if not self.playing:
            return None
        return 0 if self.speed is None else max(0.0, self._due - time.monotonic())

    def _turn(self) -> None:
        """One step that is due."""
        now = time.monotonic()
        try:
            self._one()
        except Exception as error:
            self._stop(f"stopped: {plugins.told(error)}")
        if self._owed:
            self._owed -= 1
            if self._to_end and self._relaxation is not None and self._relaxation.done:
                self._owed = 0  # within the tolerance before T
        if self.speed is not None:
            self._due = max(self._due + 1 / self.speed, now)
        at_rest = not self._owed and (self.speed is not None or not self.playing)
        if at_rest or now - self._drained > BEAT:
            self._drain()
            self._show()
        trouble = self._hand_over()
        self.message = trouble or self.message
        if trouble or (not self._owed and not self.playing):
            self._wake()

    def _attempt(self, command: Command | Aside) -> None:
        if isinstance(command, Aside):
            command.look()
            self._forget_refused()
            if command.tells:
                self._wake()
            return
        self._drain()
        trouble = self._hand_over()
        before = self._standing()
        try:
            self._apply(command)
        except BadInput as refused:
            self._fall_back(before)
            self.message = str(refused)
        except Exception as error:
            self._fall_back(before)
            self._stop(f"{command.name}: {type(error).__name__}: {error}")
        self.progress = ("ready", 1.0)
        self._drain()
        trouble = self._hand_over() or trouble
        self.message = trouble or self.message
        self._forget_refused()
        self._show()
        if not self._owed:
            self._wake()

    def _be_ready(self) -> None:
        self._show()
        super()._be_ready()

    def _show(self) -> None:
        """Let pages draw the place that is reached; they read it as one, from other threads."""
        if self.lane is not None:
            place = len(self.lanes), self._row, self.cursor, self.playing
            self.showing = Showing(self.lane, self.ghost, *place)

    def _fall_back(self, before: dict[str, Any]) -> None:
        if self._tape is not None:
            self._tape.forget()
        super()._fall_back(before)

    def _forget_refused(self) -> None:
        """What is wanted is what is, unless more is asked for."""
        with self._asking:
            if self._queue.empty() and self.lane is not None:
                self.wanted = self.lane.experiment

    def _fail(self, error: Exception) -> None:
        self.message = str(error) if isinstance(error, BadInput) else f"could not start: {error!r}"
        self.progress = (self.message, 0.0)
        self._wake()

    def _wake(self) -> None:
        self.changes += 1
        if self.wake is not None and not self._closing:
            self.wake()

    # Recording -----------------------------------------------------------------------------------

    def _begin_recording(self, name: str | None) -> None:
        """Open the run and store what is in memory."""
        if self._tape is not None:
            self.message = f"record: {self._tape.name} is being recorded; stop that first"
            return
        self._drain()
        try:
            path = shelf.folder() / (name or free_name())
            self._tape = Tape(path, self.log(), align=self.align, lane=self.lanes[0])
        except (BadInput, OSError) as error:
            self.message = f"record: {error}"
            return
        self._tape.take_all(self.lanes, self.lane, self.accuracy)
        self.message = self._hand_over()

    def _hand_over(self) -> str:
        """Store what was measured; returns what went wrong, or "".

        Trouble ends the recording, never the session.
        """
        if self._tape is None:
            return ""
        try:
            self._tape.write(self.lanes, self.events, self.taken)
        except Exception as error:
            return self._let_go(str(error))
        return ""

    def _end_recording(self) -> None:
        """Store what was measured, and close the run."""
        try:
            self._drain()
            trouble = self._hand_over()
        except Exception as error:
            trouble = str(error)
        self.message = self._let_go(trouble) or trouble or self.message

    def _let_go(self, trouble: str = "") -> str:
        """Close the run; returns what went wrong, or ""."""
        tape, self._tape = self._tape, None
        if tape is None:
            return ""
        try:
            tape.close(self.lanes, self.taken, trouble)
        except Exception as error:
            trouble = trouble or str(error)
        return f"{tape.name} is no longer recorded: {trouble}" if trouble else ""
