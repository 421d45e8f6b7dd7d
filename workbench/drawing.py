"""How is a figure for a paper made from a shell? One view of a trace, with its data."""

import argparse
from pathlib import Path

MORE = """\
Example: relaxoscope figure trace.nc --view energy_time --step 12 --out energy.zip
"""


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
