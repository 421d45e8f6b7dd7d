"""Does every figure come out as promised? All views, their fonts, and their bundles drawn again.

    python -m benchmarks.redraw [FOLDER]

Every view is exported in all formats from a relaxation made for it; then several views as panels,
and views over seeds. Each PDF must hold embedded TrueType or Type 1 fonts only; `pdffonts` says so
where it is installed, else the font dictionaries of the file. Each bundle is unpacked in a clean
folder, where its own redraw.py must give the same bytes and the same pixels. FOLDER keeps the
bundles to be looked at.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image

from core import Experiment, relax
from workbench import figures, many
from workbench.plate import Plate
from workbench.presets import presets
from workbench.views import views

PRESETS = {"reconstruction": "reconstruct"}
"""Of views that need another one than `PRESET`."""

PRESET = "spiking"

PAPER_WIDE = Plate(("energy_time", "imbalance", "precision"), columns=2)
OVER_SEEDS = Plate(("total", "imbalance"), paper="NeurIPS", over=("seed",))

EMBEDDED = ("TrueType", "CID TrueType", "Type 1", "Type 1C", "CID Type 0C")


def trace_of(preset: str, **choices: object) -> xr.Dataset:
    """A relaxation of a preset from random weights."""
    choices = {**presets()[preset].choices, "pretraining": "random", **choices}
    return relax(Experiment.from_dict(choices), align=True)


def cases() -> dict[str, tuple[Plate, xr.Dataset]]:
    """What is exported, by name: each view, panels, and a figure over seeds."""
    traces = {name: trace_of(name) for name in {PRESET, *PRESETS.values()}}
    found = {name: (Plate((name,)), traces[PRESETS.get(name, PRESET)]) for name in views()}
    found["panels"] = (PAPER_WIDE, traces[PRESET])
    seeds = [0, 1, 2]
    whole = many.combine({"seed": seeds}, [trace_of(PRESET, seed=one) for one in seeds])
    return found | {"seeds": (OVER_SEEDS, whole)}


def fonts_of(pdf: Path) -> list[tuple[str, bool]]:
    """The fonts of a PDF: their types, and whether each is embedded."""
    if shutil.which("pdffonts"):
        return fonts_told(
            subprocess.run(
                ["pdffonts", str(pdf)], capture_output=True, text=True, check=True
            ).stdout
        )
    return fonts_in(pdf.read_bytes())


def fonts_told(table: str) -> list[tuple[str, bool]]:
    """The fonts in what `pdffonts` prints: columns name, type, encoding, emb, sub, uni, object."""
    lines = table.splitlines()
    if len(lines) < 2:
        return []
    columns = [found.span() for found in re.finditer(r"-+", lines[1])]
    kind, embedded = slice(*columns[1]), slice(*columns[3])
    return [(row[kind].strip(), row[embedded].strip() == "yes") for row in lines[2:]]


def fonts_in(pdf: bytes) -> list[tuple[str, bool]]:
    """The fonts of a PDF of matplotlib, whose dictionaries are not compressed.

    A font whose descriptor names no file of its outlines is not embedded; that of Type 3 has none.
    """
    files = len(re.findall(rb"/FontFile[23]?\s", pdf))
    kinds = re.findall(rb"/Subtype\s*/(TrueType|Type0|Type1|Type3)\b", pdf)
    names = {b"TrueType": "TrueType", b"Type0": "CID TrueType", b"Type1": "Type 1"}
    found = [names[one] for one in kinds if one in names]
    told = [(one, k < files) for k, one in enumerate(found)]
    return told + [("Type 3", True)] * kinds.count(b"Type3")


def same(bundle: Path, redrawn: Path) -> list[str]:
    """Files of a figure that are not what they were: pixels for the PNG, bytes for the others."""
    found = []
    for ending in figures.FORMATS:
        one, other = (folder / f"figure.{ending}" for folder in (bundle, redrawn))
        if not other.is_file():
            found.append(f"{other.name}: not drawn")
        elif ending == "png":
            with Image.open(one) as a, Image.open(other) as b:
                if a.size != b.size or (np.asarray(a) != np.asarray(b)).any():
                    found.append(f"{other.name}: other pixels")
        elif one.read_bytes() != other.read_bytes():
            found.append(f"{other.name}: other bytes")
    return found


def judge(name: str, plate: Plate, trace: xr.Dataset, kept: Path) -> list[str]:
    """What is wrong with a figure; its bundle is kept as a zip."""
    path = figures.export(plate, trace, kept / f"{name}.zip")
    with tempfile.TemporaryDirectory() as clean:
        with zipfile.ZipFile(path) as held:
            held.extractall(clean)
        wrong = [
            f"font {kind}, {'embedded' if embedded else 'not embedded'}"
            for kind, embedded in fonts_of(Path(clean) / "figure.pdf")
            if kind not in EMBEDDED or not embedded
        ]
        if not fonts_of(Path(clean) / "figure.pdf"):
            wrong.append("no font at all")
        done = subprocess.run(
            [sys.executable, "redraw.py"], cwd=clean, capture_output=True, text=True
        )
        if done.returncode:
            return [*wrong, f"redraw.py: {done.stderr.strip().splitlines()[-1]}"]
        return wrong + same(Path(clean), Path(clean) / "redrawn")


def main(argv: list[str]) -> int:
    """Judge every figure and count."""
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(argv[0] if argv else scratch).resolve()
        kept.mkdir(parents=True, exist_ok=True)
        good, held = 0, cases()
        for name, (plate, trace) in held.items():
            wrong = judge(name, plate, trace, kept)
            good += not wrong
            print(f"{name}: {'; '.join(wrong) or 'as promised'}", flush=True)
    by = "pdffonts" if shutil.which("pdffonts") else "their dictionaries"
    print(f"{good} of {len(held)} figures: fonts embedded (by {by}), redrawn with the same pixels")
    return int(good < len(held))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
