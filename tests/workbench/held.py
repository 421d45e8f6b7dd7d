"""A browser without a screen: holds what messages bring, as `assets/look/frames.js` does."""

import json

import numpy as np

SINGLE = ("total", "bare", "residual", "imbalance")
LAYERED = ("energy", "error", "compared", "precision")


class Held:
    """Rows of the lane and of the one behind, the newest head, the pictures."""

    def __init__(self):
        self.rows = {
            name: (np.zeros(0), np.zeros((0, 1), np.float32)) for name in ("rows", "behind")
        }
        self.head = {}
        self.pixels = b""
        self.brought = 0

    def take(self, message):
        length = int.from_bytes(message[:4], "little")
        told = json.loads(message[4 : 4 + length])
        self.head |= told
        at = 4 + length
        self.brought = 0

        def read(dtype, count):
            nonlocal at
            found = np.frombuffer(message, dtype, count, at)
            at += found.nbytes
            return found

        for name in ("rows", "behind"):
            at = -(-at // 8) * 8
            drop, keep, new, columns = told[name]
            step, values = read("<f8", new), read("<f4", new * columns).reshape(new, columns)
            old_step, old = self.rows[name]
            if keep:
                step = np.concatenate([old_step[drop : drop + keep], step])
                values = np.concatenate([old[drop : drop + keep], values])
            self.rows[name] = step, values
            self.brought += new
        at = -(-at // 8) * 8
        if told["pixels"] >= 0:
            self.pixels = message[at : at + told["pixels"]]
            at += told["pixels"]
        assert at == -(-len(message) // 8) * 8 or at == len(message)
        return self

    @property
    def step(self):
        return self.rows["rows"][0]

    def part(self, name, of="rows"):
        """(n,) of a number a row, (n, L) of one for each layer."""
        values = self.rows[of][1]
        if name in SINGLE:
            return values[:, SINGLE.index(name)]
        layers = (values.shape[1] - len(SINGLE)) // len(LAYERED)
        first = len(SINGLE) + LAYERED.index(name) * layers
        return values[:, first : first + layers]

    def pictures(self):
        """(kinds, samples, H, W, channels)."""
        told = self.head["tiles"]
        shape = [told[name] for name in ("lines", "count", "height", "width", "channels")]
        return np.frombuffer(self.pixels, np.uint8).reshape(shape)
