# SPDX-License-Identifier: Apache-2.0
"""The channels of AXI4 and AXI4-Lite as streams, and the same under the standard pin names.

Inside, a channel is an ``amaranth.lib.stream`` of what varies on it: so the benches hold it to the rules of a stream, which
are those of AXI (valid does not wait for ready, the payload stays until it is taken), and parts are joined by
``hw.stream.connect``. At the boundary of a machine ``master_pins`` and ``lite_pins`` give the pins their names, and what is
constant its value:

=================  ===========================================================================================
AxSIZE             the whole data width
AxBURST            INCR
AxID               0: responses come in the order of the bursts
AxLOCK, AxQOS      0
AxCACHE            0011: normal memory, bufferable, not cached
AxPROT             000: data, secure, unprivileged
=================  ===========================================================================================

Of AXI4-Lite's inputs AxPROT is not looked at. RID, BID and RLAST are not looked at either: with one ID there is one order,
and every beat is counted here. Clock and reset are ``clk`` and ``rst``, active high and synchronous: ARESETN inverted. A
reset is one of the whole bus: what was begun before it is never answered.

Rejected: all signals as fields of the payloads, 18 more bits in every address channel that no logic uses.
"""

import re

from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

BURST_INCR = 1
CACHE = 0b0011
PROT = 0b000

#: Bursts must not cross a boundary of so many bytes.
BOUNDARY = 4096

#: Beats of the longest burst of AXI4.
LONGEST_BURST = 256

_HANDSHAKE = {"valid": "what stands on the channel's other pins is to be taken", "ready": "it is taken at this edge"}

_ADDRESS = {
    "id": "ID, always 0: responses come in the order of the bursts",
    "addr": "byte address of the first beat, a multiple of the data word",
    "len": "beats of the burst, less one; no burst crosses 4 KiB",
    "size": "log2 of the bytes of a beat, always the whole data word",
    "burst": "always 01, INCR",
    "lock": "always 0, no exclusive access",
    "cache": "always 0011: normal memory, bufferable, not cached",
    "prot": "always 000: data, secure, unprivileged",
    "qos": "always 0",
    **_HANDSHAKE,
}

_RESPONSE = "0 OKAY, 1 EXOKAY, 2 SLVERR, 3 DECERR"

#: Channel to the meanings of its pins, of an AXI4 master ("m") and of an AXI4-Lite slave ("s").
_MEANINGS = {
    "m": {
        "aw": _ADDRESS,
        "w": {
            "data": "data to write",
            "strb": "a bit a byte: it is written",
            "last": "last beat of a burst",
            **_HANDSHAKE,
        },
        "b": {"id": "not looked at", "resp": _RESPONSE, **_HANDSHAKE},
        "ar": _ADDRESS,
        "r": {"id": "not looked at", "data": "data read", "resp": _RESPONSE, "last": "not looked at: beats are counted"}
        | _HANDSHAKE,
    },
    "s": {
        "aw": {"addr": "byte address of a register; the low two bits are not looked at", "prot": "not looked at"}
        | _HANDSHAKE,
        "w": {"data": "data to write", "strb": "a bit a byte: it is written", **_HANDSHAKE},
        "b": {"resp": "0 OKAY; 2 SLVERR where no register is", **_HANDSHAKE},
        "ar": {"addr": "byte address of a register; the low two bits are not looked at", "prot": "not looked at"}
        | _HANDSHAKE,
        "r": {"data": "data read", "resp": "0 OKAY; 2 SLVERR where no register is", **_HANDSHAKE},
    },
}

_CHANNEL = {"aw": "write address", "w": "write data", "b": "write response", "ar": "read address", "r": "read data"}


def meaning(pin):
    """What a pin of ``master_pins`` or ``lite_pins`` says, for people; "" for any other name."""
    found = re.fullmatch(r"([ms])_axil?_(aw|w|b|ar|r)([a-z]+)", pin)
    said = found and _MEANINGS[found[1]][found[2]].get(found[3])
    return f"{_CHANNEL[found[2]]}: {said}" if said else ""


