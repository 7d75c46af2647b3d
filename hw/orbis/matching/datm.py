# SPDX-License-Identifier: Apache-2.0
"""The DATM engine (ORBIS 3.2, 3.3): from 4-bit tokens in memory to index pairs, the whole loop, no software in it.

::

    job, weights, dst --> control --> token walk --> o_read ... i_data --+--> pairing ------> assignments --> loss
                             ^          flags, dst list                  |                        |
                             |                                           +--> group update <------+--> top-k --> o_pairs
                             +------------- new dst ---------------------------------+

A job is: choose, or read, K dst; then, until the loss changes by less than eps or the cap is reached, *load* a tile of dst,
*pair* all src with it, tile by tile; *check*; *sum* the groups; *update* the dst; at the end *select* the pairs of least
distance. Every pass but the first and the last reads tokens from memory in order, by index.

Rejected:

* Sums of groups in the pairing pass: one pass over the tokens less, in ceil(K / dst_lanes) + 2 of them, and wasted in the
  last iteration; with several tiles the groups are not known before the last.
* All dst in local memory: a tile of a tenth of 67,320 tokens of 3,072 channels is 10 MB. The tile is a choice of the config.
* Two memories of dst, one loaded while the other is used: hides the loads (``sim.model.matching.load_cycles``), at twice the
  memory.
"""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching import datm_end, datm_iteration, datm_job
from zoetrope.hw.orbis.matching.datm_config import DatmConfig
from zoetrope.hw.orbis.matching.datm_control import Control
from zoetrope.hw.orbis.matching.dst_chooser import DstChooser, DstChooserConfig
from zoetrope.hw.orbis.matching.group_update import GroupUpdate
from zoetrope.hw.orbis.matching.pairing import Pairing
from zoetrope.hw.orbis.matching.token_walk import TokenWalk
from zoetrope.hw.orbis.matching.top_k import TopK, TopKConfig


