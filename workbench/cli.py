"""What can be done without a window? The command `relaxoscope`, one subcommand each.

Exit codes: 0 done, 1 the relaxation diverged or a case failed, 2 bad input, 3 the environment (a
port, a folder, the network, a device), 4 damaged data, 70 an error of this program; 130 and 143
where a signal ended it. Whatever goes wrong is said in one line on stderr; `--debug` adds the
traceback.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable

INTERRUPTED, CLOSED = 130, 141


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
        from workbench.refusals import reason

        line, code = reason(error)
        print(f"relaxoscope: {line}", file=sys.stderr)
        return code


def _run(argv: list[str]) -> int:
    """Parse, then act."""
    from workbench import grammar
    from workbench.refusals import Refused, near

    parser, commands = grammar.parser()
    if not argv:
        parser.print_help()
        return 0
    grammar.check_words(argv, commands)
    args, rest = parser.parse_known_args(argv)
    if args.version:
        print(f"relaxoscope {_version()}")
        return 0
    if args.command is None:
        if rest:
            raise Refused(f"option: {near(rest[0], ['--help', '--version', '--debug'])}")
        raise Refused(f"command: missing; one of {', '.join(grammar.names(commands))}")
    if rest and args.command != "serve":
        words = f"{args.command} {getattr(args, 'action', None) or ''}".strip()
        options = [o for a in commands[words]._actions for o in a.option_strings]
        known = [o for o in options if o.startswith("--")]
        raise Refused(f"{words}: {near(rest[0].partition('=')[0], known)}")
    if args.command == "serve":
        from workbench import serving

        serving.keep_secret()  # before a plugin imports Bokeh
    if hasattr(args, "plugin"):
        _load_plugins(args.plugin)
    return _acts(rest)[args.command](args)


def _acts(rest: list[str]) -> dict[str, Callable[[argparse.Namespace], int]]:
    """What each command does; `rest` are words that go on to panel."""
    from workbench import (
        checking,
        drawing,
        exporting,
        recipes,
        relaxing,
        running,
        selftesting,
        serving,
        supplying,
        sweeping,
        training,
    )

    return {
        "serve": lambda args: serving.serve(args, rest),
        "relax": relaxing.relax,
        "train": training.train,
        "sweep": sweeping.sweep,
        "runs": running.runs,
        "export": exporting.export,
        "weights": exporting.weights,
        "figure": drawing.figure,
        "movie": drawing.movie,
        "cite": checking.cite,
        "check": checking.check,
        "selftest": selftesting.selftest,
        "presets": recipes.presets,
        "datasets": supplying.datasets,
        "data": supplying.data,
    }


def _load_plugins(files: list[str]) -> None:
    """Take over entries of others before a command reads the name of one."""
    from importlib.metadata import entry_points

    if files or entry_points(group="relaxoscope.plugins"):
        from core import plugins

        plugins.load_installed()
        for path in files:
            plugins.load(path)


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


if __name__ == "__main__":
    sys.exit(main())
