"""What can be done without a window? The command `relaxoscope`, one subcommand each.

Exit codes: 0 done, 1 the relaxation diverged or a case failed, 2 bad input, 3 the environment (a
port, a folder, the network, a device), 4 damaged data, 70 an error of this program. Whatever goes
wrong is said in one line on stderr; `--debug` adds the traceback.
"""

import argparse
import csv
import difflib
import ipaddress
import json
import os
import secrets
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import xarray as xr

    from core.batches import Batch, ImageSet
    from core.experiment import Experiment
    from core.network import Network
    from core.relaxation import Relaxation
    from workbench.files import Data

UNSOUND, BAD_INPUT, ENVIRONMENT, DAMAGED, INTERNAL = 1, 2, 3, 4, 70
INTERRUPTED, CLOSED = 130, 141

OURS = ("core", "workbench")

SPARE = 128
"""Rows by which a trace may hold more than T before it thins itself."""

EXIT_CODES = """\
exit codes:
  0 done    1 diverged, or a case failed    2 bad input    3 environment    4 damaged data
"""

RELAX = """\
Relax one batch and write its trace as NetCDF: row t holds the states before update t, so that T
steps give T + 1 rows. What is given here takes the place of the same key of the recipe. The same
input gives the same trace.
"""

RELAX_FILES = """\
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
             as they are; not needed by the task Reconstruct
    classes  optional integer; default: the largest label + 1
    >>> numpy.savez("d.npz", x=[[1.0, -2.0]], y=[[0.5, -1.0]])

--recipe r.toml    choices of an experiment: a name, or a table with a name and dials; - is stdin
    task = "Classify"             # Classify, Dream, Reconstruct
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
    pretraining. Scalars stand above the first table, as TOML wants it.

--out trace.nc    energy, error, precision (step, layer); at level full also energy_sample, force,
    speed, activity, and probability or images. Coordinates: step, t, phase, layer, layer_name, ...
    Attributes: experiment, recipes, files (name and SHA-256 of each input), in JSON.
    >>> xarray.open_dataset("trace.nc").energy

A relaxation whose F is no longer finite, or above a million times its largest in the first five
rows, stops at that step, keeps its rows, says so on stderr and exits with 1.

"""

SERVE_MORE = """\
Everything else goes to `panel serve`: --show, --warm, --num-threads 4, --basic-auth FILE, ...
Whoever reaches the port can use this machine's processor and memory, so that an address beyond
loopback needs a password:  relaxoscope serve --address 0.0.0.0 --basic-auth PASSWORD_OR_FILE
--allow-websocket-origin HOST:PORT
"""

FIGURE_MORE = """\
Example: relaxoscope figure trace.nc --view energy_time --step 12 --out energy.zip
"""


class Refused(Exception):
    """A line for stderr and an exit code."""

    def __init__(self, line: str, code: int = BAD_INPUT) -> None:
        """Say `line`, exit with `code`."""
        super().__init__(line)
        self.code = code


