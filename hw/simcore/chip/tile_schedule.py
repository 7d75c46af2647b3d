"""Which key tile meets which block of rows when (SIMPICKER V-A): so that both arrays have work at a time.

::

    i_block --> map row --> how many tiles are important --> tiles, important and others interleaved --> ring of W tasks
                                                                                                            |
                       values, scores and products of either array, merging: each takes the tasks in order <-+

A task is a block of rows and a key tile. Important tiles go to the FP16 array and others to the LUT array; taken one after
the other as the tokens stand, one array would wait for long, as the important tiles of a frame are its neighbours.

Rejected: tiles in any order, whichever array is free: a row's tiles would then be merged in an order that depends on stalls,
and so would the last bits of the result.
"""

from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig

#: Who takes every task, each in order: one after the other in time, but for the two arrays.
CONSUMERS = ("values", "scores_fp16", "scores_lut", "products_fp16", "products_lut", "merging")


class TileSchedule(wiring.Component):
    """The tasks of a head, in the order of ``golden.simcore.chip.simcore.order_of``.

    Of J key tiles of which I are important, step k = 1, 2, ... takes an important one when ``acc + I >= J`` (then ``acc +=
    I - J``), another one otherwise (``acc += I``); both kinds in the order of their tokens. A frame, and the text, are cut
    into tiles of ``keys`` tokens, the last one of what is left.

    Parameters
    ----------
    config : SimcoreConfig

    Members
    -------
    run : In(1), a head is under way; the unit is reset between heads
    head : In, its geometry
    i_block : In(stream of blocks); one with ``end`` is the last
    o_read, i_bits : the score buffer's read port: the map's row of a block's frame
    o_values and so on : Out(streams of tasks), one for each of ``CONSUMERS``, which takes a task when it is done with it
    tasks : Out, the task in each place, until all have taken it
    begun : Out(1 a place), a new task takes the place in this cycle
    ended : Out(1), all tasks of the head are taken
    tiles_fp16, tiles_lut : Out(32), slices of tasks so far whose scores are the FP16 array's, or the LUT array's

    Cycles, hidden behind the tasks before: setting up, the most of frame_tokens, text and keys; of a block of J tiles in P
    frames (text counts) 2 P + 3 J at most. Limits: none of its own, geometry is checked before.
    """

    def __init__(self, *, config: SimcoreConfig):
        self.config = config
        task = stream.Signature(config.task_layout)
        place = config.prediction.buffer
        super().__init__(
            {
                "run": In(1),
                "head": In(config.head_layout),
                "i_block": In(stream.Signature(config.block_layout)),
                "o_read": Out(stream.Signature(place.read_layout)),
                "i_bits": In(stream.Signature(place.o_layout)),
                **{f"o_{name}": Out(task) for name in CONSUMERS},
                "tasks": Out(data.ArrayLayout(config.task_layout, config.tiles)),
                "begun": Out(config.tiles),
                "ended": Out(1),
                "tiles_fp16": Out(32),
                "tiles_lut": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        head = self.head
        self._parts = range(c.max_frames + 2)
        parts = Signal(self._parts)  # frames, and the text
        most = -(-c.max_part // c.keys)
        sizes = {name: Signal(c.offset_shape, name=f"{name}_words") for name in ("frame", "text", "tile")}
        counts = {name: Signal(range(most + 1), name=f"{name}_tiles") for name in ("frame", "text")}
        m.d.comb += parts.eq(head.frames + head.text.any())
        ready = self._set_up(m, sizes, counts)

        block = Signal(c.block_layout)
        bits = Signal(c.max_frames + 1)
        text_part = Signal(self._parts)
        m.d.comb += text_part.eq(Mux(head.text.any(), Mux(head.text_first, 0, head.frames), c.max_frames + 1))
        part = Signal(self._parts)
        total = Signal(range(c.max_frames * most + most + 1))
        important = Signal.like(total)
        acc = Signal.like(total)  # always below total
        step = Signal.like(total)
        pick = Signal()
        chosen = Signal()
        pointers = [self._pointer(m, k, sizes, counts, text_part) for k in range(2)]
        tiles_of_part = Signal(range(most + 1))
        part_bit = Signal()
        m.d.comb += [
            tiles_of_part.eq(Mux(part == text_part, counts["text"], counts["frame"])),
            part_bit.eq(bits.bit_select(part, 1)),
            pick.eq(acc + important >= total),
            self.o_read.payload.row.eq(block.tile),
            self.o_read.payload.column.eq(0),
        ]
        push = Signal()
        pushed = self._ring(m, push, block, step, total, chosen, pointers)

        with m.FSM():
            with m.State("SET UP"):
                with m.If(self.run & ready):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.comb += self.i_block.ready.eq(1)
                m.d.sync += [part.eq(0), total.eq(0), important.eq(0), acc.eq(0), step.eq(0)]
                with m.If(self.i_block.valid):
                    m.d.sync += block.eq(self.i_block.payload)
                    with m.If(self.i_block.payload.end):
                        m.next = "END"
                    with m.Elif(self.i_block.payload.text | ~head.codes_k):
                        m.d.sync += bits.eq(-1)
                        m.next = "COUNT"
                    with m.Else():
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.o_read.valid.eq(1)
                with m.If(self.o_read.ready):
                    m.next = "MAP"
            with m.State("MAP"):
                row = self.i_bits.payload.bits
                m.d.comb += self.i_bits.ready.eq(1)
                with m.If(self.i_bits.valid):
                    with m.If(head.text.any() & head.text_first):
                        m.d.sync += bits.eq(Cat(1, row))
                    with m.Else():
                        m.d.sync += bits.eq(row | (head.text.any() << head.frames))
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += [part.eq(part + 1), total.eq(total + tiles_of_part)]
                with m.If(part_bit):
                    m.d.sync += important.eq(important + tiles_of_part)
                with m.If(part + 1 == parts):
                    m.next = "START"
            with m.State("START"):
                for pointer in pointers:
                    m.d.comb += pointer.start.eq(1)
                m.next = "PICK"
            with m.State("PICK"):
                m.d.sync += [chosen.eq(pick), acc.eq(acc + important - Mux(pick, total, 0))]
                m.next = "FIND"
            with m.State("FIND"):
                for k, pointer in enumerate(pointers):
                    here = Signal(name=f"here_{k}")
                    m.d.comb += here.eq(bits.bit_select(pointer.part, 1) == k)
                    with m.If(chosen == k):
                        m.d.comb += [pointer.skip.eq(~here), push.eq(here), pointer.taken.eq(pushed)]
                with m.If(pushed):
                    m.d.sync += step.eq(step + 1)
                    m.next = "PICK"
                    with m.If(step + 1 == total):
                        m.next = "BLOCK"
            with m.State("END"):
                m.d.comb += self.ended.eq(~self._busy)
        return m

    def _set_up(self, m, sizes, counts):
        """Words and tiles of a frame, of the text, and words of a whole tile, by counting. Returns when they are there."""
        c, head = self.config, self.head
        cycle = Signal(range(max(c.max_part, c.keys) + 1))
        given = {"frame": head.frame_tokens, "text": head.text}
        for name, tokens in {**given, "tile": c.keys}.items():
            with m.If(self.run & (cycle < tokens)):
                m.d.sync += sizes[name].eq(sizes[name] + head.words)
        for name, tokens in given.items():
            left = Signal(range(c.max_part + 1), name=f"{name}_left")
            begun = Signal(name=f"{name}_begun")
            with m.If(self.run):
                m.d.sync += begun.eq(1)
                with m.If(~begun):
                    m.d.sync += left.eq(tokens)
                with m.Elif(left.any()):
                    m.d.sync += [counts[name].eq(counts[name] + 1), left.eq(Mux(left > c.keys, left - c.keys, 0))]
        ready = Signal(name="set_up")
        m.d.comb += ready.eq(cycle == max(c.max_part, c.keys))
        with m.If(self.run & ~ready):
            m.d.sync += cycle.eq(cycle + 1)
        return ready

    def _pointer(self, m, k, sizes, counts, text_part):
        """The next tile of one kind: its part, its first word, the tokens that are left of the part."""
        c, head = self.config, self.head
        p = SimpleNamespace(
            part=Signal(self._parts, name=f"part_{k}"),
            offset=Signal(c.offset_shape, name=f"offset_{k}"),
            tokens=Signal(range(c.max_part + 1), name=f"tokens_{k}"),
            start=Signal(name=f"start_{k}"),
            skip=Signal(name=f"skip_{k}"),
            taken=Signal(name=f"taken_{k}"),
        )
        begin = Signal(c.offset_shape, name=f"begin_{k}")  # of the part
        behind = Signal(c.offset_shape, name=f"behind_{k}")
        following = Signal(self._parts, name=f"following_{k}")
        next_tokens = Signal(range(c.max_part + 1), name=f"next_tokens_{k}")
        advance = Signal(name=f"advance_{k}")
        m.d.comb += [
            following.eq(Mux(p.start, 0, p.part + 1)),
            next_tokens.eq(Mux(following == text_part, head.text, head.frame_tokens)),
            behind.eq(Mux(p.start, 0, begin + Mux(p.part == text_part, sizes["text"], sizes["frame"]))),
            advance.eq(p.start | p.skip | (p.taken & (p.tokens <= c.keys))),
        ]
        with m.If(advance):
            m.d.sync += [p.part.eq(following), begin.eq(behind), p.offset.eq(behind), p.tokens.eq(next_tokens)]
        with m.Elif(p.taken):
            m.d.sync += [p.offset.eq(p.offset + sizes["tile"]), p.tokens.eq(p.tokens - c.keys)]
        return p

    def _ring(self, m, push, block, step, total, chosen, pointers):
        """The tasks in flight. Returns whether the one that is pushed is taken in."""
        c = self.config
        task = Signal(c.task_layout)
        at = Signal(range(c.tiles))
        pending = [Signal(c.tiles, name=f"pending_{name}") for name in CONSUMERS]
        taken = Signal()
        tokens = Signal(range(c.max_part + 1))
        free = Signal()
        self._busy = Signal(name="busy")
        m.d.comb += [
            tokens.eq(Mux(chosen, pointers[1].tokens, pointers[0].tokens)),
            task.place.eq(at),
            task.tokens.eq(Mux(tokens > c.keys, c.keys, tokens)),
            task.offset.eq(Mux(chosen, pointers[1].offset, pointers[0].offset)),
            task.important.eq(chosen),
            task.bank.eq(block.bank),
            task.slices.eq(block.slices),
            task.rows.eq(block.rows),
            task.first.eq(step == 0),
            task.last.eq(step + 1 == total),
            free.eq(~Cat(p.bit_select(at, 1) for p in pending).any()),
            taken.eq(push & free),
            self.begun.eq(taken << at),
            self._busy.eq(Cat(*pending).any()),
        ]
        with m.If(taken):
            m.d.sync += [self.tasks[at].eq(task), at.eq(at + 1)]
            for name, count in (("fp16", self.tiles_fp16), ("lut", self.tiles_lut)):
                with m.If(chosen == (name == "fp16")):
                    m.d.sync += count.eq(count + block.slices)
        for name, waits in zip(CONSUMERS, pending):
            o = getattr(self, f"o_{name}")
            mine = Signal(range(c.tiles), name=f"at_{name}")
            done = Signal(name=f"done_{name}")
            m.d.comb += [
                o.valid.eq(waits.bit_select(mine, 1)),
                o.payload.eq(self.tasks[mine]),
                done.eq(o.valid & o.ready),
            ]
            m.d.sync += waits.eq((waits & ~(done << mine)) | self.begun)
            with m.If(done):
                m.d.sync += mine.eq(mine + 1)
        return taken