class Datm(wiring.Component):
    """Distribution-aware token matching of one job after the other.

    Parameters
    ----------
    config : DatmConfig

    Members
    -------
    i_job : In(stream of ``tokens`` M, ``channels`` d, ``slots`` K, ``pairs`` k, ``eps``, ``cap``, ``seed``, ``given``,
        ``weights``), taken when idle. ``given``: the dst come at ``i_dst``, else they are chosen by ``seed``.
        ``weights``: weights come at ``i_weights``, else those of the job before are used
    i_weights : In(stream of ``weight``, ``last``), d of a job, as the quantization engine gives them; where ``form`` is
        word, none but the first of each word of channels counts
    i_dst : In(stream of ``token``, ``last``), K tokens of a job
    o_read : Out(stream of ``token``, ``word``), what is wanted of memory
    i_data : In(stream of channel_lanes codes), the words asked for, in order, at any latency. -8, which is no code, is -7
    o_pairs : Out(stream of ``src``, ``slot``, ``distance``, ``last``), k pairs by ascending (distance, src); none if k = 0
    o_dst : Out(stream of ``token``, ``last``), the K dst by slot
    o_stats : Out(stream of ``value``, ``kind``: ``Statistic``, ``last``): a loss for each pairing, then cycles of the
        stages, the number of pairings, and the ``Status``. After an error the status is all that comes, at any stream
    idle : Out(1), no job
    failed : Out(1), the job in work is wrong; sizes are checked in the cycle behind its transfer, so from 2 cycles behind on

    Errors: those of ``Status``, found before memory is read. What belongs to a job, weights and dst up to ``last``, is taken
    in any case, and the next job is right again.

    Cycles without stalls: ``load_cycles``, ``pair_cycles``, ``sum_cycles``, ``update_cycles`` and ``select_cycles`` of
    ``sim.model.matching``, for any latency of the memory; a pairing pass is (M - K) * ceil(K / dst_lanes) * ceil(d /
    channel_lanes) and some 20 cycles a tile. ``outstanding`` tokens are asked for ahead; that covers a later memory where
    it takes less than they take to pair.
    Memories (all ``hw.memory.sram``): flags M, dst list, assignments M x (slot, distance), local dst, 4 src, weights, group
    sums K x d, counts, best members, and that of the top-k unit.
    Golden: ``golden.orbis.matching.datm.match``.
    """

    def __init__(self, *, config: DatmConfig):
        self.config = c = config
        super().__init__(
            {
                "i_job": In(stream.Signature(c.job_layout)),
                "i_weights": In(stream.Signature(c.weights_layout)),
                "i_dst": In(stream.Signature(c.token_layout)),
                "o_read": Out(stream.Signature(c.read_layout)),
                "i_data": In(stream.Signature(c.word_layout)),
                "o_pairs": Out(stream.Signature(c.pair_layout)),
                "o_dst": Out(stream.Signature(c.token_layout)),
                "o_stats": Out(stream.Signature(c.statistic_layout)),
                "idle": Out(1),
                "failed": Out(1),
            }
        )
        self.pairing = Pairing(config=c)
        self.update = GroupUpdate(config=c)
        self.walk = TokenWalk(config=c)
        self.chooser = DstChooser(config=DstChooserConfig(max_tokens=c.max_tokens))
        self.top_k = TopK(
            config=TopKConfig(
                lanes=c.sort_lanes,
                max_entries=c.max_tokens - 1,
                key_bits=c.distance_bits,
                index_bits=c.token_bits,
                payload_bits=c.slot_bits,
            )
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.pairing = emit_once(self.pairing)
        m.submodules.update = emit_once(self.update)
        m.submodules.walk = emit_once(self.walk)
        m.submodules.top_k = emit_once(self.top_k)
        m.submodules.chooser = emit_once(self.chooser)
        # What the stages of the job share, for the functions of ``datm_job``, ``datm_iteration`` and ``datm_end``.
        self.control = control = Control(self.config)
        self._memories(m)
        self._data(m)
        with m.FSM() as fsm:
            m.d.comb += [self.idle.eq(fsm.ongoing("IDLE")), self.failed.eq(control.failed)]
            datm_job.accept(m, self)
            datm_job.choose(m, self)
            datm_iteration.pair(m, self)
            datm_iteration.check(m, self)
            datm_iteration.groups(m, self)
            datm_iteration.exchange(m, self)
            datm_end.select(m, self)
            datm_end.report(m, self)
        with m.If(control.counting):
            m.d.sync += control.cycles[control.stage].eq(control.cycles[control.stage] + 1)
        return m

    def _memories(self, m):
        """The memories that the control reads and writes; the token walk reads them while it is on its way."""
        c, control, walk = self.config, self.control, self.walk
        shift = exact_log2(c.flag_bits)
        self.flags = flags = Sram(
            config=SramConfig(depth=-(-c.max_tokens // c.flag_bits), width=c.flag_bits, granularity=1)
        )
        self.list = dst = Sram(config=SramConfig(depth=c.max_slots, width=c.token_bits))
        self.kept = kept = Sram(config=SramConfig(depth=c.max_tokens, width=c.assignment_layout.size))
        self.weights = weights = Sram(
            config=SramConfig(depth=c.words, width=c.distance.weights_layout.size, granularity=c.weight_bits)
        )
        m.submodules.flags = emit_once(flags)
        m.submodules.list = emit_once(dst)
        m.submodules.kept = emit_once(kept)
        m.submodules.weights = emit_once(weights)

        # Flags by token; ``set`` writes one, ``clear`` another value, a whole word is written by the control.
        flag_place = Signal(range(max(2, c.flag_bits)), name="flag_place")
        m.d.comb += [
            flag_place.eq(control.flag_token & (c.flag_bits - 1)),
            flags.w_en.eq(
                Mux(
                    control.word_write,
                    (1 << c.flag_bits) - 1,
                    Mux(control.flag_write, Const(1, 1) << flag_place, 0),
                )
            ),
            flags.w_addr.eq(control.flag_token >> shift),
            flags.w_data.eq(Mux(control.word_write, control.word_value, control.flag_value.replicate(c.flag_bits))),
            flags.r_en[0].eq(walk.flag_en | control.flag_read),
            flags.r_addr[0].eq(Mux(control.flag_read, control.flag_token >> shift, walk.flag_addr)),
            walk.flag_data.eq(flags.r_data[0]),
            control.flag.eq(flags.r_data[0].bit_select(flag_place, 1)),
        ]
        # The dst list, by ``place``.
        m.d.comb += [
            dst.w_addr.eq(control.place),
            dst.r_en[0].eq(walk.list_en | control.list_read),
            dst.r_addr[0].eq(Mux(control.list_read, control.place, walk.list_addr)),
            walk.list_data.eq(dst.r_data[0]),
            kept.r_en[0].eq(walk.kept_en),
            kept.r_addr[0].eq(walk.kept_addr),
            walk.kept_data.eq(kept.r_data[0]),
        ]

    def _data(self, m):
        """What is common to all passes: the walk, the words as they come, and who reads the weights."""
        c, control = self.config, self.control
        walk, pairing, update, weights = self.walk, self.pairing, self.update, self.weights
        awaited = Signal(range(c.outstanding * c.words + 1), name="awaited")
        asks = Signal(name="asks")
        for k in range(c.channel_lanes):
            code = self.i_data.payload[k]
            unused = Signal(name=f"unused_{k}")
            # Their weights would do as well, but where a word has one weight.
            m.d.comb += unused.eq(control.over & (control.tail <= k))
            m.d.comb += control.codes[k].eq(Mux(unused, 0, Mux(code == -8, -7, code)))
        # Words asked for that have not come: nothing is taken that was not asked for.
        m.d.comb += [asks.eq(walk.read.valid & walk.read.ready), control.asked.eq(awaited.any())]
        with m.If(asks & ~control.moved):
            m.d.sync += awaited.eq(awaited + 1)
        with m.Elif(control.moved & ~asks):
            m.d.sync += awaited.eq(awaited - 1)
        m.d.comb += [
            control.over.eq(control.word == control.last_word),
            control.moved.eq(self.i_data.valid & self.i_data.ready),
            walk.tokens.eq(control.job.tokens),
            walk.last_word.eq(control.last_word),
            walk.first.eq(control.base),
            walk.end.eq(control.end),
            self.o_read.payload.eq(walk.read.payload),
            self.o_read.valid.eq(walk.read.valid),
            walk.read.ready.eq(self.o_read.ready),
            pairing.word.eq(control.codes),
            pairing.last_word.eq(control.last_word),
            pairing.base.eq(control.base),
            pairing.first_tile.eq(control.base == 0),
            pairing.before.slot.eq(walk.visit.payload.slot),
            pairing.before.distance.eq(walk.visit.payload.distance),
            pairing.weight_data.eq(weights.r_data[0]),
            update.summing.eq(control.summing),
            update.word.eq(control.codes),
            update.index.eq(control.word),
            update.last.eq(control.over),
            update.visit.eq(walk.visit.payload),
            update.weight_data.eq(weights.r_data[0]),
            update.best_addr.eq(control.place),
            weights.r_en[0].eq(pairing.weight_en | update.valid),
            weights.r_addr[0].eq(Mux(update.valid, control.word, pairing.weight_addr)),
            weights.w_addr.eq(control.word),
        ]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": DatmConfig(),
    "small": DatmConfig(
        max_tokens=23,
        max_slots=9,
        max_channels=3,
        dst_lanes=1,
        channel_lanes=1,
        tile_groups=3,
        weight_bits=2,
        max_iterations=5,
        sort_lanes=2,
        flag_bits=1,
        form="multiplier",
    ),
    "paper": DatmConfig(
        max_tokens=17_550,
        max_slots=1_755,
        max_channels=64,
        dst_lanes=48,
        channel_lanes=16,
        outstanding=64,
        flag_bits=64,
    ),
}
