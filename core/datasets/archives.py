"""Which sets come as one archive, and how is it unpacked without trusting it?

The binary CIFAR files hold bytes at fixed places. The archives that most programs download hold the
same images as pickles, which would run code of whoever made them.
"""

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from core import cache

RECORDS = 10_000
"""Images in each file of CIFAR-10, and in the test file of CIFAR-100."""


@dataclass(frozen=True)
class Archive:
    """A compressed tar archive whose files have a fixed number of bytes.

    Args:
        url: where its author keeps it.
        md5: as published there.
        folder: in which its files lie, in the archive and on the disk.
        files: those that are needed, and how many times `RECORDS` records each holds; the last one
            has the test images.
        labels: bytes of labels in front of each image.
    """

    url: str
    md5: str
    folder: str
    files: tuple[tuple[str, int], ...]
    labels: int

    @property
    def name(self) -> str:
        """Of the archive's file."""
        return self.url.rpartition("/")[2]

    def paths(self, root: Path) -> tuple[Path, ...]:
        """Where the files lie under a folder of image sets."""
        return tuple(root / self.folder / name for name, _ in self.files)

    def sizes(self) -> tuple[int, ...]:
        """Bytes of each file."""
        return tuple(times * RECORDS * (self.labels + 3 * 32 * 32) for _, times in self.files)


ARCHIVES = {
    "CIFAR10": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        folder="cifar-10-batches-bin",
        files=(*((f"data_batch_{k}.bin", 1) for k in range(1, 6)), ("test_batch.bin", 1)),
        labels=1,
    ),
    "CIFAR100": Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        folder="cifar-100-binary",
        files=(("train.bin", 5), ("test.bin", 1)),
        labels=2,
    ),
}


class Unsound(ValueError):
    """An archive that does not hold what it should, in one line."""


def unpack(packed: Path, archive: Archive, root: Path) -> None:
    """Write the files of an archive under a folder of image sets, each whole or not at all.

    Only members that are looked for are read: by their exact names, as plain files of the right
    size. What else the archive holds, and wherever its names point, is passed over.

    Args:
        packed: the archive.
        archive: what it should hold.
        root: the folder of image sets.

    Raises:
        Unsound: if a member is missing, twice there, no plain file or of another size, or if the
            archive is damaged.
        OSError: if a file cannot be written.
    """
    wanted = {
        f"{archive.folder}/{name}": (path, size)
        for (name, _), path, size in zip(
            archive.files, archive.paths(root), archive.sizes(), strict=True
        )
    }
    found = set()
    try:
        with tarfile.open(packed, "r|gz") as members:
            for member in members:
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                path, size = wanted[name]
                held = members.extractfile(member) if member.isreg() else None
                if held is None or member.size != size or name in found:
                    came = f"{member.size} bytes" if held is not None else "no plain file"
                    twice = " for the second time" if name in found else ""
                    raise Unsound(f"{name} is {came}{twice}; a file of {size} bytes, once")
                content = held.read()
                if len(content) != size:
                    raise Unsound(f"{name} ends after {len(content)} bytes; {size}")
                cache.keep(path, lambda beside, content=content: _write(beside, content))
                found.add(name)
    except (tarfile.TarError, EOFError, zlib.error) as failed:
        raise Unsound(f"{packed.name} is damaged ({failed})") from failed
    for name in wanted:
        if name not in found:
            raise Unsound(f"{name} is not in {packed.name}")


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
