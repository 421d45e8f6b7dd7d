"""Where the files lie that are not modules: the app and the data.

In a wheel they are inside this package; in a checkout, and so in an editable
install, they are beside it.
"""

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def apps() -> Path:
    """Return the folder that `panel serve` opens."""
    return _folder("apps")


def assets() -> Path:
    """Return the folder of data files."""
    return _folder("assets")


def _folder(name: str) -> Path:
    wheel, checkout = _HERE / "_data" / name, _HERE.parent / name
    for folder in (wheel, checkout):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"Relaxoscope is not whole: its folder {name!r} is neither {wheel} nor {checkout}. "
        "Install it again."
    )


def keep_importable() -> None:
    """Keep core and workbench importable after an app's script has ended.

    Panel restores `sys.path` then, but the page imports the core later, behind its progress line.
    """
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:
        sys.path.insert(0, root)
