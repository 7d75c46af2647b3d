# SPDX-License-Identifier: Apache-2.0
"""The operand buffer of an array: a matrix arrives row by row or column by column, and is read by k, ping-pong.

::

    i_load, i --> walk, pack by mask --> banks, one an output of a word --> walk by k --> lane of each bank --> o
                                             ^ bank bit: one matrix loads while the other is read ^
"""

import operator
from dataclasses import dataclass, field
from functools import reduce
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined


@dataclass(frozen=True)
class TransposeBufferConfig:
    columns: int = field(default=4, metadata={"doc": "elements of a word of o"})
    lanes: int = field(default=4, metadata={"doc": "L, elements of a word of i"})
    max_operands: int = field(default=16, metadata={"doc": "largest K of a matrix that arrives along k"})
    max_outputs: int = field(default=16, metadata={"doc": "largest number of outputs of such a matrix"})
    max_rows: int = field(
        default=0, metadata={"doc": "largest K of a matrix that arrives along its outputs; 0 for none"}
    )
    max_channels: int = field(default=0, metadata={"doc": "largest number of outputs of such a matrix; 0 for none"})
    width: int = field(default=16, metadata={"doc": "bits of an element"})
    tag_bits: int = field(default=1, metadata={"doc": "bits of a read's tag, which come with its words"})

    def __post_init__(self):
        checks.at_least(self, 1, "columns", "lanes", "max_operands", "max_outputs", "width", "tag_bits")
        checks.at_least(self, 0, "max_rows", "max_channels")
        if bool(self.max_rows) != bool(self.max_channels):
            raise ValueError(
                f"max_rows and max_channels must both be 0 or both at least 1, not {self.max_rows} and {self.max_channels}"
            )

    @property
    def straight(self):
        """Whether matrices may arrive along their outputs."""
        return bool(self.max_channels)

    @property
    def spread(self):
        """G, words of ``o`` that lie side by side: a power of two, such that a word of ``i`` meets no bank twice."""
        return 1 << ceil_log2(-(-self.lanes // self.columns)) if self.straight else 1

    @property
    def banks(self):
        return self.columns * self.spread

    def capacity(self, operands, outputs):
        """Words of a bank that a matrix takes."""
        words = -(-outputs // self.columns)
        return -(-operands // self.lanes) * -(-words // self.spread)

    @property
    def depth(self):
        """Words of a bank that the largest matrix takes."""
        straight = self.capacity(self.max_rows, self.max_channels) if self.straight else 0
        return max(self.capacity(self.max_operands, self.max_outputs), straight)

    @property
    def operand_count(self):
        return range(max(self.max_operands, self.max_rows) + 1)

    @property
    def output_count(self):
        return range(max(self.max_outputs, self.max_channels) + 1)

    @property
    def word_count(self):
        return range(-(-self.output_count[-1] // self.columns) + 1)

    @property
    def sram(self):
        """The config of a bank. The bank bit of the two matrices is the address's highest."""
        bits = max(1, ceil_log2(self.depth))
        width = self.lanes * self.width
        return SramConfig(depth=(1 << bits) + self.depth, width=width, granularity=self.width if self.straight else 0)

    @property
    def load_layout(self):
        """A matrix that arrives: K, outputs that arrive, words of ``o`` an operand, and how."""
        members = {"operands": self.operand_count, "outputs": self.output_count, "words": self.word_count}
        return data.StructLayout(members | ({"straight": 1, "mask": self.max_channels} if self.straight else {}))

    @property
    def read_layout(self):
        """A matrix to be read: K, words an operand, whether it stays for the next read, and a tag."""
        return data.StructLayout(
            {"operands": self.operand_count, "words": self.word_count, "keep": 1, "tag": self.tag_bits}
        )

    @property
    def i_layout(self):
        return data.ArrayLayout(self.width, self.lanes)

    @property
    def o_layout(self):
        values = data.ArrayLayout(self.width, self.columns)
        return data.StructLayout({"values": values, "last": 1, "tag": self.tag_bits})


class TransposeBuffer(FullyPipelined):
    """Two matrices of K x outputs: one loads while the other is read, a word of ``columns`` outputs of one k a cycle.

    A matrix arrives in one of two orders, in words of L consecutive elements, each line of it beginning with a new word:

    - along k, output by output: rows of Q for the array's rows, keys for its columns, rows of P for its rows;
    - along its outputs, operand by operand (``straight``): tokens of V. ``mask`` says which outputs are kept; they are
      packed in their order, and the array never sees the others.

    Output j is in bank j modulo ``columns * G``, in every order: a word of a bank holds L values of k of one output. So a
    word of ``i`` along k is a word of one bank; one along the outputs is an element of up to L banks, by a crossbar of L
    lanes; and a word of ``o`` is an element of ``columns`` banks, a multiplexer of L elements each.

    Members
    -------
    i_load : In(stream), a matrix that will come: ``operands`` (K) and ``outputs``, at least 1; ``words`` of ``o`` that an
        operand has, ``ceil(outputs kept / columns)``; and, where the config has ``max_channels``, ``straight`` and the
        ``mask``, whose bits above ``outputs`` are 0
    i : In(stream of L elements), the matrix
    i_read : In(stream), a matrix to be read, in the order in which they were loaded: its ``operands`` and ``words``;
        ``keep``, the next read is of the same matrix; ``tag``. With 0 words nothing is read, and it is released all the same
    o : Out(stream), for each k ``words`` words: ``values``, and whether k is the ``last``; the ``tag`` of the read. Elements
        of the last word behind the last output kept are undefined
    loading, reading : Out(1), a matrix comes, or is being read

    Latency: 4 cycles from the last word of a matrix to the first of ``o``. Initiation interval: 1, of words in and of words
    out; a load takes a cycle more than its words, and reads follow without a gap.
    Limits: sizes above those of the config are not checked here and give undefined values; nothing hangs on them.
    Golden: ``golden.memory.transpose_buffer.transpose_buffer``.

    Diagonal banking (element k of output j in bank j + k) would write and read words of one length without multiplexers of
    L elements in every bank, but needs a rotator of all banks on each side and as many lanes as columns. A FIFO of blocks
    of L values of k in place of a whole matrix would be smaller by K / 2L, and could not be read twice: K of a frame then
    travels again for every slice of Q.
    """

    latency = 4

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_load": In(stream.Signature(config.load_layout)),
                "i": In(stream.Signature(config.i_layout)),
                "i_read": In(stream.Signature(config.read_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "loading": Out(1),
                "reading": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        banks = [Sram(config=c.sram) for _ in range(c.banks)]
        for b, bank in enumerate(banks):
            m.submodules[f"bank_{b}"] = emit_once(bank)
        full = Signal(2)
        loaded = Signal()
        loaded_half = Signal()
        released = Signal()
        read_half = Signal()
        self._load(m, banks, full, loaded, loaded_half)
        self._read(m, banks, full, released, read_half)
        for half in range(2):
            with m.If(loaded & (loaded_half == half)):
                m.d.sync += full[half].eq(1)
            with m.If(released & (read_half == half)):
                m.d.sync += full[half].eq(0)
        return m

    def _load(self, m, banks, full, loaded, loaded_half):
        """Walk through the matrix that arrives, and write it. ``loaded``: the last word of one is being written."""
        c = self.config
        active = self.loading
        half = Signal()
        load = Signal(c.load_layout, reset_less=True)
        spans = Signal(range(c.depth + 1), reset_less=True)  # words of a bank for L values of k
        base = Signal(range(c.depth + 1))  # of these L values of k
        address = Signal(range(c.depth + 1))  # of this word's first output
        bank = Signal(range(max(2, c.banks)))
        line = Signal(range(max(len(c.operand_count), len(c.output_count))))
        left = Signal(range(max(len(c.operand_count), len(c.output_count))))
        take = Signal()
        line_end = Signal()
        end = Signal()
        straight = Signal()
        m.d.comb += [
            self.i_load.ready.eq(~active & ~full.bit_select(half, 1)),
            self.i.ready.eq(active),
            take.eq(self.i.valid & active),
            line_end.eq(left <= c.lanes),
            end.eq(line_end & (line == Mux(straight, load.operands, load.outputs) - 1)),
        ]
        coming = self.i_load.payload
        with m.If(self.i_load.valid & self.i_load.ready):
            m.d.sync += [
                active.eq(1),
                load.eq(coming),
                spans.eq((coming.words + (c.spread - 1)) >> ceil_log2(c.spread)),
                base.eq(0),
                address.eq(0),
                bank.eq(0),
                line.eq(0),
                left.eq(Mux(coming.straight, coming.outputs, coming.operands) if c.straight else coming.operands),
            ]
        with m.If(take):
            m.d.sync += left.eq(left - c.lanes)
            with m.If(line_end):
                m.d.sync += [line.eq(line + 1), left.eq(Mux(straight, load.outputs, load.operands))]
            with m.If(end):
                m.d.sync += [active.eq(0), half.eq(~half)]

        walk = SimpleNamespace(load=load, spans=spans, base=base, address=address, bank=bank, half=half)
        walk.take, walk.line_end, walk.end, walk.straight = take, line_end, end, straight
        self._store(m, banks, walk, loaded, loaded_half)

    def _store(self, m, banks, walk, loaded, loaded_half):
        """s1: the word, and what is written where; and the place of the next word."""
        c = self.config
        s1_data = Signal(c.i_layout, reset_less=True)
        s1_write = Signal()
        s1_end = Signal()
        s1_half = Signal()
        s1_address = Signal.like(walk.address, reset_less=True)
        s1_bank = Signal.like(walk.bank, reset_less=True)
        s1_straight = Signal(reset_less=True)
        m.d.sync += [s1_write.eq(walk.take), s1_end.eq(walk.take & walk.end)]
        with m.If(walk.take):
            m.d.sync += [
                s1_data.eq(self.i.payload),
                s1_half.eq(walk.half),
                s1_address.eq(walk.address),
                s1_bank.eq(walk.bank),
            ]
        m.d.comb += [loaded.eq(s1_end), loaded_half.eq(s1_half)]
        address_bits = c.sram.address_bits - 1
        for b, sram in enumerate(banks):
            m.d.comb += [
                sram.w_addr.eq(Cat(s1_address[:address_bits], s1_half)),
                sram.w_data.eq(s1_data),
                sram.w_en.eq((s1_write & (s1_bank == b)).replicate(c.sram.lanes)),
            ]

        wrap = Signal()
        m.d.comb += wrap.eq(walk.bank == c.banks - 1)
        with m.If(walk.take & ~walk.straight):
            m.d.sync += walk.address.eq(walk.address + walk.spans)
            with m.If(walk.line_end):
                m.d.sync += [
                    walk.bank.eq(Mux(wrap, 0, walk.bank + 1)),
                    walk.base.eq(walk.base + wrap),
                    walk.address.eq(walk.base + wrap),
                ]
        if c.straight:
            m.d.comb += walk.straight.eq(walk.load.straight)
            with m.If(walk.take):
                m.d.sync += s1_straight.eq(walk.straight)
            s1 = SimpleNamespace(data=s1_data, address=s1_address, bank=s1_bank, half=s1_half)
            s1.write = s1_write & s1_straight
            self._scatter(m, banks, walk, walk.take & walk.straight, s1)

    def _scatter(self, m, banks, walk, take, s1):
        """A word along the outputs: its elements that are kept go to the banks from ``bank`` on, at lane k modulo L."""
        c = self.config
        length = -(-c.max_channels // c.lanes) * c.lanes
        mask = Signal(length, reset_less=True)  # of this word and those behind it in the line
        lane = Signal(range(max(2, c.lanes)))
        coming = self.i_load.payload
        with m.If(self.i_load.valid & self.i_load.ready):
            m.d.sync += [mask.eq(coming.mask), lane.eq(0)]
        s1_lane = Signal.like(lane, reset_less=True)
        ahead = Signal(range(c.banks + c.lanes + 1), name="ahead_0")
        m.d.comb += ahead.eq(walk.bank)
        targets = []
        for k in range(c.lanes):
            target = Signal(range(max(2, c.banks)), name=f"target_{k}")
            s1_target = Signal(range(max(2, c.banks)), name=f"s1_target_{k}", reset_less=True)
            s1_kept = Signal(name=f"s1_kept_{k}", reset_less=True)
            after = Signal(range(c.banks + c.lanes + 1), name=f"ahead_{k + 1}")
            m.d.comb += [target.eq(Mux(ahead >= c.banks, ahead - c.banks, ahead)), after.eq(ahead + mask[k])]
            with m.If(take):
                m.d.sync += [s1_target.eq(target), s1_kept.eq(mask[k])]
            targets.append((s1_kept, s1_target))
            ahead = after
        past = Signal()
        m.d.comb += past.eq(ahead >= c.banks)
        last_lane = Signal()
        m.d.comb += last_lane.eq(lane == c.lanes - 1)
        with m.If(take):
            m.d.sync += [
                s1_lane.eq(lane),
                mask.eq(mask >> c.lanes),
                walk.bank.eq(Mux(past, ahead - c.banks, ahead)),
                walk.address.eq(walk.address + past),
            ]
            with m.If(walk.line_end):
                following = Signal.like(walk.base)
                m.d.comb += following.eq(Mux(last_lane, walk.base + walk.spans, walk.base))
                m.d.sync += [
                    mask.eq(walk.load.mask),
                    walk.bank.eq(0),
                    walk.base.eq(following),
                    walk.address.eq(following),
                    lane.eq(Mux(last_lane, 0, lane + 1)),
                ]
        address_bits = c.sram.address_bits - 1
        for b, sram in enumerate(banks):
            hits = Signal(c.lanes, name=f"hits_{b}")
            element = Signal(c.width, name=f"element_{b}")
            place = Signal.like(s1.address, name=f"place_{b}")
            m.d.comb += [
                hits.eq(Cat(kept & (target == b) for kept, target in targets)),
                place.eq(s1.address + (s1.bank > b) if b < c.banks - 1 else s1.address),
            ]
            gated = [s1.data[k] & hits[k].replicate(c.width) for k in range(c.lanes)]
            m.d.comb += element.eq(reduce(operator.or_, gated))
            with m.If(s1.write):
                m.d.comb += [
                    sram.w_addr.eq(Cat(place[:address_bits], s1.half)),
                    sram.w_data.eq(element.replicate(c.lanes)),
                    sram.w_en.eq(Mux(hits.any(), 1 << s1_lane, 0)),
                ]

    def _read(self, m, banks, full, released, half):
        """Walk through the matrix by k. ``released``: the half that is read is free from the next cycle on."""
        c = self.config
        active = self.reading
        read = Signal(c.read_layout, reset_less=True)
        spans = Signal(range(c.depth + 1), reset_less=True)
        base = Signal(range(c.depth + 1))
        word = Signal(c.word_count)
        lane = Signal(range(max(2, c.lanes)))
        k = Signal(c.operand_count)
        valid = Signal()
        step = Signal()
        advance = Signal()
        word_end = Signal()
        last = Signal()
        end = Signal()
        coming = Signal()  # the half that the next command is about
        m.d.comb += [
            advance.eq(~valid | self.o.ready),
            step.eq(active & (read.words == 0) | active & advance),
            word_end.eq(word + 1 >= read.words),
            last.eq(k + 1 >= read.operands),
            end.eq(step & (word_end & last | (read.words == 0))),
            released.eq(end & ~read.keep),
            coming.eq(half ^ released),
            self.i_read.ready.eq((~active | end) & full.bit_select(coming, 1)),
        ]
        with m.If(released):
            m.d.sync += half.eq(~half)
        with m.If(step):
            m.d.sync += word.eq(word + 1)
            with m.If(word_end):
                m.d.sync += [word.eq(0), k.eq(k + 1), lane.eq(lane + 1)]
                with m.If(lane == c.lanes - 1):
                    m.d.sync += [lane.eq(0), base.eq(base + spans)]
        with m.If(end):
            m.d.sync += active.eq(0)
        command = self.i_read.payload
        with m.If(self.i_read.valid & self.i_read.ready):
            m.d.sync += [
                active.eq(1),
                read.eq(command),
                spans.eq((command.words + (c.spread - 1)) >> ceil_log2(c.spread)),
                base.eq(0),
                word.eq(0),
                lane.eq(0),
                k.eq(0),
            ]

        # s1: the words of the banks, of which a lane is shown.
        group_bits = ceil_log2(c.spread)
        fetch = Signal()
        s1_group = Signal(max(1, group_bits), reset_less=True)
        s1_lane = Signal.like(lane, reset_less=True)
        s1_last = Signal(reset_less=True)
        s1_tag = Signal(c.tag_bits, reset_less=True)
        m.d.comb += fetch.eq(step & (read.words != 0))
        with m.If(advance):
            m.d.sync += valid.eq(fetch)
        with m.If(fetch):
            m.d.sync += [s1_group.eq(word[:group_bits]), s1_lane.eq(lane), s1_last.eq(last), s1_tag.eq(read.tag)]
        address = Signal(range(c.depth + 1))
        m.d.comb += address.eq(base + (word >> group_bits))
        address_bits = c.sram.address_bits - 1
        for b, sram in enumerate(banks):
            m.d.comb += [
                sram.r_en[0].eq(fetch & (word[:group_bits] == b // c.columns)),
                sram.r_addr[0].eq(Cat(address[:address_bits], half)),
            ]
        for j in range(c.columns):
            shown = Signal(c.lanes * c.width, name=f"shown_{j}")
            with m.Switch(s1_group):
                for g in range(c.spread):
                    with m.Case(g):
                        m.d.comb += shown.eq(banks[g * c.columns + j].r_data[0])
            m.d.comb += self.o.payload["values"][j].eq(shown.word_select(s1_lane, c.width))
        m.d.comb += [
            self.o.payload.last.eq(s1_last),
            self.o.payload.tag.eq(s1_tag),
            self.o.valid.eq(valid),
        ]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": TransposeBufferConfig(lanes=8, max_rows=16, max_channels=16),
    "rows": TransposeBufferConfig(columns=3, lanes=4, max_operands=21, max_outputs=3),
    "single": TransposeBufferConfig(
        columns=1, lanes=3, max_operands=7, max_outputs=5, max_rows=5, max_channels=7, width=8, tag_bits=2
    ),
}
