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
* Two memories of dst, one loaded while the other is used: hides what ``load_cycles`` says, at twice the memory.
"""

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.orbis.matching.datm_config import STAGES, DatmConfig, Statistic, Status
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

    Cycles without stalls, with a memory that answers ``memory`` cycles after it is asked: ``load_cycles``, ``pair_cycles``,
    ``sum_cycles``, ``update_cycles``, ``top_k_cycles``; a pairing pass is (M - K) * ceil(K / dst_lanes) * ceil(d /
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
        self._pairing = Pairing(config=c)
        self._update = GroupUpdate(config=c)
        self._walk = TokenWalk(config=c)
        self._chooser = DstChooser(config=DstChooserConfig(max_tokens=c.max_tokens))
        self._top_k = TopK(
            config=TopKConfig(
                lanes=c.sort_lanes,
                max_entries=c.max_tokens - 1,
                key_bits=c.distance_bits,
                index_bits=c.token_bits,
                payload_bits=c.slot_bits,
            )
        )

    def pair_cycles(self, tokens, slots, channels, memory=1):
        """Of one pairing pass, all tiles: (M - K) * groups * words, and of each tile the way of its first and last src.

        ``memory``: cycles from a transfer of ``o_read`` to that of its word, with a word in every cycle then. Where dst fill
        words of flags before the first src or behind the last, each costs a tile up to a cycle more.
        """
        words, tiles = self._words(channels), self._tiles(slots)
        way = self._pairing.latency + words + memory + 6
        return sum((tokens - slots) * -(-tile // self.config.dst_lanes) * words + way for tile in tiles)

    def load_cycles(self, slots, channels, memory=1):
        """Of loading all tiles for one pairing pass."""
        return 1 + slots * self._words(channels) + len(self._tiles(slots)) * (4 + memory)

    def sum_cycles(self, tokens, channels, memory=1):
        """Of the sums of all groups, once; up to 2 more where few dst leave the search for src no start."""
        words = self._words(channels)
        period = max(words, GroupUpdate.spacing)
        return (tokens - 1) * period + words + GroupUpdate.latency + 4 + memory

    def update_cycles(self, tokens, slots, channels, memory=1):
        """Of finding the nearest members, once, and of the exchange of dst."""
        return self.sum_cycles(tokens, channels, memory) + 3 * slots

    def top_k_cycles(self, tokens, slots, pairs):
        """Of the selection; where dst fill words of flags before the first src, each costs a cycle more."""
        return self._top_k.config.cycles(tokens - slots, pairs) + 6

    def _words(self, channels):
        return -(-channels // self.config.channel_lanes)

    def _tiles(self, slots):
        return [min(self.config.tile, slots - first) for first in range(0, slots, self.config.tile)]

    def elaborate(self, platform):
        m = Module()
        m.submodules.pairing = emit_once(self._pairing)
        m.submodules.update = emit_once(self._update)
        m.submodules.walk = emit_once(self._walk)
        m.submodules.top_k = emit_once(self._top_k)
        m.submodules.chooser = emit_once(self._chooser)
        self._state(m)
        self._memories(m)
        self._data(m)
        with m.FSM() as fsm:
            m.d.comb += [self.idle.eq(fsm.ongoing("IDLE")), self.failed.eq(self._failed)]
            self._accept(m)
            self._choose(m)
            self._pair(m)
            self._check(m)
            self._groups(m)
            self._exchange(m)
            self._select(m)
            self._report(m)
        with m.If(self._counting):
            m.d.sync += self._cycles[self._stage].eq(self._cycles[self._stage] + 1)
        return m

    # What more than one part of the control uses.

    def _state(self, m):
        c = self.config
        self._job = Signal(c.job_layout, name="job", reset_less=True)
        self._status = Signal(4, name="status")
        self._failed = Signal(name="failed")
        self._sources = Signal(c.count_bits, name="sources", reset_less=True)
        self._last_word = Signal(c.word_bits, name="last_word", reset_less=True)
        self._tail = Signal(range(c.max_channels + 1), name="tail", reset_less=True)
        self._word = Signal(c.word_bits, name="word")
        self._channel = Signal(range(c.max_channels + 1), name="channel", reset_less=True)
        self._left = Signal(c.count_bits, name="left")
        self._place = Signal(c.count_bits, name="place")
        self._base = Signal(c.count_bits, name="base")
        self._end = Signal(c.count_bits, name="end")
        self._loss = Signal(c.loss_bits, name="loss")
        self._loss_before = Signal(c.loss_bits, name="loss_before")
        self._iterations = Signal(c.iteration_bits, name="iterations")
        self._summing = Signal(name="summing")
        self._wait = Signal(range(GroupUpdate.latency + 1), name="wait")
        self._pace = Signal(range(GroupUpdate.spacing), name="pace")
        self._cycles = Array(Signal(32, name=f"cycles_{stage.name.lower()}") for stage in STAGES)
        self._stage = Signal(range(len(STAGES)), name="stage")
        self._counting = Signal(name="counting")

    def _count(self, m, stage):
        m.d.comb += [self._counting.eq(1), self._stage.eq(STAGES.index(stage))]

    def _fail(self, m, status):
        m.d.sync += [self._failed.eq(1), self._status.eq(status.value)]

    def _memories(self, m):
        """The memories that the control reads and writes; the token walk reads them while it is on its way."""
        c = self.config
        walk = self._walk
        shift = exact_log2(c.flag_bits)
        self._flags = flags = Sram(
            config=SramConfig(depth=-(-c.max_tokens // c.flag_bits), width=c.flag_bits, granularity=1)
        )
        self._list = dst = Sram(config=SramConfig(depth=c.max_slots, width=c.token_bits))
        self._kept = kept = Sram(config=SramConfig(depth=c.max_tokens, width=c.assignment_layout.size))
        self._weights = weights = Sram(
            config=SramConfig(depth=c.words, width=c.distance.weights_layout.size, granularity=c.weight_bits)
        )
        m.submodules.flags = emit_once(flags)
        m.submodules.list = emit_once(dst)
        m.submodules.kept = emit_once(kept)
        m.submodules.weights = emit_once(weights)

        # Flags by token; ``set`` writes one, ``clear`` another value, a whole word is written by the control.
        self._flag_token = Signal(c.token_bits, name="flag_token")
        self._flag_write = Signal(name="flag_write")
        self._flag_value = Signal(name="flag_value")
        self._flag_read = Signal(name="flag_read")
        self._flag = Signal(name="flag")
        self._word_write = Signal(name="flag_word_write")
        self._word_value = Signal(c.flag_bits, name="flag_word_value")
        flag_place = Signal(range(max(2, c.flag_bits)), name="flag_place")
        m.d.comb += [
            flag_place.eq(self._flag_token & (c.flag_bits - 1)),
            flags.w_en.eq(
                Mux(
                    self._word_write,
                    (1 << c.flag_bits) - 1,
                    Mux(self._flag_write, Const(1, 1) << flag_place, 0),
                )
            ),
            flags.w_addr.eq(self._flag_token >> shift),
            flags.w_data.eq(Mux(self._word_write, self._word_value, self._flag_value.replicate(c.flag_bits))),
            flags.r_en[0].eq(walk.flag_en | self._flag_read),
            flags.r_addr[0].eq(Mux(self._flag_read, self._flag_token >> shift, walk.flag_addr)),
            walk.flag_data.eq(flags.r_data[0]),
            self._flag.eq(flags.r_data[0].bit_select(flag_place, 1)),
        ]
        # The dst list, by ``place``.
        self._list_read = Signal(name="list_read")
        m.d.comb += [
            dst.w_addr.eq(self._place),
            dst.r_en[0].eq(walk.list_en | self._list_read),
            dst.r_addr[0].eq(Mux(self._list_read, self._place, walk.list_addr)),
            walk.list_data.eq(dst.r_data[0]),
            kept.r_en[0].eq(walk.kept_en),
            kept.r_addr[0].eq(walk.kept_addr),
            walk.kept_data.eq(kept.r_data[0]),
        ]

    def _data(self, m):
        """What is common to all passes: the walk, the words as they come, and who reads the weights."""
        c = self.config
        walk, pairing, update, weights = self._walk, self._pairing, self._update, self._weights
        self._codes = Signal(c.word_layout, name="codes")
        self._over = Signal(name="word_over")
        self._asked = Signal(name="asked")
        awaited = Signal(range(c.outstanding * c.words + 1), name="awaited")
        asks = Signal(name="asks")
        self._moved = Signal(name="moved")
        for k in range(c.channel_lanes):
            code = self.i_data.payload[k]
            unused = Signal(name=f"unused_{k}")
            # Their weights would do as well, but where a word has one weight.
            m.d.comb += unused.eq(self._over & (self._tail <= k))
            m.d.comb += self._codes[k].eq(Mux(unused, 0, Mux(code == -8, -7, code)))
        # Words asked for that have not come: nothing is taken that was not asked for.
        m.d.comb += [asks.eq(walk.read.valid & walk.read.ready), self._asked.eq(awaited.any())]
        with m.If(asks & ~self._moved):
            m.d.sync += awaited.eq(awaited + 1)
        with m.Elif(self._moved & ~asks):
            m.d.sync += awaited.eq(awaited - 1)
        m.d.comb += [
            self._over.eq(self._word == self._last_word),
            self._moved.eq(self.i_data.valid & self.i_data.ready),
            walk.tokens.eq(self._job.tokens),
            walk.last_word.eq(self._last_word),
            walk.first.eq(self._base),
            walk.end.eq(self._end),
            self.o_read.payload.eq(walk.read.payload),
            self.o_read.valid.eq(walk.read.valid),
            walk.read.ready.eq(self.o_read.ready),
            pairing.word.eq(self._codes),
            pairing.last_word.eq(self._last_word),
            pairing.base.eq(self._base),
            pairing.first_tile.eq(self._base == 0),
            pairing.before.slot.eq(walk.visit.payload.slot),
            pairing.before.distance.eq(walk.visit.payload.distance),
            pairing.weight_data.eq(weights.r_data[0]),
            update.summing.eq(self._summing),
            update.word.eq(self._codes),
            update.index.eq(self._word),
            update.last.eq(self._over),
            update.visit.eq(walk.visit.payload),
            update.weight_data.eq(weights.r_data[0]),
            update.best_addr.eq(self._place),
            weights.r_en[0].eq(pairing.weight_en | update.valid),
            weights.r_addr[0].eq(Mux(update.valid, self._word, pairing.weight_addr)),
            weights.w_addr.eq(self._word),
        ]

    # A job is taken: its sizes, and what belongs to it.

    def _accept(self, m):
        c = self.config
        job = self._job
        with m.State("IDLE"):
            m.d.comb += self.i_job.ready.eq(1)
            m.d.sync += [
                job.eq(self.i_job.payload),
                self._failed.eq(0),
                self._iterations.eq(0),
                self._place.eq(0),
                self._word.eq(0),
                self._channel.eq(0),
            ]
            m.d.sync += [count.eq(0) for count in self._cycles]
            with m.If(self.i_job.valid):
                m.next = "SIZES"

        with m.State("SIZES"):
            m.d.sync += [
                self._sources.eq(job.tokens - job.slots),
                self._tail.eq(job.channels),
                self._last_word.eq(0),
            ]
            with m.If((job.tokens < 2) | _above(job.tokens, c.max_tokens)):
                self._fail(m, Status.TOKENS)
            with m.Elif((job.channels == 0) | _above(job.channels, c.max_channels)):
                self._fail(m, Status.CHANNELS)
            with m.Elif((job.slots == 0) | (job.slots >= job.tokens) | _above(job.slots, c.max_slots)):
                self._fail(m, Status.SLOTS)
            with m.Elif(job.pairs + job.slots > job.tokens):
                self._fail(m, Status.PAIRS)
            with m.Elif((job.cap == 0) | _above(job.cap, c.max_iterations)):
                self._fail(m, Status.ITERATIONS)
            m.next = "WORDS"

        # ceil(channels / channel_lanes), by subtraction: as many cycles as words.
        with m.State("WORDS"):
            with m.If(~self._failed & (self._tail > c.channel_lanes)):
                m.d.sync += [self._tail.eq(self._tail - c.channel_lanes), self._last_word.eq(self._last_word + 1)]
            with m.Else():
                m.next = "WEIGHTS"

        with m.State("WEIGHTS"):
            lane = Signal(range(max(2, c.channel_lanes)), name="weight_lane")
            own = Const(1, c.channel_lanes) << lane
            # One weight a word: that of its first channel, in all lanes.
            written = Mux(lane == 0, (1 << c.channel_lanes) - 1, 0) if c.form == "word" else own
            weight = self.i_weights.payload
            m.d.comb += [
                self.i_weights.ready.eq(job.weights),
                self._weights.w_data.eq(weight.weight.replicate(c.channel_lanes)),
            ]
            with m.If(job.weights & self.i_weights.valid):
                m.d.comb += self._weights.w_en.eq(Mux(self._failed, 0, written))
                m.d.sync += [self._channel.eq(self._channel + 1), lane.eq(lane + 1)]
                with m.If(lane == c.channel_lanes - 1):
                    m.d.sync += [lane.eq(0), self._word.eq(self._word + 1)]
                with m.If(~self._failed & (weight.last != (self._channel == job.channels - 1))):
                    self._fail(m, Status.WEIGHTS)
            with m.If(~job.weights | (self.i_weights.valid & weight.last)):
                m.d.sync += [self._word.eq(0), lane.eq(0)]
                m.next = "CLEAR"

    def _choose(self, m):
        """Flags and list of the dst: given, or chosen."""
        c = self.config
        job = self._job
        chooser = self._chooser
        token = Signal(c.token_bits, name="candidate")
        valid = Signal(name="candidate_valid")
        last = Signal(name="candidate_last")
        take = Signal(name="candidate_taken")
        entered = Signal(c.count_bits, name="entered")
        m.d.comb += [
            token.eq(Mux(job.given, self.i_dst.payload.token, chooser.o.payload)),
            valid.eq(Mux(job.given, self.i_dst.valid, chooser.o.valid)),
            last.eq(Mux(job.given, self.i_dst.payload.last, entered == job.slots)),
            entered.eq(self._place + 1),
            self.i_dst.ready.eq(take & job.given),
            chooser.o.ready.eq(take & ~job.given),
            chooser.i_command.payload.tokens.eq(job.tokens),
            chooser.i_command.payload.count.eq(job.slots),
            chooser.i_command.payload.seed.eq(job.seed),
            # What it could complain of is known to be right; a given list is checked here, where its flags are.
            chooser.o_status.ready.eq(1),
        ]

        # A word of flags a cycle; tokens that do not exist are no src.
        with m.State("CLEAR"):
            self._count(m, Statistic.CHOOSE)
            rest = Signal(c.count_bits, name="rest")
            m.d.comb += [
                rest.eq(job.tokens - self._place),
                self._flag_token.eq(self._place),
                self._word_write.eq(~self._failed),
            ]
            for k in range(c.flag_bits):
                m.d.comb += self._word_value[k].eq(rest <= k)
            m.d.sync += self._place.eq(self._place + c.flag_bits)
            with m.If(self._failed | (rest <= c.flag_bits)):
                m.d.sync += self._place.eq(0)
                m.next = "LIST"
                with m.If(~job.given):
                    m.next = "CHOOSE"
                    with m.If(self._failed):
                        m.next = "STATUS"

        with m.State("CHOOSE"):
            self._count(m, Statistic.CHOOSE)
            m.d.comb += chooser.i_command.valid.eq(1)
            with m.If(chooser.i_command.ready):
                m.next = "LIST"

        with m.State("LIST"):
            self._count(m, Statistic.CHOOSE)
            m.d.comb += [self._flag_token.eq(token), self._flag_read.eq(1), take.eq(self._failed)]
            with m.If(valid):
                with m.If(self._failed):
                    with m.If(last):
                        m.next = "STATUS"
                with m.Elif((token >= job.tokens) | (self._place == job.slots)):
                    self._fail(m, Status.LIST)
                with m.Else():
                    m.next = "ENTER"

        with m.State("ENTER"):
            self._count(m, Statistic.CHOOSE)
            m.d.comb += [
                self._flag_token.eq(token),
                self._flag_value.eq(1),
                self._flag_write.eq(1),
                self._list.w_en.eq(1),
                self._list.w_data.eq(token),
                take.eq(1),
            ]
            m.d.sync += self._place.eq(entered)
            with m.If(self._flag | (last & (entered != job.slots))):
                self._fail(m, Status.LIST)
            m.next = "LIST"
            with m.If(last):
                m.next = "STATUS"
                with m.If(~self._flag & (entered == job.slots)):
                    m.next = "ITERATE"

    # An iteration.

    def _pair(self, m):
        c = self.config
        walk, pairing = self._walk, self._pairing
        lane = Signal(range(max(2, c.dst_lanes)), name="load_lane")
        group = Signal(range(max(2, c.tile_groups)), name="load_group")
        group_addr = Signal(pairing.load_addr.shape(), name="load_group_addr")
        last_group = Signal(group.shape(), name="last_group", reset_less=True)
        last_lanes = Signal(range(c.dst_lanes + 1), name="last_lanes", reset_less=True)
        result = Signal(name="result")
        result_token = Signal(c.token_bits, name="result_token", reset_less=True)
        m.d.comb += [
            pairing.load_lane.eq(lane),
            pairing.load_addr.eq(group_addr + self._word),
            pairing.last_group.eq(last_group),
            pairing.last_lanes.eq(last_lanes),
            self._kept.w_en.eq(result),
            self._kept.w_addr.eq(result_token),
            self._kept.w_data.eq(pairing.o),
        ]
        m.d.sync += [result.eq(pairing.done), result_token.eq(walk.visit.payload.token)]

        with m.State("ITERATE"):
            self._count(m, Statistic.LOAD)
            m.d.sync += [self._loss.eq(0), self._base.eq(0), self._end.eq(0)]
            m.next = "TILE"

        # ``end`` is that of the tile before.
        with m.State("TILE"):
            self._count(m, Statistic.LOAD)
            rest = Signal(c.count_bits, name="slots_left")
            m.d.comb += rest.eq(self._job.slots - self._end)
            m.d.sync += [
                self._base.eq(self._end),
                self._end.eq(self._end + Mux(rest > c.tile, c.tile, rest)),
                self._left.eq(Mux(rest > c.tile, c.tile, rest)),
                lane.eq(0),
                group.eq(0),
                group_addr.eq(0),
            ]
            m.next = "LOAD_START"

        with m.State("LOAD_START"):
            self._count(m, Statistic.LOAD)
            m.d.comb += walk.start.eq(1)
            m.next = "LOAD"

        with m.State("LOAD"):
            self._count(m, Statistic.LOAD)
            m.d.comb += [
                walk.fetch.eq(1),
                self.i_data.ready.eq(self._asked),
                pairing.load.eq(self._moved),
                walk.visit.ready.eq(self._moved & self._over),
            ]
            with m.If(self._moved):
                m.d.sync += self._word.eq(Mux(self._over, 0, self._word + 1))
                with m.If(self._over):
                    m.d.sync += [
                        self._left.eq(self._left - 1),
                        lane.eq(lane + 1),
                        last_lanes.eq(lane + 1),
                        last_group.eq(group),
                    ]
                    with m.If(lane == c.dst_lanes - 1):
                        m.d.sync += [
                            lane.eq(0),
                            group.eq(group + 1),
                            group_addr.eq(group_addr + self._last_word + 1),
                        ]
                    with m.If(self._left == 1):
                        m.next = "PAIR_START"

        # No slot is visited, only src: the walk begins where it ends.
        with m.State("PAIR_START"):
            self._count(m, Statistic.PAIR)
            m.d.comb += [walk.start.eq(1), walk.first.eq(self._end), pairing.clear.eq(1)]
            m.d.sync += self._left.eq(self._sources)
            m.next = "PAIR"

        with m.State("PAIR"):
            self._count(m, Statistic.PAIR)
            m.d.comb += [
                walk.sources.eq(1),
                walk.fetch.eq(1),
                self.i_data.ready.eq(self._asked & pairing.room),
                pairing.fill.eq(self._moved),
                walk.visit.ready.eq(pairing.done),
            ]
            with m.If(self._moved):
                m.d.sync += self._word.eq(Mux(self._over, 0, self._word + 1))
            with m.If(result):
                m.d.sync += self._left.eq(self._left - 1)
                with m.If(self._end == self._job.slots):
                    m.d.sync += self._loss.eq(self._loss + pairing.o.distance)
            # The walk may still be looking for src behind the last one.
            with m.If((self._left == result) & walk.idle):
                m.next = "TILE"
                with m.If(self._end == self._job.slots):
                    m.next = "CHECK"

    def _check(self, m):
        job = self._job
        fell = Signal(self.config.loss_bits + 1, name="fell")
        settled = Signal(name="settled")
        o = self.o_stats.payload
        m.d.comb += [
            # The loss never rises: a difference of its own sign would be an error of the engine.
            fell.eq(
                Mux(self._loss < self._loss_before, self._loss_before - self._loss, self._loss - self._loss_before)
            ),
            settled.eq(self._iterations.any() & (fell < job.eps)),
        ]
        with m.State("CHECK"):
            m.d.comb += [self.o_stats.valid.eq(1), o.value.eq(self._loss), o.kind.eq(Statistic.LOSS.value)]
            with m.If(self.o_stats.ready):
                m.d.sync += [
                    self._iterations.eq(self._iterations + 1),
                    self._loss_before.eq(self._loss),
                    self._summing.eq(1),
                    self._status.eq(Mux(settled, Status.CONVERGED.value, Status.CAP.value)),
                ]
                m.next = "GROUPS_START"
                with m.If(settled | (self._iterations + 1 == job.cap)):
                    m.next = "SELECT_START"

    def _groups(self, m):
        """Two passes over all tokens, dst first: sums, then nearest members."""
        walk, update = self._walk, self._update
        stage = Mux(self._summing, STAGES.index(Statistic.SUM), STAGES.index(Statistic.UPDATE))

        with m.State("GROUPS_START"):
            m.d.comb += [self._counting.eq(1), self._stage.eq(stage), walk.start.eq(1), walk.first.eq(0)]
            m.d.sync += [self._left.eq(self._job.tokens), self._pace.eq(0)]
            m.next = "GROUPS"

        with m.State("GROUPS"):
            m.d.comb += [self._counting.eq(1), self._stage.eq(stage)]
            m.d.comb += [
                walk.sources.eq(1),
                walk.fetch.eq(1),
                self.i_data.ready.eq(self._asked & (self._pace == 0)),
                update.valid.eq(self._moved),
                walk.visit.ready.eq(self._moved & self._over),
            ]
            with m.If(self._pace.any()):
                m.d.sync += self._pace.eq(self._pace - 1)
            with m.If(self._moved):
                m.d.sync += self._word.eq(Mux(self._over, 0, self._word + 1))
                with m.If(self._over):
                    # Equal words of two tokens shall be ``spacing`` apart.
                    short = Mux(self._last_word < GroupUpdate.spacing, GroupUpdate.spacing - 1 - self._last_word, 0)
                    m.d.sync += [
                        self._left.eq(self._left - 1),
                        self._pace.eq(short),
                        self._wait.eq(GroupUpdate.latency),
                    ]
            with m.If((self._left == 0) & walk.idle):
                m.d.sync += self._wait.eq(self._wait - 1)
                with m.If(self._wait == 0):
                    m.d.sync += [self._summing.eq(0), self._place.eq(0)]
                    m.next = "GROUPS_START"
                    with m.If(~self._summing):
                        m.next = "EXCHANGE"

    def _exchange(self, m):
        """The best members become the dst."""
        new = Signal(self.config.token_bits, name="new_dst")
        old = Signal(self.config.token_bits, name="old_dst")
        m.d.comb += [new.eq(self._update.best), old.eq(self._list.r_data[0])]
        with m.State("EXCHANGE"):
            self._count(m, Statistic.UPDATE)
            m.d.comb += [self._update.best_en.eq(1), self._list_read.eq(1)]
            m.next = "LEAVE"
        with m.State("LEAVE"):
            self._count(m, Statistic.UPDATE)
            m.d.comb += [self._flag_token.eq(old), self._flag_write.eq(1)]
            m.next = "JOIN"
        with m.State("JOIN"):
            self._count(m, Statistic.UPDATE)
            m.d.comb += [
                self._flag_token.eq(new),
                self._flag_value.eq(1),
                self._flag_write.eq(1),
                self._list.w_en.eq(1),
                self._list.w_data.eq(new),
            ]
            m.d.sync += self._place.eq(self._place + 1)
            m.next = "EXCHANGE"
            with m.If(self._place + 1 == self._job.slots):
                m.next = "ITERATE"

    # The end.

    def _select(self, m):
        walk, top_k = self._walk, self._top_k
        visit = walk.visit.payload
        m.d.comb += [
            top_k.i_command.payload.entries.eq(self._sources),
            top_k.i_command.payload.k.eq(self._job.pairs),
            top_k.i.payload.key.eq(visit.distance),
            top_k.i.payload.index.eq(visit.token),
            top_k.i.payload.payload.eq(visit.slot),
            self.o_pairs.payload.src.eq(top_k.o.payload.index),
            self.o_pairs.payload.slot.eq(top_k.o.payload.payload),
            self.o_pairs.payload.distance.eq(top_k.o.payload.key),
            self.o_pairs.payload.last.eq(self._left == 1),
            self.o_pairs.valid.eq(top_k.o.valid),
            top_k.o.ready.eq(self.o_pairs.ready),
        ]
        with m.State("SELECT_START"):
            self._count(m, Statistic.TOP_K)
            m.d.comb += top_k.i_command.valid.eq(1)
            m.d.sync += self._left.eq(self._job.pairs)
            with m.If(top_k.i_command.ready):
                m.d.comb += [walk.start.eq(1), walk.first.eq(self._end)]
                m.next = "SELECT"

        with m.State("SELECT"):
            self._count(m, Statistic.TOP_K)
            m.d.comb += [
                walk.sources.eq(1),
                top_k.i.valid.eq(walk.visit.valid),
                walk.visit.ready.eq(top_k.i.ready),
                top_k.o_status.ready.eq(walk.idle),
            ]
            with m.If(self.o_pairs.valid & self.o_pairs.ready):
                m.d.sync += self._left.eq(self._left - 1)
            m.d.sync += self._place.eq(0)
            with m.If(top_k.o_status.valid & walk.idle):
                m.next = "SEND_READ"

        with m.State("SEND_READ"):
            m.d.comb += self._list_read.eq(1)
            m.next = "SEND"

        with m.State("SEND"):
            m.d.comb += [
                self.o_dst.valid.eq(1),
                self.o_dst.payload.token.eq(self._list.r_data[0]),
                self.o_dst.payload.last.eq(self._place + 1 == self._job.slots),
            ]
            with m.If(self.o_dst.ready):
                m.d.sync += self._place.eq(self._place + 1)
                m.next = "SEND_READ"
                with m.If(self.o_dst.payload.last):
                    m.d.sync += self._place.eq(0)
                    m.next = "CYCLES"

    def _report(self, m):
        o = self.o_stats.payload
        with m.State("CYCLES"):
            m.d.comb += [
                self.o_stats.valid.eq(1),
                o.value.eq(self._cycles[self._place[:3]]),
                o.kind.eq(self._place + Statistic.CHOOSE.value),
            ]
            with m.If(self.o_stats.ready):
                m.d.sync += self._place.eq(self._place + 1)
                with m.If(self._place == len(STAGES) - 1):
                    m.next = "ITERATIONS"

        with m.State("ITERATIONS"):
            m.d.comb += [self.o_stats.valid.eq(1), o.value.eq(self._iterations), o.kind.eq(Statistic.ITERATIONS.value)]
            with m.If(self.o_stats.ready):
                m.next = "STATUS"

        with m.State("STATUS"):
            m.d.comb += [
                self.o_stats.valid.eq(1),
                o.value.eq(self._status),
                o.kind.eq(Statistic.STATUS.value),
                o.last.eq(1),
            ]
            with m.If(self.o_stats.ready):
                m.next = "IDLE"


def _above(value, limit):
    """Whether ``value`` exceeds a constant; nothing to compare where it has no room to."""
    return value > limit if limit < (1 << len(value)) - 1 else Const(0, 1)


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
