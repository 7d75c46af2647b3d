# SPDX-License-Identifier: Apache-2.0
"""Sort-and-select unit (SIMPICKER III-B, IV-C): the largest scores of a row whose sum exceeds a proportion p of its sum.

Scores are ordered by (value, index), largest first, of equals the lowest index first. With w the scores as integers in
units of 2**-24, S their sum and p = q / 2**p_bits, a score is taken if and only if those in front of it sum up to at most
T = floor(q S / 2**p_bits): the one that makes the sum exceed p S is the last. Sums and products of integers are exact, so
there is no FP adder, no rounding, and no order to agree on. Two builds, same streams, same results::

    bitonic   i --> row --> sorting network --> prefix sums --> q S, compare --> bits to their places --> o

    serial    i --> keys ---> greatest not yet taken --> + --> until the sum exceeds T, or all are taken --> o
                        ^--------------------------------|

The serial one is a selection sort that stops early: one comparator, one adder, which also multiplies, and a memory of keys.

Rejected:

* Sums in FP32: an adder of 2.5 kGE for one of 0.3 kGE, 45 bits wide, and an order that both builds would have to share.
* An insertion sorter, a cell for each score: 26 cells of comparator and registers instead of the one comparator.
* Place by counting, for each score, those in front of it: n^2 / 2 comparators and n adders of n bits, a row a cycle too; 325
  comparators for 26 scores, where the network has 179.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.logic import sticky
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.quantization_engine.reduction_tree import MAGNITUDE_BITS, magnitude_of
from zoetrope.hw.stream import delayed, operator
from zoetrope.hw.tree.bitonic_sorter import BitonicSorter, BitonicSorterConfig

#: A key: the magnitude of a score, whose order as an integer is its order as a number.
KEY = data.StructLayout({"fraction": FP16.fraction_bits, "exponent": FP16.exponent_bits})

#: Levels of adders to a register stage of the prefix sums.
_LEVELS_PER_STAGE = 2


@dataclass(frozen=True)
class SortSelectConfig:
    build: str = field(default="serial", metadata={"doc": "serial: small; bitonic: a word a cycle, whatever it holds"})
    max_scores: int = field(default=32, metadata={"doc": "scores of the longest row; any number"})
    lanes: int = field(default=4, metadata={"doc": "scores a word; for a row a cycle at least max_scores"})
    p_bits: int = field(default=12, metadata={"doc": "fraction bits of p, 1 to 16"})
    columns_per_stage: int = field(default=1, metadata={"doc": "columns of comparators to a register, if bitonic"})

    def __post_init__(self):
        checks.one_of(self, ("serial", "bitonic"), "build")
        checks.at_least(self, 1, "max_scores", "lanes", "columns_per_stage")
        checks.between(self, 1, 16, "p_bits")

    @property
    def index_bits(self):
        return max(1, ceil_log2(self.max_scores))

    @property
    def sum_bits(self):
        return MAGNITUDE_BITS + ceil_log2(self.max_scores)

    @property
    def words(self):
        """Words of the longest row."""
        return -(-self.max_scores // self.lanes)

    @property
    def sorter(self):
        """A bit above the key is set for a score and not for what is beyond the row's last."""
        return BitonicSorterConfig(
            lanes=self.max_scores,
            key_bits=KEY.size + 1,
            index_bits=self.index_bits,
            descending=True,
            columns_per_stage=self.columns_per_stage,
        )

    @property
    def i_layout(self):
        return data.StructLayout(
            {
                "scores": data.ArrayLayout(FP16.layout, self.lanes),
                "count": ceil_log2(self.lanes + 1),
                "last": 1,
                "p": self.p_bits + 1,
                "magnitude": 1,
            }
        )

    @property
    def o_layout(self):
        return data.StructLayout({"taken": self.max_scores, "count": ceil_log2(self.max_scores + 1), "error": 1})


