"""Where do runs lie? In one folder: found, named, annotated, put away, and brought back.

Nothing is deleted but what was put away long ago: `trash` moves a run into the folder .trash beside
it, under the day, and `empty` deletes the days that are past.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from core.catalogue import BadInput, shown, unknown
from core.runs.errors import told
from core.runs.lock import Lock
from core.runs.manifest import MANIFEST, Notes, read_notes, write_notes
from core.runs.store import ROWS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

LEGAL = "1 to 80 of A-Z a-z 0-9 . _ -, the first one a letter or a digit"

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that no folder can have on some systems, on to which runs are copied."""

TRASH = ".trash"

DAYS = 14
"""Days after which a run that was put away may be deleted."""

LONGEST_TITLE, LONGEST_NOTE, MOST_TAGS = 200, 100_000, 50


def folder() -> Path:
    """The folder of runs: RELAXOSCOPE_RUNS if it is set, else `runs` here; it need not exist."""
    chosen = os.environ.get("RELAXOSCOPE_RUNS")
    return Path(chosen).expanduser() if chosen else Path("runs")


def check_name(name: str, field: str = "run") -> str:
    """The name, if a run may have it.

    Raises:
        BadInput: if it holds other characters than letters, digits and . _ -, or is reserved.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadInput(f"{field}: {shown(name) or repr(name)}; {LEGAL}")
    if RESERVED.fullmatch(name) or name.endswith("."):
        raise BadInput(f"{field}: {name}; another name, this one is reserved on some systems")
    return name


def check_new(path: Path) -> None:
    """Refuse the folder of a new run whose name is illegal, or where something lies."""
    check_name(path.name)
    if path.exists() and any(path.iterdir()):
        raise BadInput(f"run: {path}; exists, choose another name")


def found(root: Path | None = None) -> list[Path]:
    """The runs of a folder, newest first; damaged ones too, links that lead out of it not."""
    root = folder() if root is None else Path(root)
    runs = [path for path in _folders(root) if NAME.fullmatch(path.name) and is_run(path)]
    return sorted(runs, key=lambda path: (-_begun(path), path.name))


def is_run(path: Path) -> bool:
    """Whether a folder holds a run, be it damaged."""
    return any((path / name).is_file() for name in (MANIFEST, ROWS))


def run_named(name: str, root: Path | None = None) -> Path:
    """The folder of a run by its name; of one that belongs to a sweep by "SWEEP/NAME".

    Raises:
        BadInput: if no run of the folder has this name; the nearest one is offered.
    """
    root = folder() if root is None else Path(root)
    within, slash, own = name.partition("/") if isinstance(name, str) else ("", "", name)
    if slash and NAME.fullmatch(within) and _stays(root / within, root):
        root, name = root / within, own
    path = root / check_name(name)
    if not (path.is_dir() and _stays(path, root) and is_run(path)):
        names = [one.name for one in found(root)]
        if not names:
            raise BadInput(f"run: {name}; there is no run in {root}")
        said = unknown(name, names) if len(names) <= 12 else _nearest(name, names, root)
        raise BadInput(f"run: {said}")
    return path


def name_of(path: Path, root: Path | None = None) -> str:
    """The name by which `run_named` finds a run in a folder, or in a sweep in it."""
    root = folder() if root is None else Path(root)
    above = Path(path).resolve().parent
    return f"{above.name}/{path.name}" if above.parent == root.resolve() else path.name


def rename(path: Path, name: str) -> Path:
    """Give a run another name; returns where it lies now.

    Raises:
        BadInput: if the name is illegal or taken.
        Locked: while the run is being written.
        NotWritten: if the disk refuses; it lies where it lay.
    """
    path = _checked(Path(path))
    target = path.with_name(check_name(name, "name"))
    with _free(path):
        _move(path, target)
    return target


def annotate(
    path: Path,
    title: str | None = None,
    note: str | None = None,
    tags: tuple[str, ...] | list[str] | None = None,
) -> Notes:
    """Change what a person wrote about a run; None leaves as it is.

    Args:
        path: the run, which may be written meanwhile.
        title: one line.
        note: any text.
        tags: words, without commas or spaces around them; twice the same is one.

    Raises:
        BadInput: for a title of several lines, a tag that is no word, or texts that are too long.
    """
    path = _checked(Path(path))
    old = read_notes(path)
    if title is not None and (len(title) > LONGEST_TITLE or not (title.isprintable())):
        raise BadInput(f"title: {shown(title)}; one line of at most {LONGEST_TITLE} characters")
    if note is not None and len(note) > LONGEST_NOTE:
        raise BadInput(f"note: {len(note)} characters; at most {LONGEST_NOTE}")
    kept = old.tags if tags is None else _tags(tags)
    new = Notes(
        old.title if title is None else title.strip(), old.note if note is None else note, kept
    )
    with told(path):
        write_notes(path, new)
    return new


# Away and back -----------------------------------------------------------------------------------


def trash(path: Path) -> Path:
    """Put a run away; returns where it lies now.

    Raises:
        Locked: while the run is being written.
    """
    path = _checked(Path(path))
    day = time.strftime("%Y-%m-%d")
    with _free(path):
        for count in range(1, 10_000):
            target = path.parent / TRASH / (day if count == 1 else f"{day}.{count}") / path.name
            if not os.path.lexists(target):
                with told(path):
                    target.parent.mkdir(parents=True, exist_ok=True)
                _move(path, target)
                return target
    raise BadInput(f"run: {path.name}; it was put away too often today")


def trashed(root: Path | None = None) -> list[Path]:
    """What was put away and can be brought back, the newest first."""
    root = folder() if root is None else Path(root)
    runs = [run for _, place in _days(root) for run in _folders(place) if is_run(run)]
    return sorted(runs, key=lambda run: (_age_key(run.parent.name), run.name), reverse=True)


def restore(path: Path) -> Path:
    """Bring a run back from where `trash` put it; returns where it lies now.

    Raises:
        BadInput: if it is not there, or its name has been taken meanwhile.
    """
    path = Path(path)
    place = path.parent.parent
    if place.name != TRASH or not path.is_dir() or path.is_symlink():
        raise BadInput(f"run: {path}; no run that was put away")
    target = place.parent / check_name(path.name)
    with _free(path):
        _move(path, target)
    for left in (path.parent, place):
        with suppress(OSError):  # it holds something, or stays: the run is back
            left.rmdir()
    return target


def empty(days: int = DAYS, root: Path | None = None) -> list[str]:
    """Delete for good what was put away more than so many days ago; returns the names.

    Args:
        days: 0 deletes all that was put away before today.
        root: the folder of runs.
    """
    if not isinstance(days, int) or isinstance(days, bool) or days < 0:
        raise BadInput(f"days: {days}; an integer of 0 or more")
    root = folder() if root is None else Path(root)
    gone = []
    for day, place in list(_days(root)):
        if (date.today() - day).days > days:
            gone += sorted(run.name for run in _folders(place))
            shutil.rmtree(place)
    return gone


# Within ------------------------------------------------------------------------------------------


def _folders(root: Path) -> Iterator[Path]:
    """The folders in a folder that lie in it; none where there is no such folder."""
    try:
        inside = list(root.iterdir())
    except FileNotFoundError:
        return
    for path in inside:
        if path.is_dir() and _stays(path, root):
            yield path


def _stays(path: Path, root: Path) -> bool:
    """Whether what a path names lies in the folder itself, and not where a link leads."""
    return path.resolve() == root.resolve() / path.name


def _begun(path: Path) -> int:
    """When a run began, as far as its files say: the manifest is written once."""
    for name in (MANIFEST, ROWS):
        try:
            return (path / name).stat().st_mtime_ns
        except OSError:
            continue
    return 0


def _days(root: Path) -> Iterator[tuple[date, Path]]:
    """The days on which something was put away."""
    for place in _folders(root / TRASH):
        try:
            yield date.fromisoformat(place.name.partition(".")[0]), place
        except ValueError:
            continue


def _age_key(name: str) -> tuple[str, int]:
    """What orders the names of days: 2026-11-20 before 2026-11-20.2 before 2026-11-20.10."""
    day, _, count = name.partition(".")
    return day, int(count) if count.isdigit() else 1


def _checked(path: Path) -> Path:
    """A run's folder, if it is one and lies where its path says."""
    check_name(path.name)
    if not path.is_dir() or not is_run(path):
        raise BadInput(f"run: {path}; no run lies there")
    if not _stays(path, path.parent):
        raise BadInput(f"run: {path}; a folder, this is a link to another place")
    return path


@contextmanager
def _free(path: Path) -> Iterator[None]:
    """Hold the lock of a run, so that nobody writes it."""
    lock = Lock(path)
    try:
        yield
    finally:
        lock.free()


def _move(path: Path, target: Path) -> None:
    """Rename a folder; what lies at the target is never replaced."""
    if os.path.lexists(target):
        raise BadInput(f"run: {target.name}; exists, choose another name")
    with told(path):
        path.rename(target)


def _tags(tags: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Tags as they are kept."""
    kept = dict.fromkeys(tag.strip() for tag in tags)
    for tag in kept:
        if not tag or len(tag) > 40 or not tag.isprintable() or "," in tag:
            raise BadInput(
                f"tag: {shown(tag) or repr(tag)}; a word of 1 to 40 characters, no comma"
            )
    if len(kept) > MOST_TAGS:
        raise BadInput(f"tags: {len(kept)}; at most {MOST_TAGS}")
    return tuple(kept)


def _nearest(name: str, names: list[str], root: Path) -> str:
    """The end of a line about an unknown name among very many."""
    hint = unknown(name, names).rpartition(" (")[2]
    said = f" ({hint}" if hint.startswith("did you") else ""
    return f"{name}; one of the {len(names)} runs in {root}{said}"