class Parser(argparse.ArgumentParser):
    """Argparse with one line per error."""

    def error(self, message: str) -> NoReturn:
        """Refuse in one line, without the usage."""
        raise Refused(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns: the exit code.
    """
    given = sys.argv[1:] if argv is None else argv
    try:
        try:
            return _run(given)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has had enough: | head
        _close_stdout()
        return CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:  # argparse after --help, panel after its own refusals
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        line, code = _reason(error)
        print(f"relaxoscope: {line}", file=sys.stderr)
        return code


def _run(argv: list[str]) -> int:
    """Parse, then act."""
    parser, commands = _parser()
    if not argv:
        parser.print_help()
        return 0
    word = argv[0]
    if not word.startswith("-") and word not in commands:
        raise Refused(f"command: {_near(word, commands)}")
    args, rest = parser.parse_known_args(argv)
    if args.version:
        print(f"relaxoscope {_version()}")
        return 0
    if args.command is None:
        if rest:
            raise Refused(f"option: {_near(rest[0], ['--help', '--version', '--debug'])}")
        raise Refused(f"command: missing; one of {', '.join(commands)}")
    if args.command == "serve":
        return serve(args, rest)
    if rest:
        options = [o for a in commands[args.command]._actions for o in a.option_strings]
        known = [o for o in options if o.startswith("--")]
        raise Refused(f"{args.command}: {_near(rest[0].partition('=')[0], known)}")
    acts: dict[str, Callable[[argparse.Namespace], int]] = {
        "relax": relax,
        "figure": figure,
        "selftest": selftest,
        "data": data,
    }
    return acts[args.command](args)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command."""
    parser = Parser(
        prog="relaxoscope",
        description="Relaxation dynamics of predictive coding networks.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--debug", action="store_true", help="add the traceback of an error")
    under = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    made: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, line: str, more: str, text: str = "") -> argparse.ArgumentParser:
        made[name] = under.add_parser(
            name,
            help=line,
            description=text or line,
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=name == "serve",  # so that no other spelling of --address reaches panel
        )
        made[name].add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        return made[name]

    one = command("serve", "open the workbench in a browser", SERVE_MORE)
    one.add_argument("--port", default="5006", help="1..65535 (default: 5006)")
    one.add_argument("--address", default="127.0.0.1", help="to listen at (default: 127.0.0.1)")

    one = command("relax", "relax one batch and write its trace", RELAX_FILES + EXIT_CODES, RELAX)
    one.add_argument("--network", metavar="TOML", help="the network's name and dials")
    one.add_argument("--weights", metavar="SAFETENSORS", help="weights of every layer")
    one.add_argument("--data", metavar="NPZ", help="samples of your own")
    one.add_argument("--dataset", metavar="NAME", help="or a named set: Digits, SmallDigits, ...")
    one.add_argument("--recipe", metavar="TOML", help="choices of the experiment")
    one.add_argument("--pretraining", help="of a named set: random (default), trained, 'epoch k'")
    one.add_argument("--steps", metavar="T", help="state updates, 1..100000 (default: 20)")
    one.add_argument("--seed", help="of weights, batches and noise (default: 0)")
    one.add_argument("--dtype", help="float32 (default) or float64")
    one.add_argument("--device", help="cpu (default), cuda:0, mps")
    one.add_argument("--batch", default="0", metavar="K", help="which batch, from 0 (default: 0)")
    one.add_argument(
        "--batch-size", metavar="B", help="samples in it (default: all of NPZ; 20 of a named set)"
    )
    one.add_argument("--level", default="full", help="full (default), or lean: energies only")
    one.add_argument("--align", action="store_true", help="record the cosine to backprop's update")
    one.add_argument("--out", required=True, metavar="NC", help="the trace, NetCDF (required)")
    one.add_argument("--csv", metavar="CSV", help="also F and the energies of the layers as text")

    one = command("figure", "draw a figure of a trace for a paper", FIGURE_MORE + EXIT_CODES)
    one.add_argument("trace", nargs="?", metavar="TRACE", help="a trace that relax wrote")
    one.add_argument("--view", help="which figure")
    one.add_argument("--step", help="row to draw, where the figure is of one")
    one.add_argument("--out", help="a folder, or a path that ends in .zip")
    one.add_argument("--list", action="store_true", help="list the views")

    one = command("selftest", "compare this machine with exact answers", EXIT_CODES)
    one.add_argument("--device", default="cpu", help="cpu (default), cuda:0, mps")
    one.add_argument("--json", action="store_true", help="print the results as JSON")

    one = command("data", "download a data set", EXIT_CODES)
    one.add_argument("name", metavar="NAME", help="MNIST or FashionMNIST")
    one.add_argument("--root", default="", help="folder of image sets (default: the user's own)")
    return parser, made


# What went wrong ---------------------------------------------------------------------------------


