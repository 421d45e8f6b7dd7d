"""The command `relaxoscope` in a folder of its own: its files, what it says, what it changes."""

import numpy as np
import xarray as xr
from safetensors.numpy import save_file

from workbench import cli

W1 = [[1.0, 0.5], [-0.5, 1.0]]
W2 = [[0.5, -1.0], [1.0, 0.5]]
W3 = [[1.0, -1.0], [0.5, 1.0]]

RECIPE = """\
dataset = "SmallDigits"
batch_size = 50
steps = 4
[network]
name = "MLP"
hidden = [8, 8]
"""
"""Of a training whose batches take milliseconds."""


class Place:
    """A folder, with files for the command and the command itself."""

    def __init__(self, folder, capfd):
        self.folder, self.capfd = folder, capfd
        self.out = folder / "trace.nc"

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def problem(self, weights, x, y, *, hidden=(), activation="identity", bias=False, **arrays):
        """Files of a network, its weights and its data; returns the options that name them."""
        dials = f"hidden = {list(hidden)}\nactivation = '{activation}'\nbias = {str(bias).lower()}"
        self.write("net.toml", f"name = 'MLP'\n{dials}\n")
        save_file({k: np.array(v) for k, v in weights.items()}, self.folder / "w.safetensors")
        np.savez(self.folder / "d.npz", x=np.array(x), y=np.array(y), **arrays)
        names = {"network": "net.toml", "weights": "w.safetensors", "data": "d.npz"}
        return [word for k, v in names.items() for word in (f"--{k}", str(self.folder / v))]

    def scalar(self):
        """Two linear layers of one unit: x = 1, W = 2, 3, y = 5."""
        return self.problem({"W1": [[2.0]], "W2": [[3.0]]}, [[1.0]], [[5.0]], hidden=[1])

    def linear(self):
        """The linear 2-2-2-2 network."""
        weights = {"W1": W1, "W2": W2, "W3": W3}
        return self.problem(weights, [[1.0, -2.0]], [[0.5, -1.0]], hidden=[2, 2])

    def rate(self, value):
        """A recipe of plain gradient descent from a forward sweep."""
        text = f"init = 'Forward'\n[dynamics]\nname = 'GradientDescent'\nrate = {value}\n"
        return ["--recipe", str(self.write("r.toml", text))]

    def run(self, *words):
        """Exit code, stdout and stderr."""
        code = cli.main([str(word) for word in words])
        said = self.capfd.readouterr()
        return code, said.out, said.err

    def relax(self, *words, code=0):
        """The trace that a relaxation in float64 wrote."""
        words = ["relax", "--dtype", "float64", "--out", self.out, *words]
        came, _, err = self.run(*words)
        assert came == code, err
        return xr.load_dataset(self.out)

    def refused(self, *words):
        """Exit code and the line of a command that must leave the folder as it was."""
        before = snapshot(self.folder)
        code, out, err = self.run(*words)
        assert out == ""
        assert err.count("\n") == 1 and err.startswith("relaxoscope: "), err
        assert snapshot(self.folder) == before
        return code, err


def snapshot(folder):
    """Every path below a folder, with content and time."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }
