"""What does an .npz file declare, and is it so? Asked before any array is read."""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalogue import BadInput

READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class Header:
    """What an array says of itself, as many bytes as the archive declares for it.

    Args:
        shape: its axes.
        dtype: its type, no python objects.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Member:
    """One array of an open archive.

    Args:
        name: without the suffix .npy.
        header: what it declares.
        archive: that is open.
        about: where it lies there.
    """

    name: str
    header: Header
    archive: zipfile.ZipFile
    about: zipfile.ZipInfo

    def read(self) -> NDArray[Any]:
        """The array, in the machine's own byte order; its checksum is asked."""
        with self.archive.open(self.about) as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
        return values.astype(values.dtype.newbyteorder("="), copy=False)


@contextmanager
def opened(path: Path, names: Iterable[str]) -> Iterator[dict[str, Member]]:
    """The arrays of those names in an .npz file, of which nothing but the headers is read so far.

    No more bytes are unpacked than an array's header declares, so that whoever looks at the headers
    first is safe from archives that unpack to something huge. Nothing is unpickled.

    Args:
        path: of the file.
        names: of the arrays.

    Raises:
        BadInput: if an array is missing, twice there or holds python objects, or if the file is
            damaged; also where that is found within the block.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.infolist()
            yield {name: _member(archive, inside, name, path) for name in names}
    except BadInput:
        raise
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as failed:  # a damaged zip archive fails in many ways
        why = " ".join(str(failed).split()) or type(failed).__name__
        raise BadInput(f"dataset.path: {path}; a whole .npz file ({why})") from failed


def _member(
    archive: zipfile.ZipFile, inside: list[zipfile.ZipInfo], name: str, path: Path
) -> Member:
    """One array, whose header must declare as many bytes as there are."""
    own = [one for one in inside if one.filename == f"{name}.npy"]
    if len(own) != 1:
        came = f"{len(own)} times there" if own else "missing"
        raise BadInput(f"dataset.{name}: {came}; one array {name} in {path}")
    with archive.open(own[0]) as file:
        version = np.lib.format.read_magic(file)
        if version not in READERS:
            raise ValueError(f"version {version} of the .npy format")
        shape, _, dtype = READERS[version](file)
        if dtype.hasobject:
            raise BadInput(f"dataset.{name}: python objects; numbers, pickle is not accepted")
        declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if file.tell() + declared != own[0].file_size:
            raise ValueError(f"{name} declares {declared} bytes, {own[0].file_size} are there")
    return Member(name, Header(shape, dtype), archive, own[0])