def _reason(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Refused):
        return line, error.code
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] not in OURS:
        return f"{line}; pip install {(error.name or 'it').partition('.')[0]}", ENVIRONMENT
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or line}", ENVIRONMENT
    if isinstance(error, MemoryError) or ("memory" in line and isinstance(error, RuntimeError)):
        return f"out of memory ({line[:120]}); take a smaller --batch-size", ENVIRONMENT
    if "core.catalogue" in sys.modules:
        from core.catalogue import BadInput
        from core.datasets.fetch import NotFetched
        from workbench.files import Damaged

        if isinstance(error, BadInput):
            codes = {NotFetched: ENVIRONMENT, Damaged: DAMAGED}
            return line, next((c for k, c in codes.items() if isinstance(error, k)), BAD_INPUT)
    hint = "this is an error of the program; --debug shows where"
    return f"{type(error).__name__}: {line}; {hint}", INTERNAL


def _close_stdout() -> None:
    """Let nothing be written any more, so that the interpreter can end without a complaint."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _near(word: str, legal: Sequence[str] | dict[str, Any]) -> str:
    """The end of a line about an unknown word."""
    near = difflib.get_close_matches(word, list(legal), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{word}; one of {', '.join(legal)}{hint}"


def _version() -> str:
    """Of the installed package; a bare clone asks the core, which takes a second."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("relaxoscope")
    except PackageNotFoundError:
        from core import __version__

        return __version__


def _number(text: str) -> Any:
    """An integer if the text is one, else what it is, for a dial to refuse."""
    for kind in (int, float):
        try:
            return kind(text) if len(text) < 20 else text
        except ValueError:
            continue
    return text


def _tell(seen: set[str]) -> Callable[[str, float], None]:
    """A progress that says each line once, on stderr."""

    def progress(line: str, share: float) -> None:
        if line not in seen:
            seen.add(line)
            print(f"{share:4.0%} {line}", file=sys.stderr, flush=True)

    return progress


# relax -------------------------------------------------------------------------------------------


def relax(args: argparse.Namespace) -> int:
    """Relax one batch of files or of a named set and write its trace."""
    from core import cache

    begun = time.perf_counter()
    out, table = _output(args, "out", ".nc"), _output(args, "csv", ".csv")
    assert out is not None
    found = _relaxed(args, *_experiment(args), [path for path in (out, table) if path])
    total = (found["energy"].astype("float64") * found["precision"]).sum("layer", skipna=False)
    try:
        cache.keep(out, lambda beside: found.to_netcdf(beside))
        if table is not None:
            cache.keep(table, lambda beside: _write_csv(beside, found, total))
    except (OSError, RuntimeError) as failed:
        raise Refused(f"out: {out}; could not be written ({failed})", ENVIRONMENT) from failed
    print(
        f"{found.sizes['step']} rows, {found.sizes['layer']} layers, "
        f"F {float(total[0]):.9g} -> {float(total[-1]):.9g} nat per sample, "
        f"{time.perf_counter() - begun:.2f} s, {out}"
    )
    if found.attrs["diverged"]:
        sys.stdout.flush()
        raise Refused(f"{found.attrs['diverged']}; the rows up to there are in {out}", UNSOUND)
    return 0


def _experiment(args: argparse.Namespace) -> "tuple[Experiment, Data | None]":
    """The experiment that files and options describe, and the samples of a file."""
    from core.catalogue import from_dict
    from core.experiment import RANDOM, SCALARS, Experiment
    from workbench import files

    for a, b in (("data", "dataset"), ("weights", "pretraining")):
        if getattr(args, a) is not None and getattr(args, b) is not None:
            raise Refused(f"--{a} and --{b}: give one of them")
    choices = {} if args.recipe is None else files.read_recipe(args.recipe)
    if args.network is not None:
        choices["network"] = files.read_network(args.network)
    if args.dataset is not None:
        choices["dataset"] = from_dict("dataset", args.dataset)
    for name in SCALARS:
        given = getattr(args, name, None)
        if given is not None:
            choices[name] = _number(given) if SCALARS[name].type is int else given
    if args.weights is not None:
        choices["pretraining"] = RANDOM
    choices.setdefault("pretraining", RANDOM)
    own = None
    if args.data is not None:
        own = files.read_data(args.data)
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


