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
