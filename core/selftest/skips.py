"""When does the error come through a skip, and does what delays it stay bounded? (V25, V29)."""

import torch
from torch import Tensor

from core.dynamics.gradient import GradientDescent
from core.inits.zero import Zero
from core.networks.residual import BARE, PUBLISHED, RELAY
from core.precisions.spiking import Spiking
from core.selftest.case import DIGITS_10, EXACT, case
from core.selftest.problems import end, flat, skipping


def course(
    skips: str, device: torch.device, state: int, steps: tuple[int, ...] = (1, 2, 3)
) -> Tensor:
    """A state of the block after some steps from zero at rate .5."""
    return flat(*[reached(skips, device, 0.5, one, state=state) for one in steps])


def reached(
    skips: str, device: torch.device, rate: float, steps: int, *, state: int = 1, rest: float = 1.0
) -> Tensor:
    """A state of the block after so many steps from zero; with rest 1 all precisions are one."""
    made = end(
        skipping(skips),
        init=Zero(),
        dynamics=GradientDescent(rate),
        precision=Spiking(rest),
        steps=steps,
        device=device,
    )
    return made.states[state]


# V25: auxiliary neurons --------------------------------------------------------------------------


@case("V25", "a block with a skip: s after steps 1, 2, 3", (0.5, 0, 0.625), EXACT)
def _(device: torch.device) -> Tensor:
    return course(BARE, device, 1)


@case("V25", "the skip as long as the block: s by relays, by neurons", (0, 0, 0.625) * 2, EXACT)
def _(device: torch.device) -> Tensor:
    return flat(course(RELAY, device, 1), course(PUBLISHED, device, 1))


@case("V25", "the ends of both paths: a2, b2", (0.5, 0.25, 0.625, 0.5, 0, 0.875), EXACT)
def _(device: torch.device) -> Tensor:
    return flat(course(PUBLISHED, device, 4), course(PUBLISHED, device, 5))


# V29: auxiliary neurons as a delay line ----------------------------------------------------------


@case("V29", "auxiliary neurons, T = 13, rates .5, .8: |s| in thousands", (3.3, 64), 0.5)
def _(device: torch.device) -> Tensor:
    return flat(*[reached(PUBLISHED, device, rate, 13).abs() / 1e3 for rate in (0.5, 0.8)])


@case("V29", "the same under spiking: s", (0.31, 0.26), 5e-3)
def _(device: torch.device) -> Tensor:
    return flat(*[reached(PUBLISHED, device, rate, 13, rest=1e-3) for rate in (0.5, 0.8)])


@case("V29", "relays, 400 steps, rates .1, .4: s at the equilibrium", (2 / 7,) * 2, DIGITS_10)
def _(device: torch.device) -> Tensor:
    return flat(*[reached(RELAY, device, rate, 400) for rate in (0.1, 0.4)])
