"""What is one training of a table, and what does it leave?

A cell leaves in the folder: `runs/NAME`, its run; `results/NAME.json`;
`weights/NAME-EPOCH.safetensors` of the epochs that are reported; `splits/SET.json`, which images it
trained on and which were held out.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from benchmarks import machine
from benchmarks.reproduce import decoders, images
from core import cache
from core.catalogue import BadInput
from core.datasets.fetch import root_folder, torchvision_set
from core.datasets.pixels import first_of_each_class, held_out
from core.experiment import Experiment
from core.learning.backprop import Backprop
from core.runs import Run
from core.runs.train import Every, resume, train
from workbench import measures

VALIDATION = 0.1
"""Of all training images: the last ones of each class are held out to choose by."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Cell:
    """One training.

    Args:
        name: of its files.
        row: of the table, in words.
        method: column of the table, in words.
        choices: plain data for `Experiment.from_dict`, without the place of the images.
        epochs: how many.
        published: the work's number in words, "" where none is known.
        budget: how the choices were found, one sentence.
        point: the dials that are searched, for the table.
    """

    name: str
    row: str
    method: str
    choices: dict[str, Any]
    epochs: int
    published: str = ""
    budget: str = ""
    point: dict[str, Any] = field(default_factory=dict)

    def experiment(
        self, data: str, *, file: str = "", out: Path | None = None, device: str = "cpu"
    ) -> Experiment:
        """Its experiment, where the images lie at `data`, or in a file of arrays.

        Args:
            data: root of the image sets, or a folder of images by class.
            file: that takes the place of CIFAR-10.
            out: where a part of the file is left.
            device: that computes.
        """
        choices: dict[str, Any] = {**self.choices, "device": device}
        choices["dataset"] = images.placed(choices["dataset"], data, file, out)
        return Experiment.from_dict(choices)


@dataclass(frozen=True)
class Folder:
    """Where the cells of one or more tables lie.

    Args:
        out: the folder.
        data: root of the image sets, "" for the usual place.
        file: of arrays that take the place of CIFAR-10, "" for none.
        device: that computes.
    """

    out: Path
    data: str
    file: str = ""
    device: str = "cpu"

    def experiment(self, cell: Cell) -> Experiment:
        """That of a cell with the images that are here."""
        return cell.experiment(self.data, file=self.file, out=self.out, device=self.device)

    def result(self, cell: Cell | str) -> Path:
        """The JSON file of a cell, which is there when the cell is done."""
        return self.out / "results" / f"{cell if isinstance(cell, str) else cell.name}.json"

    def run(self, cell: Cell) -> Path:
        """Its run."""
        return self.out / "runs" / cell.name

    def read(self) -> list[dict[str, Any]]:
        """All results, in the order of their names."""
        files = sorted((self.out / "results").glob("*.json"))
        return [json.loads(one.read_text("utf-8")) for one in files]


