"""Begin from one feed-forward sweep: all error starts at the clamped output."""

from dataclasses import dataclass

from core.catalogue import dial, entry
from core.network import States
from core.start import Start


@entry(
    "init",
    "Forward",
    formula=r"h_\ell^{(0)} = f_\ell(h_{\ell-1}^{(0)}) + \sigma \xi_\ell",
    source="whittington2017",
)
@dataclass(frozen=True)
class Forward:
    r"""One sweep from the clamped bottom, so that every hidden error is zero.

    $h_\ell^{(0)} = f_\ell(h_{\ell-1}^{(0)}) + \sigma\xi_\ell$ with standard normal $\xi_\ell$,
    added after the sweep. Error reaches layer L - k at step k, so that T < L - 1 steps leave the
    first weights without a gradient.

    Raises:
        ValueError: if a root is free or the graph has a cycle.

    Source: whittington2017; pinchetti2026, section 3.
    """

    noise: float = dial(0.0, bounds=(0.0, 1.0), symbol="σ", help="Gaussian noise after the sweep")

    def __call__(self, start: Start) -> States:
        """The sweep from the clamped roots."""
        swept = start.network.sweep(start.clamped)
        if self.noise == 0.0:
            return swept
        return [h + self.noise * start.noise(i) for i, h in enumerate(swept)]
