# SPDX-License-Identifier: Apache-2.0
"""What the benches of the arithmetic operators share: rows in and out under cocotb, and millions of them without it."""

import numpy as np
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.golden import formats
from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import connect
from zoetrope.sim.packing import pack
from zoetrope.sim.payloads import as_rows

#: Vectors a call of the native driver: a few tens of megabytes of rows and cycle numbers.
CHUNK = 1 << 20


async def check_rows(bench, rows, expected, describe=None):
    """Send ``rows``, compare what comes with ``expected``, measure latency and initiation interval."""
    bench.send("i", rows)
    got = await bench.collect("o", len(rows))
    bench.compare(got, expected, describe=describe)
    bench.measure(latency=("i", 0, "o", 0), interval="o")


class SideBySide(wiring.Component):
    """Several stream operators in one design, so that one build serves them all: operator k between ``i_k`` and ``o_k``."""

    def __init__(self, *operators):
        self._operators = operators
        self.config = tuple((type(operator).__name__, operator.config) for operator in operators)
        ports = {}
        for k, operator in enumerate(operators):
            ports[f"i_{k}"] = In(stream.Signature(operator.i.payload.shape()))
            ports[f"o_{k}"] = Out(stream.Signature(operator.o.payload.shape()))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        for k, operator in enumerate(self._operators):
            m.submodules[f"operator_{k}"] = emit_once(operator)
            connect(m, getattr(self, f"i_{k}"), operator.i)
            connect(m, operator.o, getattr(self, f"o_{k}"))
        return m


def run(native, k, rows):
    """The results of operator ``k`` of a native ``SideBySide`` for ``rows``, as rows of bytes."""
    return native.streams({f"i_{k}": rows}, {f"o_{k}": len(rows)})[0][f"o_{k}"]


def check(native, k, rows, expected):
    """``AssertionError`` unless operator ``k`` of a native ``SideBySide`` turns ``rows`` into ``expected``."""
    for start in range(0, len(rows), CHUNK):
        want = as_rows(expected[start : start + CHUNK])
        np.testing.assert_array_equal(run(native, k, rows[start : start + CHUNK]), want)


def golden_format(fmt):
    """The golden's description of a format of the hardware."""
    return getattr(formats, fmt.name)


def operands_and_results(a, b, fmt):
    """Payload rows of both streams of a comparison of ``a`` with ``b``, by the golden."""
    rows = pack(a, b, widths=[fmt.width] * 2)
    return rows, pack(*float_compare(a, b, fmt), widths=[1, 1, fmt.width, fmt.width])
