"""How is a figure for a paper made from a shell? Views of traces, with their data."""

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.refusals import DAMAGED

if TYPE_CHECKING:
    import xarray as xr

    from workbench.plate import Plate

MORE = """\
Example: relaxoscope figure trace.nc --view energy_time --step 12 --out energy.zip

Several --view become panels (a), (b), ... of one figure; several traces are pooled as runs. Over
runs, seeds, batches or samples the centre is drawn in a band:

    relaxoscope relax --seeds 0..4 --batches 10 --out five.nc
    relaxoscope figure five.nc --view imbalance --view total --over seed --spread median \\
        --paper NeurIPS --out figure.zip

What is not named by --over is averaged first. The zip holds the figure as PDF, SVG and PNG, its
data (NetCDF, CSV), the recipe, the event log, redraw.py, references.bib and a draft of the caption.

"""


OPENS = 60.0
"""Seconds in which a trace is opened, however large it is."""

MOVIE_MORE = """\
Example: relaxoscope movie trace.nc --fps 8 --out talk.gif
         relaxoscope movie trace.nc --out talk.mp4     # by ffmpeg, of the path or of imageio-ffmpeg

Energy by depth and the total, 960 by 540 pixels, one row a frame; of more than 300 rows evenly
spaced ones. The axes are those of all rows, and a change of the recipe is told when it comes.

"""


def movie(args: argparse.Namespace) -> int:
    """Write a relaxation as an animated GIF or an MP4."""
    from core import cache
    from workbench import movie as moving
    from workbench import mp4
    from workbench.refusals import ENVIRONMENT, Refused, as_number

    out, fps = Path(args.out), as_number(args.fps)
    makers = {".gif": moving.gif, ".mp4": mp4.mp4}
    if out.suffix.lower() not in makers:
        raise Refused(f"out: {out}; a path that ends in .gif or .mp4")
    if not isinstance(fps, int):
        raise Refused(f"fps: {args.fps}; an integer 1..{moving.FASTEST}")
    if not Path(args.trace).is_file():
        raise Refused(f"trace: {args.trace}; no such file")
    trace = _loaded([args.trace])
    try:
        made = makers[out.suffix.lower()](trace, fps)
    except ValueError as refused:
        raise Refused(str(refused)) from refused
    except RuntimeError as failed:
        raise Refused(str(failed), ENVIRONMENT) from failed

    def write(beside: Path) -> None:
        beside.write_bytes(made)

    try:
        cache.keep(out, write)
    except OSError as failed:
        raise Refused(f"out: {out}; could not be written ({failed})", ENVIRONMENT) from failed
    rows = len(moving.rows_of(trace))
    print(f"{rows} frames of {trace.sizes['step']} rows, {len(made) / 1e6:.1f} MB, {out}")
    return 0


def figure(args: argparse.Namespace) -> int:
    """Draw views of a trace and write them with its data."""
    from workbench.refusals import Refused, as_number, near
    from workbench.views import views

    if args.list:
        for name, module in views().items():
            print(f"{name:<16} {module.TITLE}")
        return 0
    for name in ("trace", "view", "out"):
        if not getattr(args, name):
            raise Refused(f"{name}: missing; figure TRACE --view NAME --out FOLDER_OR_ZIP")
    for path in args.trace:
        if not Path(path).is_file():
            raise Refused(f"trace: {path}; no such file")
    for name in args.view:
        if name not in views():
            raise Refused(f"view: {near(name, list(views()))}")
    step = None if args.step is None else as_number(args.step)
    if step is not None and (not isinstance(step, int) or step < 0):
        raise Refused(f"step: {args.step}; the number of a row, from 0")
    from workbench import figures

    trace = _loaded(args.trace)
    last = int(trace["step"].values[-1]) if trace.sizes.get("step") else 0
    if step is not None and step > last:
        raise Refused(f"step: {step}; a row 0..{last} of {args.trace[0]}")
    try:
        print(figures.export(_plate(args, trace, step), trace, Path(args.out)))
    except ValueError as refused:
        raise Refused(str(refused)) from refused
    return 0


def _plate(args: argparse.Namespace, trace: "xr.Dataset", step: int | None) -> "Plate":
    """The figure that the words ask for; a trace of several is drawn over all that it has."""
    from workbench import many
    from workbench.plate import PAPERS, Plate
    from workbench.refusals import Refused, as_number, near

    if args.paper not in PAPERS:
        raise Refused(f"paper: {near(args.paper, list(PAPERS))}")
    over = many.dims(trace) if args.over is None else tuple(",".join(args.over).split(","))
    columns = as_number(args.columns)
    return Plate(tuple(args.view), step, args.paper, columns, over, args.spread)


def _loaded(paths: list[str]) -> "xr.Dataset":
    """A trace, or several of them as one with the dimension run."""
    from workbench import figures, many
    from workbench.refusals import Refused

    try:
        for path in paths:  # what is wrong with it is told when it is read
            with _in_time(path), suppress(OSError, ValueError, RuntimeError):
                figures.check_size(Path(path).expanduser())
        found = [figures.load(path) for path in paths]
    except ValueError as damaged:
        raise Refused(str(damaged), DAMAGED) from damaged
    if len(found) == 1:
        return found[0]
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        raise Refused(f"trace: {', '.join(names)}; files of different names")
    for path, one in zip(paths, found, strict=True):
        if many.dims(one):
            raise Refused(f"trace: {path}; alone, because it has several relaxations already")
    try:
        return many.combine({"run": names}, found)
    except ValueError as refused:
        raise Refused(str(refused)) from refused


@contextmanager
def _in_time(path: str) -> Iterator[None]:
    """End the command if a file is not opened: HDF5 may search a damaged one for ever."""
    timer = threading.Timer(OPENS, _give_up, (path,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(path: str) -> None:
    """Say so and end: nothing else ends a call into a library."""
    print(f"relaxoscope: trace: {path}; not opened within {OPENS:g} s", file=sys.stderr, flush=True)
    os._exit(DAMAGED)