def _relaxed(
    args: argparse.Namespace, experiment: "Experiment", own: "Data | None", outputs: list[Path]
) -> "xr.Dataset":
    """The trace of one batch; whatever can be refused is refused before the first step."""
    import numpy as np

    from core import FULL, LEAN, recording
    from core.trace import Sample, Trace
    from workbench import files

    number, level = _batch_number(args.batch), _one_of("level", args.level, (LEAN, FULL))
    _check_device(experiment.device)
    if experiment.device == "mps" and experiment.dtype == "float64":
        raise Refused("dtype: float64; float32 on an Apple GPU")
    images = experiment.dataset() if own is None else None
    source: Any = images or own
    _check_memory(experiment, source.shape, source.classes, level)
    network = experiment.build(source.shape, source.classes)
    if args.weights is not None:
        network.load_state_dict(files.read_weights(args.weights, network))
        network.touch()
    for path in outputs:
        _probe(path)
    if images is None:
        assert own is not None
        relaxation, batch = _of_file(experiment, own, network, number)
        name, fingerprint, pixels = own.name, own.sha256[:16], (-float("inf"), float("inf"))
    else:
        relaxation, batch = _of_set(experiment, images, network, number)
        name, fingerprint, pixels = images.name, images.fingerprint, (images.low, images.high)
    _note_memory(experiment)
    trace = Trace(
        network,
        attrs=recording.about(experiment, level, name, fingerprint) | {"files": _files(args)},
        pixel_shape=source.shape,
        limit=experiment.steps + SPARE,
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
    experiment: "Experiment", images: "ImageSet", network: "Network", number: int
) -> "tuple[Relaxation, Batch]":
    """The relaxation of a batch of a named set, as the page has it."""
    from core.pretraining import first_weights
    from core.recording import fits_alignment
    from core.training import Training

    first_weights(experiment, images, network, _tell(set()))
    training = Training(experiment, images, network, aligned=fits_alignment(experiment, images))
    batch = training.batches.batch(number)
    return training.relaxation(batch, train=False), batch


def _of_file(
    experiment: "Experiment", own: "Data", network: "Network", number: int
) -> "tuple[Relaxation, Batch]":
    """The relaxation of a batch of a file, with the noise of that batch number in a named set."""
    import numpy as np
    import torch

    from core.relaxation import Relaxation

    batch = own.batch(number, experiment.batch_size)
    phases, labels = own.phases(experiment, network, batch)
    mixed = np.random.SeedSequence([experiment.seed, number, 1]).generate_state(1)
    made = Relaxation(
        network,
        phases,
        experiment.recipe,
        labels=labels,
        classes=own.classes,
        generator=torch.Generator().manual_seed(int(mixed[0])),
        optimiser=experiment.weights(network),
        held=not experiment.learning.every_step,
    )
    return made, batch


def _note_memory(experiment: "Experiment") -> None:
    """Say that an init which recalls earlier batches has none to recall."""
    from core.catalogue import card_of

    remembers = getattr(experiment.init, "remembers", None)
    if remembers:
        name = card_of(experiment.init).title
        line = f"note: {name} init recalls {remembers}; there is none, so this is its first guess"
        print(line, file=sys.stderr)


