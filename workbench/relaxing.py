"""How is one batch relaxed from files? Everything is checked first, then it goes into a trace."""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.refusals import (
    ENVIRONMENT,
    UNSOUND,
    Refused,
    as_number,
    check_device,
    is_short_of_memory,
    near,
)

if TYPE_CHECKING:
    import xarray as xr

    from core.batches import Batch, ImageSet
    from core.experiment import Experiment
    from core.network import Network
    from core.relaxation import Relaxation
    from workbench.archives import Data

SPARE = 128
"""Rows by which a trace may hold more than T before it thins itself."""

WHAT = """\
Relax one batch and write its trace as NetCDF: row t holds the states before update t, so that T
steps give T + 1 rows. What is given here takes the place of the same key of the recipe. The same
input gives the same trace.
"""

FILES = """\
--network net.toml    the network's name and dials (default: the recipe's, else MLP)
    name = "MLP"                  # MLP classifies, Decoder reconstructs
    hidden = [2, 2]               # widths of the hidden layers; the data say the first and last
    activation = "identity"       # identity, tanh, relu, gelu, leaky_relu, elu, hard_tanh
    bias = false                  # whether mu_l = phi(W_l h_(l-1) + b_l) has its b_l

--weights w.safetensors    weights of every layer (default: torch's random ones of --seed)
    W1 (out, in), b1 (out), W2, b2, ... WL, bL, where layer l predicts h_l from h_(l-1); no b with
    bias = false. Or the keys of the network's state_dict(): maps.1.0.weight, maps.1.0.bias, ...
    for a layer with an activation, maps.L.weight, maps.L.bias for one without (the last one, or
    all with activation = "identity"). Any floating-point type is converted to --dtype.
    >>> safetensors.numpy.save_file({"W1": W1, "W2": W2, "W3": W3}, "w.safetensors")

--data d.npz    samples of your own, in the order of the file
    x        (n, d), (n, H, W) or (n, C, H, W), floating point: clamped at the image's end
    y        (n,) integers: labels, clamped as one-hot; or (n, d) floating point: targets, clamped
             as they are; not needed by tasks with the image at the output
    classes  optional integer; default: the largest label + 1
    >>> numpy.savez("d.npz", x=[[1.0, -2.0]], y=[[0.5, -1.0]])

--recipe r.toml    choices of an experiment: a name, or a table with a name and dials; - is stdin
    task = "Classify"             # Classify, Dream, Nudge, Reconstruct, Recall, ...
    energy = "SquaredError"
    steps = 20
    [init]
    name = "Forward"
    [precision]
    name = "Spiking"
    rest = 0.001
    [dynamics]
    name = "GradientDescent"
    rate = 0.1
    Also learning, weights, network, dataset (entries), batch_size, seed, dtype, device,
    pretraining. Scalars stand above the first table, as TOML wants it. In the place of a file the
    name of a preset will do: relaxoscope presets lists them.

--seeds 0..4, --batches 10    the same for each seed, and for 10 batches from --batch on: the trace
    has the dimensions seed and batch, and each part of it is the trace of that seed and batch alone

--out trace.nc    energy, error, precision (step, layer); at level full also energy_sample, force,
    speed, activity, prediction_drift, and probability or images. Coordinates: step, t, layer, ...
    Attributes: experiment, recipes, files (name and SHA-256 of each input), in JSON.
    >>> xarray.open_dataset("trace.nc").energy

A relaxation whose F is no longer finite, or above a million times its largest in the first five
rows, stops at that step, keeps its rows, says so on stderr and exits with 1. Where F only rises
although the rule of the states promises descent, a note on stderr and the attribute rises say so.

"""


def relax(args: argparse.Namespace) -> int:
    """Relax one batch of files or of a named set and write its trace."""
    from core import cache
    from workbench import many, relaxing_many

    begun = time.perf_counter()
    out, table = _output(args, "out", ".nc"), _output(args, "csv", ".csv")
    assert out is not None
    experiment, own = experiment_of(args)
    places = relaxing_many.places_of(args, experiment)
    paths = [path for path in (out, table) if path]
    try:
        if places:
            found = relaxing_many.relaxed(args, experiment, own, paths, places)
        else:
            found = relaxed(args, experiment, own, paths)
    except (MemoryError, RuntimeError) as failed:
        raise short_of_memory(experiment, failed) from failed
    _note_memory(experiment)
    try:
        cache.keep(out, lambda beside: found.to_netcdf(beside))
        if table is not None:
            cache.keep(table, lambda beside: _write_csv(beside, found))
    except (OSError, RuntimeError) as failed:
        raise Refused(f"out: {out}; could not be written ({failed})", ENVIRONMENT) from failed
    total = _total(found)
    count = "" if not places else f"{len(places)} relaxations, "
    print(
        f"{count}{found.sizes['step']} rows, {found.sizes['layer']} layers, "
        f"F {float(total[..., 0].mean()):.9g} -> {float(total[..., -1].mean()):.9g} nat "
        f"per sample, {time.perf_counter() - begun:.2f} s, {out}"
    )
    sys.stdout.flush()
    for line in many.said(found, "diverged"):
        raise Refused(f"{line}; the rows up to there are in {out}", UNSOUND)
    for line in many.said(found, "rises"):
        print(f"note: {line}", file=sys.stderr)
    return 0


