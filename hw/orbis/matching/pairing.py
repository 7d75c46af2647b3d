# SPDX-License-Identifier: Apache-2.0
"""Dst-src pairing (ORBIS 3.3): distances of a src to all dst of a local memory, and the nearest of them::

    src words --> banks ------+
                              +--> distance accumulator --> min tree --> nearest so far --> o
    dst words --> memory -----+      dst_lanes at once       one          of all groups

A src stays in its bank while the groups of ``dst_lanes`` dst pass by; the next ones come into other banks meanwhile. With
two banks a src that meets one group only would wait two cycles for its bank to be free.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching.datm_config import DatmConfig
from zoetrope.hw.orbis.matching.distance_accumulation_unit import CODE, DistanceAccumulator
from zoetrope.hw.stream import delayed
from zoetrope.hw.tree.min_tree import MinTree, MinTreeConfig

#: A power of two.
_BANKS = 4


class Pairing(wiring.Component):
    """The nearest dst of each src: of those in the local memory, and of one that is handed in.

    A dst in a later tile, group or lane replaces one before it only if it is nearer: of equals the lowest slot wins.

    Members
    -------
    load, load_lane, load_addr : In, ``word`` is one of a dst: of this lane, at group * words + word
    clear : In(1), a tile begins: nothing is in a bank
    fill : In(1), ``word`` is the next of a src; only if ``room``
    room : Out(1)
    word : In(codes)
    last_word, last_group, last_lanes, base, first_tile : In, of the tile: words of a token less one, groups less one, dst in
        the last group, its first slot, and whether ``before`` is void; constant while src are in the unit
    weight_en, weight_addr, weight_data : the memory of the weights, one cycle
    before : In(slot, distance), the nearest in earlier tiles of the src whose result comes next
    done : Out(1), that result comes in the next cycle; in it, ``before`` is the next src's
    o : Out(slot, distance)

    A src takes groups * words cycles. Latency: ``latency`` cycles from its last word of the last group to ``o``.
    Golden: ``golden.orbis.matching.datm.pair``.
    """

    def __init__(self, *, config: DatmConfig):
        self.config = c = config
        self._tree = MinTree(
            config=MinTreeConfig(leaves=c.dst_lanes, width=c.distance_bits + 1, stages=(c.dst_lanes - 1).bit_length())
        )
        super().__init__(
            {
                "load": In(1),
                "load_lane": In(range(max(2, c.dst_lanes))),
                "load_addr": In(range(max(2, c.tile_groups * c.words))),
                "clear": In(1),
                "fill": In(1),
                "room": Out(1),
                "word": In(c.word_layout),
                "last_word": In(c.word_bits),
                "last_group": In(range(max(2, c.tile_groups))),
                "last_lanes": In(range(c.dst_lanes + 1)),
                "base": In(c.slot_bits),
                "first_tile": In(1),
                "weight_en": Out(1),
                "weight_addr": Out(c.word_bits),
                "weight_data": In(c.distance.weights_layout),
                "before": In(c.assignment_layout),
                "done": Out(1),
                "o": Out(c.assignment_layout),
            }
        )

    @property
    def latency(self):
        """Memory, distance accumulator, min tree, nearest so far."""
        return 1 + DistanceAccumulator.latency + self._tree.latency + 1

    def elaborate(self, platform):
        m = Module()
        c = self.config
        dst = Sram(
            config=SramConfig(
                depth=c.tile_groups * c.words,
                width=c.dst_lanes * c.channel_lanes * CODE.width,
                granularity=c.channel_lanes * CODE.width,
            )
        )
        src = Sram(config=SramConfig(depth=_BANKS << c.word_bits, width=c.channel_lanes * CODE.width))
        m.submodules.dst = emit_once(dst)
        m.submodules.src = emit_once(src)

        # The banks: words come into one while another is read.
        full = Signal(_BANKS)
        w_bank = Signal(range(_BANKS))
        w_word = Signal(c.word_bits)
        r_bank = Signal(range(_BANKS))
        free = Signal()  # the bank that is read is done with
        m.d.comb += [
            self.room.eq(~full.bit_select(w_bank, 1)),
            dst.w_en.eq(Mux(self.load, Const(1) << self.load_lane, 0)),
            dst.w_addr.eq(self.load_addr),
            dst.w_data.eq(Cat(*[self.word] * c.dst_lanes)),
            src.w_en.eq(self.fill),
            src.w_addr.eq(Cat(w_word, w_bank)),
            src.w_data.eq(self.word),
        ]
        with m.If(free):
            m.d.sync += [full.bit_select(r_bank, 1).eq(0), r_bank.eq(r_bank + 1)]
        with m.If(self.fill):
            m.d.sync += w_word.eq(w_word + 1)
            with m.If(w_word == self.last_word):
                m.d.sync += [w_word.eq(0), w_bank.eq(w_bank + 1), full.bit_select(w_bank, 1).eq(1)]
        with m.If(self.clear):
            m.d.sync += [full.eq(0), w_bank.eq(0), r_bank.eq(0), w_word.eq(0)]

        # Stage 0: a word of the src and of ``dst_lanes`` dst is read.
        issue = Signal()
        r_word = Signal(c.word_bits)
        r_group = Signal(self.last_group.shape())
        r_addr = Signal(self.load_addr.shape())
        word_over = Signal()
        m.d.comb += [
            issue.eq(full.bit_select(r_bank, 1)),
            word_over.eq(r_word == self.last_word),
            free.eq(issue & word_over & (r_group == self.last_group)),
            src.r_en[0].eq(issue),
            src.r_addr[0].eq(Cat(r_word, r_bank)),
            dst.r_en[0].eq(issue),
            dst.r_addr[0].eq(r_addr),
            self.weight_en.eq(issue),
            self.weight_addr.eq(r_word),
        ]
        with m.If(issue):
            m.d.sync += [r_word.eq(Mux(word_over, 0, r_word + 1)), r_addr.eq(r_addr + 1)]
            with m.If(word_over):
                m.d.sync += r_group.eq(r_group + 1)
        with m.If(free | self.clear):
            m.d.sync += [r_word.eq(0), r_group.eq(0), r_addr.eq(0)]

        # Stages 1 to 4: distances.
        m.submodules.accumulator = accumulator = DistanceAccumulator(config=c.distance)
        s1_valid = Signal()
        s1_last = Signal(reset_less=True)
        m.d.sync += [s1_valid.eq(issue), s1_last.eq(word_over)]
        m.d.comb += [
            accumulator.en.eq(1),
            accumulator.valid.eq(s1_valid),
            accumulator.i.src.eq(src.r_data[0]),
            accumulator.i.dst.eq(dst.r_data[0]),
            accumulator.i.weights.eq(self.weight_data),
            accumulator.i.last.eq(s1_last),
        ]
        self._nearest(m, accumulator)
        return m

    def _counted(self, m, name, step):
        """(last, first): the group that a pipeline stage is at, counted by its own steps."""
        group = Signal(self.last_group.shape(), name=f"{name}_group")
        last = Signal(name=f"{name}_last")
        m.d.comb += last.eq(group == self.last_group)
        with m.If(step):
            m.d.sync += group.eq(Mux(last, 0, group + 1))
        with m.If(self.clear):
            m.d.sync += group.eq(0)
        return last, group == 0

    def _nearest(self, m, accumulator):
        c = self.config
        m.submodules.tree = tree = self._tree
        # A lane without a dst has a key above all distances.
        last, _ = self._counted(m, "keys", accumulator.o_valid)
        for k in range(c.dst_lanes):
            void = Signal(name=f"void_{k}")
            m.d.comb += [
                void.eq(last & (self.last_lanes <= k)),
                tree.i[k].eq(Cat(accumulator.o[0][k], void)),
            ]
        m.d.comb += tree.en.eq(1)
        valid = delayed(m, Const(1, 1), accumulator.o_valid, tree.latency, "tree_valid")[-1]

        # Nearest so far, over the groups.
        last, first = self._counted(m, "nearest", valid)
        slot = Signal(bits_for(c.max_tokens + c.tile), name="first_slot")
        held = Signal(c.assignment_layout, name="nearest", reset_less=True)
        before = Signal(c.assignment_layout, name="nearest_before")
        nearer = Signal()
        void = Signal()
        m.d.comb += [
            before.eq(Mux(first, self.before, held)),
            void.eq(first & self.first_tile),
            nearer.eq(void | (tree.o.key < before.distance)),
            self.done.eq(valid & last),
            self.o.eq(held),
        ]
        with m.If(valid):
            m.d.sync += slot.eq(Mux(last, self.base, slot + c.dst_lanes))
            m.d.sync += held.eq(before)
            with m.If(nearer):
                m.d.sync += [held.distance.eq(tree.o.key), held.slot.eq(slot + tree.o.index)]
        with m.If(self.clear):
            m.d.sync += slot.eq(self.base)
