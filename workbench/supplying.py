"""Which images are there to work with? The named sets, where they lie, and how one gets here."""

import argparse
import json
from importlib.util import find_spec
from typing import Any

DATASETS_MORE = """\
MNIST, FashionMNIST, KMNIST, CIFAR10 and CIFAR100 are read from --root, else from RELAXOSCOPE_DATA,
else from the user's own folder of data; `relaxoscope data NAME` puts them there. Others come with a
package, or are images of your own, whose path is a dial.

"""

COLUMNS = ("name", "train", "test", "shape", "classes", "here", "where")


def datasets(args: argparse.Namespace) -> int:
    """List the named sets: how large they are, where they lie, and whether they are here."""
    from core.catalogue import cards
    from workbench.selftesting import table

    found = [_known(name, card.entry, args.root) for name, card in cards("dataset").items()]
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    rows: list[tuple[str, ...]] = [COLUMNS]
    for one in found:
        shape = " x ".join(map(str, one["shape"])) if one["shape"] else "-"
        sizes = ["-" if one[name] is None else f"{one[name]:,}" for name in ("train", "test")]
        classes = "-" if one["classes"] is None else str(one["classes"])
        where = one["where"] + (f"; get it with: {one['get']}" if one["get"] else "")
        here = {True: "yes", False: "no", None: "-"}[one["here"]]
        rows.append((one["name"], *sizes, shape, classes, here, where))
    for line in table(rows):
        print(line)
    return 0


def data(args: argparse.Namespace) -> int:
    """Download a data set; the only command that goes online."""
    from core.datasets.fetch import download
    from workbench.progress import Progress

    with Progress() as progress:
        print(download(args.name, args.root, progress))
    return 0


def _known(name: str, entry: Any, root: str) -> dict[str, Any]:
    """What is known of a set without reading it; None where its entry does not say.

    A set of one's own is neither here nor missing: only its path decides.
    """
    from core.datasets.fetch import SETS, how_to_get, missing, place, root_folder

    train, test = getattr(entry, "images", (None, None))
    about = {
        "name": name,
        "train": train,
        "test": test,
        "shape": list(getattr(entry, "shape", ())),
        "classes": getattr(entry, "classes", None),
    }
    if hasattr(entry, "yours"):
        where = f"yours, by the dial path: {entry.yours}"
        return about | {"classes": None, "here": None, "where": where, "get": ""}
    if name in SETS:
        folder = root_folder(root)
        here = not missing(name, folder)
        get = "" if here else how_to_get(name, folder)
        return about | {"here": here, "where": str(place(name, folder)), "get": get}
    package = getattr(entry, "comes_with", "")
    if not package:
        return about | {"here": True, "where": f"module {entry.__module__}", "get": ""}
    here, known_as = find_spec(package) is not None, PACKAGES.get(package, package)
    get = "" if here else f"pip install {known_as}"
    return about | {"here": here, "where": f"comes with {known_as}", "get": get}


PACKAGES = {"sklearn": "scikit-learn"}
"""What pip calls a package that Python calls otherwise."""
