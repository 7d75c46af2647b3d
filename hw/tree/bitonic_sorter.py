# SPDX-License-Identifier: Apache-2.0
"""Bitonic sorting network (ORBIS 3.3, top-k; SIMPICKER IV-C, sort-and-select): a row of entries sorted, a row a cycle.

Columns of compare-exchange, for 8 lanes (K. Batcher, 1968)::

    runs of 2 | runs of 4     | runs of 8
    mirror    | mirror, by 1  | mirror, by 2, by 1

The first column of each merge joins entry i with its mirror image, so all comparators point the same way. Rejected: the
form that sorts every other run in reverse. It has as many comparators, but entries that sort last travel through it, so
that a row that is no power of two needs all comparators of the next one: 80 for 9 lanes instead of 37.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.stream import Operator, Pipeline, StreamOperator


@dataclass(frozen=True)
class CompareExchangeConfig:
    key_bits: int = field(default=16, metadata={"doc": "of the unsigned key"})
    index_bits: int = field(default=8, metadata={"doc": "of the index that decides between equal keys; 0 for none"})
    payload_bits: int = field(default=0, metadata={"doc": "carried along, not compared"})
    descending: bool = field(
        default=False, metadata={"doc": "greatest key first; of equal keys still the lowest index"}
    )

    def __post_init__(self):
        checks.between(self, 1, 64, "key_bits")
        checks.between(self, 0, 64, "index_bits", "payload_bits")

    @property
    def entry(self):
        return data.StructLayout({"payload": self.payload_bits, "index": self.index_bits, "key": self.key_bits})


class CompareExchange(wiring.Component):
    """Two entries in order: ``low`` is the one that comes first by (key, index), ``high`` the other. Combinational.

    Members
    -------
    a, b : In(entry)
    low, high : Out(entry); ``a`` and ``b`` where neither comes first
    """

    def __init__(self, *, config):
        self.config = config
        entry = config.entry
        super().__init__({"a": In(entry), "b": In(entry), "low": Out(entry), "high": Out(entry)})

    def elaborate(self, platform):
        m = Module()
        swap = Signal()
        # Descending exchanges the keys in the comparison: the greater key comes first, and still the lower index.
        first, second = (self.b, self.a) if self.config.descending else (self.a, self.b)
        m.d.comb += [
            swap.eq(Cat(self.b.index, second.key) < Cat(self.a.index, first.key)),
            self.low.eq(Mux(swap, self.b, self.a)),
            self.high.eq(Mux(swap, self.a, self.b)),
        ]
        return m


@dataclass(frozen=True)
class BitonicSorterConfig:
    lanes: int = field(default=8, metadata={"doc": "entries a row, any number from 1"})
    key_bits: int = field(default=16, metadata={"doc": "of the unsigned key"})
    index_bits: int = field(default=8, metadata={"doc": "of the index that decides between equal keys; 0 for none"})
    payload_bits: int = field(default=0, metadata={"doc": "carried along, not compared"})
    descending: bool = field(
        default=False, metadata={"doc": "greatest key first; of equal keys still the lowest index"}
    )
    bitonic: bool = field(default=False, metadata={"doc": "rows come bitonic: the last columns only"})
    columns_per_stage: int = field(default=1, metadata={"doc": "columns to a register stage; 0 for no register"})

    def __post_init__(self):
        checks.at_least(self, 1, "lanes")
        if self.bitonic:
            checks.power_of_two(self, "lanes", why="rows come bitonic")
        checks.at_least(self, 0, "columns_per_stage")
        _ = self.exchange

    @property
    def exchange(self):
        return CompareExchangeConfig(self.key_bits, self.index_bits, self.payload_bits, self.descending)

    @property
    def entry(self):
        return self.exchange.entry

    @property
    def row(self):
        return data.ArrayLayout(self.entry, self.lanes)

    i_layout = o_layout = row

    @property
    def columns(self):
        """Columns of comparators (i, j), the first entry of the two to lane i."""
        levels = ceil_log2(self.lanes)
        found = []
        for level in range(levels if self.bitonic else 1, levels + 1):
            if not self.bitonic:
                mirror = (1 << level) - 1
                found.append([(i, i ^ mirror) for i in range(self.lanes) if i < i ^ mirror < self.lanes])
            for shift in reversed(range(level if self.bitonic else level - 1)):
                step = 1 << shift
                found.append([(i, i | step) for i in range(self.lanes) if i < i | step < self.lanes])
        return found

    @property
    def comparators(self):
        return sum(map(len, self.columns))

    @property
    def stages(self):
        """Register stages: one behind every ``columns_per_stage`` columns and behind the last."""
        return -(-len(self.columns) // self.columns_per_stage) if self.columns_per_stage else 0


class BitonicSorter(Operator):
    """The entries of a row by key, of equal keys the lowest index first: a stable sort where the index is the position.

    Columns: p (p + 1) / 2 for 2**p lanes, lanes / 2 comparators each: 24 comparators for 8 lanes, 80 for 16. A row of
    another length has the columns of the next power of two without the comparators of the lanes that are not there. A row
    that is only in part in use carries a bit above the key, one where the entry shall sort last.

    ``bitonic`` leaves p columns, which sort rows that rise and then fall and all rotations of such: what remains of a merge
    of two sorted rows once the lesser of a[i] and b[lanes - 1 - i] has been chosen.

    Entries that are equal in key and index are not told apart: they leave in an order of the network's own.

    Parameters
    ----------
    config : BitonicSorterConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In(lanes x {payload, index, key})
    o : Out(the same), in order from lane 0, ``latency`` advances later

    Latency: columns / ``columns_per_stage``, rounded up, advances; 0 without registers. Initiation interval: 1.
    Area: 14.6 kGE for 8 lanes of 24 bits: 24 comparators of 270 GE, and 8 kGE of registers, one behind every column.
    Golden: ``golden.tree.bitonic_sorter.bitonic_sort``.

    Rejected:

    * Odd-even merge sort: 19 comparators instead of 24 for 8 lanes, 63 instead of 80 for 16. The paper has a bitonic
      network, whose columns are all full, and whose last ones are the merge network that ``bitonic`` leaves.
    * Sorting (key, index) in both directions by one input bit: an exclusive-or a key bit and comparator.
    """

    def elaborate(self, platform):
        m = Module()
        c = self.config
        columns = c.columns
        every = c.columns_per_stage
        cuts = [k for k in range(len(columns)) if every and ((k + 1) % every == 0 or k + 1 == len(columns))]
        pipe = Pipeline(m, self.en, cuts)
        row = [self.i[k] for k in range(c.lanes)]
        for number, column in enumerate(columns):
            for i, j in column:
                exchange = CompareExchange(config=c.exchange)
                m.submodules[f"column_{number}_{i}_{j}"] = emit_once(exchange)
                m.d.comb += [exchange.a.eq(row[i]), exchange.b.eq(row[j])]
                row[i], row[j] = exchange.low, exchange.high
            row = list(vars(pipe.cut(number, **{f"entry_{k}": entry for k, entry in enumerate(row)})).values())
        m.d.comb += [self.o[k].eq(entry) for k, entry in enumerate(row)]
        return m


class BitonicSorterStream(StreamOperator):
    """``BitonicSorter`` between streams: rows of entries in, the same rows sorted out."""

    operator = BitonicSorter


#: Config of each preset; the first is the default.
PRESETS = {
    "default": BitonicSorterConfig(),
    "descending": BitonicSorterConfig(lanes=13, payload_bits=5, descending=True, columns_per_stage=3),
    "combinational": BitonicSorterConfig(lanes=5, columns_per_stage=0),
    "bitonic": BitonicSorterConfig(lanes=16, payload_bits=3, bitonic=True),
}
