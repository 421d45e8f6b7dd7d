"""How is what is on the screen run again elsewhere? A command with its recipe, or Python."""

import json
import re
from collections.abc import Mapping
from typing import Any

import tomli_w

from core.experiment import Experiment


def recipe_toml(experiment: Experiment) -> str:
    """The whole experiment as TOML, as `relaxoscope relax --recipe` reads it."""
    text = tomli_w.dumps(experiment.to_dict())
    lists = re.compile(r"\[\n((?:    [^\[\]\n]+,\n)+)\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split()).rstrip(',')}]", text)


def script(log: Mapping[str, Any]) -> str:
    """Python that repeats a session, with all its lanes, and has the trace of the last one.

    Args:
        log: as `Session.log` gives it.
    """
    text = json.dumps(log, indent=1).replace("'", "\\u0027")  # only strings hold any
    return (
        "import json\n\nfrom workbench.session import Session\n\n"
        f"LOG = r'''\n{text}\n'''\n\n"
        "session = Session.replay(json.loads(LOG))\n"
        "trace = session.lane.trace.dataset()  # an xarray.Dataset\n"
    )


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