def _files(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of each file that was handed in."""
    from workbench import files

    return {
        name: {"name": Path(path).name, "sha256": files.sha256(path)}
        for name in ("network", "weights", "data", "recipe")
        if (path := getattr(args, name)) not in (None, files.STDIN)
    }


def _batch_number(text: str) -> int:
    """The number of a batch."""
    value = _number(text)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise Refused(f"batch: {text}; an integer of 0 or more")
    return value


def _one_of(field: str, value: str, legal: Sequence[str]) -> str:
    """The value, if it is legal."""
    if value not in legal:
        raise Refused(f"{field}: {_near(value, legal)}")
    return value


def _check_device(name: str) -> None:
    """Refuse a device that is not here: the machine's fault, unless there is none of that name."""
    from core.catalogue import BadInput
    from core.experiment import available

    try:
        available(name)
    except BadInput as refused:
        known = name.partition(":")[0] in ("cuda", "mps")
        raise Refused(str(refused), ENVIRONMENT if known else BAD_INPUT) from None


def _check_memory(
    experiment: "Experiment", shape: tuple[int, ...], classes: int, level: str
) -> None:
    """Refuse a network or a trace that this machine cannot hold, before it is made."""
    import torch

    from core.experiment import DTYPES

    with torch.device("meta"):
        network = experiment.network(shape, classes)
    size = torch.empty(0, dtype=DTYPES[experiment.dtype]).element_size()
    layers, batch = len(network.layers), experiment.batch_size
    each = layers * (2 + (batch if level == "full" else 0)) * size
    weights = sum(p.numel() for p in network.parameters()) * size
    rows = (experiment.steps + 1) * each
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not every system says
        return
    if weights + rows > memory:
        raise Refused(
            f"network: {weights / 1e9:.3g} GB of weights and {rows / 1e9:.3g} GB of trace; "
            f"this machine has {memory / 1e9:.3g} GB (--level lean keeps less)",
            ENVIRONMENT,
        )


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


def _write_csv(path: Path, found: "xr.Dataset", total: "xr.DataArray") -> None:
    """One line a row: step, t, phase, F and the energy of each layer."""
    names = [f"E_{layer}" for layer in found["layer"].values]
    columns = [found[name].values.tolist() for name in ("step", "t", "phase")]
    energies = found["energy"].transpose("step", "layer").values.tolist()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "t", "phase", "F", *names])
        for head, f, energy in zip(
            zip(*columns, strict=True), total.values.tolist(), energies, strict=True
        ):
            writer.writerow([*head, f, *energy])


# figure, selftest, data --------------------------------------------------------------------------


def figure(args: argparse.Namespace) -> int:
    """Draw one view of a trace and write it with its data."""
    from workbench.views import views

    if args.list:
        for name, module in views().items():
            print(f"{name:<16} {module.TITLE}")
        return 0
    for name in ("trace", "view", "out"):
        if getattr(args, name) is None:
            raise Refused(f"{name}: missing; figure TRACE --view NAME --out FOLDER_OR_ZIP")
    if not Path(args.trace).is_file():
        raise Refused(f"trace: {args.trace}; no such file")
    if args.view not in views():
        raise Refused(f"view: {_near(args.view, list(views()))}")
    step = None if args.step is None else _number(args.step)
    if step is not None and (not isinstance(step, int) or step < 0):
        raise Refused(f"step: {args.step}; the number of a row, from 0")
    from workbench import figures

    try:
        trace = figures.load(args.trace)
    except ValueError as damaged:
        raise Refused(str(damaged), DAMAGED) from damaged
    last = int(trace["step"].values[-1]) if trace.sizes.get("step") else 0
    if step is not None and step > last:
        raise Refused(f"step: {step}; a row 0..{last} of {args.trace}")
    try:
        print(figures.export(args.view, trace, Path(args.out), step=step))
    except ValueError as refused:
        raise Refused(str(refused)) from refused
    return 0


def selftest(args: argparse.Namespace) -> int:
    """Run the cases with exact answers and print them."""
    from core import selftest as cases

    _check_device(args.device)
    results = cases.run(args.device)
    if args.json:
        names = ("name", "what", "expected", "found", "passed")
        plain = [{name: getattr(one, name) for name in names} for one in results]
        print(json.dumps(plain, indent=1, default=str))
    else:
        head = ("case", "expected", "found", "passed", "claim")
        lines = [
            (one.name, one.expected, one.found, "yes" if one.passed else "NO", one.what)
            for one in results
        ]
        for line in _table([head, *lines]):
            print(line)
        good = sum(bool(one.passed) for one in results)
        print(f"{good} of {len(results)} passed")
    return 0 if all(one.passed for one in results) else UNSOUND


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()


