"""Where do the images of a cell lie: under a root, in folders by class, or in a file of arrays?"""

from pathlib import Path
from typing import Any

import numpy as np

from core import cache
from core.catalogue import BadInput
from core.datasets.cifar import CIFAR10
from core.datasets.folder_files import listed

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def placed(said: dict[str, Any], root: str, file: str, out: Path | None) -> dict[str, Any]:
    """The choice of a data set with the place where its images lie.

    Args:
        said: the choice, without a place.
        root: of the image sets, or a folder of images by class.
        file: .npz with images that take the place of CIFAR-10's, as `Npz` reads it; "" for none.
        out: where a part of the file is left.

    Raises:
        BadInput: if the file has too few images of a class.
    """
    if said["name"] == "Digits":
        return said
    if said["name"] == "Folder":
        return {**said, **_folder(said, root)}
    if said["name"] == "ImageNet32":
        return {**said, "path": root}
    if said["name"] == "CIFAR10" and file and out is not None:
        path = part(Path(file).expanduser(), said.get("fraction", 1.0), out)
        kept = {k: v for k, v in said.items() if k in ("scale", "augment")}
        return {"name": "Npz", "path": str(path), "classes": CIFAR10.classes, **kept}
    return {**said, "root": root}


def _folder(said: dict[str, Any], root: str) -> dict[str, Any]:
    """A folder of images: as many classes as it has; where there is none, those of the choice."""
    if not root or not Path(root).expanduser().is_dir():
        return {"path": root}
    found = listed(Path(root).expanduser(), tested=said.get("tested", ""), share=0.2)
    return {"path": root, "classes": len(found.classes)}


def part(file: Path, fraction: float, out: Path) -> Path:
    """The first images of each class of a file: as many as the fraction of CIFAR-10 has.

    Returns: the file of the part, which is made once.
    """
    path = out / "images" / f"{file.stem}-{fraction:g}.npz"
    if path.exists():
        return path
    try:
        with np.load(file) as opened:
            held = {name: opened[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError) as refused:
        raise BadInput(f"images: {file}; an .npz file with {', '.join(ARRAYS)}") from refused
    wanted = round(fraction * CIFAR10.images[0] / CIFAR10.classes)
    at = [np.flatnonzero(held["y_train"] == c)[:wanted] for c in range(CIFAR10.classes)]
    fewest = min(len(one) for one in at)
    if fewest < wanted:
        raise BadInput(
            f"images: {file}; {fewest} images of a class where {wanted} are asked for, "
            f"{fraction:g} of CIFAR-10"
        )
    chosen = np.sort(np.concatenate(at))
    held |= {name: held[name][chosen] for name in ("x_train", "y_train")}
    path.parent.mkdir(parents=True, exist_ok=True)
    cache.keep(path, lambda beside: _save(beside, held))
    return path


def _save(beside: Path, held: dict[str, Any]) -> None:
    """Write the arrays under a name that need not end in .npz."""
    with beside.open("wb") as file:
        np.savez(file, **held)