class Response(enum.Enum, shape=2):
    """xRESP. Whoever asks for no exclusive access never sees EXOKAY; it is no error."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


class Cause(enum.Enum, shape=3):
    """How a command ended. The first three errors refuse it, the others come while it is carried out."""

    OKAY = 0
    LENGTH = 1  # of zero
    ALIGNMENT = 2  # the address is no multiple of the data word
    RANGE = 3  # it ends beyond the address space
    SLVERR = 4  # the first error among the responses
    DECERR = 5
    FRAME = 6  # of a writer: its data had more or fewer words


def address_layout(address_bits):
    """AW and AR: ``addr``, and ``len`` = beats - 1."""
    return data.StructLayout({"addr": address_bits, "len": 8})


def r_layout(data_bits):
    return data.StructLayout({"data": data_bits, "resp": Response, "last": 1})


def w_layout(data_bits):
    return data.StructLayout({"data": data_bits, "strb": data_bits // 8, "last": 1})


B_LAYOUT = data.StructLayout({"resp": Response})


def lite_r_layout(data_bits):
    return data.StructLayout({"data": data_bits, "resp": Response})


def lite_w_layout(data_bits):
    return data.StructLayout({"data": data_bits, "strb": data_bits // 8})


STATUS_LAYOUT = data.StructLayout({"cause": Cause})


def master_pins(prefix, address_bits, data_bits):
    """Members of a component that is an AXI4 master of both directions: ``<prefix>_awaddr`` and so on."""
    pins = {}
    for channel in ("aw", "ar"):
        fields = {"id": 1, "addr": address_bits, "len": 8, "size": 3, "burst": 2}
        fields |= {"lock": 1, "cache": 4, "prot": 3, "qos": 4, "valid": 1}
        pins |= {f"{channel}{name}": Out(width) for name, width in fields.items()} | {f"{channel}ready": In(1)}
    pins |= {"wdata": Out(data_bits), "wstrb": Out(data_bits // 8), "wlast": Out(1), "wvalid": Out(1), "wready": In(1)}
    pins |= {"bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1)}
    pins |= {"rid": In(1), "rdata": In(data_bits), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1)}
    return {f"{prefix}_{name}": member for name, member in pins.items()}


def lite_pins(prefix, address_bits, data_bits):
    """Members of a component that is an AXI4-Lite slave: ``<prefix>_awaddr`` and so on."""
    pins = {}
    for channel in ("aw", "ar"):
        pins |= {f"{channel}addr": In(address_bits), f"{channel}prot": In(3)}
        pins |= {f"{channel}valid": In(1), f"{channel}ready": Out(1)}
    pins |= {"wdata": In(data_bits), "wstrb": In(data_bits // 8), "wvalid": In(1), "wready": Out(1)}
    pins |= {"bresp": Out(2), "bvalid": Out(1), "bready": In(1)}
    pins |= {"rdata": Out(data_bits), "rresp": Out(2), "rvalid": Out(1), "rready": In(1)}
    return {f"{prefix}_{name}": member for name, member in pins.items()}


def connect_read(m, component, prefix, ar, r):
    """Join the read pins of ``component`` to the streams ``ar`` and ``r`` of a master inside it."""
    _offer(m, component, f"{prefix}_ar", ar)
    _constants(m, component, f"{prefix}_ar", r.payload.data.shape().width)
    _take(m, component, f"{prefix}_r", r)


def connect_write(m, component, prefix, aw, w, b):
    """Join the write pins of ``component`` to the streams ``aw``, ``w`` and ``b`` of a master inside it."""
    _offer(m, component, f"{prefix}_aw", aw)
    _constants(m, component, f"{prefix}_aw", w.payload.data.shape().width)
    _offer(m, component, f"{prefix}_w", w)
    _take(m, component, f"{prefix}_b", b)


def connect_lite(m, component, prefix, slave):
    """Join the pins of ``component`` to the streams ``i_aw``, ``i_w``, ``o_b``, ``i_ar`` and ``o_r`` of ``slave``."""
    for channel in ("aw", "w", "ar"):
        _take(m, component, f"{prefix}_{channel}", getattr(slave, f"i_{channel}"))
    for channel in ("b", "r"):
        _offer(m, component, f"{prefix}_{channel}", getattr(slave, f"o_{channel}"))


def connect_memory(m, machine, prefix, slave):
    """Join the pins of ``machine``, a submodule that is an AXI4 master, to ``i_aw`` and so on of ``slave``."""
    for channel in ("aw", "w", "ar"):
        _take(m, machine, f"{prefix}_{channel}", getattr(slave, f"i_{channel}"))
    for channel in ("b", "r"):
        _offer(m, machine, f"{prefix}_{channel}", getattr(slave, f"o_{channel}"))


def connect_registers(m, machine, prefix, master):
    """Join the pins of ``machine``, a submodule that is an AXI4-Lite slave, to ``o_aw`` and so on of ``master``."""
    for channel in ("aw", "w", "ar"):
        _offer(m, machine, f"{prefix}_{channel}", getattr(master, f"o_{channel}"))
    for channel in ("b", "r"):
        _take(m, machine, f"{prefix}_{channel}", getattr(master, f"i_{channel}"))


def lite_signatures(address_bits, data_bits):
    """The same five channels as members that are streams."""
    address = data.StructLayout({"addr": address_bits})
    return {
        "i_aw": In(stream.Signature(address)),
        "i_w": In(stream.Signature(lite_w_layout(data_bits))),
        "o_b": Out(stream.Signature(B_LAYOUT)),
        "i_ar": In(stream.Signature(address)),
        "o_r": Out(stream.Signature(lite_r_layout(data_bits))),
    }


def _offer(m, component, prefix, source):
    m.d.comb += getattr(component, f"{prefix}valid").eq(source.valid)
    m.d.comb += source.ready.eq(getattr(component, f"{prefix}ready"))
    for name, _ in source.payload.shape():
        m.d.comb += getattr(component, f"{prefix}{name}").eq(source.payload[name])


def _take(m, component, prefix, sink):
    m.d.comb += sink.valid.eq(getattr(component, f"{prefix}valid"))
    m.d.comb += getattr(component, f"{prefix}ready").eq(sink.ready)
    for name, _ in sink.payload.shape():
        m.d.comb += sink.payload[name].eq(getattr(component, f"{prefix}{name}"))


def _constants(m, component, prefix, data_bits):
    m.d.comb += [
        getattr(component, f"{prefix}size").eq(exact_log2(data_bits // 8)),
        getattr(component, f"{prefix}burst").eq(BURST_INCR),
        getattr(component, f"{prefix}cache").eq(CACHE),
        getattr(component, f"{prefix}prot").eq(PROT),
    ]