class SortSelect(wiring.Component):
    """Which scores of a row are taken, a bit each.

    A row is a sequence of words of ``lanes`` FP16 scores, ended by ``last``. The last word holds ``count`` scores, 0 to
    ``lanes`` (more counts as ``lanes``), every other one ``lanes``. ``magnitude`` applies to the word that it comes with:
    its scores are compared and summed by magnitude. ``p`` is the last word's, in units of 2**-p_bits, 0 to 2**p_bits.

    ===========================  ============================================================================
    row                          taken
    ===========================  ============================================================================
    p = 0                        the largest alone
    p = 1                        all
    all zero                     all: nothing is known of them
    one score                    it
    empty                        none
    a negative score             counts as 0, ``error``, unless ``magnitude``; -0 is 0
    a NaN or an infinity         all, ``error``: nothing is known of the row
    longer than ``max_scores``   all of the first ``max_scores``, ``error``; the rest is dropped
    p above 1                    as p = 1, ``error``
    ===========================  ============================================================================

    Published: in words only (SIMPICKER IV-C); the whole prediction unit is 13 kGE there. Here the serial build is 8.0 kGE
    for 32 scores with their keys in flip-flops, and 4.5 kGE for 128 beside a memory of their keys; the bitonic one is
    183 kGE for 26, of which 102 kGE are the network. A frame of 1,350 tokens takes longer than a serial sort of its row, so
    that only rows from elsewhere need the other.

    Parameters
    ----------
    config : SortSelectConfig

    Members
    -------
    i : In(stream of lanes x FP16 ``scores``, ``count``, ``last``, ``p``, ``magnitude``)
    o : Out(stream of ``taken``, a bit a score, ``count``, the scores of the row, and ``error``), one a row
    clear : In(1), resets ``error``
    error : Out(1), since reset or ``clear`` a row had an error

    Latency: ``bitonic``: ``latency`` cycles from the last word of a row. ``serial``: ``latency`` is None, for it depends on
    how many are taken; ``sim.model.quantization_engine.sort_cycles`` says how long a row takes.
    Initiation interval: ``bitonic``: 1 cycle a word, a row a cycle where ``lanes`` is at least ``max_scores``. ``serial``:
    n + p_bits + 2 + k (n + 2) cycles a row of n scores of which k are taken, and n + 2 where that is known at once (p = 1,
    all zero, an error that takes all), 3 for an empty row. Backpressure: yes.
    Golden: ``golden.simcore.quantization_engine.sort_select.sort_select``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
                "clear": In(1),
                "error": Out(1),
            }
        )

    @property
    def _prefix_stages(self):
        return -(-ceil_log2(self.config.max_scores) // _LEVELS_PER_STAGE)

    @property
    def latency(self):
        c = self.config
        return None if c.build == "serial" else 1 + c.sorter.stages + self._prefix_stages + 3

    @property
    def initiation_interval(self):
        return None if self.config.build == "serial" else 1

    def elaborate(self, platform):
        m = Module()
        build = self._serial if self.config.build == "serial" else self._bitonic
        build(m)
        sticky(m, self.error, self.o.valid & self.o.payload.error, self.clear)
        return m

    # Serial: the greatest that is not yet taken, again and again.

    def _serial(self, m):
        c = self.config
        # Of the row: how many scores it has, whether all are taken, an error, a score that is not 0, p, and the result.
        row = SimpleNamespace(
            length=Signal(range(c.max_scores + 1), name="length"),
            every=Signal(name="every"),
            wrong=Signal(name="wrong"),
            some=Signal(name="some"),
            factor=Signal(c.p_bits, name="factor"),
            taken=Signal(c.max_scores, name="taken"),
        )
        o = self.o.payload
        m.d.comb += [o.taken.eq(row.taken), o.error.eq(row.wrong), o.count.eq(row.length)]
        sums = self._adder(m, row.factor)
        search = self._comparator(m, row.length, sums.key)
        step = Signal(range(max(2, c.p_bits)))
        pending = Signal()
        with m.FSM():
            with m.State("LOAD"):
                end = self._load(m, row, sums, search.keys, pending)
                with m.If(end):
                    m.d.sync += row.factor.eq(self.i.payload.p)
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [pending.eq(0), sums.limit.eq(0), step.eq(0)]
                with m.If(pending):
                    m.d.sync += sums.total.eq(sums.added)
                with m.If(row.every | ~row.some):
                    m.next = "SEND"
                with m.Else():
                    m.d.sync += row.taken.eq(0)
                    m.next = "SCALE"
            with m.State("SCALE"):
                # Halved at every bit of p, the lowest first: the bits that are dropped are those below the integer.
                m.d.comb += sums.scaling.eq(1)
                m.d.sync += [sums.limit.eq(sums.added >> 1), row.factor.eq(row.factor >> 1), step.eq(step + 1)]
                with m.If(step == c.p_bits - 1):
                    m.d.sync += [sums.total.eq(0), search.last_key.eq((1 << KEY.size) - 1)]  # all finite keys are less
                    m.next = "SEARCH"
            with m.State("SEARCH"):
                m.d.comb += search.keys.r_en[0].eq(1)
                with m.If(search.place == 0):
                    m.d.sync += search.found.eq(0)
                m.d.sync += search.place.eq(search.place + 1)
                with m.If(search.place == row.length - 1):
                    m.d.sync += search.place.eq(0)
                    m.next = "COMPARE"
            with m.State("COMPARE"):
                m.next = "TAKE"
            with m.State("TAKE"):
                # The limit is below the sum of all: before they are all taken it is exceeded.
                m.d.sync += [sums.total.eq(sums.added), search.last_key.eq(sums.key)]
                m.d.sync += search.last_place.eq(search.best_place)
                m.d.sync += row.taken.bit_select(search.best_place, 1).eq(1)
                m.next = "SEARCH"
                with m.If(sums.added > sums.limit):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [x.eq(0) for x in (row.taken, row.length, row.every, row.wrong, row.some, sums.total)]
                    m.next = "LOAD"

    def _adder(self, m, factor):
        """One shifter and one adder: total + weight of a key; or limit + total, where total is multiplied by ``factor``."""
        c = self.config
        s = SimpleNamespace(
            key=Signal(KEY, name="key"),
            total=Signal(c.sum_bits, name="total"),
            limit=Signal(c.sum_bits, name="limit"),
            scaling=Signal(name="scaling"),
            added=Signal(c.sum_bits + 1, name="added"),
        )
        first = Signal(c.sum_bits)
        second = Signal(c.sum_bits)
        weight = magnitude_of(m, s.key, "weight")
        m.d.comb += [
            first.eq(Mux(s.scaling, s.limit, s.total)),
            second.eq(Mux(s.scaling, s.total & factor[0].replicate(c.sum_bits), weight)),
            s.added.eq(first + second),
        ]
        return s

    def _comparator(self, m, length, key):
        """One comparator: what comes from the memory is ``key`` if it is the best so far of those behind the last taken."""
        c = self.config
        keys = Sram(config=SramConfig(depth=max(2, c.max_scores), width=KEY.size))
        m.submodules.keys = emit_once(keys)
        s = SimpleNamespace(
            keys=keys,
            place=Signal(c.index_bits, name="place"),
            found=Signal(name="found"),
            best_place=Signal(c.index_bits, name="best_place"),
            last_key=Signal(KEY.size, name="last_key"),
            last_place=Signal(c.index_bits, name="last_place"),
        )
        candidate = keys.r_data[0]
        arrived = Signal()
        arrived_place = Signal(c.index_bits)
        behind = Signal()
        better = Signal()
        m.d.comb += [
            behind.eq((candidate < s.last_key) | ((candidate == s.last_key) & (arrived_place > s.last_place))),
            better.eq(arrived & behind & (~s.found | (candidate > key.as_value()))),
            keys.w_addr.eq(length),
            keys.r_addr[0].eq(s.place),
        ]
        with m.If(better):
            m.d.sync += [key.eq(candidate), s.best_place.eq(arrived_place), s.found.eq(1)]
        m.d.sync += [arrived.eq(keys.r_en[0]), arrived_place.eq(s.place)]
        return s

    def _load(self, m, row, sums, keys, pending):
        """The row's next score into the memory of ``keys`` and, a cycle later, into the sum. Returns whether it is over."""
        score = self._next_score(m)
        full = Signal()
        drops = Signal()
        m.d.comb += [
            full.eq(row.length == self.config.max_scores),
            drops.eq(score.there & (full | score.special)),
            keys.w_data.eq(score.key),
            keys.w_en.eq(score.there & ~full),
        ]
        m.d.sync += [
            sums.key.eq(score.key),
            pending.eq(keys.w_en),
            row.every.eq(row.every | drops | (score.end & score.whole)),
            row.wrong.eq(row.wrong | drops | (score.there & score.negative) | (score.end & score.above)),
        ]
        with m.If(pending):
            m.d.sync += sums.total.eq(sums.added)
        with m.If(keys.w_en):
            m.d.sync += [row.length.eq(row.length + 1), row.taken.eq(Cat(Const(1, 1), row.taken))]
            m.d.sync += row.some.eq(row.some | score.key.as_value().any())
        return score.end

    def _next_score(self, m):
        """The scores of the words of ``i`` one by one, in the state in which this is called.

        ``there``: it exists; ``key``, ``special``, ``negative``: ``_score``; ``end``: the row ends with it, or is over;
        ``whole``, ``above``: p is 1 or more, or more.
        """
        c = self.config
        i = self.i.payload
        lane = Signal(range(max(2, c.lanes)))
        count = Signal(range(c.lanes + 1))
        code = Signal(FP16.layout)
        there = Signal()
        word_end = Signal()
        end = Signal()
        m.d.comb += [
            count.eq(Mux(i.last & (i.count < c.lanes), i.count, c.lanes)),
            code.eq(Cat(*(i.scores[k].as_value() for k in range(c.lanes))).word_select(lane, FP16.width)),
            there.eq(self.i.valid & (count > lane)),
            word_end.eq(count <= lane + 1),
            end.eq(self.i.valid & word_end & i.last),
            self.i.ready.eq(word_end),
        ]
        with m.If(self.i.valid):
            m.d.sync += lane.eq(Mux(word_end, 0, lane + 1))
        key, special, negative = _score(m, code, i.magnitude, "score")
        whole, above = _proportion(i.p)
        return SimpleNamespace(
            there=there, key=key, special=special, negative=negative, end=end, whole=whole, above=above
        )

    # Bitonic: a row at a time, a row a cycle.

    def _bitonic(self, m):
        c = self.config
        advance = Signal()
        row = self._collected(m, advance)
        sorter = operator(m, "sorter", BitonicSorter, c.sorter, advance)
        for k in range(c.max_scores):
            m.d.comb += [
                sorter.i[k].key.eq(Cat(row.keys[k] & row.there[k].replicate(KEY.size), row.there[k])),
                sorter.i[k].index.eq(k),
            ]
        beside = {"valid": row.valid, **{name: getattr(row, name) for name in ("count", "every", "wrong", "p")}}
        late = _delayed(m, advance, beside, sorter.latency, "sorted")

        # Sums of the first 1, 2, ... scores: log2 levels of adders, a register behind every second.
        there = Cat(*(sorter.o[k].key[-1] for k in range(c.max_scores)))
        places = Cat(*(sorter.o[k].index for k in range(c.max_scores)))
        sums = []
        for k in range(c.max_scores):
            key = Signal(KEY, name=f"sorted_key_{k}")
            m.d.comb += key.eq(sorter.o[k].key)
            sums.append(magnitude_of(m, key, f"sorted_weight_{k}"))
        sums = self._prefix(m, advance, sums)
        late = _delayed(m, advance, late | {"there": there, "places": places}, self._prefix_stages, "summed")

        # The limit; then which sums are no greater; then the bits to their places.
        product = Signal(c.sum_bits + c.p_bits)
        limit = Signal(c.sum_bits, name="limit_1", reset_less=True)
        m.d.comb += product.eq(sums[-1] * late["p"])
        with m.If(advance):
            m.d.sync += limit.eq(product >> c.p_bits)
        held = [delayed(m, advance, x, 1, f"sum_{k}", reset_less=True)[-1] for k, x in enumerate(sums[:-1])]
        kept = ("valid", "count", "wrong", "every", "there", "places")
        late = _delayed(m, advance, {name: late[name] for name in kept}, 1, "limited")
        chosen = Signal(c.max_scores)
        within = [Const(1, 1), *(x <= limit for x in held)]  # no score is in front of the first
        m.d.comb += [chosen[k].eq(late["there"][k] & (late["every"] | x)) for k, x in enumerate(within)]
        kept = ("valid", "count", "wrong", "places")
        late = _delayed(m, advance, {name: late[name] for name in kept} | {"chosen": chosen}, 1, "chosen")
        taken = Signal(c.max_scores)
        for j in range(c.max_scores):
            hits = Signal(c.max_scores, name=f"hits_{j}")
            here = [late["places"].word_select(k, c.index_bits) == j for k in range(c.max_scores)]
            m.d.comb += [hits.eq(Cat(*here) & late["chosen"]), taken[j].eq(hits.any())]
        result = {name: late[name] for name in ("valid", "count", "wrong")} | {"taken": taken}
        late = _delayed(m, advance, result, 1, "o")
        m.d.comb += [
            advance.eq(~late["valid"] | self.o.ready),
            self.o.valid.eq(late["valid"]),
            self.o.payload.taken.eq(late["taken"]),
            self.o.payload.count.eq(late["count"]),
            self.o.payload.error.eq(late["wrong"]),
        ]

    def _collected(self, m, advance):
        """The row in a register, refilled word by word from the cycle on in which it leaves."""
        c = self.config
        i = self.i.payload
        word = Signal(range(max(2, c.words)))
        over = Signal()
        take = Signal()
        count = Signal(range(c.lanes + 1))
        row = SimpleNamespace(
            valid=Signal(name="row_valid"),
            count=Signal(range(c.max_scores + 1), name="row_count"),
            every=Signal(name="row_every"),
            wrong=Signal(name="row_wrong"),
            p=Signal(c.p_bits + 1, name="row_p", reset_less=True),
            keys=[Signal(KEY.size, name=f"row_key_{k}", reset_less=True) for k in range(c.max_scores)],
            there=[Signal(name=f"row_there_{k}", reset_less=True) for k in range(c.max_scores)],
        )
        m.d.comb += [
            self.i.ready.eq(~row.valid | advance),
            take.eq(self.i.valid & self.i.ready),
            count.eq(Mux(i.last & (i.count < c.lanes), i.count, c.lanes)),
        ]
        keys, specials, negatives = [], Signal(c.lanes), Signal(c.lanes)
        for k in range(c.lanes):
            key, special, negative = _score(m, i.scores[k], i.magnitude, f"score_{k}")
            keys.append(key)
            m.d.comb += [specials[k].eq(special & (count > k)), negatives[k].eq(negative & (count > k))]
        start = Signal()
        most = Signal(range(c.lanes + 1))
        long = Signal()
        m.d.comb += [
            start.eq(word == 0),
            most.eq(Mux(word == c.words - 1, c.max_scores - (c.words - 1) * c.lanes, c.lanes)),
            long.eq(Mux(over, count.any(), count > most)),
        ]
        whole, above = _proportion(i.p)
        with m.If(advance):
            m.d.sync += row.valid.eq(0)
        with m.If(take):
            every = specials.any() | long | (i.last & whole)
            wrong = specials.any() | long | negatives.any() | (i.last & above)
            full = Mux(long, most, count)
            m.d.sync += [
                row.valid.eq(i.last),
                row.every.eq(Mux(start & ~over, every, row.every | every)),
                row.wrong.eq(Mux(start & ~over, wrong, row.wrong | wrong)),
                row.p.eq(Mux(whole, 1 << c.p_bits, i.p)),
                word.eq(Mux(i.last | (word == c.words - 1), 0, word + 1)),
                over.eq(~i.last & (over | (word == c.words - 1))),
            ]
            with m.If(~over):
                m.d.sync += row.count.eq(Mux(start, 0, row.count) + full)
            for k in range(c.max_scores):
                w, lane = divmod(k, c.lanes)
                with m.If(~over & (word == w)):
                    m.d.sync += [row.keys[k].eq(keys[lane]), row.there[k].eq(count > lane)]
                with m.Elif(~over & start):
                    m.d.sync += row.there[k].eq(0)
        return row

    def _prefix(self, m, advance, values):
        """Sums of the first 1, 2, ... ``values``: at level l each whose number has bit l adds the last before that block."""
        c = self.config
        for level in range(ceil_log2(c.max_scores)):
            sums = []
            for k, value in enumerate(values):
                total = Signal(c.sum_bits, name=f"prefix_{level}_{k}")
                block = (k >> level << level) - 1
                m.d.comb += total.eq(value + values[block] if k >> level & 1 else value)
                sums.append(total)
            values = sums
            if level % _LEVELS_PER_STAGE == _LEVELS_PER_STAGE - 1 or level == ceil_log2(c.max_scores) - 1:
                values = [
                    delayed(m, advance, value, 1, f"prefix_{level}_{k}_s", reset_less=True)[-1]
                    for k, value in enumerate(values)
                ]
        return values


