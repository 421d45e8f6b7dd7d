"""What do sets of one's own images have in common? A path, a number of classes, a limit."""

from pathlib import Path
from typing import Any

from core.catalogue import BadInput, dial


def classes_dial() -> Any:
    """The dial `classes`, which is asked for before the images are read."""
    return dial(10, bounds=(1, 65_536), help="number of classes of the labels")


def limit_dial() -> Any:
    """The dial `limit` on memory."""
    return dial(
        4.0,
        bounds=(0.001, 4096.0),
        log=True,
        help="most GB of memory that the images may take while they are read",
    )


def existing(path: str, what: str, *, folder: bool) -> Path:
    """The path of a dial, if a file or a folder lies there.

    Args:
        path: as it came.
        what: the dial asks for, in words.
        folder: whether it is to be a folder.

    Raises:
        BadInput: naming the dial and what is there.
    """
    if not path:
        raise BadInput(f"dataset.path: nothing; {what}")
    found = Path(path).expanduser()
    try:
        right = found.is_dir() if folder else found.is_file()
        there = found.exists()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        right = there = False
    if not right:
        state = f"is a {'file' if folder else 'folder'}" if there else "is not there"
        raise BadInput(f"dataset.path: {path} {state}; {what}")
    return found


def check_limit(count: int, shape: tuple[int, ...], limit: float, size: int = 1) -> None:
    """Refuse images that would take too much memory, before any of it is asked for.

    Args:
        count: images of both splits.
        shape: of one, (C, H, W).
        limit: GB.
        size: bytes of a raw pixel and channel; four more are needed for the scaled one.

    Raises:
        BadInput: naming how much is needed.
    """
    channels, rows, columns = shape
    needed = count * channels * rows * columns * (size + 4) / 1e9
    if needed > limit:
        raise BadInput(
            f"dataset.limit: {limit:g} GB; {needed:.3g} GB or more, for {count} images of "
            f"{channels} x {rows} x {columns}"
        )
