r"""Which energies are only rounding? The floor of each layer, and the mark of what lies under it.

A state of RMS $a$ is stored to half a spacing of its dtype, $\epsilon a / 2$ at most, and so is the
prediction that is taken from it, a dot product; an error $e = h - \mu$ is then known to within
$\epsilon a$ a unit. Each of the $t$ updates behind a row has rounded once more, and what is rounded
independently adds in quadrature: $\lvert e \rvert^2$ is known to within
$(1 + t)\,(\epsilon a)^2$ a unit, and the energy of $d$ units to within

$$E^{\text{floor}} = (1 + t)\, d\, (\epsilon a)^2 / 2 .$$

What this takes for granted, and does not know:

- Every update rounds anew, as it does when states move. Where updates stay below half a spacing
  they are all lost, and losses of one sign add up: $t\,\epsilon a / 2$ a unit at most, an energy
  of $(1 + t) / 4$ floors. Deep chains passed the floor at rates of 3e-4 and less, by a factor
  below two.
- What a neighbour's rounding does to a layer is not followed. It passes the floor where activities
  differ by orders of magnitude between neighbours.
- A trace of level lean has no activities; its states count as of RMS 1, which is no less than that
  of any bounded activation such as tanh. States of RMS above 1 have a higher floor than it says.

An energy of exactly zero is marked too. It may be exact, of a layer that was swept and not reached,
or what was left of updates that were all lost: the number cannot say which. `energy == 0` tells it
from noise.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def floor_of(
    size: ArrayLike, eps: float, activity: ArrayLike = 1.0, t: ArrayLike = 0
) -> NDArray[Any]:
    r"""$(1 + t)\, d\, (\epsilon a)^2 / 2$: the energy that rounding alone can make.

    A state that is exactly zero has no rounding of its own, so a is never taken below eps itself,
    far below any real state: the floor stays positive.

    Args:
        size: units of each layer, d, (L,).
        eps: distance from 1 to the next number of the states' dtype.
        activity: RMS of each layer's state, a, (L,) or (rows, L).
        t: updates since the phase began, a number or (rows,).

    Returns:
        In nats, the mean over the batch as energies are: (L,) or (rows, L).

    Source: this project.
    """
    a = np.maximum(np.asarray(activity, dtype=float), eps)
    roundings = 1.0 + np.asarray(t, dtype=float)[..., None]
    return roundings * np.asarray(size, dtype=float) * np.square(eps * a) / 2


def rounded(energy: ArrayLike, floor: ArrayLike) -> NDArray[np.bool_]:
    """Where an energy is at or below its floor, zero included; one that is not finite never is."""
    energy = np.asarray(energy, dtype=float)
    return np.isfinite(energy) & (energy <= floor)
