# SPDX-License-Identifier: Apache-2.0
"""Small pieces of logic that many components need."""

from amaranth import Const


def exceeds(value, most):
    """Whether ``value`` is above ``most``; constant where it has too few bits to be."""
    return value > most if most < (1 << len(value)) - 1 else Const(0, 1)


def sticky(m, flag, cause, clear):
    """``flag`` is set by ``cause``, and stays until ``clear``; a cause in the same cycle wins."""
    with m.If(cause):
        m.d.sync += flag.eq(1)
    with m.Elif(clear):
        m.d.sync += flag.eq(0)
