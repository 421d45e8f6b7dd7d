"""How is what is on the screen run again elsewhere? One command that carries its recipe."""

from typing import Any

import tomli_w

from core.experiment import Experiment


def recipe_toml(experiment: Experiment) -> str:
    """The whole experiment as TOML, as `relaxoscope relax --recipe` reads it."""
    return tomli_w.dumps(_without_none(experiment.to_dict()))


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


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}
