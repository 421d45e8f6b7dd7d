"""What does the Runs page show? Read by a thread of its own, as long as the page is there.

The page says what it wants; each time something has changed it is told and takes `newest`.
"""

import html
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench import sweeps
from workbench.runs_course import Course, Follower
from workbench.runs_relaxation import Relaxed, offered, relaxed
from workbench.runs_shelf import Entry, Shelf
from workbench.runs_steering import Helm, helm_of

PERIOD = 0.7
"""Seconds between two looks, unless looking costs more than a fifth of the time."""

MOST_EVENTS = 500
"""The newest events of a log that are shown."""


@dataclass(frozen=True)
class Wanted:
    """What a visitor has chosen.

    Args:
        name: of the run that is open, "" for none.
        lane: its number; None for the one that was written last.
        t: the step whose energies are drawn over batches; None for the last row of each.
        batch: whose relaxation is drawn as the map; None for the map of all rows.
        what: the quantity of that map.
        put_away: whether the table shows what was put away.
    """

    name: str = ""
    lane: int | None = None
    t: int | None = None
    batch: int | None = None
    what: str = "energy"
    put_away: bool = False


@dataclass(frozen=True)
class Detail:
    """The run that is open.

    Args:
        path: of the run.
        state: as of an entry.
        recovered: one sentence about what is missing; "" where nothing is.
        manifest: where it comes from.
        lanes: number and title of each.
        lane: which one is shown; None where there is none yet.
        kept: batches from which it can be relaxed on.
        events: the newest of its log, each in one line, and how many there are.
        bytes: of its files.
        course: of the lane.
        whole: batches whose relaxation was kept whole.
        relaxed: the one of them that is drawn.
        helm: what can be asked of the training that writes it; None where none does.
    """

    path: Path
    state: str
    recovered: str
    manifest: Mapping[str, Any]
    lanes: tuple[tuple[int, str], ...]
    lane: int | None
    kept: tuple[int, ...] = ()
    events: tuple[str, ...] = ()
    event_count: int = 0
    bytes: int = 0
    course: Course = field(default_factory=Course)
    whole: tuple[int, ...] = ()
    relaxed: Relaxed | None = None
    helm: Helm | None = None

    @property
    def name(self) -> str:
        """Of the run."""
        return self.path.name


@dataclass(frozen=True)
class Found:
    """All that the page shows.

    Args:
        wanted: for which it was read.
        entries: of the table.
        sweeps: names of those beside the runs.
        detail: the run that is open; None where none is, or where it cannot be.
        message: why it cannot be.
    """

    wanted: Wanted
    entries: tuple[Entry, ...] = ()
    sweeps: tuple[str, ...] = ()
    detail: Detail | None = None
    message: str = ""


