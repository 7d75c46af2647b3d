# SPDX-License-Identifier: Apache-2.0
"""The order in which the passes of the matching engine visit tokens, and the addresses that they read."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from zoetrope.hw.orbis.matching.datm_config import DatmConfig


class _Phase(enum.Enum):
    IDLE = 0
    DST = 1
    SRC = 2


class TokenWalk(wiring.Component):
    """The dst of slots ``first`` to ``end`` - 1, then all src in ascending order, with what is kept of each.

    A src is a token whose flag is 0. Flags are read ``flag_bits`` at a time and one src is found in each cycle, so that a
    run of dst costs a cycle per ``flag_bits`` of them; a list of src would be as fast, but has to be made anew in each
    iteration and takes ``token_bits`` in place of one.

    Members
    -------
    start : In(1), begin; what follows it here is constant until ``idle``
    first, end : In, the slots; none if equal
    sources : In(1), whether the src are visited too
    fetch : In(1), whether their words are asked for
    tokens, last_word : In, M and the words of a token less one
    flag_en, flag_addr, flag_data : the memory of flags, one cycle; as those of the dst list and of the assignments
    read : Out(stream of ``token``, ``word``), each word of each token in order
    visit : Out(stream of tokens): ``slot`` and ``distance`` are what is kept of a src; of a dst only the slot counts
    idle : Out(1), all tokens are on their way

    Golden: part of ``golden.orbis.matching.datm.pair`` and ``golden.orbis.matching.datm.update``.
    """

    def __init__(self, *, config: DatmConfig):
        self.config = c = config
        super().__init__(
            {
                "start": In(1),
                "first": In(c.count_bits),
                "end": In(c.count_bits),
                "sources": In(1),
                "fetch": In(1),
                "tokens": In(c.count_bits),
                "last_word": In(c.word_bits),
                "flag_en": Out(1),
                "flag_addr": Out(c.token_bits),
                "flag_data": In(c.flag_bits),
                "list_en": Out(1),
                "list_addr": Out(c.slot_bits),
                "list_data": In(c.token_bits),
                "kept_en": Out(1),
                "kept_addr": Out(c.token_bits),
                "kept_data": In(c.assignment_layout),
                "read": Out(stream.Signature(c.read_layout)),
                "visit": Out(stream.Signature(c.visit_layout)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        phase = Signal(_Phase)
        advance = Signal()
        slot = Signal(c.count_bits)
        dst_found = Signal()
        src_found, src_token, src_over = self._sources(m, phase, advance)

        # Stage 1: a token is found, and the memory that says more of it is read.
        s1_valid = Signal()
        s1_is_dst = Signal(reset_less=True)
        s1_slot = Signal(c.slot_bits, reset_less=True)
        s1_token = Signal(c.token_bits, reset_less=True)
        m.d.comb += [
            dst_found.eq((phase == _Phase.DST) & (slot != self.end)),
            self.list_en.eq(dst_found & advance),
            self.list_addr.eq(slot),
            self.kept_en.eq(src_found & advance),
            self.kept_addr.eq(src_token),
        ]
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(dst_found | src_found),
                s1_is_dst.eq(dst_found),
                s1_slot.eq(slot),
                s1_token.eq(src_token),
            ]
        with m.If(self.start):
            m.d.sync += [slot.eq(self.first), phase.eq(_Phase.DST)]
        with m.Elif(phase == _Phase.DST):
            with m.If(~dst_found):
                m.d.sync += phase.eq(Mux(self.sources, _Phase.SRC, _Phase.IDLE))
            with m.Elif(advance):
                m.d.sync += slot.eq(slot + 1)
        with m.Elif(src_over):
            m.d.sync += phase.eq(_Phase.IDLE)

        # Stage 2: two queues, of visits and of tokens whose words are to be read.
        kept = Signal(c.assignment_layout)
        visit = Signal(c.visit_layout)
        m.submodules.visits = visits = SyncFIFO(width=c.visit_layout.size, depth=c.outstanding)
        m.submodules.reads = reads = SyncFIFO(width=c.token_bits, depth=2)
        room = Signal()
        m.d.comb += [
            kept.eq(self.kept_data),
            visit.token.eq(Mux(s1_is_dst, self.list_data, s1_token)),
            visit.slot.eq(Mux(s1_is_dst, s1_slot, kept.slot)),
            visit.distance.eq(kept.distance),
            visit.is_dst.eq(s1_is_dst),
            room.eq(visits.w_rdy & (reads.w_rdy | ~self.fetch)),
            advance.eq(~s1_valid | room),
            visits.w_en.eq(s1_valid & room),
            visits.w_data.eq(visit),
            reads.w_en.eq(s1_valid & room & self.fetch),
            reads.w_data.eq(visit.token),
            self.visit.valid.eq(visits.r_rdy),
            self.visit.payload.eq(visits.r_data),
            visits.r_en.eq(self.visit.ready),
            self.idle.eq((phase == _Phase.IDLE) & ~s1_valid & ~reads.r_rdy),
        ]
        word = Signal(c.word_bits)
        last = Signal()
        m.d.comb += [
            last.eq(word == self.last_word),
            self.read.valid.eq(reads.r_rdy),
            self.read.payload.token.eq(reads.r_data),
            self.read.payload.word.eq(word),
            reads.r_en.eq(self.read.ready & last),
        ]
        with m.If(self.read.valid & self.read.ready):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
        return m

    def _sources(self, m, phase, advance):
        """(found, token, over): the next src, taken in a cycle of ``advance``; and that there is none left."""
        c = self.config
        shift = exact_log2(c.flag_bits)
        active = Signal(name="scan_active")
        bits = Signal(c.flag_bits, name="scan_bits")  # src of the word that are still to be visited
        base = Signal(c.token_bits, name="scan_base", reset_less=True)
        fetched = Signal(name="scan_fetched")  # a word of flags is read and not yet in ``bits``
        fetched_base = Signal(c.token_bits, name="scan_fetched_base", reset_less=True)
        ahead = Signal(bits_for(c.max_tokens + c.flag_bits), name="scan_ahead")  # first token not yet asked for
        left = Signal(c.flag_bits, name="scan_left")
        place = Signal(range(max(2, c.flag_bits)), name="scan_place")
        load = Signal(name="scan_load")
        found = Signal(name="scan_found")
        token = Signal(c.token_bits, name="scan_token")
        more = Signal(name="scan_more")
        for k in reversed(range(c.flag_bits)):
            with m.If(bits[k]):
                m.d.comb += place.eq(k)
        m.d.comb += [
            active.eq(phase == _Phase.SRC),
            found.eq(active & bits.any()),
            token.eq(base + place),
            left.eq(Mux(advance, bits & (bits - 1), bits)),
            load.eq(fetched & ~left.any()),
            more.eq(active & (ahead < self.tokens)),
            self.flag_en.eq(more & (~fetched | load)),
            self.flag_addr.eq(ahead >> shift),
        ]
        m.d.sync += [bits.eq(Mux(load, ~self.flag_data, left)), fetched.eq(self.flag_en | (fetched & ~load))]
        with m.If(load):
            m.d.sync += base.eq(fetched_base)
        with m.If(self.flag_en):
            m.d.sync += [ahead.eq(ahead + c.flag_bits), fetched_base.eq(ahead)]
        with m.If(self.start):
            m.d.sync += ahead.eq(0)
        over = Signal(name="scan_over")
        m.d.comb += over.eq(active & ~bits.any() & ~fetched & ~more)
        return found, token, over
