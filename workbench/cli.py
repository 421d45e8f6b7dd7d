"""What can be done without a window? The command `relaxoscope`, one subcommand each.

Exit codes: 0 done, 1 the relaxation diverged or a case failed, 2 bad input, 3 the environment (a
port, a folder, the network, a device), 4 damaged data, 70 an error of this program. Whatever goes
wrong is said in one line on stderr; `--debug` adds the traceback.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

INTERRUPTED, CLOSED = 130, 141

OURS = ("core", "workbench")

EXIT_CODES = """\
exit codes:
  0 done    1 diverged, or a case failed    2 bad input    3 environment    4 damaged data
"""

FIGURE_MORE = """\
Example: relaxoscope figure trace.nc --view energy_time --step 12 --out energy.zip
"""


class Parser(argparse.ArgumentParser):
    """Argparse with one line per error."""

    def error(self, message: str) -> NoReturn:
        """Refuse in one line, without the usage."""
        from workbench.refusals import Refused

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
    from workbench import checking, relaxing, selftesting, serving
    from workbench.refusals import Refused, near

    parser, commands = _parser()
    if not argv:
        parser.print_help()
        return 0
    word = argv[0]
    if not word.startswith("-") and word not in commands:
        raise Refused(f"command: {near(word, commands)}")
    args, rest = parser.parse_known_args(argv)
    if args.version:
        print(f"relaxoscope {_version()}")
        return 0
    if args.command is None:
        if rest:
            raise Refused(f"option: {near(rest[0], ['--help', '--version', '--debug'])}")
        raise Refused(f"command: missing; one of {', '.join(commands)}")
    if rest and args.command != "serve":
        options = [o for a in commands[args.command]._actions for o in a.option_strings]
        known = [o for o in options if o.startswith("--")]
        raise Refused(f"{args.command}: {near(rest[0].partition('=')[0], known)}")
    if hasattr(args, "plugin"):
        _load_plugins(args.plugin)
    acts: dict[str, Callable[[argparse.Namespace], int]] = {
        "serve": lambda args: serving.serve(args, rest),
        "relax": relaxing.relax,
        "figure": figure,
        "cite": checking.cite,
        "check": checking.check,
        "selftest": selftesting.selftest,
        "data": data,
    }
    return acts[args.command](args)


def _load_plugins(files: list[str]) -> None:
    """Take over entries of others before a command reads the name of one."""
    from importlib.metadata import entry_points

    if files or entry_points(group="relaxoscope.plugins"):
        from core import plugins

        plugins.load_installed()
        for path in files:
            plugins.load(path)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command."""
    from workbench import checking, relaxing, selftesting, serving

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

    def plugin(one: argparse.ArgumentParser) -> None:
        line = "Python file with entries of your own, which is run; may be given again"
        one.add_argument("--plugin", action="append", default=[], metavar="PY", help=line)

    one = command("serve", "open the workbench in a browser", serving.MORE)
    one.add_argument("--port", default="5006", help="1..65535 (default: 5006)")
    one.add_argument("--address", default="127.0.0.1", help="to listen at (default: 127.0.0.1)")
    plugin(one)

    one = command(
        "relax", "relax one batch and write its trace", relaxing.FILES + EXIT_CODES, relaxing.WHAT
    )
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
    plugin(one)

    one = command("figure", "draw a figure of a trace for a paper", FIGURE_MORE + EXIT_CODES)
    one.add_argument("trace", nargs="?", metavar="TRACE", help="a trace that relax wrote")
    one.add_argument("--view", help="which figure")
    one.add_argument("--step", help="row to draw, where the figure is of one")
    one.add_argument("--out", help="a folder, or a path that ends in .zip")
    one.add_argument("--list", action="store_true", help="list the views")

    line = "print the works that an experiment uses, as BibTeX"
    one = command("cite", line, checking.CITE_MORE + EXIT_CODES)
    one.add_argument("experiment", metavar="TOML|PRESET", help="a recipe, - for stdin, or a preset")
    plugin(one)

    line = "judge entries of your own by the laws of their kinds"
    one = command("check", line, checking.CHECK_MORE + EXIT_CODES)
    one.add_argument("file", nargs="+", metavar="PY", help="a plugin, which is run")
    plugin(one)

    line = "compare this machine with exact answers"
    one = command("selftest", line, selftesting.MORE + EXIT_CODES)
    one.add_argument("--device", default="cpu", help="cpu (default), cuda:0, mps")
    one.add_argument(
        "--case", action="append", default=[], metavar="V7", help="only this; may be given again"
    )
    one.add_argument("--json", action="store_true", help="print the results as JSON")
    plugin(one)

    one = command("data", "download a data set", EXIT_CODES)
    one.add_argument("name", metavar="NAME", help="MNIST or FashionMNIST")
    one.add_argument("--root", default="", help="folder of image sets (default: the user's own)")
    return parser, made


# What went wrong ---------------------------------------------------------------------------------


def _reason(error: Exception) -> tuple[str, int]:
    """One line and the exit code for an error."""
    from workbench.refusals import (
        BAD_INPUT,
        DAMAGED,
        ENVIRONMENT,
        INTERNAL,
        Refused,
        is_short_of_memory,
    )

    line = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Refused):
        return line, error.code
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] not in OURS:
        return f"{line}; pip install {(error.name or 'it').partition('.')[0]}", ENVIRONMENT
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or line}", ENVIRONMENT
    if is_short_of_memory(error):
        return f"out of memory ({line[:120]}); take a smaller --batch-size", ENVIRONMENT
    if "core.catalogue" in sys.modules:
        from core.catalogue import BadInput
        from core.datasets.fetch import NotFetched
        from core.footprint import TooLarge
        from core.plugins import BadPackage
        from workbench.files import Damaged

        if isinstance(error, BadInput):
            elsewhere = NotFetched, BadPackage, TooLarge
            codes = {elsewhere: ENVIRONMENT, Damaged: DAMAGED}
            return line, next((c for k, c in codes.items() if isinstance(error, k)), BAD_INPUT)
    hint = "this is an error of the program; --debug shows where"
    return f"{type(error).__name__}: {line}; {hint}", INTERNAL


def _close_stdout() -> None:
    """Let nothing be written any more, so that the interpreter can end without a complaint."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _version() -> str:
    """Of the installed package; a bare clone asks the core, which takes a second."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("relaxoscope")
    except PackageNotFoundError:
        from core import __version__

        return __version__


# figure, data ------------------------------------------------------------------------------------


def figure(args: argparse.Namespace) -> int:
    """Draw one view of a trace and write it with its data."""
    from workbench.refusals import DAMAGED, Refused, as_number, near
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
        raise Refused(f"view: {near(args.view, list(views()))}")
    step = None if args.step is None else as_number(args.step)
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


def data(args: argparse.Namespace) -> int:
    """Download a data set; the only command that goes online."""
    from core.datasets.fetch import download
    from workbench.refusals import tell

    print(download(args.name, args.root, tell(set())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