class Reader:
    """The thread; `want` and `look` may be called from any other."""

    def __init__(self, wanted: Wanted, tell: Callable[[], None]) -> None:
        """Get ready.

        Args:
            wanted: the first choice.
            tell: called from the thread when `newest` is another.
        """
        self.newest: Found | None = None
        self._wanted = wanted
        self._tell = tell
        self._shelf = Shelf()
        self._awake = threading.Event()
        self._ended = False
        self._run: Any = None
        self._inode = 0
        self._follower: Follower | None = None
        self._course: Course | None = None
        self._relaxed: tuple[Any, Relaxed] | None = None

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._work, name="runs", daemon=True).start()

    def want(self, **choices: Any) -> None:
        """Choose something else; it is read at once."""
        self._wanted = replace(self._wanted, **choices)
        self.look()

    def look(self) -> None:
        """Look now."""
        self._awake.set()

    def end(self) -> None:
        """Let go of everything; the page has gone."""
        self._ended = True
        self._awake.set()

    def _work(self) -> None:
        while not self._ended:
            begun = time.monotonic()
            self._awake.clear()
            wanted = self._wanted
            for found in self._looks(wanted):
                if found != self.newest:
                    self.newest = found
                    self._tell()
                if self._ended or self._wanted is not wanted:
                    break
            if self._wanted is wanted:
                self._awake.wait(max(PERIOD, 4 * (time.monotonic() - begun)))
        self._let_go()

    def _looks(self, wanted: Wanted) -> Iterator[Found]:
        """The table, then the run that is open, again and again while more of it is read."""
        beside = () if wanted.put_away else tuple(one.name for one in sweeps.found())
        shown = Found(wanted, tuple(self._entries(wanted)), beside)
        before = self.newest
        if before is not None and before.wanted.name == wanted.name:  # until it is read anew
            yield replace(shown, detail=before.detail, message=before.message)
        else:
            yield shown
        if not wanted.name:
            self._let_go()
            return
        try:
            for detail in self._details(wanted):
                yield replace(shown, detail=detail)
        except (ValueError, OSError) as failed:  # no such run or lane, or a damaged one
            self._let_go()
            yield replace(shown, message=" ".join(str(failed).split()))
        except Exception as failed:  # the page must say it, whatever it is, and go on
            self._let_go()
            line = f"{type(failed).__name__}: {failed}; this is an error of the program"
            yield replace(shown, message=line)

    def _entries(self, wanted: Wanted) -> list[Entry]:
        return self._shelf.trashed() if wanted.put_away else self._shelf.entries()

    def _details(self, wanted: Wanted) -> Iterator[Detail]:
        run, more = self._opened(wanted.name)
        lanes = run.lanes
        if not lanes:
            yield self._told(run, None, Course())
            return
        lane = run.lane(wanted.lane).number
        follower = self._follower
        if follower is None or (follower.lane, follower.t) != (lane, wanted.t):
            follower = self._follower = Follower(run, lane, wanted.t)
            self._course = None
        if more or self._course is None:
            for course in follower.courses():
                self._course = course
                yield self._told(run, lane, course)
        else:
            yield self._told(run, lane, self._course)

    def _opened(self, name: str) -> tuple[Any, bool]:
        """The run, refreshed, and whether there is more of it than before."""
        from core.runs import Run, shelf

        path = shelf.run_named(name, self._shelf.root)
        store = path / "rows.sqlite"
        inode = store.stat().st_ino if store.exists() else 0
        if self._run is not None and (self._run.path, self._inode) == (path, inode):
            return self._run, self._run.refresh()
        self._let_go()
        self._run, self._inode = Run(path), inode
        return self._run, True

    def _told(self, run: Any, lane: int | None, course: Course) -> Detail:
        events = run.events()
        return Detail(
            path=run.path,
            state=run.state,
            recovered=run.recovered,
            manifest=run.manifest,
            lanes=tuple((k, one.title) for k, one in sorted(run.lanes.items())),
            lane=lane,
            kept=tuple(run.kept(lane)) if lane is not None else (),
            events=tuple(said(event) for event in events[-MOST_EVENTS:]),
            event_count=len(events),
            bytes=run.bytes,
            course=course,
            whole=offered(run.relaxations(lane)) if lane is not None else (),
            relaxed=self._relaxation(run, lane),
            helm=helm_of(run),
        )

    def _relaxation(self, run: Any, lane: int | None) -> Relaxed | None:
        """The batch that is wanted, read once."""
        batch, what = self._wanted.batch, self._wanted.what
        if lane is None or batch is None or batch not in (there := run.relaxations(lane)):
            return None
        newest = batch == there[-1]  # it may still be under way
        key = lane, batch, what, run.rows(lane) if newest else 0
        if self._relaxed is None or self._relaxed[0] != key:
            self._relaxed = key, relaxed(run, lane, batch, what)
        return self._relaxed[1]

    def _let_go(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = self._follower = self._course = self._relaxed = None


def said(event: Mapping[str, Any]) -> str:
    """An event of the log of a session or a training in one line, as HTML."""
    chosen = event.get("args") or {}
    told = ", ".join(f"{k} {_value(v)}" for k, v in chosen.items())
    where = f"lane {event.get('lane')}, row {event.get('row')}"
    if "batch" in event:
        where = f"before batch {event['batch']}" + (f", {event['by']}" if event.get("by") else "")
    told = str(event.get("told", told))
    command = html.escape(str(event.get("command")).replace("_", " "))
    return f"<b>{command}</b> {html.escape(told[:200])} <small>{html.escape(where)}</small>"


def _value(value: Any) -> str:
    """A choice in a few words: an entry by its name and dials."""
    if isinstance(value, Mapping):
        rest = [f"{k} {_value(v)}" for k, v in value.items() if k != "name"]
        return " ".join([str(value.get("name", "")), *rest]).strip()
    return str(value)