def train_cell(cell: Cell, folder: Folder, tell: Tell, *, weights: bool = True) -> dict[str, Any]:
    """The result of a cell: read if it is done, else trained, or gone on with.

    Args:
        cell: what to train.
        folder: where.
        tell: told each line.
        weights: whether those of each epoch are kept meanwhile, so that the reported ones are left.
    """
    path = folder.result(cell)
    if path.exists():
        return json.loads(path.read_text("utf-8"))
    begun, run = time.perf_counter(), folder.run(cell)
    experiment = folder.experiment(cell)
    if (run / "manifest.json").exists():
        _go_on(run, cell)
    else:
        every = Every(weights=None if weights else 0, accuracy=None, updates=0)
        train(experiment, run, epochs=cell.epochs, every=every)
    found = _measured(cell, experiment, Run(run))
    is_decoder = "epochs" not in found
    if is_decoder:
        found |= decoders.measured(run)
    found |= {"cell": _about(cell), "seconds_of_all": round(time.perf_counter() - begun, 1)}
    found["machine"] = machine.about() | {"threads": torch.get_num_threads()}
    found["weights"] = _leave_weights(cell, folder, found) if weights and not is_decoder else {}
    found["split"] = _leave_split(experiment, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    cache.keep(path, lambda beside: beside.write_text(text, "utf-8"))
    tell(_line(found))
    return found


def _go_on(run: Path, cell: Cell) -> None:
    """Go on with a run that was interrupted; one that has ended is as it should be."""
    if Run(run).state == "interrupted":
        resume(run, epochs=cell.epochs)


def _measured(cell: Cell, experiment: Experiment, run: Run) -> dict[str, Any]:
    """What a run says: accuracies of each epoch, cost, and the energies of the last epoch."""
    known, numbers = run.batches(), run.rows()
    if numbers == 0:
        raise BadInput(f"run: {run.path}; has no rows")
    batches = int(known["seconds"].notnull().sum())
    found: dict[str, Any] = {
        "name": cell.name,
        "experiment": experiment.changed(dataset=_rootless(experiment)).to_dict(),
        "state": run.state,
        "batches": batches,
        "batches_an_epoch": batches // cell.epochs,
        "seconds": round(float(known["seconds"].sum()), 2),
        "smm": _smm(known, experiment),
        "data": run.lane().attrs["fingerprint"],
    }
    if "accuracy" in known:
        found |= _accuracies(known, batches // cell.epochs)
    return found | _energies(run, batches // cell.epochs)


def _accuracies(known: Any, per_epoch: int) -> dict[str, Any]:
    """After each epoch, and which of them are reported."""
    epochs = [
        {"epoch": int(number) // per_epoch} | _of_batch(known.sel(batch=number))
        for number in known["batch"].values[~np.isnan(known["accuracy"].values)]
    ]
    before = epochs.pop(0)
    best = max(epochs, key=lambda one: one["test"])
    chosen = max(epochs, key=lambda one: one.get("validation", -1.0))
    return {
        "before": before,
        "epochs": epochs,
        "best": best,
        "chosen": chosen if "validation" in chosen else None,
        "last": epochs[-1],
    }


def _of_batch(known: Any) -> dict[str, Any]:
    """Accuracies before a batch, and the seconds and products that were spent up to there."""
    found = {"test": float(known["accuracy"])}
    if "validation" in known:
        found["validation"] = float(known["validation"])
    return found


def _smm(known: Any, experiment: Experiment) -> float | None:
    """Sequential matrix multiplications of all batches.

    Of backprop those that the learning needs, 2 L - 1: the relaxation beside it is not counted.
    """
    if type(experiment.learning) is Backprop:
        done = int(known["seconds"].notnull().sum())
        return float(done * (2 * experiment.network.layers - 1))
    if "smm" not in known:
        return None
    total = float(known["smm"].sum())
    return total if math.isfinite(total) else None


def _energies(run: Run, per_epoch: int) -> dict[str, Any]:
    """Energies at the weight update and their imbalance, means over the last epoch.

    The imbalance is that of layers above their rounding floor; None where there are no two.
    """
    rows = run.dataset()
    last = rows["batch"].values >= rows["batch"].values[-1] + 1 - per_epoch
    ends = last & (rows["t"].values == rows["T"].values)
    kept = rows.isel(step=np.flatnonzero(ends))
    above = measures.reached_of(kept["energy"].values, kept["floor"].values)  # (n, L)
    decades = measures.imbalance_of(kept["energy"].values, above)  # (n,)
    known = decades[np.isfinite(decades)]
    return {
        "energy": [float(f"{one:.4g}") for one in kept["energy"].values.mean(axis=0)],
        "below_rounding": [round(float(one), 3) for one in 1 - above.mean(axis=0)],
        "imbalance": round(float(known.mean()), 3) if len(known) else None,
    }


def _rootless(experiment: Experiment) -> Any:
    """Its data set without a place, which says nothing on another machine."""
    from dataclasses import replace

    held = experiment.dataset
    places = {name: "" for name in ("root", "path") if hasattr(held, name)}
    return replace(held, **places) if places else held  # type: ignore[type-var]


def _about(cell: Cell) -> dict[str, Any]:
    """What the table needs of a cell."""
    names = ("row", "method", "published", "budget", "point")
    return {name: getattr(cell, name) for name in names} | {"seed": cell.choices.get("seed", 0)}


def _leave_weights(cell: Cell, folder: Folder, found: dict[str, Any]) -> dict[str, Any]:
    """Copy the weights of the epochs that are reported."""
    run, left = Run(folder.run(cell)), {}
    wanted = {found[one]["epoch"] for one in ("best", "chosen", "last") if found[one]}
    for epoch in sorted(wanted):
        to = folder.out / "weights" / f"{cell.name}-{epoch}.safetensors"
        to.parent.mkdir(parents=True, exist_ok=True)
        held = {
            k: v.contiguous() for k, v in run.weights(epoch * found["batches_an_epoch"]).items()
        }
        cache.keep(to, lambda beside, held=held: save_file(held, beside))
        left[str(epoch)] = {"file": to.name, "sha256": _sha(to)}
    return left


def _leave_split(experiment: Experiment, folder: Folder) -> str:
    """Write which raw training images were trained on and held out; returns the file's name.

    Of a file of arrays that is the part of it that was trained on.
    """
    held: Any = experiment.dataset
    name = type(held).__name__
    if name == "Npz":
        return Path(held.path).name
    if not hasattr(held, "validation"):
        return ""
    part = f"{name}-{held.fraction:g}-{held.validation:g}"
    path = folder.out / "splits" / f"{part}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        root = str(root_folder(folder.data))
        y = torchvision_set(name)(root, train=True, download=False).targets
        if held.validation:
            train, apart = held_out(y, held.fraction, held.validation)
        else:
            train, apart = first_of_each_class(y, held.fraction), torch.zeros(0, dtype=torch.int64)
        said = {"set": name, "train": train.tolist(), "validation": apart.tolist()}
        cache.keep(path, lambda beside: beside.write_text(json.dumps(said), "utf-8"))
    return path.name


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _line(found: dict[str, Any]) -> str:
    """A cell in one line."""
    if "reconstruction" in found:
        errors = found["reconstruction"]["test"]
        told = ", ".join(f"{one:.5f} (T {T})" for T, one in errors.items())
        return f"{found['name']}: error {told}, {found['seconds']:.0f} s"
    best, chosen = found["best"], found["chosen"]
    line = f"{found['name']}: best {best['test']:.2%} (epoch {best['epoch']})"
    if chosen:
        line += f", chosen on validation {chosen['test']:.2%} (epoch {chosen['epoch']})"
    if found["imbalance"] is not None:
        line += f", imbalance {found['imbalance']:.2f}"
    return f"{line}, {found['seconds']:.0f} s"
