"""Which nonlinearity? torch's own modules, by the names that recipes use."""

from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "hard_tanh": nn.Hardtanh,
    "identity": nn.Identity,
}


def layer(wide: int, out: int, activation: str, *, bias: bool) -> nn.Module:
    """A linear map and an activation: the state that it predicts is post-activation."""
    linear = nn.Linear(wide, out, bias=bias)
    return linear if activation == "identity" else nn.Sequential(linear, ACTIVATIONS[activation]())
