# SPDX-License-Identifier: Apache-2.0
"""The values on chip: V of the key tiles in flight, in FP16 and as codes (SIMPICKER V-A).

::

    i_task (place, tokens, offset) --> o_command ~~memory~~> i_data --+--> V, FP16    --> FP16 array, column importance
                                                                      +--> o_encode ~~quantization unit~~> i_codes
                                                                           --> V, codes --> LUT array
"""

from dataclasses import dataclass, field

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.formats import FP16, INT8
from zoetrope.hw.memory.ports import read_port
from zoetrope.hw.memory.wide_store import wide_store
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.computing_engine.tokens import ask_for_tile, encode, token_words


@dataclass(frozen=True)
class ValueBufferConfig:
    lanes: int = field(default=8, metadata={"doc": "B, elements of a word of memory; a power of two"})
    load_lanes: int = field(default=16, metadata={"doc": "L, elements of a word of operands; a power of two from B on"})
    max_channels: int = field(default=64, metadata={"doc": "most channels of V, d"})
    max_tokens: int = field(default=128, metadata={"doc": "most tokens of a key tile"})
    tiles: int = field(default=4, metadata={"doc": "W, key tiles that have a place here; a power of two"})
    matrix_words: int = field(default=4352 * 8, metadata={"doc": "most words of V in memory"})
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.power_of_two(self, "load_lanes", least=self.lanes, why="a word of operands is made of words of memory")
        checks.power_of_two(self, "tiles", least=2)
        checks.at_least(self, 1, "max_channels", "max_tokens", "matrix_words", "address_bits", "length_bits")

    @property
    def max_words(self):
        """Words of memory of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def channel_words(self):
        """Words of operands of the widest token."""
        return -(-self.max_channels // self.load_lanes)

    @property
    def head_layout(self):
        """What stays the same during a head; ``codes_v``: V is wanted as codes, too; ``v``: its address."""
        sizes = {"channels": range(self.max_channels + 1), "words": range(self.max_words + 1)}
        return data.StructLayout({**sizes, "codes_v": 1, "v": self.address_bits})

    @property
    def task_layout(self):
        return data.StructLayout(layouts.tile_fields(self.tiles, self.max_tokens, self.matrix_words))

    @property
    def address_layout(self):
        """Of a word of L channels."""
        return layouts.v_address(self.channel_words, self.max_tokens, self.tiles)


class ValueBuffer(wiring.Component):
    """Loads V of each task in order; W tiles have their places.

    Parameters
    ----------
    config : ValueBufferConfig

    Members
    -------
    head : In, ``channels`` and ``words`` of a token, ``codes_v``, and ``v``, V's address; stable while there are tasks
    i_task : In(stream of ``place``, ``tokens``, ``offset`` in words), taken when its tile is there
    begun : In(1 a place), a task takes the place: what was there is of no use any more
    ready : Out(1 a place), the place's tile is there
    o_command : Out(stream of ``address``, ``length`` in elements), the AXI reader's
    i_data : In(stream of words of B), what it reads
    o_encode, i_codes : Out, In(streams), the quantization unit's second pass, if ``codes_v``
    v_fp16, v_importance : In(read ports), words of L channels. Channels behind the last are +0 in the word of memory that
        has the last, and undefined in those that never came
    v_lut : In(read port), words of L codes
    not_finite : Out(1), since reset a NaN or an infinity came in V

    Cycles: a tile's words, and 1. Backpressure: yes; ``i_codes`` is always taken.
    Memory: W tiles of max_tokens x max_channels, 16 bits (two read ports) and 8.
    Golden: ``golden.memory.words.words``.

    Rejected: V read again from memory for each slice of rows, without a buffer: each slice has its own columns of V, and
    takes fewer cycles than V takes on the bus.
    """

    def __init__(self, *, config):
        self.config = config
        fp16 = In(read_port(config.address_layout, config.load_lanes * FP16.width))
        super().__init__(
            {
                "head": In(config.head_layout),
                "i_task": In(stream.Signature(config.task_layout)),
                "begun": In(config.tiles),
                "ready": Out(config.tiles),
                "o_command": Out(stream.Signature(layouts.command_layout(config.address_bits, config.length_bits))),
                "i_data": In(stream.Signature(layouts.word_layout(config.lanes))),
                "o_encode": Out(stream.Signature(layouts.encode_layout(config.lanes))),
                "i_codes": In(stream.Signature(layouts.codes_layout(config.lanes))),
                "v_fp16": fp16,
                "v_importance": fp16,
                "v_lut": In(read_port(config.address_layout, config.load_lanes * INT8.size)),
                "not_finite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, head = self.config, self.head
        task = self.i_task.payload
        commanded = Signal()
        token = token_words(m, self.i_data, head, self.not_finite, lanes=c.lanes, words=c.max_words, name="v")
        ask_for_tile(m, self.o_command, head.v, task, head.words, c.lanes)
        encode(m, self.o_encode.payload, token, head.channels, c.lanes)
        m.d.comb += [
            self.o_command.valid.eq(self.i_task.valid & ~commanded),
            self.i_data.ready.eq(~head.codes_v | self.o_encode.ready),
            self.o_encode.valid.eq(self.i_data.valid & head.codes_v),
            self.i_codes.ready.eq(1),
        ]
        with m.If(self.o_command.valid & self.o_command.ready):
            m.d.sync += commanded.eq(1)

        codes = self.i_codes
        tokens = self._store(m, "fp16", [self.v_fp16, self.v_importance], token.taken, token.last, token.values)
        code_tokens = self._store(m, "codes", [self.v_lut], codes.valid, codes.payload.last, codes.payload.codes)
        complete = Signal()
        m.d.comb += [
            complete.eq((tokens == task.tokens) & ((code_tokens == task.tokens) | ~head.codes_v)),
            self.i_task.ready.eq(self.i_task.valid & complete),
        ]
        m.d.sync += self.ready.eq((self.ready & ~self.begun) | (self.i_task.ready << task.place))
        with m.If(self.i_task.ready):
            m.d.sync += [commanded.eq(0), tokens.eq(0), code_tokens.eq(0)]
        return m

    def _store(self, m, name, ports, taken, last, values):
        """A memory of tiles; the number of tokens that are there."""
        c = self.config
        token = Signal(range(c.max_tokens + 1), name=f"{name}_token")
        address = Signal(c.address_layout, name=f"{name}_address")
        m.d.comb += [address.token.eq(token), address.place.eq(self.i_task.payload.place)]
        parts = c.load_lanes // c.lanes
        wide_store(m, name, ports, address, values, taken, last, words=c.channel_words, parts=parts)
        with m.If(taken & last):
            m.d.sync += token.eq(token + 1)
        return token


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ValueBufferConfig(),
    "tiny": ValueBufferConfig(
        lanes=2, load_lanes=8, max_channels=11, max_tokens=5, tiles=2, matrix_words=99, address_bits=20, length_bits=9
    ),
    "even": ValueBufferConfig(
        lanes=4, load_lanes=4, max_channels=8, max_tokens=1, tiles=2, matrix_words=40, address_bits=33, length_bits=5
    ),
}
