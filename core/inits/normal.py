"""Begin from Gaussian noise."""

from dataclasses import dataclass

from core.catalogue import dial, entry
from core.network import States
from core.start import Start


@entry(
    "init",
    "Normal",
    formula=r"h_\ell^{(0)} \sim \mathcal{N}(a, \sigma^2)",
    source="pinchetti2026",
)
@dataclass(frozen=True)
class Normal:
    r"""Independent Gaussian noise in every free state, drawn anew for each batch.

    $h_\ell^{(0)} \sim \mathcal N(a, \sigma^2)$. Far from the forward pass, so that every layer has
    energy at once.

    Source: pinchetti2026, section 3.
    """

    mean: float = dial(0.0, bounds=(-10.0, 10.0), symbol="a", help="mean of the noise")
    sd: float = dial(0.05, bounds=(0.0, 10.0), symbol="σ", help="standard deviation of the noise")

    def __call__(self, start: Start) -> States:
        """Noise for every state."""
        return [self.mean + self.sd * start.noise(i) for i in range(start.count)]
