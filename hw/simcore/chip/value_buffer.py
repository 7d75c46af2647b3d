"""The values on chip: V of the key tiles in flight, in FP16 and as codes (SIMPICKER V-A).

::

    o_task (place, tokens, offset) --> o_command ~~memory~~> i_data --+--> V, FP16    --> FP16 array, column importance
                                                                      +--> o_encode ~~quantization unit~~> i_codes
                                                                           --> V, codes --> LUT array
"""

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, INT8
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig, counted, depth, read_port


class ValueBuffer(wiring.Component):
    """Loads V of each task in order; W tiles have their places.

    Parameters
    ----------
    config : SimcoreConfig

    Members
    -------
    head : In, geometry and the address of V
    i_task : In(stream of tasks), taken when its tile is there
    begun : In(1 a place), a task takes the place
    ready : Out(1 a place), the place's tile is there
    o_command, i_data : to and from the AXI reader
    o_encode, i_codes : to and from the quantization unit, if ``codes_v``
    v_fp16, v_importance : In(read ports), words of L channels; v_lut : of codes
    not_finite : Out(1), a NaN or an infinity came in V

    Cycles: a tile's words. Memory: W tiles of keys x channels, 16 bits (two read ports) and 8.

    Rejected: V read again from memory for each slice of rows, without a buffer: each slice has its own columns of V, and
    takes fewer cycles than V takes on the bus.
    """

    def __init__(self, *, config: SimcoreConfig):
        self.config = config
        lanes = config.load_lanes
        super().__init__(
            {
                "head": In(config.head_layout),
                "i_task": In(stream.Signature(config.task_layout)),
                "begun": In(config.tiles),
                "ready": Out(config.tiles),
                "o_command": Out(stream.Signature(config.axi.command_layout)),
                "i_data": In(stream.Signature(config.axi.data_layout)),
                "o_encode": Out(stream.Signature(config.quantization.i_layout)),
                "i_codes": In(stream.Signature(config.quantization.o_layout)),
                "v_fp16": In(read_port(config.v_address, lanes * FP16.width)),
                "v_importance": In(read_port(config.v_address, lanes * FP16.width)),
                "v_lut": In(read_port(config.v_address, lanes * 8)),
                "not_finite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c, head = self.config, self.head
        task = self.i_task.payload
        commanded = Signal()
        taken = Signal()
        last = Signal()
        word = Signal(range(max(2, c.max_words)))
        values = data.View(data.ArrayLayout(FP16.layout, c.lanes), self.i_data.payload.data)
        kept, wrong = counted(m, values, head.channels, last, c.lanes, "v")
        command_of(m, c, self.o_command, head.v, task, head.words)
        m.d.comb += [
            self.o_command.valid.eq(self.i_task.valid & ~commanded),
            last.eq(word + 1 == head.words),
            self.i_data.ready.eq(~head.codes_v | self.o_encode.ready),
            taken.eq(self.i_data.valid & self.i_data.ready),
            self.o_encode.valid.eq(self.i_data.valid & head.codes_v),
            self.i_codes.ready.eq(1),
        ]
        encode(m, c, self.o_encode.payload, kept, head, last)
        with m.If(self.o_command.valid & self.o_command.ready):
            m.d.sync += commanded.eq(1)
        with m.If(taken):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), self.not_finite.eq(self.not_finite | wrong)]

        coded = Signal()
        m.d.comb += coded.eq(self.i_codes.valid)
        ports = [self.v_fp16, self.v_importance]
        tokens = self._store(m, "fp16", ports, taken, last, kept, FP16.width)
        codes = self.i_codes.payload
        code_tokens = self._store(m, "codes", [self.v_lut], coded, codes.last, codes.codes, INT8.size)
        complete = Signal()
        m.d.comb += [
            complete.eq((tokens == task.tokens) & ((code_tokens == task.tokens) | ~head.codes_v)),
            self.i_task.ready.eq(self.i_task.valid & complete),
        ]
        m.d.sync += self.ready.eq((self.ready & ~self.begun) | (self.i_task.ready << task.place))
        with m.If(self.i_task.ready):
            m.d.sync += [commanded.eq(0), tokens.eq(0), code_tokens.eq(0)]
        return m

    def _store(self, m, name, ports, taken, last, values, width):
        """A memory of tiles; the number of tokens that are there."""
        c = self.config
        parts = c.load_lanes // c.lanes
        part_bits = ceil_log2(parts)
        width *= c.lanes
        sram = Sram(
            config=SramConfig(depth=depth(c.v_address), width=parts * width, granularity=width, read_ports=len(ports))
        )
        m.submodules[name] = emit_once(sram)
        word = Signal(range(max(2, c.channel_words * parts)), name=f"{name}_word")
        token = Signal(range(c.keys + 1), name=f"{name}_token")
        address = Signal(c.v_address, name=f"{name}_address")
        m.d.comb += [
            address.word.eq(word >> part_bits),
            address.token.eq(token),
            address.place.eq(self.i_task.payload.place),
            sram.w_en.eq(taken << (word[:part_bits] if part_bits else Const(0, 1))),
            sram.w_addr.eq(address),
            sram.w_data.eq(Value.cast(values).replicate(parts)),
        ]
        for k, port in enumerate(ports):
            m.d.comb += [sram.r_en[k].eq(port.en), sram.r_addr[k].eq(port.addr), port.data.eq(sram.r_data[k])]
        with m.If(taken):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
            with m.If(last):
                m.d.sync += token.eq(token + 1)
        return token


def command_of(m, c, command, base, task, words):
    """The tokens of a task, from a matrix at ``base``, as a reader's command. Words of tokens times tokens: a product."""
    m.d.comb += [
        command.payload.address.eq(base + (task.offset << ceil_log2(c.data_bits // 8))),
        command.payload.length.eq((task.tokens * words) << ceil_log2(c.lanes)),
    ]


def encode(m, c, payload, values, head, last):
    """A word of a token for the quantization unit's second pass."""
    tail = Signal(range(c.lanes + 1), name="encode_tail")
    m.d.comb += [
        tail.eq(head.channels[: ceil_log2(c.lanes)] if c.lanes > 1 else 0),
        payload.x.eq(values),
        payload.count.eq(Mux(last & tail.any(), tail, c.lanes)),
        payload.last.eq(last),
        payload.end.eq(0),
        payload.encode.eq(1),
    ]
