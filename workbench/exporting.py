"""How does a run leave for other programs? As Zarr, NetCDF or CSV; its weights as safetensors."""

import argparse
from contextlib import closing
from pathlib import Path

from workbench.refusals import DAMAGED, Refused, as_number

MORE = """\
--out x.zarr    Zarr, format 3: every chunk with a checksum, metadata gathered once
--out x.nc      NetCDF-4: every variable with Fletcher's checksum
--out x.csv     a line for each row and layer
Rows are the root, what is known of whole batches is the group "batches" (not in CSV). What was
written is read back and compared before it gets its name.

  >>> xarray.open_zarr("x.zarr").energy
  >>> xarray.open_dataset("x.nc", group="batches").accuracy

"""

WEIGHTS_MORE = """\
The weights with which batch N begins, as far as they were kept (`relaxoscope runs show` lists
them); that of the end has the number of batches as its own. Keys are those of the network's
state_dict(), which `relax --weights` and `train --weights` read.

"""


def export(args: argparse.Namespace) -> int:
    """Write a lane of a run where other programs can read it."""
    from core.runs import Run, exports
    from workbench.progress import Progress
    from workbench.running import place

    to = Path(args.out).expanduser()
    exports.check(to, force=args.force)
    with closing(Run(place(args.name, args.root))) as run:
        with Progress() as progress:
            print(exports.export(run, to, _lane(args), force=args.force, progress=progress))
        if run.recovered:  # all that is held was exported, and not all that was stored
            line = f"run: {run.name}; {run.recovered}; the export holds the rest"
            raise Refused(line, DAMAGED)
    return 0


def weights(args: argparse.Namespace) -> int:
    """Write the weights with which a batch of a run began."""
    from safetensors.torch import save_file

    from core import cache
    from core.runs import Run
    from workbench.running import place

    to = Path(args.out).expanduser()
    if to.suffix != ".safetensors":
        raise Refused(f"out: {to}; a path that ends in .safetensors")
    if not to.parent.is_dir():
        raise Refused(f"out: {to}; there is no folder {to.parent}")
    if to.exists() and not (args.force and to.is_file()):
        raise Refused(f"out: {to}; exists, choose another or --force")
    number = None if args.batch is None else as_number(args.batch)
    if number is not None and not isinstance(number, int):
        raise Refused(f"batch: {args.batch}; the number of a batch")
    with closing(Run(place(args.name, args.root))) as run:
        lane = _lane(args)
        kept = run.kept(lane)
        if not kept:
            raise Refused(
                f"weights: {run.name}; none were kept, train --weights-every N keeps them"
            )
        number = kept[-1] if number is None else number
        tensors = dict(run.weights(number, lane))
    cache.keep(to, lambda beside: save_file(tensors, beside))
    print(f"{to}: {len(tensors)} tensors of batch {number}")
    return 0


def _lane(args: argparse.Namespace) -> int | None:
    """The lane that is asked for, if one is."""
    if args.lane is None:
        return None
    number = as_number(args.lane)
    if not isinstance(number, int) or number < 0:
        raise Refused(f"lane: {args.lane}; an integer of 0 or more")
    return number
