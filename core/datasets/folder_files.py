"""Which image files lie in which folder of a class? Listed by name, none of them opened."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from core.catalogue import BadInput, shown

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
TRAIN, TESTED = "train", ("test", "val")

LARGEST_TABLE = 2**26
"""Bytes of a table of classes."""


@dataclass(frozen=True)
class File:
    """One image.

    Args:
        path: of the file.
        label: number of its class.
        stamp: time of the last change in ns, and size in bytes, by which a change is seen.
    """

    path: str
    label: int
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Listed:
    """The images of a folder.

    Args:
        where: the folder.
        classes: names, in order.
        train: training images, class by class, by path.
        test: test images.
    """

    where: str
    classes: tuple[str, ...]
    train: tuple[File, ...]
    test: tuple[File, ...]


def listed(root: Path, *, tested: str, share: float) -> Listed:
    """The images under a folder.

    Args:
        root: the folder.
        tested: name of the folder of test images; "" for test, else val.
        share: of each class that tests where there is no such folder.

    Raises:
        BadInput: if there are no classes, two splits with other classes, or a class without images.
    """
    try:
        held = root / TRAIN if (root / TRAIN).is_dir() else root
        aside = _aside(root, tested)
        if aside is not None and held == root:
            raise BadInput(f"dataset.path: {root} has {aside.name} and no train; both, or neither")
        classes = _classes(held)
        images = [_images(held / name, k) for k, name in enumerate(classes)]
        if aside is None:
            train, test = _divided(images, classes, share, held)
        else:
            train = [one for own in images for one in own]
            table = aside / f"{aside.name}_annotations.txt"
            test = (
                _of_table(table, classes) if table.exists() else _of_folders(aside, held, classes)
            )
    except OSError as refused:
        line = f"{refused.filename or root} cannot be read ({refused.strerror})"
        raise BadInput(f"dataset.path: {line}; folders that can be") from refused
    return Listed(str(root.resolve()), tuple(classes), tuple(train), tuple(test))


def _aside(root: Path, tested: str) -> Path | None:
    """The folder of test images, if there is one."""
    for name in (tested,) if tested else TESTED:
        if (root / name).is_dir():
            return root / name
    if tested:
        raise BadInput(f"dataset.tested: {tested}; a folder in {root}, or nothing")
    return None


def _classes(folder: Path) -> list[str]:
    """Names of the folders within a folder, but for hidden ones."""
    names = sorted(one.name for one in os.scandir(folder) if one.is_dir() and one.name[0] != ".")
    if not names:
        raise BadInput(f"dataset.path: {folder} has no folders; one for each class")
    return names


def _images(folder: Path, label: int) -> list[File]:
    """The images under the folder of a class, by path; hidden files are none."""
    found = []
    for where, inner, names in os.walk(folder, onerror=_raise):
        inner[:] = [one for one in inner if one[0] != "."]
        for name in names:
            if name.lower().endswith(SUFFIXES) and name[0] != ".":
                path = os.path.join(where, name)
                about = os.stat(path)
                found.append(File(path, label, (about.st_mtime_ns, about.st_size)))
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise BadInput(f"dataset.path: {folder} has no images; at least one of {kinds}")
    return sorted(found, key=lambda one: one.path)


def _of_folders(aside: Path, held: Path, classes: list[str]) -> list[File]:
    """The images in the folders of the classes, which must be those of the training images."""
    others = _classes(aside)
    if others != classes:
        name = min(set(classes) ^ set(others))
        has, lacks = (held, aside) if name in classes else (aside, held)
        line = f"{has.name} has a folder {shown(name)}, {lacks.name} has none"
        raise BadInput(
            f"dataset.path: {aside.parent}; {line}: the same classes in both, or another folder of "
            "test images by dataset.tested"
        )
    return [one for k, name in enumerate(classes) for one in _images(aside / name, k)]


def _of_table(table: Path, classes: list[str]) -> list[File]:
    """The images in the folder `images` beside a table of their classes, as Tiny ImageNet has it.

    Args:
        table: lines of a file name, a tab, a class, and whatever follows behind a further tab.
        classes: names, in order.
    """
    folder, numbers = table.parent / "images", {name: k for k, name in enumerate(classes)}
    if table.stat().st_size > LARGEST_TABLE:
        raise BadInput(f"dataset.path: {table} is too large; at most {LARGEST_TABLE} bytes")
    labels: dict[str, int] = {}
    text = table.read_bytes().decode(errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        name, _, rest = line.partition("\t")
        label = numbers.get(rest.partition("\t")[0])
        if label is None or name in labels:
            legal = "the name of an image, a tab and a class of train, each image once"
            raise BadInput(f"dataset.path: {table}, line {number}: {shown(line)}; {legal}")
        labels[name] = label
    found = []
    for one in _images(folder, 0):
        name = os.path.relpath(one.path, folder)
        if name not in labels:
            raise BadInput(
                f"dataset.path: {table} has no line for {shown(name)}; one for each image"
            )
        found.append(replace(one, label=labels.pop(name)))
    if labels:
        raise BadInput(f"dataset.path: {folder} has no {shown(min(labels))}; each image of {table}")
    return found


def _raise(failed: OSError) -> None:
    raise failed


def _divided(
    images: list[list[File]], classes: list[str], share: float, folder: Path
) -> tuple[list[File], list[File]]:
    """The first images of each class for training, the last share of them for tests."""
    train, test = [], []
    for name, own in zip(classes, images, strict=True):
        if len(own) < 2:
            line = "one image, and no folder of test images is there"
            raise BadInput(f"dataset.path: {folder / name} has {line}; two at least")
        last = min(max(1, round(share * len(own))), len(own) - 1)
        train += own[:-last]
        test += own[-last:]
    return train, test
