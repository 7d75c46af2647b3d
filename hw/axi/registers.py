# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite register files, each rendered from one description: the hardware, its documentation, what a driver needs.

::

    i_aw --> held --+                       +--> field ports (hardware side)
    i_w  --> held --+--> write --> fields --+
    o_b  <----------+                |
    i_ar --> o_r <-------------------+

A description is a tuple of ``Register``, each of fields. ``describe`` gives it as plain data (JSON), which is all that a
driver needs (``sim.host.driver``), and ``markdown`` as a table for people. Offsets, positions and resets are written
down once.

Rejected:

* Fields wider than a word, for counters and addresses of 64 bits: two registers say the same, and which of the two words
  takes effect, or is frozen while the other is read, is for the machine to say.
* A register generator of others. Those of SystemRDL write SystemVerilog, and ``amaranth-soc`` has a CSR bus and Wishbone:
  a bridge to AXI4-Lite would be of the size of the slave here.
"""

from dataclasses import dataclass, field

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.axi.channels import Response, connect_lite, lite_pins, lite_signatures
from zoetrope.hw.emit import emit_once

WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8

#: What software may do with a field, and what hardware has of it.
ACCESS = {
    "rw": "software reads and writes; hardware sees the value",
    "ro": "software reads what hardware drives; a write is ignored",
    "w1c": "hardware sets bits, software reads them and clears those that it writes as 1; setting wins",
    "pulse": "a bit written as 1 is 1 for one cycle on the hardware side; reads as 0",
}


@dataclass(frozen=True)
class Field:
    """Bits of a register.

    Parameters
    ----------
    name : of the port, behind the register's
    width : bits
    access : a key of ``ACCESS``
    reset : value after reset, of ``rw`` and ``w1c``
    doc : meaning
    bit : lowest bit in the register; by default the first free one
    values : an enumeration of the values that it has, if they have names
    """

    name: str
    width: int = 1
    access: str = "rw"
    reset: int = 0
    doc: str = ""
    bit: int | None = None
    values: type | None = field(default=None, repr=False)  # names for software: no other hardware

    def __post_init__(self):
        if not self.name.isidentifier():
            raise ValueError(f"a field's name must be an identifier, not {self.name!r}")
        if not 1 <= self.width <= WORD_BITS:
            raise ValueError(f"width of field {self.name} must be 1 to {WORD_BITS}, not {self.width!r}")
        if self.access not in ACCESS:
            raise ValueError(f"access of field {self.name} must be one of {', '.join(ACCESS)}, not {self.access!r}")
        if not 0 <= self.reset < 1 << self.width:
            raise ValueError(f"reset of field {self.name} must fit {self.width} bits, not {self.reset!r}")
        if self.reset and self.access in ("ro", "pulse"):
            raise ValueError(f"field {self.name} is {self.access} and has no reset, but {self.reset!r} is given")


@dataclass(frozen=True)
class Register:
    """A word of the register file.

    Parameters
    ----------
    name : of the register
    offset : in bytes, a multiple of 4
    fields : the lowest first; a field without ``bit`` follows the one before
    doc : meaning
    """

    name: str
    offset: int
    fields: tuple
    doc: str = ""

    def __post_init__(self):
        if not self.name.isidentifier():
            raise ValueError(f"a register's name must be an identifier, not {self.name!r}")
        if self.offset < 0 or self.offset % WORD_BYTES:
            raise ValueError(f"offset of register {self.name} must be a multiple of {WORD_BYTES}, not {self.offset!r}")
        if not self.fields:
            raise ValueError(f"register {self.name} must have fields")
        names = [f.name for f in self.fields]
        if len(set(names)) < len(names):
            raise ValueError(f"fields of register {self.name} must have different names, not {', '.join(names)}")
        end = 0
        for f, bit in zip(self.fields, self.bits):
            if bit < end:
                raise ValueError(f"field {f.name} of register {self.name} must begin at bit {end} or above, not {bit}")
            end = bit + f.width
        if end > WORD_BITS:
            raise ValueError(f"fields of register {self.name} must fit {WORD_BITS} bits, not {end}")

    @property
    def bits(self):
        """The lowest bit of each field."""
        positions, free = [], 0
        for f in self.fields:
            positions.append(free if f.bit is None else f.bit)
            free = positions[-1] + f.width
        return positions

    def port(self, f):
        """The name of the port of field ``f``: the register's, with the field's behind it where they differ."""
        return self.name if f.name == self.name else f"{self.name}_{f.name}"


def register(name, offset, width=WORD_BITS, access="rw", reset=0, doc=""):
    """A ``Register`` of one field of the same name."""
    return Register(name, offset, (Field(name, width, access, reset, doc),), doc)


#: A register file with every kind of field.
EXAMPLE = (
    Register(
        "control",
        0x00,
        (
            Field("start", 1, "pulse", doc="begins a run"),
            Field("abort", 1, "pulse", doc="ends it"),
            Field("mode", 2, "rw", 1, doc="of the run", bit=4),
            Field("threshold", 16, "rw", 0x3C00, doc="FP16", bit=12),
        ),
    ),
    Register(
        "status",
        0x04,
        (Field("busy", 1, "ro", doc="a run goes on"), Field("cause", 3, "ro", doc="of the last error", bit=8)),
    ),
    Register(
        "interrupt",
        0x08,
        (Field("done", 1, "w1c", doc="a run ended"), Field("error", 1, "w1c", 1, doc="with an error")),
    ),
    register("cycles", 0x0C, access="ro", doc="of the last run"),
    register("address", 0x10, doc="of the first byte of the data"),
    register("wide", 0x3C, 31, reset=0x12345678, doc="a field that is no whole word"),
)

#: Names of the register file that are not those of fields.
_TAKEN = {"clk", "rst", "config", "signature", "metadata", "elaborate", "latency", "initiation_interval"}
_TAKEN |= set(lite_signatures(WORD_BITS, WORD_BITS))

#: Of the pins of ``RegistersPins``.
PREFIX = "s_axil"
_TAKEN |= set(lite_pins(PREFIX, WORD_BITS, WORD_BITS))


@dataclass(frozen=True)
class RegistersConfig:
    registers: tuple = field(metadata={"doc": "the description: a tuple of `Register`"})
    address_bits: int = field(default=12, metadata={"doc": "of the slave; those above its own are not given to it"})

    def __post_init__(self):
        if not self.registers:
            raise ValueError("registers must have at least one register")
        checks.between(self, 3, 64, "address_bits")
        seen = {}
        for r in self.registers:
            for key in (r.name, r.offset):
                if key in seen:
                    raise ValueError(f"registers {seen[key].name} and {r.name} must differ in name and offset: {key!r}")
                seen[key] = r
            if r.offset >= 1 << self.address_bits:
                raise ValueError(f"offset of register {r.name} must fit {self.address_bits} bits, not {r.offset:#x}")
        ports = [port for port, _ in self.ports()]
        if taken := _TAKEN.intersection(ports):
            raise ValueError(f"no field may have the port {', '.join(sorted(taken))}: the register file has it")
        if twice := {port for port in ports if ports.count(port) > 1}:
            raise ValueError(f"fields must have different ports, not {', '.join(sorted(twice))} twice")

    def ports(self):
        """(name, member) of the hardware side of every field, in order."""
        for r in self.registers:
            for f in r.fields:
                yield r.port(f), In(f.width) if f.access == "ro" else Out(f.width)
                if f.access == "w1c":
                    yield f"{r.port(f)}_set", In(f.width)


class Registers(wiring.Component):
    """A register file on AXI4-Lite, 32 bits wide, its channels as streams; ``RegistersPins`` has the standard names.

    AW and W are taken in any order. Bytes without strobe keep their value. The low two bits of an address are not looked
    at. An address that no register has is answered SLVERR, reads as 0, and changes nothing. Bits that belong to no field
    read as 0. Addresses are compared whole: the file does not repeat.

    Parameters
    ----------
    config : RegistersConfig

    Members
    -------
    i_aw, i_w, o_b, i_ar, o_r : the channels, streams as ``hw.axi.channels`` has them
    <register>_<field>, or <register> where both names are the same : the hardware side of a field, see ``ACCESS``: Out for
        ``rw``, ``w1c`` and ``pulse``, In for ``ro``
    <register>_<field>_set : In, of a ``w1c`` field: bits that hardware sets

    Latency: 1 cycle from AR to R, 2 from the later of AW and W to B; a field shows what was written with B, a pulse for
    that one cycle. Initiation interval: 2 cycles, of reads and of writes: no path leads through from one channel to
    another, as AXI wants it. Backpressure: yes.
    Golden: ``golden.axi.registers.RegisterFile``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(lite_signatures(config.address_bits, WORD_BITS) | dict(config.ports()))

    @property
    def register_map(self):
        """The description of the registers that software sees."""
        return self.config.registers

    @property
    def latency(self):
        """Of a read."""
        return 1

    @property
    def initiation_interval(self):
        """Of reads and of writes."""
        return 2

    def elaborate(self, platform):
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m):
        held = {}
        act = Signal(name="write")
        b_valid = Signal()
        for channel in (self.i_aw, self.i_w):
            name = "aw" if channel is self.i_aw else "w"
            there = Signal(name=f"{name}_there")
            payload = Signal(channel.payload.shape(), name=f"{name}_held", reset_less=True)
            m.d.comb += channel.ready.eq(~there)
            with m.If(act):
                m.d.sync += there.eq(0)
            with m.If(channel.valid & channel.ready):
                m.d.sync += [there.eq(1), payload.eq(channel.payload)]
            held[name] = there, payload
        (aw_there, aw), (w_there, w) = held["aw"], held["w"]
        m.d.comb += [act.eq(aw_there & w_there & ~b_valid), self.o_b.valid.eq(b_valid)]

        # Bits that are written, and by what.
        mask = Signal(WORD_BITS, name="write_mask")
        m.d.comb += [mask.word_select(k, 8).eq(w.strb[k].replicate(8)) for k in range(WORD_BYTES)]
        response = Signal(Response, reset_less=True)
        m.d.comb += self.o_b.payload.resp.eq(response)
        with m.If(act):
            m.d.sync += [b_valid.eq(1), response.eq(Response.SLVERR)]
        with m.Elif(self.o_b.ready):
            m.d.sync += b_valid.eq(0)
        for r in self.config.registers:
            chosen = Signal(name=f"{r.name}_chosen")
            m.d.comb += chosen.eq(act & (aw.addr[2:] == r.offset // WORD_BYTES))
            with m.If(chosen):
                m.d.sync += response.eq(Response.OKAY)
            for f, bit in zip(r.fields, r.bits):
                bits = slice(bit, bit + f.width)
                self._write_field(m, r, f, chosen, mask[bits], w.data[bits])

    def _write_field(self, m, r, f, chosen, mask, value):
        if f.access == "ro":
            return
        port = getattr(self, r.port(f))
        state = Signal(f.width, name=f"{r.port(f)}_now", init=f.reset)
        written = Signal(f.width, name=f"{r.port(f)}_written")
        m.d.comb += [port.eq(state), written.eq(mask & chosen.replicate(f.width))]
        if f.access == "rw":
            m.d.sync += state.eq((state & ~written) | (value & written))
        elif f.access == "w1c":
            m.d.sync += state.eq((state & ~(value & written)) | getattr(self, f"{r.port(f)}_set"))
        else:
            m.d.sync += state.eq(value & written)

    def _read(self, m):
        r_valid = Signal()
        payload = Signal(self.o_r.payload.shape(), name="r_held", reset_less=True)
        m.d.comb += [self.i_ar.ready.eq(~r_valid), self.o_r.valid.eq(r_valid), self.o_r.payload.eq(payload)]
        with m.If(self.i_ar.valid & self.i_ar.ready):
            m.d.sync += [r_valid.eq(1), payload.data.eq(0), payload.resp.eq(Response.SLVERR)]
            with m.Switch(self.i_ar.payload.addr[2:]):
                for r in self.config.registers:
                    with m.Case(r.offset // WORD_BYTES):
                        m.d.sync += payload.resp.eq(Response.OKAY)
                        for f, bit in zip(r.fields, r.bits):
                            if f.access != "pulse":
                                m.d.sync += payload.data[bit : bit + f.width].eq(getattr(self, r.port(f)))
        with m.Elif(self.o_r.ready):
            m.d.sync += r_valid.eq(0)


class RegistersPins(wiring.Component):
    """``Registers`` under the standard pin names, ``s_axil_awaddr`` and so on; the fields' ports are the same.

    Parameters
    ----------
    config : RegistersConfig
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(lite_pins(PREFIX, config.address_bits, WORD_BITS) | dict(config.ports()))

    def elaborate(self, platform):
        m = Module()
        registers = Registers(config=self.config)
        m.submodules.registers = emit_once(registers)
        connect_lite(m, self, PREFIX, registers)
        for name, member in self.config.ports():
            inner, outer = getattr(registers, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


# -- documentation and drivers -------------------------------------------------------------------------------------------


def describe(registers):
    """The description as plain data: register name to ``offset``, ``doc`` and ``fields``.

    A field has ``bit``, ``width``, ``access``, ``reset`` and ``doc``, and ``values`` where they have names.
    """
    return {
        r.name: {
            "offset": r.offset,
            "doc": r.doc,
            "fields": {f.name: {"bit": bit, **_described(f)} for f, bit in zip(r.fields, r.bits)},
        }
        for r in registers
    }


def _described(f):
    values = {"values": {value.name: value.value for value in f.values}} if f.values else {}
    return {"width": f.width, "access": f.access, "reset": f.reset, "doc": f.doc, **values}


def markdown(registers):
    """The description as a Markdown table, a line a field, in order of address."""
    lines = ["| offset | register | bits | field | access | reset | meaning |", "|---|---|---|---|---|---|---|"]
    for r in sorted(registers, key=lambda r: r.offset):
        for k, (f, bit) in enumerate(zip(r.fields, r.bits)):
            place = (f"`{r.offset:#05x}`", f"`{r.name}`") if k == 0 else ("", "")
            bits = f"{bit + f.width - 1}:{bit}" if f.width > 1 else f"{bit}"
            reset = f"{f.reset:#x}" if f.access in ("rw", "w1c") else ""
            doc = (f.doc if f.doc or len(r.fields) > 1 else r.doc).replace("|", "\\|")
            lines.append("| " + " | ".join((*place, bits, f"`{f.name}`", f.access, reset, doc)) + " |")
    legend = [f"{access}: {meaning}." for access, meaning in ACCESS.items()]
    return "\n".join([*lines, "", *legend, "", "Other addresses answer SLVERR; other bits read as 0."]) + "\n"


#: Config of each preset; the first is the default.
PRESETS = {"default": RegistersConfig(EXAMPLE), "one": RegistersConfig((register("value", 0, 5, reset=9),), 3)}
