"""Where do downloaded image sets lie, and how do they get there? Only when somebody asks."""

import contextlib
import math
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import platformdirs

from core.catalogue import BadInput, unknown
from core.datasets.archives import ARCHIVES, Unsound, unpack

IDX = ("MNIST", "FashionMNIST", "KMNIST")
"""Sets of four compressed files, which torchvision knows where to get."""

SETS = (*IDX, *ARCHIVES)
ROOT_HELP = "folder of image sets; empty for RELAXOSCOPE_DATA or the user's data folder"
PATIENCE = 30.0  # seconds without a byte until a server counts as gone


class NotFetched(BadInput):
    """A set could not be downloaded: the fault of the network or the disk, not of the input."""


def root_folder(root: str = "") -> Path:
    """The folder of image sets: `root`, else RELAXOSCOPE_DATA, else the user's own."""
    chosen = root or os.environ.get("RELAXOSCOPE_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("relaxoscope", appauthor=False)) / "datasets"


def raw_files(name: str, root: Path) -> tuple[Path, ...]:
    """Where torchvision keeps the four files of a set: images and labels of train, then of test."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(root / name / "raw" / f"{part}-ubyte" for part in parts)


def is_whole(path: Path) -> bool:
    """Whether an IDX file of bytes is there and as long as its header says."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            axes = magic[3] if magic[:3] == b"\0\0\x08" and len(magic) == 4 else 0
            sizes = [int.from_bytes(file.read(4), "big") for _ in range(axes)]
        return axes > 0 and path.stat().st_size == 4 + 4 * axes + math.prod(sizes)
    except OSError:
        return False


def place(name: str, root: Path) -> Path:
    """The folder of one set."""
    return root / (ARCHIVES[name].folder if name in ARCHIVES else name)


def missing(name: str, root: Path) -> list[tuple[Path, str]]:
    """The files of a set that are not there whole, each with what is wrong with it."""
    if name in ARCHIVES:
        archive = ARCHIVES[name]
        sizes = dict(zip(archive.paths(root), archive.sizes(), strict=True))
        bad = [path for path, size in sizes.items() if not _is_long(path, size)]
    else:
        bad = [path for path in raw_files(name, root) if not is_whole(path)]
    return [(path, "is damaged" if path.exists() else "is not there") for path in bad]


def _is_long(path: Path, size: int) -> bool:
    """Whether there is a file of so many bytes."""
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def how_to_get(name: str, root: Path) -> str:
    """The command that downloads a set."""
    return f"relaxoscope data {name} --root {shlex.quote(str(root))}"


def download(name: str, root: str, progress: Callable[[str, float], None]) -> Path:
    """Download a set with torchvision's downloader, which checks the published MD5 of what comes.

    Files that are there and whole are left alone, so calling it again repairs a broken download.

    Args:
        name: one of `SETS`.
        root: the folder of image sets; "" for the usual one.
        progress: told what happens and the share of files that are done, 0..1.

    Returns: the folder of image sets.

    Raises:
        BadInput: if there is no such set, or the folder cannot be written.
        NotFetched: if a file did not arrive from any server.
    """
    if name not in SETS:
        raise BadInput(f"dataset: {unknown(name, SETS)}")
    folder = root_folder(root)
    inside = raw_files(name, folder)[0].parent if name in IDX else place(name, folder)
    with _folders(inside):
        try:
            inside.mkdir(parents=True, exist_ok=True)
        except OSError as refused:
            line = f"root: {folder}; a folder that can be written ({refused.strerror})"
            raise BadInput(line) from refused
        if not os.access(inside, os.W_OK):
            raise BadInput(f"root: {folder}; a folder that can be written")
        if name in IDX:
            _fetch_all(name, folder, progress)
        else:
            _fetch_archive(name, folder, progress)
    return folder


def torchvision_set(name: str) -> Any:
    """Torchvision's class of a set; imported late, because it takes a second."""
    import torchvision

    return getattr(torchvision.datasets, name)


def _fetch_all(name: str, root: Path, progress: Callable[[str, float], None]) -> None:
    """Fetch the files of a set that are not there."""
    files = raw_files(name, root)
    for done, path in enumerate(files):
        label = f"{path.name}.gz ({done + 1} of {len(files)})"
        if is_whole(path):
            progress(f"{label} is here already", (done + 1) / len(files))
            continue
        progress(f"{label} is being fetched", done / len(files))
        _fetch(name, path)
        progress(f"{label} is here", (done + 1) / len(files))


def _fetch_archive(name: str, root: Path, progress: Callable[[str, float], None]) -> None:
    """Fetch and unpack the archive of a set, unless all of its files are there."""
    from torchvision.datasets.utils import download_url

    archive = ARCHIVES[name]
    if not missing(name, root):
        progress(f"{archive.folder} is here already", 1.0)
        return
    progress(f"{archive.name} is being fetched", 0.0)
    packed = place(name, root) / archive.name
    try:
        with _patience():
            download_url(archive.url, str(packed.parent), packed.name, archive.md5)
        progress(f"{archive.name} is being unpacked", 0.9)
        unpack(packed, archive, root)
    except (Unsound, OSError, EOFError, RuntimeError, HTTPException) as failed:
        reason = " ".join(str(failed).split()) or type(failed).__name__
        raise NotFetched(
            f"{name}: {archive.name} did not arrive ({archive.url}: {reason}); "
            f"go online, or copy its files into {packed.parent}"
        ) from failed
    finally:
        packed.unlink(missing_ok=True)
    progress(f"{archive.folder} is here", 1.0)


def _fetch(name: str, path: Path) -> None:
    """Fetch and unpack one file from the first server that gives it."""
    from torchvision.datasets.utils import download_and_extract_archive

    source, archive = torchvision_set(name), f"{path.name}.gz"
    md5 = dict(source.resources)[archive]
    reasons = []
    for mirror in source.mirrors:
        try:
            with _patience():
                download_and_extract_archive(mirror + archive, str(path.parent), md5=md5)
            if is_whole(path):
                return
            reasons.append(f"{mirror}: unpacked to a damaged file")
        except (OSError, EOFError, RuntimeError, HTTPException) as failed:
            reasons.append(f"{mirror}: {' '.join(str(failed).split()) or type(failed).__name__}")
    path.unlink(missing_ok=True)  # half a file would pass for a whole one elsewhere
    raise NotFetched(
        f"{name}: {archive} did not arrive ({'; '.join(reasons)}); "
        f"go online, or copy its files into {path.parent}"
    )


@contextlib.contextmanager
def _folders(deepest: Path) -> Iterator[None]:
    """Remove the folders that were made within and left empty."""
    new = [one for one in (deepest, *deepest.parents) if not os.path.lexists(one)]
    try:
        yield
    finally:
        for one in new:
            with contextlib.suppress(OSError):  # not empty, or not made
                one.rmdir()


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Torchvision waits forever for a silent server; for this long new sockets do not."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
