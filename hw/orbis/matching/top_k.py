# SPDX-License-Identifier: Apache-2.0
"""Top-k unit (ORBIS 3.3): the k entries of least (key, index) of a stream of n, in order, for any k up to n.

::

    i --> row of lanes --> bitonic sorter --+--> rows, half 0 or 1 --> heads of two runs --> lesser of --+
                                            |    a memory a lane       a lane each           each lane   |
                                            +--------<-------- bitonic columns --------<-----------------+
                                                 rows of the last run --> o

Rows of ``lanes`` entries are sorted as they come: runs of one row. A pass merges runs two by two from one half of the memory
to the other, a row a cycle, until one run is left; no run is kept longer than k.

**The merge.** Lane j holds the heads of both runs in column j of the memory and takes the lesser; only that lane's address
moves. Run A lies in its columns in order and run B in reverse, so that the lanes' heads are the next entries a[t] and
b[lanes - 1 - t] of a merge network, rotated by what was taken before. What they take are the least entries of both runs, a
rotated bitonic row, which log2(lanes) columns of comparators sort, without feedback. (The idea is that of FLiMS: P.
Papaphilippou, C. Brooks, W. Luk, 2018.) The loop from row to row is a comparison and an address, whatever the lanes.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.stream import FullyPipelined, delayed
from zoetrope.hw.tree.bitonic_sorter import BitonicSorter, BitonicSorterConfig, CompareExchangeConfig


@dataclass(frozen=True)
class TopKConfig:
    lanes: int = field(default=8, metadata={"doc": "entries a row, a row a cycle in a pass; a power of two"})
    max_entries: int = field(default=2048, metadata={"doc": "n at most"})
    key_bits: int = field(default=24, metadata={"doc": "of the unsigned key, a distance"})
    index_bits: int = field(default=11, metadata={"doc": "of the index that decides between equal keys, the src token"})
    payload_bits: int = field(default=9, metadata={"doc": "carried along, the dst slot"})
    columns_per_stage: int = field(
        default=1, metadata={"doc": "columns of comparators to a register stage; 0 for none"}
    )

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_entries")
        checks.between(self, 1, 63, "key_bits")
        _ = CompareExchangeConfig(self.key_bits, self.index_bits, self.payload_bits)
        _ = self.sorter

    def _network(self, bitonic):
        # A bit above the key is 1 in what pads a row: it comes after every entry.
        widths = self.key_bits + 1, self.index_bits, self.payload_bits
        return BitonicSorterConfig(self.lanes, *widths, bitonic=bitonic, columns_per_stage=self.columns_per_stage)

    @property
    def sorter(self):
        return self._network(bitonic=False)

    @property
    def columns(self):
        return self._network(bitonic=True)

    @property
    def entry(self):
        return data.StructLayout({"payload": self.payload_bits, "index": self.index_bits, "key": self.key_bits})

    @property
    def count_bits(self):
        """Of n and k: one more than the greatest needs, so that what is too great can be said."""
        return self.max_entries.bit_length() + 1

    @property
    def command(self):
        return data.StructLayout({"entries": self.count_bits, "k": self.count_bits})

    @property
    def status(self):
        return data.StructLayout({"too_many": 1, "k_too_large": 1})

    @property
    def rows(self):
        return -(-self.max_entries // self.lanes)

    @property
    def row_bits(self):
        """Of a row's number; holds the first row after two runs of more than half of all."""
        return (4 * self.rows).bit_length()

    @property
    def memory(self):
        """Of a lane: both halves, the half being the lowest address bit."""
        return SramConfig(depth=2 * self.rows, width=self.sorter.entry.size)

    @property
    def merge_latency(self):
        """From the heads being compared to the row being written."""
        return 1 + self.columns.stages


