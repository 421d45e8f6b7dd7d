"""Begin from nothing."""

from dataclasses import dataclass

from core.catalogue import entry
from core.network import States
from core.start import Start


@entry("init", "Zero", formula=r"h_\ell^{(0)} = 0", source="pinchetti2026")
@dataclass(frozen=True)
class Zero:
    r"""Every free state is zero.

    $h_\ell^{(0)} = 0$. ReLU networks are dead there, because ReLU'(0) = 0; tanh and gelu are not.

    Source: pinchetti2026, section 3.
    """

    def __call__(self, start: Start) -> States:
        """Zeros for every state."""
        return [start.zeros(i) for i in range(start.count)]
