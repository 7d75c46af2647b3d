# SPDX-License-Identifier: Apache-2.0
"""What a register file answers: a model in software of ``hw.axi.registers``."""

#: Responses of the bus.
OKAY, SLVERR = 0, 2

_WORD_BYTES = 4


class RegisterFile:
    """Registers by their description, as software and hardware see them.

    Parameters
    ----------
    description : register name to ``offset`` and ``fields``; field name to ``bit``, ``width``, ``access`` ("rw", "ro",
        "w1c" or "pulse") and ``reset``

    Attributes
    ----------
    values : (register, field) to its value; those of ``ro`` fields are for hardware to change
    pulses : (register, field) to the bits of a ``pulse`` field that the last write raised
    """

    def __init__(self, description):
        self._registers = {r["offset"]: (name, r["fields"]) for name, r in description.items()}
        self.values = {
            (name, field): f["reset"]
            for name, fields in self._registers.values()
            for field, f in fields.items()
            if f["access"] != "pulse"
        }
        self.pulses = {}

    def set(self, register, field, bits):
        """Hardware sets ``bits`` of a ``w1c`` field."""
        self.values[register, field] |= bits

    def write(self, address, data, strobes=0b1111):
        """Software writes the bytes of ``data`` that ``strobes`` choose. Returns the response."""
        self.pulses = {}
        name, fields = self._registers.get(address - address % _WORD_BYTES, (None, None))
        if name is None:
            return SLVERR
        mask = sum(0xFF << 8 * k for k in range(_WORD_BYTES) if strobes >> k & 1)
        for field, f in fields.items():
            bits = (1 << f["width"]) - 1
            value, written = data >> f["bit"] & bits, mask >> f["bit"] & bits
            if f["access"] == "rw":
                self.values[name, field] = (self.values[name, field] & ~written) | (value & written)
            elif f["access"] == "w1c":
                self.values[name, field] &= ~(value & written)
            elif f["access"] == "pulse":
                self.pulses[name, field] = value & written
        return OKAY

    def read(self, address):
        """What software reads: (data, response)."""
        name, fields = self._registers.get(address - address % _WORD_BYTES, (None, None))
        if name is None:
            return 0, SLVERR
        return sum(self.values.get((name, field), 0) << f["bit"] for field, f in fields.items()), OKAY