class MergeLane(wiring.Component):
    """The heads of two runs in one column of the memory: takes the lesser, reads what follows it.

    Members
    -------
    fetch : In(1), the first row of run A, ``a_row``, is read; run A of another merge may still be in use
    begin : In(1), it comes; the first row of run B, ``b_row``, is read if ``paired``
    merge : In(1), the lesser head is taken
    last : In(1), with ``merge``: nothing that follows it is needed
    a_row, b_row, a_end, b_end : In, first rows, with ``fetch`` and ``begin``; the rows behind the last, with ``merge``
    r_en, r_row, r_data : the column's read port
    taken : Out(entry), one cycle after ``merge``
    """

    def __init__(self, *, config):
        self.config = config
        entry, row = config.sorter.entry, config.row_bits
        super().__init__(
            {
                **{name: In(1) for name in ("fetch", "begin", "paired", "merge", "last")},
                **{name: In(row) for name in ("a_row", "b_row", "a_end", "b_end")},
                "r_en": Out(1),
                "r_row": Out(row),
                "r_data": In(entry),
                "taken": Out(entry),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry, row = self.config.sorter.entry, self.config.row_bits
        nothing = Const((1 << entry.size) - 1, entry.size)
        heads = {}
        for side in "ab":
            kept = Signal(entry, name=f"{side}_kept", reset_less=True)
            fetched = Signal(name=f"{side}_fetched")
            head = Signal(entry, name=f"{side}_head")
            following = Signal(row, name=f"{side}_following", reset_less=True)
            more = Signal(name=f"{side}_more")
            m.d.comb += [
                head.eq(Mux(fetched, self.r_data, kept)),
                more.eq(following != getattr(self, f"{side}_end")),
            ]
            m.d.sync += [kept.eq(head), fetched.eq(0)]
            heads[side] = (kept, fetched, head, following, more)
        a_kept, a_fetched, a_head, a_following, a_more = heads["a"]
        b_kept, b_fetched, b_head, b_following, b_more = heads["b"]

        # Of equals run A's: any rule will do, as long as it is the same in all lanes.
        take_b = Signal()
        taken = Signal(entry, reset_less=True)
        m.d.comb += [take_b.eq(Cat(b_head.index, b_head.key) < Cat(a_head.index, a_head.key)), self.taken.eq(taken)]
        m.d.sync += taken.eq(Mux(take_b, b_head, a_head))
        with m.If(self.merge):
            with m.If(take_b):
                m.d.comb += [self.r_en.eq(b_more & ~self.last), self.r_row.eq(b_following)]
                m.d.sync += [b_kept.eq(nothing), b_fetched.eq(b_more), b_following.eq(b_following + 1)]
            with m.Else():
                m.d.comb += [self.r_en.eq(a_more & ~self.last), self.r_row.eq(a_following)]
                m.d.sync += [a_kept.eq(nothing), a_fetched.eq(a_more), a_following.eq(a_following + 1)]
        with m.If(self.begin):
            m.d.comb += [self.r_en.eq(self.paired), self.r_row.eq(self.b_row)]
            m.d.sync += [b_kept.eq(nothing), b_fetched.eq(self.paired), b_following.eq(self.b_row + 1)]
        with m.If(self.fetch):
            m.d.comb += [self.r_en.eq(1), self.r_row.eq(self.a_row)]
            m.d.sync += [a_fetched.eq(1), a_following.eq(self.a_row + 1)]
        return m


class TopK(FullyPipelined):
    """The ``k`` entries of least (key, index) of ``entries``, in ascending order; the same as a full stable sort's first k.

    A command says how many entries come and how many are wanted; so many are then taken from ``i``, so many leave at ``o``,
    and a status follows. Nothing of the next command is taken before that. A command that cannot be is answered by a
    status that says why, and nothing is taken or sent.

    Entries with equal key and index are not told apart: their payloads leave in any order.

    Parameters
    ----------
    config : TopKConfig

    Members
    -------
    i_command : In(stream of ``entries``, ``k``)
    i : In(stream of ``payload``, ``index``, ``key``), one entry a cycle
    o : Out(stream of the same), one entry a cycle
    o_status : Out(stream of ``too_many``: entries > ``max_entries``, ``k_too_large``: k > entries), one a command

    Cycles, from command to status, without stalls (``sim.model.matching.top_k_cycles``): n to take the entries, k to send
    them, and between them, with R = n / lanes rows, ceil(log2 R) passes. A pass takes a cycle for each row that it writes,
    one for each pair of runs, and ``merge_latency`` + 2: R (log2 R + 1) in all passes, and fewer where k is so small that
    runs reach it. 13,500 entries of which 6,750 are wanted, 8 lanes: 39,561 cycles, 19,311 of them in passes.
    Initiation interval: 1 cycle an entry, in and out. Backpressure: yes.
    Memory: 2 x ``max_entries`` entries, in ``lanes`` columns of one read and one write port.
    Area: 50 kGE at 8 lanes of 44 bits, beside the memory; 3.5 kGE with one lane, which takes 8 times the cycles in passes.
    Golden: ``golden.orbis.matching.top_k.top_k``.

    Rejected:

    * Keeping the best k in a sorted register file: k comparators and k entries of flip-flops, thousands of each.
    * A merge network of two whole rows (the greater half goes back to its input): the loop is log2(lanes) + 2 comparisons
      deep, so a row every 5 cycles at 8 lanes once each comparison has its register, or a clock so much slower.
    * Merging one entry a cycle: ``lanes`` times the cycles in passes, for 1 comparator instead of 20 at 8 lanes.
    * The threshold by a histogram of key digits, then one pass: as fast, but what it selects is not in order, and ties at
      the threshold need a count of their own.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command)),
                "i": In(stream.Signature(config.entry)),
                "o": Out(stream.Signature(config.entry)),
                "o_status": Out(stream.Signature(config.status)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        m.submodules.sorter = sorter = BitonicSorter(config=c.sorter)
        m.submodules.columns = columns = BitonicSorter(config=c.columns)
        m.d.comb += [sorter.en.eq(1), columns.en.eq(1)]
        lanes = [MergeLane(config=c) for _ in range(c.lanes)]
        memories = [Sram(config=c.memory) for _ in range(c.lanes)]
        for k, (lane, memory) in enumerate(zip(lanes, memories)):
            m.submodules[f"lane_{k}"] = emit_once(lane)
            m.submodules[f"memory_{k}"] = emit_once(memory)

        run = _Run(c, sorter.latency)
        load = self._rows_in(m, sorter)
        runs = self._runs(m, run)
        merge = self._merge(m, runs, lanes, memories, columns)
        out = _Out(c)
        self._memories(m, run, load, merge, out, lanes, memories, sorter, columns)
        self._rows_out(m, run, out, memories)
        with m.FSM():
            self._take_command(m, run, load, out, sorter)
            self._load(m, run, load)
            self._passes(m, run, runs, merge)
            self._send(m, run, out)
        return m

    def _rows_in(self, m, sorter):
        """Rows as they come, through the sorter; when one leaves it, it is written."""
        c = self.config
        load = _Load(c)
        m.d.comb += sorter.i.eq(load.gathered)
        m.d.sync += load.row_comes.eq(0)
        load.write = delayed(m, Const(1, 1), load.row_comes, sorter.latency, "load")[-1]
        with m.If(load.write):
            m.d.sync += load.row.eq(load.row + 1)
        return load

    def _runs(self, m, run):
        """What a pair of runs is: A from ``base`` on, B ``span`` rows behind it, if there is one."""
        c = self.config
        r = _Runs(c)
        length = Signal(c.row_bits, name="run")
        a_rest = Signal(c.row_bits)
        b_rest = Signal(c.row_bits)
        m.d.comb += [
            r.next_base.eq(run.base + (run.span << 1)),
            r.b_base.eq(run.base + run.span),
            length.eq(Mux(run.span < run.limit, run.span, run.limit)),
            a_rest.eq(run.rows - run.base),
            r.a_rows.eq(Mux(a_rest < length, a_rest, length)),
            r.paired.eq(run.span < a_rest),
            b_rest.eq(a_rest - run.span),
            r.b_rows.eq(Mux(r.paired, Mux(b_rest < length, b_rest, length), 0)),
            r.out_rows.eq(Mux(r.a_rows + r.b_rows < run.limit, r.a_rows + r.b_rows, run.limit)),
        ]
        return r

    def _merge(self, m, runs, lanes, memories, columns):
        """Heads to the lanes, what they take to the columns, a row a cycle; when one leaves them, it is written."""
        c = self.config
        g = _Merge(c)
        m.d.comb += g.last.eq(g.left == 0)
        for lane, memory in zip(lanes, memories):
            m.d.comb += [
                lane.fetch.eq(g.fetch),
                lane.begin.eq(g.begin),
                lane.paired.eq(runs.paired),
                lane.merge.eq(g.merge),
                lane.last.eq(g.last),
                lane.a_row.eq(g.fetch_row),
                lane.b_row.eq(runs.b_base),
                lane.a_end.eq(g.a_end),
                lane.b_end.eq(g.b_end),
                lane.r_data.eq(memory.r_data[0]),
            ]
        m.d.comb += [columns.i[k].eq(lane.taken) for k, lane in enumerate(lanes)]
        always = Const(1, 1)
        g.write = delayed(m, always, g.merge, c.merge_latency, "merge")[-1]
        g.row = delayed(m, always, g.out_row, c.merge_latency, "merge_row", reset_less=True)[-1]
        g.turned = delayed(m, always, g.mirrored, c.merge_latency, "merge_mirrored", reset_less=True)[-1]
        return g

    def _memories(self, m, run, load, merge, out, lanes, memories, sorter, columns):
        """Written by the sorter or the merge, read by the lanes or the way out."""
        c = self.config
        written = Signal(c.sorter.row)
        turned = Signal()
        m.d.comb += [
            written.eq(Mux(load.write, sorter.o, columns.o)),
            turned.eq(Mux(load.write, load.row[0], merge.turned)),
        ]
        for k, (lane, memory) in enumerate(zip(lanes, memories)):
            m.d.comb += [
                memory.w_en.eq(load.write | merge.write),
                memory.w_addr.eq(Cat(~load.write & ~run.half, Mux(load.write, load.row, merge.row))),
                memory.w_data.eq(Mux(turned, written[c.lanes - 1 - k], written[k])),
                memory.r_en[0].eq(lane.r_en | out.send),
                memory.r_addr[0].eq(Cat(run.half, Mux(out.send, out.row, lane.r_row))),
            ]

    def _rows_out(self, m, run, out, memories):
        """The way out: an entry of the row that was read."""
        outgoing = Signal(self.config.sorter.entry)
        with m.Switch(out.shown):
            for k, memory in enumerate(memories):
                with m.Case(k):
                    m.d.comb += outgoing.eq(memory.r_data[0])
        m.d.comb += [
            self.o.payload.payload.eq(outgoing.payload),
            self.o.payload.index.eq(outgoing.index),
            self.o.payload.key.eq(outgoing.key),
            self.o.valid.eq(out.sending),
            self.o_status.payload.eq(run.status),
        ]

    def _take_command(self, m, run, load, out, sorter):
        c = self.config
        lane_bits = exact_log2(c.lanes)
        with m.State("IDLE"):
            command = self.i_command.payload
            m.d.comb += self.i_command.ready.eq(1)
            m.d.sync += [
                run.entries.eq(command.entries),
                run.k_left.eq(command.k),
                run.rows.eq((command.entries + (c.lanes - 1)) >> lane_bits),
                run.limit.eq((command.k + (c.lanes - 1)) >> lane_bits),
                run.status.too_many.eq(command.entries > c.max_entries),
                run.status.k_too_large.eq(command.k > command.entries),
                run.span.eq(1),
                run.half.eq(0),
                run.base.eq(0),
                load.row.eq(0),
                out.row.eq(0),
                run.waiting.eq(sorter.latency),
            ]
            if c.lanes > 1:
                m.d.sync += [load.place.eq(0), out.shown.eq(0)]
            with m.If(self.i_command.valid):
                m.next = "LOAD"
                with m.If((command.entries > c.max_entries) | (command.k > command.entries) | ~command.entries.any()):
                    m.next = "STATUS"

    def _load(self, m, run, load):
        """Entry after entry, until the last row is there."""
        c = self.config
        with m.State("LOAD"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                m.d.sync += run.entries.eq(run.entries - 1)
                self._gather(m, load.gathered, load.place)
                with m.If((load.place == c.lanes - 1) | (run.entries == 1)):
                    m.d.sync += load.row_comes.eq(1)
                with m.If(run.entries == 1):
                    m.next = "DRAIN"

        # What was written last shall be there before anything is read.
        with m.State("DRAIN"):
            m.d.sync += run.waiting.eq(run.waiting - 1)
            with m.If(run.waiting == 0):
                m.next = "DECIDE"

    def _passes(self, m, run, runs, merge):
        """Passes until there is one run, pair of runs after pair of runs."""
        with m.State("DECIDE"):
            with m.If(~run.k_left.any()):
                m.next = "STATUS"
            with m.Elif(run.span < run.rows):
                m.next = "FETCH"
            with m.Else():
                m.next = "SHOW"

        with m.State("FETCH"):
            m.d.comb += [merge.fetch.eq(1), merge.fetch_row.eq(0)]
            m.next = "BEGIN"

        with m.State("BEGIN"):
            m.d.comb += merge.begin.eq(1)
            m.d.sync += [
                merge.a_end.eq(run.base + runs.a_rows),
                merge.b_end.eq(runs.b_base + runs.b_rows),
                merge.left.eq(runs.out_rows - 1),
                merge.out_row.eq(run.base),
                # Every other run of the next pass is a run B.
                merge.mirrored.eq((run.base & (run.span << 1)).any()),
            ]
            m.next = "MERGE"

        with m.State("MERGE"):
            m.d.comb += merge.merge.eq(1)
            m.d.sync += [
                merge.left.eq(merge.left - 1),
                merge.out_row.eq(merge.out_row + 1),
                run.waiting.eq(self.config.merge_latency - 1),
            ]
            with m.If(merge.last):
                m.d.sync += run.base.eq(runs.next_base)
                with m.If(runs.next_base < run.rows):
                    m.d.comb += [merge.fetch.eq(1), merge.fetch_row.eq(runs.next_base)]
                    m.next = "BEGIN"
                with m.Else():
                    m.next = "TURN"

        with m.State("TURN"):
            m.d.sync += run.waiting.eq(run.waiting - 1)
            with m.If(run.waiting == 0):
                m.d.sync += [run.half.eq(~run.half), run.span.eq(run.span << 1), run.base.eq(0)]
                m.next = "DECIDE"

    def _send(self, m, run, out):
        """The first k entries of the last run, and the status."""
        c = self.config
        with m.State("SHOW"):
            m.d.comb += out.send.eq(1)
            m.d.sync += [out.sending.eq(1), out.row.eq(1)]
            m.next = "SEND"

        with m.State("SEND"):
            with m.If(self.o.ready):
                m.d.sync += run.k_left.eq(run.k_left - 1)
                if c.lanes > 1:
                    m.d.sync += out.shown.eq(out.shown + 1)
                with m.If(run.k_left == 1):
                    m.d.sync += out.sending.eq(0)
                    m.next = "STATUS"
                with m.Elif(out.shown == c.lanes - 1):
                    m.d.comb += out.send.eq(1)
                    m.d.sync += out.row.eq(out.row + 1)

        with m.State("STATUS"):
            m.d.comb += self.o_status.valid.eq(1)
            with m.If(self.o_status.ready):
                m.next = "IDLE"

    def _gather(self, m, gathered, place):
        """The entry that comes goes to lane ``place``; at the first of a row all others become padding."""
        c = self.config
        entry = Signal(c.sorter.entry, name="entry")
        m.d.comb += [
            entry.payload.eq(self.i.payload.payload),
            entry.index.eq(self.i.payload.index),
            entry.key.eq(self.i.payload.key),
        ]
        for k in range(c.lanes):
            with m.If(place == k):
                m.d.sync += gathered[k].eq(entry)
            with m.Elif(place == 0):
                m.d.sync += gathered[k].eq(Const((1 << c.sorter.entry.size) - 1, c.sorter.entry.size))
        if c.lanes > 1:
            m.d.sync += place.eq(place + 1)


class _Run:
    """The command in work. Runs are ``span`` rows apart and at most ``limit`` long; those read are in ``half``."""

    def __init__(self, config, sort_latency):
        c = config
        self.entries = Signal(c.count_bits)
        self.k_left = Signal(c.count_bits)
        self.rows = Signal(c.row_bits)
        self.limit = Signal(c.row_bits)
        self.span = Signal(c.row_bits)
        self.half = Signal()
        self.base = Signal(c.row_bits)
        self.waiting = Signal(range(max(sort_latency + 2, c.merge_latency) + 1))
        self.status = Signal(c.status)


class _Load:
    """The row that is gathered. ``write``: row ``row`` leaves the sorter."""

    def __init__(self, config):
        self.place = Signal(range(config.lanes)) if config.lanes > 1 else Const(0, 1)
        self.gathered = Signal(config.sorter.row, reset_less=True)
        self.row_comes = Signal()
        self.row = Signal(config.row_bits, name="load_row")


class _Runs:
    """The pair of runs at ``base``: where B and the next pair begin, rows of A, of B and of what they become."""

    def __init__(self, config):
        self.next_base = Signal(config.row_bits)
        self.a_rows = Signal(config.row_bits)
        self.b_rows = Signal(config.row_bits)
        self.out_rows = Signal(config.row_bits)
        self.paired = Signal()
        self.b_base = Signal(config.row_bits)


class _Merge:
    """The merge in work. ``write``: row ``row`` leaves the columns, in reverse if ``turned``."""

    def __init__(self, config):
        row_bits = config.row_bits
        self.a_end = Signal(row_bits, reset_less=True)
        self.b_end = Signal(row_bits, reset_less=True)
        self.left = Signal(row_bits, reset_less=True)
        self.out_row = Signal(row_bits, reset_less=True)
        self.mirrored = Signal(reset_less=True)
        self.fetch = Signal()
        self.fetch_row = Signal(row_bits)
        self.begin = Signal()
        self.merge = Signal()
        self.last = Signal()


class _Out:
    """What leaves: ``send`` reads ``row``, ``shown`` is the lane whose entry is offered."""

    def __init__(self, config):
        self.send = Signal()
        self.row = Signal(config.row_bits, name="send_row")
        self.shown = Signal(range(config.lanes)) if config.lanes > 1 else Const(0, 1)
        self.sending = Signal()


#: Config of each preset; the first is the default.
PRESETS = {
    "default": TopKConfig(),
    "single": TopKConfig(lanes=1, max_entries=50, index_bits=6),
    "small": TopKConfig(lanes=4, max_entries=61, key_bits=5, index_bits=6, payload_bits=0, columns_per_stage=0),
}
