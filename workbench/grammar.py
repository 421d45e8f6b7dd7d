"""What may be said to the command `relaxoscope`? Its words and options, and no act."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

EXIT_CODES = """\
exit codes:
  0 done    1 diverged, or a case failed    2 bad input    3 environment    4 damaged data
  130, 143 ended by Ctrl-C; by SIGTERM or `runs stop`
"""

DEBUG = "add the traceback of an error"

Commands = dict[str, argparse.ArgumentParser]
"""The parser of each command by its words: "relax", "runs list"."""


class Parser(argparse.ArgumentParser):
    """Argparse with one line per error."""

    def error(self, message: str) -> NoReturn:
        """Refuse in one line, without the usage."""
        from workbench.refusals import Refused

        raise Refused(f"{message} (see {self.prog} --help)")


def names(commands: Commands) -> list[str]:
    """The first words of the commands."""
    return list(dict.fromkeys(words.partition(" ")[0] for words in commands))


def check_words(argv: Sequence[str], commands: Commands) -> None:
    """Refuse an unknown command or action, with the nearest."""
    from workbench.refusals import Refused, near

    first = argv[0]
    if not first.startswith("-") and first not in names(commands):
        raise Refused(f"command: {near(first, names(commands))}")
    actions = [words.partition(" ")[2] for words in commands if words.startswith(f"{first} ")]
    if actions and len(argv) > 1 and not argv[1].startswith("-") and argv[1] not in actions:
        raise Refused(f"{first}: {near(argv[1], actions)}")


class Grammar:
    """The parser while it is made."""

    def __init__(self) -> None:
        """Begin with what holds for every command."""
        self.parser = Parser(
            prog="relaxoscope",
            description="Relaxation dynamics of predictive coding networks.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.parser.add_argument("--version", action="store_true", help="print the version")
        self.parser.add_argument("--debug", action="store_true", help=DEBUG)
        self.commands: Commands = {}
        self._under = self.parser.add_subparsers(
            dest="command", metavar="COMMAND", parser_class=Parser
        )

    def command(
        self, words: str, line: str, more: str, text: str = "", under: Any = None
    ) -> argparse.ArgumentParser:
        """Add a command, or an action under one.

        Args:
            words: "relax", "runs list".
            line: what it does, for the list of commands.
            more: below its options.
            text: above them, if the line does not say enough.
            under: where the actions of a command go.
        """
        made = (under or self._under).add_parser(
            words.rpartition(" ")[2],
            help=line,
            description=text or line,
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=words == "serve",  # so that no other spelling of --address reaches panel
        )
        made.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        self.commands[words] = made
        return made


def parser() -> tuple[argparse.ArgumentParser, Commands]:
    """The parser, and that of each command."""
    grammar = Grammar()
    for add in (
        _serve,
        _relax,
        _train,
        _sweep,
        _runs,
        _exports,
        _figure,
        _movie,
        _judging,
        _supplies,
    ):
        add(grammar)
    return grammar.parser, grammar.commands


def _serve(grammar: Grammar) -> None:
    from workbench import serving

    one = grammar.command("serve", "open the workbench in a browser", serving.MORE)
    one.add_argument("--port", default="5006", help="1..65535 (default: 5006)")
    one.add_argument("--address", default="127.0.0.1", help="to listen at (default: 127.0.0.1)")
    _plugin(one)


def _relax(grammar: Grammar) -> None:
    from workbench import relaxing

    line = "relax one batch and write its trace"
    one = grammar.command("relax", line, relaxing.FILES + EXIT_CODES, relaxing.WHAT)
    one.add_argument("--data", metavar="NPZ", help="samples of your own")
    _choices(one)
    one.add_argument("--batch", default="0", metavar="K", help="which batch, from 0 (default: 0)")
    one.add_argument(
        "--batches", metavar="N", help="so many from K on, as a dimension of the trace"
    )
    one.add_argument(
        "--seeds", metavar="A..B", help="all of them: 0..4, or 0,3,7 (default: --seed)"
    )
    one.add_argument(
        "--batch-size", metavar="B", help="samples in it (default: all of NPZ; 20 of a named set)"
    )
    one.add_argument("--level", default="full", help="full (default), or lean: energies only")
    one.add_argument("--align", action="store_true", help="record the cosine to backprop's update")
    one.add_argument("--out", required=True, metavar="NC", help="the trace, NetCDF (required)")
    one.add_argument("--csv", metavar="CSV", help="also F and the energies of the layers as text")
    _plugin(one)


def _train(grammar: Grammar) -> None:
    from workbench import training

    line = "train on a named set and record it as a run"
    one = grammar.command("train", line, training.MORE + EXIT_CODES, training.WHAT)
    one.set_defaults(data=None)
    _choices(one)
    one.add_argument("--batches", metavar="N", help="how many")
    one.add_argument("--epochs", metavar="E", help="how many of them instead (default: 1)")
    one.add_argument("--batch-size", metavar="B", help="samples in a batch (default: 20)")
    one.add_argument("--level", help="lean (default): energies only; or full")
    one.add_argument(
        "--weights-every", metavar="N", help="keep them before every Nth batch (default: an epoch)"
    )
    one.add_argument(
        "--test-every", metavar="N", help="test accuracy before every Nth (default: an epoch)"
    )
    one.add_argument(
        "--align-every",
        metavar="N",
        help="cosine of every Nth update to backprop's (default: none)",
    )
    one.add_argument(
        "--relaxations",
        metavar="N",
        help="keep that of every Nth batch whole, with samples and forces (default: none)",
    )
    one.add_argument(
        "--checkpoint-every",
        metavar="S",
        help="seconds between two places to go on from (default: 60); 0: the end and a signal",
    )
    where = one.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", metavar="RUN", help="the run's folder (this or --resume)")
    where.add_argument("--resume", metavar="RUN", help="go on with a run, its name or a path to it")
    _plugin(one)


def _sweep(grammar: Grammar) -> None:
    from workbench import sweeping

    line = "train or relax every point of a grid, and gather what came of them"
    one = grammar.command("sweep", line, sweeping.MORE + EXIT_CODES, sweeping.WHAT)
    one.set_defaults(data=None, weights=None)
    axis = "a choice and its values; may be given again"
    one.add_argument("--over", action="append", default=[], metavar="NAME=A,B,...", help=axis)
    one.add_argument("--seeds", metavar="A..B", help="all of them: 0..4, or 0,3,7")
    one.add_argument("--points", metavar="FILE", help="a list of points in place of a grid")
    _choices(one, weights=False)
    one.add_argument("--batches", metavar="N", help="train each point for so many")
    one.add_argument("--epochs", metavar="E", help="for so many of them instead")
    one.add_argument("--batch", metavar="K", help="without those: which is relaxed (default: 0)")
    one.add_argument("--batch-size", metavar="B", help="samples in a batch (default: 20)")
    one.add_argument("--level", help="lean (default of trainings): energies only; or full")
    for name, what in (
        ("weights", "keep them before every Nth batch (default: an epoch)"),
        ("test", "test accuracy before every Nth (default: an epoch)"),
        ("align", "cosine of every Nth update to backprop's (default: none)"),
    ):
        one.add_argument(f"--{name}-every", metavar="N", help=what)
    one.add_argument("--checkpoint-every", metavar="S", help="seconds between two (default: 60)")
    one.add_argument("--workers", metavar="N", help="processes here (default: as many as cores)")
    one.add_argument("--scheduler", metavar="ADDRESS", help="of dask, in place of those")
    one.add_argument("--errored", action="store_true", help="begin errored points anew")
    one.add_argument("--yes", action="store_true", help="more than 100,000 points are meant")
    one.add_argument("--out", required=True, metavar="DIR", help="of the sweep (required)")
    _plugin(one)


def _runs(grammar: Grammar) -> None:
    from workbench import running, steering

    line = "list, show, export, annotate, put away, replay and steer runs"
    held = grammar.command("runs", line, running.MORE + EXIT_CODES)
    under = held.add_subparsers(dest="action", metavar="ACTION", parser_class=Parser)

    def action(name: str, line: str, more: str = EXIT_CODES) -> argparse.ArgumentParser:
        one = grammar.command(f"runs {name}", line, more, under=under)
        _root(one)
        return one

    _json(action("list", "list the runs, newest first"))
    one = action("show", "show what is known of a run", running.SHOW_MORE + EXIT_CODES)
    one.add_argument("name", metavar="NAME", help="of the run")
    _json(one)
    _export(action("export", "write a lane where other programs can read it", EXIT_CODES))
    one = action("trash", "put runs away; they can be restored for 14 days")
    one.add_argument("name", nargs="+", metavar="NAME", help="of the run; several may be given")
    one = action("restore", "bring a run back from the trash")
    one.add_argument("name", metavar="NAME", help="of the run")
    one = action("rename", "give a run another name")
    one.add_argument("name", metavar="NAME", help="of the run")
    one.add_argument("new", metavar="NEW", help="its name from now on")
    one = action("note", "write a title or a note; without either, print them")
    one.add_argument("name", metavar="NAME", help="of the run")
    one.add_argument("text", nargs="?", metavar="TEXT", help="the note, instead of the one before")
    one.add_argument("--title", help="one line")
    one = action("tag", "add tags to a run, or take them away")
    one.add_argument("name", metavar="NAME", help="of the run")
    one.add_argument("tag", nargs="*", metavar="TAG", help="a word")
    one.add_argument("--remove", action="store_true", help="take these tags away")
    one = action("replay", "do a recorded session again and compare")
    one.add_argument("name", metavar="NAME", help="of the run")
    _json(one)
    for name, (line, more) in steering.ACTS.items():
        one = action(name, line, more + EXIT_CODES)
        one.add_argument("name", metavar="NAME", help="of the run")
        if name == "change":
            one.add_argument("choice", nargs="+", metavar="NAME=VALUE", help="steps=9 and the like")
        one.add_argument("--wait", metavar="S", help="seconds for the answer (default: 10)")


def _exports(grammar: Grammar) -> None:
    from workbench import exporting

    line = "write a lane of a run as Zarr, NetCDF or CSV"
    one = grammar.command("export", line, exporting.MORE + EXIT_CODES)
    _root(one)
    _export(one)
    line = "write weights that a run has kept as safetensors"
    one = grammar.command("weights", line, exporting.WEIGHTS_MORE + EXIT_CODES)
    _root(one)
    one.add_argument("name", metavar="RUN", help="its name, or a path to it")
    one.add_argument("--batch", metavar="N", help="with which batch N begins (default: the last)")
    one.add_argument("--lane", metavar="K", help="which lane (default: the last)")
    one.add_argument("--out", required=True, metavar="SAFETENSORS", help="the file (required)")
    one.add_argument("--force", action="store_true", help="replace the file that is there")


def _figure(grammar: Grammar) -> None:
    from workbench import drawing
    from workbench.plate import PAPERS

    line = "draw a figure of a trace for a paper"
    one = grammar.command("figure", line, drawing.MORE + EXIT_CODES)
    one.add_argument("trace", nargs="*", metavar="TRACE", help="a trace of relax, or several")
    one.add_argument("--view", action="append", help="which figure; several become its panels")
    one.add_argument("--step", help="row to draw, where the figure is of one")
    one.add_argument("--paper", default="ICML", help=f"{', '.join(PAPERS)} (default: ICML)")
    one.add_argument("--columns", default="1", help="1 (default) or 2")
    line = "draw centre and band over run, seed, batch, sample (default: all that TRACE has)"
    one.add_argument("--over", action="append", metavar="DIM,DIM", help=line)
    line = "mean and standard deviation (default: mean), or median and quartiles"
    one.add_argument("--spread", default="mean", metavar="mean|median", help=line)
    one.add_argument("--out", help="a folder, or a path that ends in .zip")
    one.add_argument("--list", action="store_true", help="list the views")


def _movie(grammar: Grammar) -> None:
    from workbench import drawing

    line = "draw a relaxation as an animated GIF or an MP4 for a talk"
    one = grammar.command("movie", line, drawing.MOVIE_MORE + EXIT_CODES)
    one.add_argument("trace", metavar="TRACE", help="a trace that relax wrote")
    one.add_argument("--fps", default="8", help="rows a second, 1..50 (default: 8)")
    one.add_argument("--out", required=True, metavar="GIF|MP4", help="the file (required)")


def _judging(grammar: Grammar) -> None:
    from workbench import checking, selftesting

    line = "print the works that an experiment uses, as BibTeX"
    one = grammar.command("cite", line, checking.CITE_MORE + EXIT_CODES)
    one.add_argument("experiment", metavar="TOML|PRESET", help="a recipe, - for stdin, or a preset")
    _plugin(one)
    line = "judge entries of your own by the laws of their kinds"
    one = grammar.command("check", line, checking.CHECK_MORE + EXIT_CODES)
    one.add_argument("file", nargs="+", metavar="PY", help="a plugin, which is run")
    _plugin(one)
    line = "compare this machine with exact answers"
    one = grammar.command("selftest", line, selftesting.MORE + EXIT_CODES)
    one.add_argument("--device", default="cpu", help="cpu (default), cuda:0, mps")
    one.add_argument(
        "--case", action="append", default=[], metavar="V7", help="only this; may be given again"
    )
    _json(one)
    _plugin(one)


def _supplies(grammar: Grammar) -> None:
    from workbench import recipes, supplying

    line = "list the presets, and what came of them"
    one = grammar.command("presets", line, recipes.PRESETS_MORE + EXIT_CODES)
    _json(one)

    line = "list the named sets, and which of them are here"
    one = grammar.command("datasets", line, supplying.DATASETS_MORE + EXIT_CODES)
    one.add_argument("--root", default="", help="folder of image sets (default: the user's own)")
    _json(one)
    _plugin(one)
    one = grammar.command("data", "download a data set", EXIT_CODES)
    one.add_argument("name", metavar="NAME", help="MNIST, FashionMNIST, KMNIST, CIFAR10, CIFAR100")
    one.add_argument("--root", default="", help="folder of image sets (default: the user's own)")


# What several of them take -----------------------------------------------------------------------


def _choices(one: argparse.ArgumentParser, *, weights: bool = True) -> None:
    """Which experiment; `weights` for one network only."""
    one.add_argument("--network", metavar="TOML", help="the network's name and dials")
    if weights:
        one.add_argument("--weights", metavar="SAFETENSORS", help="weights of every layer")
    one.add_argument("--dataset", metavar="NAME", help="a named set: Digits, SmallDigits, ...")
    one.add_argument("--recipe", metavar="TOML|PRESET", help="choices of the experiment")
    one.add_argument("--pretraining", help="of a named set: random (default), trained, 'epoch k'")
    one.add_argument("--steps", metavar="T", help="state updates, 1..100000 (default: 20)")
    one.add_argument("--seed", help="of weights, batches and noise (default: 0)")
    one.add_argument("--dtype", help="float32 (default) or float64")
    one.add_argument("--device", help="cpu (default), cuda:0, mps")


def _export(one: argparse.ArgumentParser) -> None:
    """What is written where."""
    one.add_argument("name", metavar="RUN", help="its name, or a path to it")
    one.add_argument("--out", required=True, metavar="FILE", help=".zarr, .nc or .csv (required)")
    one.add_argument("--lane", metavar="K", help="which lane (default: the last)")
    one.add_argument("--force", action="store_true", help="replace what is there")


def _root(one: argparse.ArgumentParser) -> None:
    line = "folder of runs (default: RELAXOSCOPE_RUNS, else ./runs)"
    one.add_argument("--root", metavar="DIR", help=line)


def _json(one: argparse.ArgumentParser) -> None:
    one.add_argument("--json", action="store_true", help="print it as JSON")


def _plugin(one: argparse.ArgumentParser) -> None:
    line = "entries of your own: Python, which is run, or a network in TOML; may be given again"
    one.add_argument("--plugin", action="append", default=[], metavar="FILE", help=line)
