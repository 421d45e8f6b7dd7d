"""How is what is on the screen run again elsewhere? One command that carries its recipe."""

import re

import tomli_w

from core.experiment import Experiment


def recipe_toml(experiment: Experiment) -> str:
    """The whole experiment as TOML, as `relaxoscope relax --recipe` reads it."""
    text = tomli_w.dumps(experiment.to_dict())
    lists = re.compile(r"\[\n((?:    [^\[\]\n]+,\n)+)\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split()).rstrip(',')}]", text)


def command(experiment: Experiment, batch: int, out: str = "trace.nc") -> str:
    """A command for a POSIX shell that relaxes the batch again.

    Args:
        experiment: the choices at the cursor.
        batch: number of the batch.
        out: the NetCDF file to write.
    """
    return (
        f"relaxoscope relax --recipe - --batch {batch} --steps {experiment.steps} "
        f"--seed {experiment.seed} --dtype {experiment.dtype} --out {out} <<'TOML'\n"
        f"{recipe_toml(experiment)}TOML\n"
    )
