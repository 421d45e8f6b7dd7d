"""What does mathematics say about a relaxation? Closed forms to draw beside what was measured."""

from core.theory.cost import Account, multiply_adds, smm
from core.theory.curvature import Hessian, Spectrum, spectrum
from core.theory.linear import Rest, equilibrium, least_energy, mupc_factor, rest
from core.theory.signal import Reach, arrival, backprop_errors, reach, spiking_displacement

__all__ = [
    "Account",
    "Hessian",
    "Reach",
    "Rest",
    "Spectrum",
    "arrival",
    "backprop_errors",
    "equilibrium",
    "least_energy",
    "multiply_adds",
    "mupc_factor",
    "reach",
    "rest",
    "smm",
    "spectrum",
    "spiking_displacement",
]