def _total(found: "xr.Dataset") -> "xr.DataArray":
    """F of each row."""
    total = (found["energy"].astype("float64") * found["precision"]).sum("layer", skipna=False)
    return total + found["cost"]


def experiment_of(args: argparse.Namespace) -> "tuple[Experiment, Data | None]":
    """The experiment that files and options describe, and the samples of a file."""
    from core.catalogue import from_dict
    from core.experiment import RANDOM, SCALARS, Experiment
    from workbench import archives, files, recipes

    for a, b in (("data", "dataset"), ("weights", "pretraining")):
        if getattr(args, a) is not None and getattr(args, b) is not None:
            raise Refused(f"--{a} and --{b}: give one of them")
    choices = {} if args.recipe is None else recipes.choices(args.recipe)
    if args.network is not None:
        choices["network"] = files.read_network(args.network)
    if args.dataset is not None:
        choices["dataset"] = from_dict("dataset", args.dataset)
    for name in SCALARS:
        given = getattr(args, name, None)
        if given is not None:
            choices[name] = as_number(given) if SCALARS[name].type is int else given
    if args.weights is not None:
        choices["pretraining"] = RANDOM
    choices.setdefault("pretraining", RANDOM)
    own = None
    if args.data is not None:
        own = archives.read_data(args.data)
        choices.pop("dataset", None)
        init = choices.get("init")
        if getattr(init, "aligned", False):
            name = type(init).__name__
            raise Refused(f"init: {name}; another one with --data: no batch came before to recall")
        choices.setdefault("batch_size", len(own.x))
        if choices["pretraining"] != RANDOM:
            raise Refused(
                f"pretraining: {choices['pretraining']}; random with --data, "
                "because only named data sets are trained on (or give --weights)"
            )
    return Experiment(**choices), own


def relaxed(
    args: argparse.Namespace,
    experiment: "Experiment",
    own: "Data | None",
    outputs: list[Path],
    count: int = 1,
) -> "xr.Dataset":
    """The trace of one batch; whatever can be refused is refused before the first step.

    Args:
        args: of the command.
        experiment: that they describe.
        own: samples of a file, if there is one.
        outputs: files that are going to be written.
        count: of traces that are held at once.
    """
    import numpy as np

    from core import FULL, LEAN, footprint, keep_memory, recording
    from core.trace import Sample, Trace
    from workbench import files

    keep_memory()
    number, level = batch_number(args.batch), _one_of("level", args.level, (LEAN, FULL))
    check_device(experiment.device)
    images = experiment.dataset() if own is None else None
    source: Any = images or own
    rows = count * bytes_of_rows(experiment, experiment.network.layers, level)
    footprint.check(experiment, source.shape, source.classes, rows=rows)
    network = experiment.build(source.shape, source.classes)
    if args.weights is not None:
        network.load_state_dict(files.read_weights(args.weights, network))
        network.touch()
    for path in outputs:
        _probe(path)
    watched = level == FULL or args.align
    if images is None:
        assert own is not None
        relaxation, batch = _of_file(experiment, own, network, number, watched)
        name, fingerprint, pixels = own.name, own.sha256[:16], (-float("inf"), float("inf"))
    else:
        relaxation, batch = _of_set(experiment, images, network, number, watched)
        name, fingerprint, pixels = images.name, images.fingerprint, images.pixels
    about = recording.about(experiment, level, name, fingerprint, relaxation.engine_name)
    about |= {} if images is None else images.ends
    trace = Trace(
        network,
        attrs=about | {"files": _files(args)},
        pixel_shape=source.shape,
        limit=recording.rows_of(relaxation) + SPARE,
    )
    trace.recipes.append(experiment.recipe.to_dict())
    trace.batches[number] = Sample(batch.y.cpu().numpy(), batch.x[:8].cpu().numpy())
    labels = own is None or own.labels is not None
    recorder = recording.recorder_for(
        experiment, network, level=level, pixels=pixels, labels=labels, align=args.align
    )
    trace.attrs["diverged"] = recording.record(relaxation, trace, recorder, batch=number)
    with np.errstate(all="ignore"):  # one that has diverged overflows
        return trace.dataset()


def _of_set(
    experiment: "Experiment", images: "ImageSet", network: "Network", number: int, watched: bool
) -> "tuple[Relaxation, Batch]":
    """The relaxation of a batch of a named set, as the page has it."""
    from core.pretraining import first_weights
    from core.recording import fits_alignment
    from core.training import Training
    from workbench.progress import Progress

    aligned = fits_alignment(experiment, images)
    training = Training(experiment, images, network, aligned=aligned, watched=watched)
    batch = training.batches.batch(number)
    with Progress() as progress:
        first_weights(experiment, images, network, progress)
    return training.relaxation(batch, train=False), batch


