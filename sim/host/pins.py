# SPDX-License-Identifier: Apache-2.0
"""The pins of a simulated board in place of a serial port: bytes to levels on ``rx``, levels of ``tx`` to bytes."""

import numpy as np

from zoetrope.hw.board.demonstrator import Demonstrator
from zoetrope.sim.host.line import Decoder, sampled
from zoetrope.sim.run.native import Native

#: Cycles without a byte after which a read gives up, in bits of the line.
SILENCE_BITS = 2000


class Pins:
    """What ``sim.host.board.Board`` needs of a port, on a demonstrator that runs as fast as it can. Time passes in ``read``.

    Parameters
    ----------
    config : of the demonstrator
    drift : by how much the host's bits are longer than the board's
    disturb : function of the levels that are about to be driven, which returns those that are, or None

    Attributes
    ----------
    native : the running design
    cycles : clock cycles so far
    """

    def __init__(self, config, *, drift=0.0, disturb=None):
        self.native = Native.build(Demonstrator(config=config), "demonstrator")
        self._divisor = config.divisor
        self._drift, self.disturb = drift, disturb
        self._patience = config.timeout + SILENCE_BITS * config.divisor
        self._decoder = Decoder(config.divisor * (1 + drift))
        self._waiting = bytearray()
        self._levels = []
        self.cycles = 0
        self.native.set("rx", 1)

    def write(self, data):
        levels = sampled(np.frombuffer(bytes(data), np.uint8), self._divisor * (1 + self._drift))
        self._levels = self._levels + (self.disturb(levels) if self.disturb else levels)

    def read(self, size):
        self._drive(self._levels)
        self._levels = []
        idle = 0
        while len(self._waiting) < size and idle < self._patience:
            before = len(self._waiting)
            self._drive([1] * (10 * self._divisor))
            idle = 0 if len(self._waiting) > before else idle + 10 * self._divisor
        taken, self._waiting = bytes(self._waiting[:size]), self._waiting[size:]
        return taken

    def reset_input_buffer(self):
        self._waiting.clear()

    def close(self):
        pass

    def _drive(self, levels):
        if len(levels):
            shown = self.native.play({"rx": np.array(levels, np.uint8)}, ["tx"])["tx"][:, 0]
            self._waiting += self._decoder.feed(shown)
            self.cycles += len(levels)