def data(args: argparse.Namespace) -> int:
    """Download a data set; the only command that goes online."""
    from core.datasets.fetch import download

    print(download(args.name, args.root, _tell(set())))
    return 0


# serve -------------------------------------------------------------------------------------------

AUTHENTICATION = ("--basic-auth", "--oauth-provider")
TRIED = 50
"""Ports that are tried for an offer."""


def serve(args: argparse.Namespace, rest: list[str]) -> int:
    """Serve the app at loopback, or elsewhere behind a password."""
    port = _number(args.port)
    if not isinstance(port, int) or not 1 <= port <= 65535:
        raise Refused(f"port: {args.port}; an integer 1..65535")
    words = _panel_words(args.address, port, rest)
    _check_port(args.address, port)
    from workbench import places

    apps = places.apps()
    os.environ.setdefault("BOKEH_SECRET_KEY", secrets.token_urlsafe(48))  # signs session ids
    from panel.command import main as panel

    sys.argv = ["panel", "serve", str(apps), "--index", apps.name, *words]
    print(f"Relaxoscope is at {_url(args.address, port)} (Ctrl-C ends it)", flush=True)
    panel()
    return 0


def _panel_words(address: str, port: int, rest: list[str]) -> list[str]:
    """The arguments for panel; ours come last, so that they hold."""
    for word in rest:
        bare = word.partition("=")[0]
        if bare == "--" or (len(bare) > 3 and "--args".startswith(bare)):
            raise Refused(f"{word}: not passed on; the app takes no arguments of its own")
    guarded = any(_names_a_guard(rest, option) for option in AUTHENTICATION)
    if not _is_loopback(address) and not guarded:
        raise Refused(
            f"address: {address or repr(address)}; 127.0.0.1, or give a password: --address "
            f"{address or '0.0.0.0'} --basic-auth PASSWORD_OR_FILE "
            f"--allow-websocket-origin HOST:{port}"
        )
    words = [*rest, "--session-ids", "signed"]
    if guarded and not any(word.startswith("--cookie-secret") for word in rest):
        if "PANEL_COOKIE_SECRET" not in os.environ:
            words += ["--cookie-secret", secrets.token_urlsafe(32)]
    for host in dict.fromkeys(("localhost", "127.0.0.1", _host(address))):
        words += ["--allow-websocket-origin", f"{host}:{port}"]
    return [*words, "--address", address, "--port", str(port)]


def _names_a_guard(rest: list[str], option: str) -> bool:
    """Whether an option of panel is there and has a value."""
    for i, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == option:
            value = value if equals else "".join(rest[i + 1 : i + 2])
            return bool(value) and not value.startswith("--")
    return False


def _is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _host(address: str) -> str:
    """The address as a URL writes it."""
    return f"[{address}]" if ":" in address else address


def _url(address: str, port: int) -> str:
    """Where a browser on this machine finds the page."""
    everywhere = address in ("0.0.0.0", "::")
    return f"http://{'localhost' if everywhere else _host(address)}:{port}/"


def _check_port(address: str, port: int) -> None:
    """Refuse a port that is in use, and offer the next that is not."""
    failed = _bind(address, port)
    if failed is None:
        return
    import errno

    if failed.errno == errno.EADDRINUSE:
        ports = range(port + 1, min(port + TRIED, 65536))
        free = next((one for one in ports if _bind(address, one) is None), None)
        offer = f"; try --port {free}" if free else ""
        raise Refused(f"port {port} is in use{offer}", ENVIRONMENT)
    if isinstance(failed, PermissionError):
        raise Refused(f"port {port} is reserved; try --port 5006", ENVIRONMENT)
    raise Refused(f"address: {address}; {failed.strerror}", ENVIRONMENT)


def _bind(address: str, port: int) -> OSError | None:
    """What keeps a server from listening there, or None."""
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, place in found:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as failed:
        return failed
    return None


if __name__ == "__main__":
    sys.exit(main())