def _score(m, code, magnitude, name):
    """(key, whether the score has no order, whether it is negative where it must not be)."""
    key = Signal(KEY, name=f"{name}_key")
    special = Signal(name=f"{name}_special")
    negative = Signal(name=f"{name}_negative")
    m.d.comb += [
        special.eq(code.exponent == FP16.exponent_max),
        negative.eq(code.sign & ~magnitude & ~special & (code.exponent.any() | code.fraction.any())),
        key.eq(Cat(code.fraction, code.exponent) & ~(special | negative).replicate(KEY.size)),
    ]
    return key, special, negative


def _proportion(p):
    """(p is 1 or more, p is more than 1)."""
    return p[-1], p[-1] & p[:-1].any()


def _delayed(m, en, signals, cycles, name):
    """Each of ``signals`` (name to signal) after so many advances."""
    late = {}
    for key, value in signals.items():
        first = Signal(value.shape(), name=f"{name}_{key}")
        m.d.comb += first.eq(value)
        late[key] = delayed(m, en, first, cycles, f"{name}_{key}", reset_less=key != "valid")[-1]
    return late


#: Config of each preset; the first is the default.
PRESETS = {
    "default": SortSelectConfig(),
    "bitonic": SortSelectConfig(build="bitonic", max_scores=26, lanes=26),
    "words": SortSelectConfig(build="bitonic", max_scores=11, lanes=4, p_bits=8, columns_per_stage=3),
    "channels": SortSelectConfig(max_scores=128, lanes=1, p_bits=16),
}
