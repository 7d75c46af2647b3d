"""Small pieces of logic that components of every room are made of."""

from amaranth import Const


def exceeds(value, most):
    """Whether ``value`` is above the constant ``most``; nothing is compared where it has too few bits to be."""
    return value > most if most < (1 << len(value)) - 1 else Const(0, 1)
