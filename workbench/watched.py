"""What did another process record? A run that is drawn like a session, and cannot be relaxed on.

A thread reads what was stored, also while it is being written; time is a cursor that moves over
rows that are there. What a page asks for acts at once: nothing has to be computed.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import xarray as xr

from core.catalogue import BadInput
from core.experiment import Experiment
from core.layout import Layout
from core.runs import Run
from core.runs.run import WRITTEN
from core.runs.shelf import run_named
from workbench.measures import with_samples
from workbench.playback import Playback
from workbench.reading import WatchedLane

if TYPE_CHECKING:
    from core.runs import LaneInfo

LIVE_EVERY, DONE_EVERY = 0.25, 3.0
"""Seconds between two looks at a run that is being written, and at one that is not."""

LARGEST = 256 * 2**20
"""Bytes of a run that can be exported from the page."""

OWN_CODE = "recorded by another program: it can be watched, not relaxed on"
NO_WEIGHTS = "recorded, and its weights were not kept: it can be watched, not relaxed on"
FROM_BATCH = "recorded: it can be watched, and relaxed on from a batch whose weights were kept"


class Watched(Playback):
    """A run and a cursor in one of its lanes; what it offers is a part of what a session does."""

    gear, offer, course, taken, measured_speed = "step", "", None, 0, 0.0
    recording, recorded_rows = "", 0

    def __init__(
        self, name: str, lane: int | None = None, *, wake: Callable[[], None] | None = None
    ) -> None:
        """Open what is to be watched; `start` begins to read.

        Args:
            name: of a run in the folder of runs.
            lane: its number; None for the one that was last written.
            wake: called when there is something to show, from any thread.

        Raises:
            BadInput: if there is no such run or lane, or nothing of it can be read.
        """
        super().__init__()
        self._run = Run(run_named(name))
        if lane is not None:
            self._run.lane(lane)
        self.name = name
        self.wake = wake
        self.lanes = list(self._run.lanes.values())
        self.events: list[dict[str, Any]] = []
        self.ready = False
        self.progress: tuple[str, float] = (f"reading {name}", 0.0)
        self.state, self.recovered, self.title = self._run.state, "", self._run.notes.title
        self._asked = lane
        self._wanted: tuple[Any, Experiment | None] = (None, None)
        self._opened: dict[int, WatchedLane] = {}
        self._closing = threading.Event()

    # What there is -------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether it is being written."""
        return self.state in WRITTEN

    @property
    def layout(self) -> Layout:
        """Of the lane that is shown."""
        assert self.lane is not None
        return self.lane.trace.layout

    @property
    def wanted(self) -> Experiment | None:
        """The choices at the cursor, where this version knows everything in them."""
        lane = self.lane
        held = lane.trace.row(self.cursor) if lane is not None else None
        if lane is None or held is None or not lane.choices:
            return None
        number, recipes = int(held["recipe_id"]), lane.trace.recipes
        if (lane.id, number) != self._wanted[0]:
            recipe = recipes[number] if 0 <= number < len(recipes) else {}
            try:
                made = Experiment.from_dict({**lane.choices, **recipe})
            except BadInput:
                made = None
            self._wanted = ((lane.id, number), made)
        return self._wanted[1]

    @property
    def accuracy(self) -> float | None:
        """Test accuracy as of the batch under the cursor, where it was recorded."""
        if self.lane is None:
            return None
        known = self._batch_of(self.lane, list(self.lane.scores))
        return None if known is None else self.lane.scores[known]

    @property
    def begins(self) -> int | None:
        """The batch at or before the cursor from whose kept weights can be relaxed on."""
        if self.lane is None or not self.lane.choices:
            return None
        return self._batch_of(self.lane, self.lane.kept)

    @property
    def why(self) -> str:
        """Why it cannot be relaxed on here."""
        if self.lane is None or not self.lane.choices:
            return OWN_CODE
        return FROM_BATCH if self.lane.kept else NO_WEIGHTS

    def dataset(self) -> xr.Dataset:
        """All rows of the lane that is shown, for an export.

        Raises:
            ValueError: if they are too many for a page.
        """
        assert self.lane is not None
        run = Run(self._run.path)
        if run.bytes > LARGEST:
            raise ValueError(
                f"export: {run.bytes / 2**20:.0f} MB; up to {LARGEST / 2**20:.0f} MB here, "
                f"beyond by the command: relaxoscope runs export {self.name}"
            )
        return with_samples(run.dataset(self.lane.id), run.samples(self.lane.id))

    def _batch_of(self, lane: WatchedLane, numbers: list[int]) -> int | None:
        """The last of some batches that is not behind the cursor."""
        held = lane.trace.row(self.cursor)
        return max((k for k in numbers if held and k <= int(held["batch"])), default=None)

    # Coming and going ----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read in a thread."""
        threading.Thread(target=self._work, name="watching", daemon=True).start()

    def close(self) -> None:
        """The page has gone; safe to call twice."""
        self._closing.set()

    def swap(self) -> None:
        """Exchange the lane and its ghost; a newer lane no longer takes their place."""
        super().swap()
        if self.lane is not None:
            self._asked = self.lane.id

    def changed(self) -> None:
        """Let the page look."""
        super().changed()
        if self.wake is not None and not self._closing.is_set():
            self.wake()

    # The reader ----------------------------------------------------------------------------------

    def look(self) -> None:
        """Read what is new, of the lane that is shown and of the one behind it."""
        run, before = self._run, self._standing()
        run.refresh()
        self.lanes = list(run.lanes.values())
        self.title, self.recovered = run.notes.title, run.recovered
        state = run.state  # before the rows: a last one may come between the two
        if self.lanes:
            self._read(run.lane(self._asked))
            self.events = run.events()
        self.state = state
        if self.lane is None or self.lane.newest < 0:
            self.progress = (f"{self.name}: {self.state}, no row yet", 1.0)
        else:
            self.ready, self.progress = True, ("ready", 1.0)
            self.lane.diverged = self.state if self.state.startswith("diverged") else None
        if self._standing() != before:
            self.changed()

    def _standing(self) -> Any:
        return self.ready, self.progress, self.state, self.recovered, self.title, self.row

    def _read(self, info: "LaneInfo") -> None:
        behind = self._behind(info)
        wanted = [self._open(one) for one in (info, behind) if one is not None]
        total = max(sum(self._run.rows(one.id) for one in wanted), 1)
        taken = sum(len(one.trace) for one in wanted)
        for one in wanted:
            for count in one.read(self._run):
                taken += count
                if not self.ready:
                    self.progress = (f"reading {self.name}", min(taken / total, 0.99))
                if self._closing.is_set():
                    return
            one.read_aside(self._run)
        if self.lane is None or (self._asked is None and self.lane is not wanted[0]):
            self.lane, self.ghost = wanted[0], wanted[1] if behind else None

    def _behind(self, info: "LaneInfo") -> "LaneInfo | None":
        """The lane that is drawn in grey: the parent, or the neighbour."""
        lanes = self._run.lanes
        for number in (info.parent, info.number - 1, info.number + 1):
            if number in lanes:
                return lanes[number]
        return None

    def _open(self, info: "LaneInfo") -> WatchedLane:
        if info.number not in self._opened:
            self._opened[info.number] = WatchedLane(info, self._run.manifest["experiment"])
        return self._opened[info.number]

    def _work(self) -> None:
        try:
            self.look()
            while not self._closing.wait(LIVE_EVERY if self.live else DONE_EVERY):
                self.look()
        except Exception as failed:  # moved away, or damaged meanwhile: the page must say it
            self.message = " ".join(str(failed).split())
            self.progress = (self.message, 0.0)
            self.changed()
