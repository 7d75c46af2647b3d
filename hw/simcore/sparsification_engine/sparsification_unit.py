# SPDX-License-Identifier: Apache-2.0
"""Sparsification unit (SIMPICKER III-C, IV-C): which tokens of a clip repeat one just seen.

Every token meets the ``window`` x ``window`` tokens around its place in the previous frame and the first token of its group
of ``group`` in its row. It repeats the nearest of the former if that is nearer than tau, else the latter if that is, and
else is kept (``golden.simcore.sparsification_engine.sparsification_unit`` states it in full)::

    i ----------> token store ------------------+--> lane group 0:  sum of (x - y)^2 --+
      '--> reference store --------------+      +--> lane group 1                      +--> comparison --> T --> index
    i_previous --> line store, banks ----+--> choice --> ...                           |    trees              buffer --> o
                                                +--> lane group C - 1 -----------------+

    walk --> jobs --> beats of up to C jobs --> ring of ``add_stages`` beats, one word of one beat a cycle

Its stages are files of this room: ``clip_registers``, ``token_stores``, ``candidate_walk``, ``beats``, ``nearest_candidate``
and ``decision``.

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

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.arith.float_add import FloatAddConfig
from zoetrope.hw.formats import FP16
from zoetrope.hw.memory.index_buffer import IndexBufferConfig
from zoetrope.hw.simcore.sparsification_engine.beats import build_beats, issue_words
from zoetrope.hw.simcore.sparsification_engine.candidate_walk import walk_candidates
from zoetrope.hw.simcore.sparsification_engine.clip_registers import clip_registers
from zoetrope.hw.simcore.sparsification_engine.decision import decide
from zoetrope.hw.simcore.sparsification_engine.nearest_candidate import compare, measure
from zoetrope.hw.simcore.sparsification_engine.squared_distance import WIDTH, LaneGroupConfig, SquareConfig, SumConfig
from zoetrope.hw.simcore.sparsification_engine.token_stores import store_lines, store_tokens
from zoetrope.hw.stream import check_parts
from zoetrope.hw.tree.min_tree import MinTreeConfig


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
        checks.power_of_two(self, "candidates", "lanes", "max_words")
        checks.power_of_two(self, "in_flight", least=4)
        checks.power_of_two(self, "banks", least=self.candidates, why="a bank for each of the candidates of a beat")
        checks.power_of_two(self, "slots", least=2 * self.banks, why="two in each of the banks")
        checks.at_least(self, 1, "max_height", "max_width", "max_window", "tokens", "add_stages")
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
    ``add_stages`` * W cycles from frame 1 on, so that a frame takes W cycles for each of its beats
    (``sim.model.sparsification_engine.beats_of_frames``): 3,392 for 9 x 11 tokens of d = 64, 50,784 for 30 x 45. With fewer
    words it takes a cycle a job, since jobs are found one by one. Frame 0 is as fast as its words come.
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

    def elaborate(self, platform):
        m = Module()
        c = self.config
        clip = clip_registers(m, c, self.i_config, self.error_geometry, self.error_threshold)
        tokens = store_tokens(m, c, clip, self.i, self.error_tokens)
        lines = store_lines(m, c, clip, self.i_previous)
        walk = walk_candidates(m, c, clip, tokens, lines)
        beats = build_beats(m, c, clip, walk)
        issue = issue_words(m, c, clip, beats, tokens, lines)
        ends = compare(m, c, issue, *measure(m, c, issue, tokens, lines))
        index_buffer = decide(m, c, clip, (tokens, lines), walk, beats, issue, ends)
        self._send(m, index_buffer)
        # All tokens walked, all of them decided, and the last entry on its way out.
        over = walk.place.over & (walk.walked == tokens.decided)
        m.d.comb += clip.ended.eq(over & self.o.valid & self.o.ready)
        return m

    def _send(self, m, index_buffer):
        """Entries as they leave the index buffer, and its read port."""
        o, entry = self.o.payload, index_buffer.o.payload
        entry_tag = Signal(self.config.tag_layout, name="entry_tag")
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
