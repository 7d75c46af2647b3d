# SPDX-License-Identifier: Apache-2.0
"""Registers by name over any transport: a simulated AXI4-Lite master, a UART, a memory map.

A transport has ``read(address)`` and ``write(address, value)`` of 32-bit words, and raises if the bus answered an error.
``Driver`` takes one whose methods return, ``AsyncDriver`` one whose methods are awaited. Names are ``register`` or
``register.field``; what they mean comes from the description alone (``hw.axi.registers.describe``, or the same as JSON)::

    driver = Driver(json.load(open("registers.json")), transport, base=0x4000_0000)
    driver.write("geometry.frames", 26)
    driver.write("control.start", 1)
    while driver.read("status.busy"): ...

Writing a field keeps the ``rw`` fields beside it, by reading them first, and touches no ``w1c`` or ``pulse`` field.
"""


class RegisterError(ValueError):
    """A name that there is not, a value that does not fit, a write to what cannot be written."""


class RegisterMap:
    """Names and fields of a description: addresses, and what of a word is whose."""

    def __init__(self, description, base=0):
        self._description, self._base = description, base

    def __iter__(self):
        return iter(self._description)

    def find(self, name):
        """(address, fields of the register, the field or None) of a name."""
        register, dot, field = name.partition(".")
        if register not in self._description:
            raise RegisterError(f"there is no register {register!r}; there is: {', '.join(self._description)}")
        fields = self._description[register]["fields"]
        if dot and field not in fields:
            raise RegisterError(f"register {register} has no field {field!r}; it has: {', '.join(fields)}")
        return self._base + self._description[register]["offset"], fields, fields[field] if dot else None

    def decode(self, name, word):
        """The value of ``name`` in its register's ``word``."""
        field = self.find(name)[2]
        return word if field is None else word >> field["bit"] & (1 << field["width"]) - 1

    def kept(self, name):
        """The bits beside ``name`` that a write must not change: those of the other ``rw`` fields."""
        _, fields, chosen = self.find(name)
        beside = [f for f in fields.values() if f is not chosen and f["access"] == "rw"]
        return sum((1 << f["width"]) - 1 << f["bit"] for f in beside) if chosen else 0

    def encode(self, name, value, before=0):
        """The word to write for ``name`` = ``value`` where the register was ``before``."""
        _, fields, field = self.find(name)
        width = field["width"] if field else max(f["bit"] + f["width"] for f in fields.values())
        if all(f["access"] == "ro" for f in ([field] if field else fields.values())):
            raise RegisterError(f"{name} can only be read")
        if not 0 <= value < 1 << width:
            raise RegisterError(f"{name} has {width} bits, which {value!r} does not fit")
        return value << (field["bit"] if field else 0) | before & self.kept(name)

    def fields(self, name, word):
        """Field name to value, of a register's ``word``."""
        return {field: self.decode(f"{name}.{field}", word) for field in self.find(name)[1]}


class Driver:
    """Registers by name over a transport whose methods return. ``base`` is the address of the register file."""

    def __init__(self, description, transport, base=0):
        self.map, self._transport = RegisterMap(description, base), transport

    def read(self, name):
        """The value of a register or field."""
        return self.map.decode(name, self._transport.read(self.map.find(name)[0]))

    def fields(self, name):
        """All fields of a register, read at once: name to value."""
        return self.map.fields(name, self.read(name))

    def write(self, name, value):
        """Write a register or field. ``RegisterError`` if it does not fit or can only be read."""
        self.map.encode(name, value)
        address = self.map.find(name)[0]
        before = self._transport.read(address) if self.map.kept(name) else 0
        self._transport.write(address, self.map.encode(name, value, before))


class AsyncDriver:
    """The same over a transport whose methods are awaited."""

    def __init__(self, description, transport, base=0):
        self.map, self._transport = RegisterMap(description, base), transport

    async def read(self, name):
        return self.map.decode(name, await self._transport.read(self.map.find(name)[0]))

    async def fields(self, name):
        return self.map.fields(name, await self.read(name))

    async def write(self, name, value):
        self.map.encode(name, value)
        address = self.map.find(name)[0]
        before = await self._transport.read(address) if self.map.kept(name) else 0
        await self._transport.write(address, self.map.encode(name, value, before))
