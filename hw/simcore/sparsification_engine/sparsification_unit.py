"""Sparsification unit (SIMPICKER III-C, IV-C): which tokens of a clip repeat one just seen.

Every token meets the ``window`` x ``window`` tokens around its place in the previous frame and the first token of its group
of ``group`` in its row. It repeats the nearest of the former if that is nearer than tau, else the latter if that is, and
else is kept (``golden.simcore.sparsification_engine.sparsification_unit`` states it in full)::

    i ----------> token store ------------------+--> lane group 0:  sum of (x - y)^2 --+
      '--> reference store --------------+      +--> lane group 1                      +--> comparison --> T --> index
    i_previous --> line store, banks ----+--> choice --> ...                           |    trees              buffer --> o
                                                +--> lane group C - 1 -----------------+

    walk --> jobs --> beats of up to C jobs --> ring of ``add_stages`` beats, one word of one beat a cycle

A *job* is a pair of a token and a candidate. A *beat* is up to C = ``candidates`` jobs in order, of at most two tokens,
that the lane groups work on together: one word of ``lanes`` channels a cycle, W cycles for tokens of W words. An adder of
``add_stages`` registers sums the words of as many beats in turn, so that it takes a word every cycle. The comparison tree
finds the least of a beat's distances, one tree for each of its two tokens, and it meets the least of the beats before.

**Data movement.** The clip comes twice: on ``i``, and a frame later again on ``i_previous``, so that the lines of the window
are kept on chip and not a frame. A beat reads one word of each of its candidates in a cycle, from B = ``banks`` banks:
token (row, column) of the previous frame lies in slot ``row * pitch + column`` and bank slot mod B, with the pitch the least
from width on that is congruent to the window modulo B. So the candidates of a token, one after the other, lie in banks
one after the other, also where a row of the window ends; and for an odd window and B up to 8 the next token goes on in
the next bank. Where a border cuts the window a bank may be wanted twice in a beat, which then ends early.

Rejected:

* A frame kept on chip in place of the second stream: 179 KB for 30 x 45 tokens of d = 64 in place of 26.
* A read port for every lane group: C copies of the line store, in place of a choice of one bank in B.
* As many banks as candidates: on 9 x 11 tokens the lanes are busy in 94.5 % of the cycles, with twice as many in 99.9 %.
* Beats of one token: its 10 candidates are three beats of four, and 17 % of the lanes idle.
* A reference chosen from what the temporal pass left: its spatial distances would wait for all decisions before.
* All lanes on one candidate at a time: as fast where a token has as many channels, and without banks and choice; but
  tokens of few channels leave most lanes idle, and the tree has nothing to compare.
* One tree, used twice for a beat of two tokens: a cycle in which nothing moves, to save 3 comparators.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.arith.float_add import FloatAddConfig
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16, FP32
from zoetrope.hw.memory.index_buffer import IndexBuffer, IndexBufferConfig
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.sparsification_engine.squared_distance import (
    NONE,
    WIDTH,
    LaneGroup,
    LaneGroupConfig,
    SquareConfig,
    SumConfig,
    to_fp32,
)
from zoetrope.hw.stream import check_parts, delayed
from zoetrope.hw.tree.min_tree import MinTree, MinTreeConfig


@dataclass(frozen=True)
class SparsificationUnitConfig:
    candidates: int = field(default=4, metadata={"doc": "lane groups, candidates a beat; a power of two"})
    banks: int = field(default=8, metadata={"doc": "banks of the line store; a power of two, at least candidates"})
    lanes: int = field(default=4, metadata={"doc": "channels a word, lanes of a group; a power of two"})
    max_words: int = field(default=32, metadata={"doc": "words of the longest token; a power of two"})
    max_height: int = field(default=64, metadata={"doc": "rows of the largest frame"})
    max_width: int = field(default=64, metadata={"doc": "columns of the largest frame"})
    max_window: int = field(default=7, metadata={"doc": "the largest window, rows and columns"})
    slots: int = field(default=256, metadata={"doc": "tokens in the line store; a power of two"})
    tokens: int = field(default=9362, metadata={"doc": "tokens of the longest clip, entries of the index buffer"})
    in_flight: int = field(default=16, metadata={"doc": "tokens between arrival and decision; a power of two"})
    difference_stages: int = field(default=2, metadata={"doc": "register stages of the FP16 subtractors"})
    square_stages: int = field(default=1, metadata={"doc": "of the squarers, 0 to 2"})
    add_stages: int = field(default=2, metadata={"doc": "of the adders, 1 to 4, and beats in turn"})
    tree_stages: int = field(default=1, metadata={"doc": "of the comparison trees"})

    def __post_init__(self):
        for name in ("candidates", "banks", "lanes", "max_words", "slots", "in_flight"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
        for name in ("max_height", "max_width", "max_window", "tokens", "add_stages"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.in_flight < 4:
            raise ValueError(f"in_flight must be at least 4, not {self.in_flight!r}")
        if self.banks < self.candidates:
            raise ValueError(f"banks must be at least candidates, {self.candidates}, not {self.banks!r}")
        if self.slots < 2 * self.banks:
            raise ValueError(f"slots must be at least {2 * self.banks}, two a bank, not {self.slots!r}")
        check_parts(self, "difference", "square", "add", "tree")

    @property
    def difference(self):
        return FloatAddConfig(a=FP16, b=FP16, stages=self.difference_stages)

    @property
    def square(self):
        return SquareConfig(stages=self.square_stages)

    @property
    def add(self):
        return SumConfig(stages=self.add_stages)

    @property
    def group(self):
        return LaneGroupConfig(lanes=self.lanes, difference=self.difference, square=self.square, add=self.add)

    @property
    def tree(self):
        return MinTreeConfig(leaves=self.candidates, width=WIDTH, stages=self.tree_stages)

    @property
    def index(self):
        return IndexBufferConfig(depth=self.tokens, tag_bits=self.tag_layout.size)

    @property
    def tag_layout(self):
        return data.StructLayout({"spatial": 32, "temporal": 32, "kind": 2})

    @property
    def slot_bits(self):
        """Of a slot of the line store, with one bit more to tell a full one from an empty one."""
        return ceil_log2(self.slots) + 1

    @property
    def word_bits(self):
        return self.lanes * 16

    @property
    def line_store_bits(self):
        """``slots`` tokens of ``max_words`` words."""
        return self.slots * self.max_words * self.word_bits

    @property
    def distance_latency(self):
        """From issuing a word of a beat to its distance, if it is the last."""
        return 1 + self.group.lead + self.add_stages

    @property
    def pending(self):
        """Beats between the ring's entry and their distances, where tokens have C words; with more there are fewer."""
        turn = self.add_stages * self.candidates
        return self.add_stages * -(-(self.add_stages + turn + self.distance_latency + 1) // turn)

    @property
    def config_layout(self):
        return data.StructLayout(
            {
                "threshold": 32,
                "frames": range(self.tokens + 1),
                "height": range(self.max_height + 2),
                "width": range(self.max_width + 2),
                "window": range(self.max_window + 2),
                "group": range(self.max_width + 2),
                "words": range(self.max_words + 2),
            }
        )

    @property
    def i_layout(self):
        return data.StructLayout({"channels": data.ArrayLayout(FP16.layout, self.lanes), "last": 1})

    @property
    def o_layout(self):
        return data.StructLayout({"root": self.index.index_bits, "kept": 1, "spatial": 32, "temporal": 32, "kind": 2})

    @property
    def outcome_layout(self):
        """What is to be known of a beat when its distances come; a job that is of neither token is the reference's."""
        return data.StructLayout(
            {
                "jobs": data.ArrayLayout(
                    data.StructLayout({"first": 1, "second": 1, "spatial": 1, "index": self.index.index_bits}),
                    self.candidates,
                ),
                "again": 1,
                "two": 1,
                "spatial_second": 1,
                "first_done": 1,
                "second_done": 1,
            }
        )

    @property
    def read_layout(self):
        """What is to be known of a beat while its words are read."""
        token = ceil_log2(self.in_flight)
        job = data.StructLayout({"second": 1, "temporal": 1, "slot": self.slot_bits - 1})
        return data.StructLayout(
            {
                "jobs": data.ArrayLayout(job, self.candidates),
                "first_token": token,
                "second_token": token,
                "reference": token,
            }
        )

    @property
    def job_layout(self):
        """A candidate: which of the beat's tokens meets it, where it lies, which token it is."""
        return data.StructLayout(
            {
                "valid": 1,
                "second": 1,
                "spatial": 1,
                "slot": self.slot_bits - 1,
                "index": self.index.index_bits,
            }
        )

    @property
    def beat_layout(self):
        token = ceil_log2(self.in_flight)
        return data.StructLayout(
            {
                "jobs": data.ArrayLayout(self.job_layout, self.candidates),
                "count": range(self.candidates + 1),
                "first_token": token,
                "second_token": token,
                "reference": token,
                "again": 1,
                "two": 1,
                "first_done": 1,
                "second_done": 1,
            }
        )


def _jobs(t, y, x, height, width, window, group, pitch, banks):
    """Jobs of a token in order: (whether it is the first, the bank it reads, or "reference", or None)."""
    reach = window // 2
    found = []
    if t:
        rows = range(max(0, y - reach), min(y - reach + window, height))
        columns = range(max(0, x - reach), min(x - reach + window, width))
        found = [(((t - 1) * height + row) * pitch + column) % banks for row in rows for column in columns]
    if x % group:
        found.append("reference")
    return [(k == 0, bank) for k, bank in enumerate(found or [None])]


class SparsificationUnit(wiring.Component):
    """The index table of a clip of tokens, token by token.

    A clip begins with a transfer on ``i_config`` and ends with the entry of its last token; then the next may begin. Its
    tokens come on ``i`` in frame order, ``words`` words each, channels beyond d as +0, ``last`` set in the last word of
    all. The tokens of all frames but the last come once more on ``i_previous``, as fast as the line store takes them.

    ``i_config``: ``threshold``, tau squared in FP32 (the T register); ``frames``, ``height``, ``width``, the clip in tokens;
    ``window``; ``group``, 1 for no spatial pass; ``words`` = d / lanes, rounded up. tau may be infinite, not negative.

    ``o``, an entry a token, in order: ``root``, its entry of the index table; ``kept``; ``kind``, 0 kept, 1 temporal, 2
    spatial; ``temporal`` and ``spatial``, the least distance to the window and that to the reference, FP32, all ones
    where there is none. The index buffer keeps the roots (``hw.memory.index_buffer``).

    Published: 0.14 mm2 at 32 nm, 92 kGE, 16.4 mW (SIMPICKER Table II), and neither lanes nor structure. At that budget:
    4 groups of 4 lanes (the default), 86 kGE, or 2 of 8, 81 kGE, either 16 channels a cycle; 4 groups of 8, with adders
    of 3 stages, take 164 kGE. A lane is 3.6 kGE: 47 % of it the adder, 30 % the subtractor, 23 % the squarer.

    Parameters
    ----------
    config : SparsificationUnitConfig

    Members
    -------
    i_config : In(stream), the registers of a clip
    i : In(stream of ``channels``: lanes x FP16; ``last``), its tokens
    i_previous : In(stream of lanes x FP16), the tokens of the frame before
    o : Out(stream), an entry a token
    error_threshold : Out(1), the threshold is negative (-0 counts) or NaN
    error_geometry : Out(1), a register is 0 or above its maximum, or the line store is too small
    error_tokens : Out(1), ``last`` came early or not at all, or there are more than ``tokens`` tokens
    r_en, r_addr, r_ready, r_data : the read port of the index buffer, for entries that have left ``o``

    Errors: after one of the flags the unit takes and drops whatever comes on ``i`` and ``i_previous``, gives no more than
    the entries that are complete, and waits for a reset. A NaN or infinite distance never matches.

    Memories: the line store, ``slots`` tokens of ``max_words`` words, of which a clip needs
    ``min(height, window + 1) * pitch``, that is the lines of the window and one that is filled meanwhile, with
    pitch = width + (window - width) mod B; 204 tokens or 26 KB for 30 x 45 of d = 64 and a window of 3. Three
    stores of ``in_flight`` tokens: for either token of a beat and for references. The index buffer, ``tokens`` entries.

    Cycles: where no stream stalls and tokens have W >= C words, beat k + ``add_stages`` follows beat k by
    ``add_stages`` * W cycles from frame 1 on, so that a frame takes W cycles for each of its beats (``packing``): 3,392 for
    9 x 11 tokens of d = 64, 50,784 for 30 x 45. With fewer words it takes a cycle a job, since
    jobs are found one by one. Frame 0 is as fast as its words come.
    Latency: ``latency`` for a clip of one token of one word, and ``add_stages`` more for each further word.
    Initiation interval: 1, a word of C candidates every cycle. Backpressure: yes, all stages stop together.
    Golden: ``golden.simcore.sparsification_engine.sparsification_unit.sparsify``.
    """

    def __init__(self, *, config):
        self.config = config
        index = config.index
        super().__init__(
            {
                "i_config": In(stream.Signature(config.config_layout)),
                "i": In(stream.Signature(config.i_layout)),
                "i_previous": In(stream.Signature(data.ArrayLayout(FP16.layout, config.lanes))),
                "o": Out(stream.Signature(config.o_layout)),
                "error_threshold": Out(1),
                "error_geometry": Out(1),
                "error_tokens": Out(1),
                "r_en": In(1),
                "r_addr": In(index.index_bits),
                "r_ready": Out(1),
                "r_data": Out(index.index_bits),
            }
        )

    @property
    def latency(self):
        """Of a clip of one token of one word, from its transfer to that of its entry."""
        c = self.config
        return c.distance_latency + c.add_stages + c.tree_stages + 5

    def packing(self, grid, window, group):
        """Beats that each frame of a clip adds, a list: what ``_walk`` and ``_build_beats`` do while no job waits."""
        frames, height, width = grid
        c = self.config
        pitch = width + (window - width) % c.banks
        beats = [0] * frames
        state = SimpleNamespace(count=0, banks=set(), tokens=0, spatial=False)
        for t in range(frames):
            for y in range(height):
                for x in range(width):
                    for first, bank in _jobs(t, y, x, height, width, window, group, pitch, c.banks):
                        full = state.count in (0, c.candidates)
                        if (
                            full
                            or bank in state.banks
                            or (bank == "reference" and state.spatial)
                            or (first and state.tokens == 2)
                        ):
                            state = SimpleNamespace(count=0, banks=set(), tokens=0, spatial=False)
                            beats[t] += 1
                        state.tokens += first or not state.count
                        state.count += 1
                        state.spatial |= bank == "reference"
                        state.banks |= {bank} - {"reference", None}
        return beats

    def elaborate(self, platform):
        m = Module()
        r = self._registers(m)
        self._store_tokens(m, r)
        self._store_lines(m, r)
        self._walk(m, r)
        self._build_beats(m, r)
        self._issue(m, r)
        results = self._measure(m, r)
        self._compare(m, r, results)
        self._decide(m, r)
        return m

    # Registers of the clip, and the checks of them.

    def _registers(self, m):
        c = self.config
        r = SimpleNamespace()
        r.clip = clip = Signal(c.config_layout, name="clip")
        r.running = Signal(name="running")
        r.failed = Signal(name="failed")
        r.ended = Signal(name="ended")
        r.start = Signal(name="start")
        r.reach = Signal(range(c.max_window + 2), name="reach")
        r.pitch = Signal(range(c.max_width + c.banks + 1), name="pitch")
        skew = ceil_log2(c.banks)
        new = self.i_config.payload
        checking = Signal()
        lines = Signal(range(c.max_window + 3))
        rows = Signal(range(c.max_height + 2))
        room = Signal(range(-c.max_width - c.banks - 1, c.slots + 1))
        wrong = Signal()
        short = Signal()
        checked = Signal()
        m.d.comb += [
            self.i_config.ready.eq(~r.running & ~checking & ~r.failed),
            r.start.eq(self.i_config.valid & self.i_config.ready),
            r.reach.eq(clip.window >> 1),
            r.pitch.eq(clip.width + ((clip.window - clip.width)[:skew] if skew else 0)),
            wrong.eq(
                (clip.frames == 0)
                | (clip.frames > c.tokens)
                | (clip.height == 0)
                | (clip.height > c.max_height)
                | (clip.width == 0)
                | (clip.width > c.max_width)
                | (clip.window == 0)
                | (clip.window > c.max_window)
                | (clip.group == 0)
                | (clip.words == 0)
                | (clip.words > c.max_words)
            ),
            short.eq(room < 0),
            checked.eq((lines == 0) | (rows == 0)),
        ]
        with m.If(r.start):
            m.d.sync += [clip.eq(new), checking.eq(1), lines.eq(new.window + 1), rows.eq(new.height), room.eq(c.slots)]
        with m.If(checking):
            # Of as many lines as the window needs, one a cycle: a check is worth no multiplier.
            m.d.sync += [lines.eq(lines - 1), rows.eq(rows - 1), room.eq(room - r.pitch)]
            with m.If(wrong | short | (clip.threshold > FP32.inf)):
                m.d.sync += [
                    checking.eq(0),
                    r.failed.eq(1),
                    self.error_geometry.eq(wrong | short),
                    self.error_threshold.eq(clip.threshold > FP32.inf),
                ]
            with m.Elif(checked):
                m.d.sync += [checking.eq(0), r.running.eq(1)]
        with m.If(r.ended):
            m.d.sync += r.running.eq(0)
        return r

    # What comes: tokens, and the frames before.

    def _store_tokens(self, m, r):
        """``i`` into the token stores, one for each token of a beat; the first of each group into the reference store."""
        c = self.config
        token_bits = ceil_log2(c.in_flight)
        config = SramConfig(depth=c.in_flight * c.max_words, width=c.word_bits)
        r.token_stores = [Sram(config=config) for _ in range(2)]
        r.reference_store = Sram(config=config)
        for k, store in enumerate(r.token_stores):
            m.submodules[f"token_store_{k}"] = emit_once(store)
        m.submodules.reference_store = emit_once(r.reference_store)

        r.arrived = Signal(token_bits + 1, name="arrived")  # tokens, whole ones
        r.decided = Signal(token_bits + 1, name="decided")
        word = Signal(range(c.max_words))
        count = Signal(range(c.tokens + 1))
        place = self._place(m, r, "arriving")
        reference = Signal(token_bits, name="arriving_reference")
        waiting = Signal(token_bits + 1)
        take = Signal(name="take_word")
        last_word = Signal()
        bad = Signal()
        m.d.comb += [
            waiting.eq(r.arrived - r.decided),
            take.eq(self.i.valid & r.running & ~r.failed & ~place.over & ~waiting[-1]),
            self.i.ready.eq(r.failed | (r.running & ~place.over & ~waiting[-1])),
            last_word.eq(word == r.clip.words - 1),
            bad.eq((self.i.payload.last != (place.last & last_word)) | (last_word & (count == c.tokens))),
            place.step.eq(take & last_word),
            place.clear.eq(r.start),
        ]
        stores = [(store, r.arrived[:token_bits], take) for store in r.token_stores]
        stores.append((r.reference_store, reference, take & place.first_of_group))
        for store, token, write in stores:
            m.d.comb += [
                store.w_en.eq(write),
                store.w_addr.eq(self._address(token, word)),
                store.w_data.eq(Cat(*self.i.payload.channels)),
            ]
        with m.If(take):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(bad):
                m.d.sync += [r.failed.eq(1), self.error_tokens.eq(1)]
            with m.Elif(last_word):
                m.d.sync += [r.arrived.eq(r.arrived + 1), count.eq(count + 1)]
                with m.If(place.last_of_group):
                    m.d.sync += reference.eq(reference + 1)
        with m.If(r.start):
            m.d.sync += [word.eq(0), count.eq(0), r.arrived.eq(0), reference.eq(0)]

    def _address(self, token, word):
        """Of a word of a token: tokens take ``max_words`` each, so that no multiplier is needed."""
        bits = ceil_log2(self.config.max_words)
        return Cat(word[:bits], token) if bits else token

    def _place(self, m, r, name):
        """Frame, row and column of a token, counted with ``step`` from ``clear`` on; ``over`` behind the last."""
        c = self.config
        p = SimpleNamespace(
            frame=Signal(range(c.tokens + 1), name=f"{name}_frame"),
            y=Signal(range(c.max_height + 1), name=f"{name}_y"),
            x=Signal(range(c.max_width + 1), name=f"{name}_x"),
            in_group=Signal(range(c.max_width + 1), name=f"{name}_in_group"),
            over=Signal(name=f"{name}_over"),
            step=Signal(name=f"{name}_step"),
            clear=Signal(name=f"{name}_clear"),
            last_column=Signal(name=f"{name}_last_column"),
            last_row=Signal(name=f"{name}_last_row"),
            last=Signal(name=f"{name}_last"),
            first_of_group=Signal(name=f"{name}_first_of_group"),
            last_of_group=Signal(name=f"{name}_last_of_group"),
        )
        m.d.comb += [
            p.last_column.eq(p.x == r.clip.width - 1),
            p.last_row.eq(p.y == r.clip.height - 1),
            p.last.eq(p.last_column & p.last_row & (p.frame == r.clip.frames - 1)),
            p.first_of_group.eq(p.in_group == 0),
            p.last_of_group.eq(p.last_column | (p.in_group == r.clip.group - 1)),
        ]
        with m.If(p.step):
            m.d.sync += [p.x.eq(p.x + 1), p.in_group.eq(Mux(p.last_of_group, 0, p.in_group + 1)), p.over.eq(p.last)]
            with m.If(p.last_column):
                m.d.sync += [p.x.eq(0), p.y.eq(p.y + 1)]
                with m.If(p.last_row):
                    m.d.sync += [p.y.eq(0), p.frame.eq(p.frame + 1)]
        with m.If(p.clear):
            m.d.sync += [p.x.eq(0), p.y.eq(0), p.frame.eq(0), p.in_group.eq(0), p.over.eq(0)]
        return p

    def _store_lines(self, m, r):
        """``i_previous`` into the banks of the line store."""
        c = self.config
        bank_bits = ceil_log2(c.banks)
        config = SramConfig(depth=c.slots // c.banks * c.max_words, width=c.word_bits)
        r.banks = [Sram(config=config) for _ in range(c.banks)]
        r.filled = Signal(c.slot_bits, name="filled")  # the slot that is written next
        r.freed = Signal(c.slot_bits, name="freed")  # the first that is still needed
        used = Signal(c.slot_bits)
        word = Signal(range(c.max_words), name="line_word")
        place = self._place(m, r, "line")
        room = Signal(name="line_room")
        take = Signal(name="take_line_word")
        last_word = Signal(name="line_last_word")
        m.d.comb += [
            used.eq(r.filled - r.freed),
            # The skip from the end of a line to the next may go beyond what is free.
            room.eq(r.running & ~r.failed & (used < c.slots) & (place.frame != r.clip.frames - 1)),
            take.eq(self.i_previous.valid & room),
            self.i_previous.ready.eq(r.failed | room),
            last_word.eq(word == r.clip.words - 1),
            place.step.eq(take & last_word),
            place.clear.eq(r.start),
        ]
        for k, bank in enumerate(r.banks):
            m.submodules[f"bank_{k}"] = emit_once(bank)
            m.d.comb += [
                bank.w_en.eq(take & (r.filled[:bank_bits] == k)),
                bank.w_addr.eq(self._address(r.filled[bank_bits:-1], word)),
                bank.w_data.eq(Cat(*self.i_previous.payload)),
            ]
        with m.If(take):
            m.d.sync += word.eq(Mux(last_word, 0, word + 1))
            with m.If(last_word):
                m.d.sync += r.filled.eq(r.filled + Mux(place.last_column, r.pitch - r.clip.width + 1, 1))
        with m.If(r.start):
            m.d.sync += [word.eq(0), r.filled.eq(0)]

    # Which pairs there are: a walk over tokens and their candidates, packed into beats.

    def _walk(self, m, r):
        """The next job, ``r.job``: a token's candidates in the previous frame by index, then its reference.

        A token without candidates has one job that is not valid, so that it is decided like any other.
        """
        c = self.config
        r.job = job = SimpleNamespace(
            entry=Signal(c.job_layout, name="job"),
            ready=Signal(name="job_ready"),
            taken=Signal(name="job_taken"),
            first=Signal(name="job_first"),
            last=Signal(name="job_last"),
            token=Signal(ceil_log2(c.in_flight), name="job_token"),
            reference=Signal(ceil_log2(c.in_flight), name="job_reference"),
        )
        r.place = place = self._place(m, r, "walk")
        r.walked = Signal.like(r.arrived, name="walked")  # tokens all of whose jobs are in beats
        left, right, top, bottom = self._window(m, r, place)

        # The bases say where the window's first row begins, and the row that the walk is in.
        row = Signal(range(c.max_height + 1), name="candidate_row")
        column = Signal(range(c.max_width + 1), name="candidate_column")
        inside = Signal(name="candidate_inside")  # the walk is within the window, not at its first candidate
        spatial = Signal(name="candidate_is_reference")
        top_base, row_base = self._base("top"), self._base("row")
        here_row = Signal.like(row, name="here_row")
        here_column = Signal.like(column, name="here_column")
        slot = Signal(c.slot_bits, name="candidate_slot")
        index = Signal(c.index.index_bits, name="candidate_index")
        temporal = Signal(name="job_temporal")
        last_candidate = Signal()
        there = Signal()
        m.d.comb += [
            here_row.eq(Mux(inside, row, top)),
            here_column.eq(Mux(inside, column, left)),
            slot.eq(Mux(inside, row_base.slot, top_base.slot) + here_column),
            index.eq(Mux(inside, row_base.index, top_base.index) + here_column),
            temporal.eq((place.frame != 0) & ~spatial),
            last_candidate.eq((here_row == bottom) & (here_column == right)),
            there.eq((slot - r.freed)[: c.slot_bits] < (r.filled - r.freed)[: c.slot_bits]),
            job.ready.eq(r.running & ~place.over & (r.arrived != r.walked) & (there | ~temporal)),
            job.first.eq(~inside & ~spatial),
            job.last.eq(Mux(temporal, last_candidate & place.first_of_group, 1)),
            job.token.eq(r.walked),
            job.entry.valid.eq(temporal | ~place.first_of_group),
            job.entry.spatial.eq(~temporal & ~place.first_of_group),
            job.entry.slot.eq(slot),
            job.entry.index.eq(index),
            place.step.eq(job.taken & job.last),
            place.clear.eq(r.start),
        ]
        with m.If(job.taken):
            with m.If(job.last):
                m.d.sync += [inside.eq(0), spatial.eq(0), r.walked.eq(r.walked + 1)]
                with m.If(place.last_of_group):
                    m.d.sync += job.reference.eq(job.reference + 1)
            with m.Elif(last_candidate):
                m.d.sync += [inside.eq(0), spatial.eq(1)]
            with m.Else():
                m.d.sync += [inside.eq(1), row.eq(here_row), column.eq(here_column + 1)]
                with m.If(~inside):
                    m.d.sync += [row_base.slot.eq(top_base.slot), row_base.index.eq(top_base.index)]
                with m.If(here_column == right):
                    m.d.sync += [
                        row.eq(here_row + 1),
                        column.eq(left),
                        row_base.slot.eq(Mux(inside, row_base.slot, top_base.slot) + r.pitch),
                        row_base.index.eq(Mux(inside, row_base.index, top_base.index) + r.clip.width),
                    ]

        with m.If(r.start):
            m.d.sync += [inside.eq(0), spatial.eq(0), r.walked.eq(0), job.reference.eq(0)]
        self._move_bases(m, r, place, top_base, left)

    def _move_bases(self, m, r, place, top, left):
        """The ``top`` base, of the window's first row, and ``r.frees``: both move when a row of tokens ends."""
        c = self.config
        own, after = self._base("own"), self._base("next")
        m.d.comb += [after.slot.eq(own.slot + r.pitch), after.index.eq(own.index + r.clip.width)]
        # In frame 0 there is nothing that they could move over.
        with m.If(place.step & place.last_column & (place.frame != 0)):
            m.d.sync += [own.slot.eq(after.slot), own.index.eq(after.index)]
            with m.If(place.last_row):
                m.d.sync += [top.slot.eq(after.slot), top.index.eq(after.index)]
            with m.Elif(place.y >= r.reach):
                m.d.sync += [top.slot.eq(top.slot + r.pitch), top.index.eq(top.index + r.clip.width)]
        with m.If(r.start):
            m.d.sync += [top.slot.eq(0), top.index.eq(0), own.slot.eq(0), own.index.eq(0)]

        # What no token needs when this one is decided: all before its window; behind the last of a frame, all of the frame.
        r.frees = Signal(c.slot_bits, name="frees")
        with m.If(place.frame == 0):
            m.d.comb += r.frees.eq(0)
        with m.Elif(place.last_row & place.last_column):
            m.d.comb += r.frees.eq(after.slot)
        with m.Else():
            m.d.comb += r.frees.eq(top.slot + Mux((place.y >= r.reach) | place.last_row, left, 0))

    def _base(self, name):
        """Slot and index of column 0 of a row of the previous frame."""
        c = self.config
        return SimpleNamespace(
            slot=Signal(c.slot_bits, name=f"{name}_slot"), index=Signal(c.index.index_bits, name=f"{name}_index")
        )

    def _window(self, m, r, place):
        """Columns and rows of the window's corners, cut at the borders: (left, right, top, bottom)."""
        edges = []
        largest = max(self.config.max_width, self.config.max_height) + self.config.max_window
        for low, position, size in (("left", place.x, r.clip.width), ("top", place.y, r.clip.height)):
            first = Signal.like(position, name=f"window_{low}")
            last = Signal.like(position, name=f"window_{low}_end")
            end = Signal(range(largest + 1), name=f"window_{low}_beyond")
            m.d.comb += [
                first.eq(Mux(position < r.reach, 0, position - r.reach)),
                end.eq(position + r.clip.window - r.reach),
                last.eq(Mux(end > size, size, end) - 1),
            ]
            edges += [first, last]
        return edges

    def _build_beats(self, m, r):
        """Jobs into ``r.beats``, a queue: a beat is closed when it is full, or the next job does not fit."""
        c = self.config
        job = r.job
        bank_bits = ceil_log2(c.banks)
        m.submodules.beats = r.beats = SyncFIFO(width=c.beat_layout.size, depth=max(2, c.add_stages))
        m.submodules.waiting = r.waiting = SyncFIFO(width=c.slot_bits + len(r.place.in_group), depth=c.in_flight)
        beat = Signal(c.beat_layout, name="beat")
        base = Signal(c.beat_layout, name="beat_base")
        used = Signal(c.banks, name="banks_used")
        base_used = Signal(c.banks, name="base_banks_used")
        referred = Signal(name="beat_has_reference")
        base_referred = Signal(name="base_has_reference")
        bank = Signal(c.banks, name="job_bank")
        starts = Signal(name="starts_token")
        fits = Signal(name="job_fits")
        close = Signal(name="beat_close")
        add = Signal(name="beat_add")
        m.d.comb += [
            bank.eq(Mux(job.entry.valid & ~job.entry.spatial, 1 << job.entry.slot[:bank_bits], 0)),
            starts.eq(job.first & (beat.count != 0)),
            fits.eq(
                (beat.count != c.candidates)
                & ~(bank & used).any()
                & ~(job.entry.spatial & referred)
                & ~(starts & beat.two)
            ),
            close.eq(
                (beat.count != 0) & r.beats.w_rdy & Mux(job.ready, ~fits, (beat.count == c.candidates) | ~r.beats.r_rdy)
            ),
            add.eq(job.ready & (fits | close)),
            job.taken.eq(add),
            r.beats.w_data.eq(beat),
            r.beats.w_en.eq(close),
            base.eq(Mux(close, 0, beat)),
            base_used.eq(Mux(close, 0, used)),
            base_referred.eq(~close & referred),
            r.waiting.w_data.eq(Cat(r.frees, r.place.in_group)),
            r.waiting.w_en.eq(add & job.last),
        ]
        m.d.sync += [beat.eq(base), used.eq(base_used), referred.eq(base_referred)]
        with m.If(add):
            m.d.sync += [used.eq(base_used | bank), referred.eq(base_referred | job.entry.spatial)]
            self._add_job(m, beat, base, job)
        with m.If(r.start):
            m.d.sync += [beat.eq(0), used.eq(0), referred.eq(0)]

    def _add_job(self, m, beat, base, job):
        """``beat`` becomes ``base`` and one job more, of the token that the base ends with or of a second one."""
        second = Signal(name="job_is_second")
        m.d.comb += second.eq((base.count != 0) & (base.two | job.first))
        m.d.sync += [beat.count.eq(base.count + 1), beat.two.eq(second)]
        for k in range(self.config.candidates):
            with m.If(base.count == k):
                m.d.sync += [beat.jobs[k].eq(job.entry), beat.jobs[k].second.eq(second)]
        with m.If(job.entry.spatial):
            m.d.sync += beat.reference.eq(job.reference)
        with m.If(second):
            m.d.sync += [beat.second_token.eq(job.token), beat.second_done.eq(job.last)]
        with m.Else():
            m.d.sync += [beat.first_token.eq(job.token), beat.first_done.eq(job.last)]
        with m.If(base.count == 0):
            m.d.sync += beat.again.eq(~job.first)

    # The words of the beats, one a cycle.

    def _issue(self, m, r):
        """A ring of ``add_stages`` beats whose head issues a word; the reads of that word, and what goes with them.

        A beat that enters leaves what is to be known when its distances come in the queue ``pending``.
        """
        c = self.config
        r.advance = Signal(name="advance")
        ring = [
            SimpleNamespace(
                valid=Signal(name=f"ring_{k}_valid"),
                word=Signal(range(c.max_words), name=f"ring_{k}_word"),
                beat=Signal(c.read_layout, name=f"ring_{k}_beat", reset_less=True),
            )
            for k in range(c.add_stages)
        ]
        head, tail = ring[0], ring[-1]
        m.submodules.pending = r.pending = SyncFIFO(width=c.outcome_layout.size, depth=c.pending)
        queued = Signal(c.beat_layout, name="queued_beat")
        reads = Signal(c.read_layout, name="queued_reads")
        outcome = Signal(c.outcome_layout, name="queued_outcome")
        last = Signal(name="head_last")
        load = Signal(name="head_load")
        enter = Signal(name="beat_enters")
        m.d.comb += [
            queued.eq(r.beats.r_data),
            last.eq(head.word == r.clip.words - 1),
            load.eq(~head.valid | last),
            enter.eq(load & r.beats.r_rdy & r.pending.w_rdy),
            r.beats.r_en.eq(r.advance & enter),
            r.pending.w_en.eq(r.advance & enter),
            r.pending.w_data.eq(outcome),
        ]
        self._split(m, queued, reads, outcome)
        with m.If(r.advance):
            for before, after in zip(ring[1:], ring[:-1]):
                m.d.sync += [after.valid.eq(before.valid), after.word.eq(before.word), after.beat.eq(before.beat)]
            m.d.sync += [
                tail.valid.eq(Mux(load, enter, 1)),
                tail.word.eq(Mux(load, 0, head.word + 1)),
                tail.beat.eq(Mux(load, reads, head.beat)),
            ]
        r.head = head
        r.issue_last = Signal(name="issue_last")
        r.issue_first = Signal(name="issue_first")
        en = Signal(name="read_en")
        m.d.comb += [
            r.issue_last.eq(head.valid & last),
            r.issue_first.eq(head.word == 0),
            en.eq(r.advance & head.valid),
        ]

        self._read(m, r, head, en)

    def _read(self, m, r, head, en):
        """The words of the head's beat: of both tokens, of the reference, and of a candidate from each bank."""
        c = self.config
        beat, bank_bits = head.beat, ceil_log2(c.banks)
        stores = (*r.token_stores, r.reference_store)
        for store, token in zip(stores, (beat.first_token, beat.second_token, beat.reference)):
            m.d.comb += [store.r_en[0].eq(en), store.r_addr[0].eq(self._address(token, head.word))]
        for b, bank in enumerate(r.banks):
            line = Signal(c.slot_bits - 1 - bank_bits, name=f"bank_{b}_line")
            for k in range(c.candidates):
                job = beat.jobs[k]
                with m.If(job.temporal & (job.slot[:bank_bits] == b)):
                    m.d.comb += line.eq(job.slot[bank_bits:])
            m.d.comb += [bank.r_en[0].eq(en), bank.r_addr[0].eq(self._address(line, head.word))]

    def _split(self, m, queued, reads, outcome):
        """A beat into what reads its words and what awaits its distances."""
        m.d.comb += [
            *(reads[name].eq(queued[name]) for name in ("first_token", "second_token", "reference")),
            *(outcome[name].eq(queued[name]) for name in ("again", "two", "first_done", "second_done")),
        ]
        for k in range(self.config.candidates):
            job = queued.jobs[k]
            m.d.comb += [
                reads.jobs[k].second.eq(job.second),
                reads.jobs[k].temporal.eq(job.valid & ~job.spatial),
                reads.jobs[k].slot.eq(job.slot),
                outcome.jobs[k].first.eq(job.valid & ~job.spatial & ~job.second),
                outcome.jobs[k].second.eq(job.valid & ~job.spatial & job.second),
                outcome.jobs[k].spatial.eq(job.spatial),
                outcome.jobs[k].index.eq(job.index),
            ]
            with m.If(job.spatial):
                m.d.comb += outcome.spatial_second.eq(job.second)

    def _measure(self, m, r):
        """The lane groups: (distances, and whether they are those of a beat's last word)."""
        c = self.config
        bank_bits = ceil_log2(c.banks)
        distances = []
        first = delayed(m, r.advance, r.issue_first, 1 + c.group.lead, "first", reset_less=True)[-1]
        done = delayed(m, r.advance, r.issue_last, c.distance_latency, "done")[-1]
        for k in range(c.candidates):
            job = r.head.beat.jobs[k]
            # s1: the words are read; which of them are this group's.
            second = Signal(name=f"s1_second_{k}", reset_less=True)
            temporal = Signal(name=f"s1_temporal_{k}", reset_less=True)
            bank = Signal(max(1, bank_bits), name=f"s1_bank_{k}", reset_less=True)
            with m.If(r.advance):
                m.d.sync += [second.eq(job.second), temporal.eq(job.temporal), bank.eq(job.slot[:bank_bits])]
            token = Signal(c.word_bits, name=f"token_{k}")
            candidate = Signal(c.word_bits, name=f"candidate_{k}")
            m.d.comb += token.eq(Mux(second, r.token_stores[1].r_data[0], r.token_stores[0].r_data[0]))
            with m.If(~temporal):
                m.d.comb += candidate.eq(r.reference_store.r_data[0])
            with m.Else():
                with m.Switch(bank):
                    for b in range(c.banks):
                        with m.Case(b):
                            m.d.comb += candidate.eq(r.banks[b].r_data[0])
            group = LaneGroup(config=c.group)
            m.submodules[f"group_{k}"] = emit_once(group)
            m.d.comb += [
                group.en.eq(r.advance),
                group.x.as_value().eq(token),
                group.y.as_value().eq(candidate),
                group.first.eq(first),
            ]
            distances.append(group.o)
        return distances, done

    # What the distances mean.

    def _compare(self, m, r, results):
        """The least distance of each token that ends in a beat, across its beats, into ``r.ends``."""
        c = self.config
        distances, done = results
        outcome = Signal(c.outcome_layout, name="outcome")
        spatial_key = Signal(WIDTH, name="reference_distance")
        m.d.comb += [outcome.eq(r.pending.r_data), r.pending.r_en.eq(r.advance & done), spatial_key.eq(NONE)]
        for k in range(c.candidates):
            with m.If(outcome.jobs[k].spatial):
                m.d.comb += spatial_key.eq(distances[k])
        valid = delayed(m, r.advance, done, c.tree_stages, "compared")[-1]
        spatial = delayed(m, r.advance, spatial_key, c.tree_stages, "reference", reset_less=True)[-1]
        late = Signal(c.outcome_layout, name="compared_outcome")
        m.d.comb += late.eq(delayed(m, r.advance, outcome.as_value(), c.tree_stages, "outcome", reset_less=True)[-1])
        first, second = (self._tree(m, r, name, distances, outcome, late) for name in ("first", "second"))

        # The least so far of the token that the next beat may go on with; earlier beats have the lower indices.
        least = Signal(WIDTH, name="least")
        nearest = Signal(c.index.index_bits, name="nearest")
        before = Signal(name="before_is_least")
        key = Signal(WIDTH, name="first_least")
        index = Signal(c.index.index_bits, name="first_nearest")
        m.d.comb += [
            before.eq(late.again & (least <= first.key)),
            key.eq(Mux(before, least, first.key)),
            index.eq(Mux(before, nearest, first.index)),
        ]
        with m.If(r.advance & valid):
            m.d.sync += [least.eq(Mux(late.two, second.key, key)), nearest.eq(Mux(late.two, second.index, index))]
        r.ends = [
            SimpleNamespace(
                valid=valid & late.first_done,
                temporal=key,
                index=index,
                spatial=Mux(late.spatial_second, NONE, spatial),
            ),
            SimpleNamespace(
                valid=valid & late.two & late.second_done,
                temporal=second.key,
                index=second.index,
                spatial=Mux(late.spatial_second, spatial, NONE),
            ),
        ]

    def _tree(self, m, r, which, distances, outcome, late):
        """The comparison tree of a beat's ``first`` or ``second`` token: the least distance, the index of the nearest."""
        c = self.config
        tree = MinTree(config=c.tree)
        m.submodules[f"{which}_tree"] = emit_once(tree)
        m.d.comb += tree.en.eq(r.advance)
        for k, distance in enumerate(distances):
            m.d.comb += tree.i[k].eq(Mux(outcome.jobs[k][which], distance, NONE))
        index = Signal(c.index.index_bits, name=f"{which}_index")
        with m.Switch(tree.o.index):
            for k in range(c.candidates):
                with m.Case(k):
                    m.d.comb += index.eq(late.jobs[k].index)
        return SimpleNamespace(key=tree.o.key, index=index)

    def _decide(self, m, r):
        """Compare with the T register, and write the index buffer; up to two tokens of a beat, one after the other."""
        c = self.config
        layout = data.StructLayout({"temporal": WIDTH, "index": c.index.index_bits, "spatial": WIDTH})
        ends = []
        for k, end in enumerate(r.ends):
            packed = Signal(layout, name=f"end_{k}")
            m.d.comb += [packed.temporal.eq(end.temporal), packed.index.eq(end.index), packed.spatial.eq(end.spatial)]
            ends.append(packed)
        held = [Signal(layout, name=f"decision_{k}", reset_less=True) for k in range(2)]
        valid = [Signal(name=f"decision_{k}_valid") for k in range(2)]
        index_buffer = IndexBuffer(config=c.index)
        m.submodules.index_buffer = emit_once(index_buffer)
        take = Signal(name="decide")
        m.d.comb += [
            take.eq(valid[0] & index_buffer.i.ready),
            index_buffer.i.valid.eq(valid[0]),
            r.advance.eq(~valid[1] & (~valid[0] | take)),
        ]
        with m.If(r.advance):
            m.d.sync += [
                valid[0].eq(r.ends[0].valid | r.ends[1].valid),
                valid[1].eq(r.ends[0].valid & r.ends[1].valid),
                held[0].eq(Mux(r.ends[0].valid, ends[0], ends[1])),
                held[1].eq(ends[1]),
            ]
        with m.Elif(take):
            m.d.sync += [valid[0].eq(valid[1]), valid[1].eq(0), held[0].eq(held[1])]

        own = Signal(c.index.index_bits, name="own_index")
        frees = Signal(c.slot_bits, name="deciding_frees")
        in_group = Signal(len(r.place.in_group), name="deciding_in_group")
        temporal = Signal(name="is_temporal")
        spatial = Signal(name="is_spatial")
        decision, tag = held[0], Signal(c.tag_layout, name="decision_tag")
        m.d.comb += [
            tag.temporal.eq(to_fp32(m, decision.temporal, "temporal_distance")),
            tag.spatial.eq(to_fp32(m, decision.spatial, "spatial_distance")),
        ]
        m.d.comb += [
            Cat(frees, in_group).eq(r.waiting.r_data),
            r.waiting.r_en.eq(take),
            temporal.eq(tag.temporal < r.clip.threshold),
            spatial.eq(~temporal & (tag.spatial < r.clip.threshold)),
            index_buffer.i.payload.match.eq(Mux(temporal, decision.index, own - Mux(spatial, in_group, 0))),
            tag.kind.eq(Cat(temporal, spatial)),
            index_buffer.i.payload.tag.eq(tag),
            index_buffer.clear.eq(r.start),
        ]
        with m.If(take):
            m.d.sync += [own.eq(own + 1), r.decided.eq(r.decided + 1), r.freed.eq(frees)]
        with m.If(r.start):
            m.d.sync += [own.eq(0), r.decided.eq(0), r.freed.eq(0)]

        o, entry = self.o.payload, index_buffer.o.payload
        entry_tag = Signal(c.tag_layout, name="entry_tag")
        m.d.comb += [
            entry_tag.eq(entry.tag),
            o.root.eq(entry.root),
            o.kept.eq(entry.kept),
            o.kind.eq(entry_tag.kind),
            o.temporal.eq(entry_tag.temporal),
            o.spatial.eq(entry_tag.spatial),
            self.o.valid.eq(index_buffer.o.valid),
            index_buffer.o.ready.eq(self.o.ready),
            index_buffer.r_en.eq(self.r_en),
            index_buffer.r_addr.eq(self.r_addr),
            self.r_ready.eq(index_buffer.r_ready),
            self.r_data.eq(index_buffer.r_data),
            # All tokens walked, all of them decided, and the last entry on its way out.
            r.ended.eq(r.place.over & (r.walked == r.decided) & self.o.valid & self.o.ready),
        ]


#: Config of each preset; the first is the default.
PRESETS = {
    "default": SparsificationUnitConfig(),
    "two": SparsificationUnitConfig(candidates=2, banks=4, lanes=8, max_words=16),
    "wide": SparsificationUnitConfig(lanes=8, max_words=16, add_stages=3, tree_stages=2),
    "narrow": SparsificationUnitConfig(
        candidates=1,
        banks=1,
        lanes=4,
        max_words=2,
        max_height=5,
        max_width=7,
        max_window=5,
        slots=32,
        tokens=200,
        in_flight=4,
        difference_stages=0,
        square_stages=0,
        add_stages=1,
        tree_stages=0,
    ),
}