def _of_file(
    experiment: "Experiment", own: "Data", network: "Network", number: int, watched: bool
) -> "tuple[Relaxation, Batch]":
    """The relaxation of a batch of a file, with the noise of that batch number in a named set."""
    from core.engines import engine_name
    from core.relaxation import Relaxation
    from core.training import noise

    batch = own.batch(number, experiment.batch_size)
    phases, labels = own.phases(experiment, network, batch)
    made = Relaxation(
        network,
        phases,
        experiment.recipe,
        labels=labels,
        classes=own.classes,
        generator=noise(experiment.seed, number),
        optimiser=experiment.weights(network),
        held=not experiment.learning.every_step,
        engine=engine_name(network, experiment.engine, watched=watched),
    )
    return made, batch


def short_of_memory(experiment: "Experiment", failed: Exception) -> Exception:
    """A refusal with what was free, if it failed for want of memory; else the failure itself."""
    from core import footprint

    if not is_short_of_memory(failed):
        return failed
    left = footprint.free(experiment.device)
    there = "" if left is None else f", of which {footprint.gigabytes(left)} are free"
    size = experiment.batch_size
    offer = f"--batch-size {size // 2}" if size > 1 else "narrower layers"
    return Refused(
        f"out of memory on {experiment.device}{there}; take {offer}, or fewer rows", ENVIRONMENT
    )


def _note_memory(experiment: "Experiment") -> None:
    """Say that an init which recalls earlier batches has none to recall."""
    from core.catalogue import card_of

    remembers = getattr(experiment.init, "remembers", None)
    if remembers:
        name = card_of(experiment.init).title
        line = f"note: {name} init recalls {remembers}; there is none, so this is its first guess"
        print(line, file=sys.stderr)


def _files(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of each file that was handed in; a preset is none."""
    from workbench import files
    from workbench.presets import named

    given = {name: getattr(args, name) for name in ("network", "weights", "data", "recipe")}
    if given["recipe"] in named():
        given["recipe"] = None
    return {
        name: {"name": Path(path).name, "sha256": files.sha256(path)}
        for name, path in given.items()
        if path not in (None, files.STDIN)
    }


def batch_number(text: str) -> int:
    """The number of a batch."""
    value = as_number(text)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise Refused(f"batch: {text}; an integer of 0 or more")
    return value


def _one_of(field: str, value: str, legal: Sequence[str]) -> str:
    """The value, if it is legal."""
    if value not in legal:
        raise Refused(f"{field}: {near(value, legal)}")
    return value


def bytes_of_rows(experiment: "Experiment", layers: int, level: str) -> float:
    """Bytes of the trace of one phase, at least."""
    from core.experiment import DTYPES

    each = 2 + (experiment.batch_size if level == "full" else 0)
    return float(experiment.steps + 1) * layers * each * DTYPES[experiment.dtype].itemsize


def _output(args: argparse.Namespace, name: str, suffix: str) -> Path | None:
    """Where to write, if that can be: asked before anything is read."""
    if getattr(args, name) is None:
        return None
    path = Path(getattr(args, name))
    if path.suffix != suffix:
        raise Refused(f"{name}: {path}; a path that ends in {suffix}")
    if path.is_dir():
        raise Refused(f"{name}: {path}; a file, this is a folder")
    if not path.parent.is_dir():
        raise Refused(f"{name}: {path}; there is no folder {path.parent}")
    for other in ("network", "weights", "data", "recipe"):
        given = getattr(args, other)
        if given and path.exists() and Path(given).exists() and path.samefile(given):
            raise Refused(f"{name}: {path}; this is the file of --{other}")
    if not os.access(path.parent, os.W_OK):
        raise Refused(f"{name}: {path}; the folder {path.parent} is not writable", ENVIRONMENT)
    return path


def _probe(path: Path) -> None:
    """Refuse a folder in which no file can be made, before the work."""
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as refused:
        line = f"out: {path}; the folder {path.parent} is not writable ({refused.strerror})"
        raise Refused(line, ENVIRONMENT) from None


def _write_csv(path: Path, found: "xr.Dataset") -> None:
    """One line a row: seed and batch where there are several, step, t, phase, F, each energy."""
    from workbench import many

    names = [f"E_{layer}" for layer in found["layer"].values]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*many.dims(found), "step", "t", "phase", "F", *names])
        for where, one in many.parts(found):
            columns = [one[name].values.tolist() for name in ("step", "t", "phase")]
            columns.append(_total(one).values.tolist())
            energies = one["energy"].transpose("step", "layer").values.tolist()
            for head, energy in zip(zip(*columns, strict=True), energies, strict=True):
                writer.writerow([*where.values(), *head, *energy])
