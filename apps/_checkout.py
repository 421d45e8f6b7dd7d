"""Make a bare clone importable: Panel serves apps/ without the checkout's root on the path."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if (Path(ROOT) / "workbench").is_dir() and ROOT not in sys.path:
    sys.path.insert(0, ROOT)
