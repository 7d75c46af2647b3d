# SPDX-License-Identifier: Apache-2.0
"""Dst update (ORBIS 3.2, 3.3): the sums of all groups, and in each the member nearest to its mean, without a division.

Of a group of n members with sums S[c] of w[c] * q[i, c], the distance of member i to the mean, times n^2, less a term that
all members share and divided by n, is an integer::

    key = n * sum over c of w[c] * q[c]^2  -  2 * sum over c of q[c] * S[c]

so the members are in the order of their keys. Rejected: sum of w * (n q - S)^2 as it stands, a square of twice the bits and
a multiplication by w behind it in every channel: five times the gates for the same order.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching.datm_config import LEVELS, DatmConfig
from zoetrope.hw.stream import delayed


class GroupUpdate(wiring.Component):
    """Sums of groups in one pass, nearest members in the next; the dst of every slot first, then the src, in both.

    Words of different tokens follow each other at ``spacing`` cycles or more, so that a memory of this unit is never read
    while what belongs there is on its way: forwarding would cost a comparison and a multiplexer of every sum.

    Members
    -------
    summing : In(1), the pass; constant while words are on their way
    valid : In(1), there is a word
    word, index, last : In, codes, its place in the token, whether it is the token's last
    visit : In(``token``, ``slot``, ``is_dst``), of the token
    weight_data : In, weights of the word, in the cycle after ``valid``
    best_en, best_addr : In, while no word is on its way
    best : Out(token), of that slot, a cycle later

    A dst sets its group's sums and its first best member, a src adds to them or replaces it if it is nearer: of equals the
    dst stays, else the src that came first. Latency: ``latency`` cycles from a word to the last write that it causes.
    Golden: ``golden.orbis.matching.datm.update``.
    """

    latency = 8
    spacing = 3

    def __init__(self, *, config: DatmConfig):
        self.config = c = config
        super().__init__(
            {
                "summing": In(1),
                "valid": In(1),
                "word": In(c.word_layout),
                "index": In(c.word_bits),
                "last": In(1),
                "visit": In(c.visit_layout),
                "weight_data": In(c.distance.weights_layout),
                "best_en": In(1),
                "best_addr": In(c.slot_bits),
                "best": Out(c.token_bits),
            }
        )

    @property
    def sums_layout(self):
        return data.ArrayLayout(signed(self.config.sum_bits), self.config.channel_lanes)

    def elaborate(self, platform):
        m = Module()
        c = self.config
        always = Const(1, 1)
        slots = c.max_slots
        sums = Sram(config=SramConfig(depth=slots * c.word_stride, width=self.sums_layout.size))
        counts = Sram(config=SramConfig(depth=slots, width=c.count_bits))
        m.submodules.sums = emit_once(sums)
        m.submodules.counts = emit_once(counts)

        # Stage 0: sums and count of the group are read.
        address = Signal(sums.w_addr.shape())
        valid = delayed(m, always, self.valid, 6, "valid")
        last = delayed(m, always, self.last, 5, "last", reset_less=True)
        visit = delayed(m, always, self.visit, 7, "visit", reset_less=True)
        first = delayed(m, always, self.index == 0, 3, "first", reset_less=True)
        address_late = delayed(m, always, address, 2, "address", reset_less=True)
        m.d.comb += [
            address.eq(Cat(self.index if c.words > 1 else Const(0, 0), self.visit.slot)),
            sums.r_en[0].eq(self.valid),
            sums.r_addr[0].eq(address),
        ]

        # Stage 1: w * q, and the sums as they were read.
        s1_word = Signal(c.word_layout, reset_less=True)
        m.d.sync += s1_word.eq(self.word)
        s1_sums = Signal(self.sums_layout)
        m.d.comb += s1_sums.eq(sums.r_data[0])
        weighted_bits = bits_for(((1 << c.weight_bits) - 1) * LEVELS) + 1
        s2_weighted = Signal(data.ArrayLayout(signed(weighted_bits), c.channel_lanes), reset_less=True)
        s2_word = Signal(c.word_layout, reset_less=True)
        s2_sums = Signal(self.sums_layout, reset_less=True)
        m.d.sync += [s2_word.eq(s1_word), s2_sums.eq(s1_sums)]
        for k in range(c.channel_lanes):
            m.d.sync += s2_weighted[k].eq(self.weight_data[k] * s1_word[k])

        # Stage 2, of the first pass: the sums are written.
        new_sums = Signal(self.sums_layout)
        for k in range(c.channel_lanes):
            m.d.comb += new_sums[k].eq(Mux(visit[2].is_dst, 0, s2_sums[k]) + s2_weighted[k])
        m.d.comb += [
            sums.w_en.eq(valid[2] & self.summing),
            sums.w_addr.eq(address_late[2]),
            sums.w_data.eq(new_sums),
        ]

        # The count, with the last word: it is read for a sum in time to be written, for a key in time to be multiplied.
        s1_count_slot = Signal(c.slot_bits)
        count_read = Signal()
        m.d.comb += [
            count_read.eq(Mux(self.summing, self.valid & self.last, valid[4] & last[4])),
            s1_count_slot.eq(Mux(self.summing, self.visit.slot, visit[4].slot)),
            counts.r_en[0].eq(count_read),
            counts.r_addr[0].eq(s1_count_slot),
            counts.w_en.eq(valid[1] & last[1] & self.summing),
            counts.w_addr.eq(visit[1].slot),
            counts.w_data.eq(Mux(visit[1].is_dst, 0, counts.r_data[0]) + 1),
        ]
        self._keys(m, valid, last, visit, first, s2_word, s2_weighted, s2_sums, counts)
        return m

    def _keys(self, m, valid, last, visit, first, word, weighted, sums, counts):
        c = self.config
        weights = ((1 << c.weight_bits) - 1) * c.channel_lanes
        # Stage 3: both sums over the channels of a word.
        squares = [weighted[k] * word[k] for k in range(c.channel_lanes)]
        products = [word[k] * sums[k] for k in range(c.channel_lanes)]
        s3_square = Signal(bits_for(weights * LEVELS**2), reset_less=True)
        s3_product = Signal(signed(bits_for(weights * LEVELS**2 * c.max_tokens) + 1), reset_less=True)
        m.d.sync += [
            s3_square.eq(_tree(m, "squares", squares)),
            s3_product.eq(_tree(m, "products", products)),
        ]
        # Stage 4: over the words of a token.
        s4_square = Signal(bits_for(weights * c.words * LEVELS**2), reset_less=True)
        s4_product = Signal(signed(c.key_bits), reset_less=True)
        with m.If(valid[3]):
            m.d.sync += [
                s4_square.eq(Mux(first[3], 0, s4_square) + s3_square),
                s4_product.eq(Mux(first[3], 0, s4_product) + s3_product),
            ]
        # Stage 5: the count is there.
        s5_square = Signal(s4_square.shape(), reset_less=True)
        s5_product = Signal(s4_product.shape(), reset_less=True)
        s6_key = Signal(signed(c.key_bits), reset_less=True)
        m.d.sync += [
            s5_square.eq(s4_square),
            s5_product.eq(s4_product),
            # Stage 6: the key; stage 7: the comparison.
            s6_key.eq(s5_square * counts.r_data[0] - (s5_product << 1)),
        ]
        ready = Signal()
        m.d.comb += ready.eq(valid[5] & last[5] & ~self.summing)
        s6_ready = Signal()
        m.d.sync += s6_ready.eq(ready)
        best = Sram(config=SramConfig(depth=c.max_slots, width=c.best_layout.size))
        m.submodules.best = emit_once(best)
        before = Signal(c.best_layout)
        now = Signal(c.best_layout)
        m.d.comb += [
            before.eq(best.r_data[0]),
            now.token.eq(visit[6].token),
            now.key.eq(s6_key),
            best.r_en[0].eq(ready | self.best_en),
            best.r_addr[0].eq(Mux(self.best_en, self.best_addr, visit[5].slot)),
            best.w_en.eq(s6_ready & (visit[6].is_dst | (s6_key < before.key))),
            best.w_addr.eq(visit[6].slot),
            best.w_data.eq(now),
            self.best.eq(before.token),
        ]


def _tree(m, name, terms):
    """The sum of signed terms over named nodes."""
    level = 0
    while len(terms) > 1:
        sums = []
        for k, (a, b) in enumerate(zip(terms[0::2], terms[1::2])):
            node = Signal(signed(max(len(a), len(b)) + 1), name=f"{name}_{level}_{k}")
            m.d.comb += node.eq(a + b)
            sums.append(node)
        terms = sums + terms[len(terms) & ~1 :]
        level += 1
    return terms[0]
