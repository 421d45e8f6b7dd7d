"""What do the axes of the live plots show? First limits, ticks, and what may be drawn on them."""

ENERGY_LIMITS = (-10.0, 1.0)
"""First limits of log10 energy: fixed until the fit button asks for others."""

TOTAL_LIMITS = (-7.0, 2.0)
"""First limits of log10 of total energy and residual."""

HIGHEST = 4.0
"""Up to here the limits of energies grow by themselves: beyond, something diverges."""

PRECISION_LIMITS = (-4.0, 0.0)
"""Least limits of log10 precision."""

POWERS = (
    "return '10' + String(tick).replace(/[-0-9]/g, c => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(c)])"
)
"""Ticks of a logarithm as powers of ten."""

PLAIN = "return Math.abs(tick) < 1e-9 ? '0' : String(+tick.toPrecision(3)).replace('-', '−')"


COMPARISONS = {
    "alignment": ("cosine to backprop, if stopped here", (-1.05, 1.05), PLAIN),
    "update_ratio": ("norm by backprop's, if stopped here", (-8.0, 2.0), POWERS),
    "agreement": ("share of signs as backprop's", (-0.05, 1.05), PLAIN),
    "prediction_drift": ("drift of predictions since t = 0, RMS", (-8.0, 1.0), POWERS),
}
"""What the panel in the middle may draw: title, first limits and ticks."""

PER = {"layers": "layer", "units": "unit"}
"""What the imbalance may compare."""

PREDICTED = {
    "arrival": ("small-rate law", "6 3"),
    "spiking": ("spiking, ½|h − h⁰|²", "2 3"),
    "rest": ("equilibrium", "8 3 2 3"),
}
"""Curves of theory over depth: what they are called, and their dashes."""


ROW_AXIS = "row (t runs from 0 in each {})"
