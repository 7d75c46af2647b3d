# SPDX-License-Identifier: Apache-2.0
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

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.quantization_engine.score_buffer import ScoreBufferConfig

#: Who takes every task, each in order: one after the other in time, but for the two arrays.
CONSUMERS = ("values", "scores_fp16", "scores_lut", "products_fp16", "products_lut", "merging")


@dataclass(frozen=True)
class TileScheduleConfig:
    keys: int = field(default=128, metadata={"doc": "most tokens of a key tile"})
    rows: int = field(default=8, metadata={"doc": "t, most rows of a slice; a power of two"})
    slices: int = field(default=4, metadata={"doc": "G, most slices of a block; a power of two"})
    tiles: int = field(default=4, metadata={"doc": "W, key tiles that have a place; a power of two"})
    max_frames: int = field(default=32, metadata={"doc": "most frames of a clip"})
    max_frame_tokens: int = field(default=256, metadata={"doc": "most tokens of a frame"})
    max_text: int = field(default=256, metadata={"doc": "most text tokens"})
    matrix_words: int = field(default=4352 * 8, metadata={"doc": "most words of a matrix in memory"})

    def __post_init__(self):
        checks.power_of_two(self, "rows", "slices", "tiles", least=2)
        names = ("keys", "max_frames", "max_frame_tokens", "max_text", "matrix_words")
        checks.at_least(self, 1, *names)

    @property
    def max_part(self):
        """Most tokens of a frame, or of the text."""
        return max(self.max_frame_tokens, self.max_text)

    @property
    def part_tiles(self):
        """Most key tiles of a frame, or of the text."""
        return -(-self.max_part // self.keys)

    @property
    def head_layout(self):
        """What stays the same during a head: sizes, and those of its key tiles, as ``HeadGeometry`` has them."""
        offset, tiles = range(self.matrix_words + 1), range(self.part_tiles + 1)
        return data.StructLayout(
            {
                "frames": range(self.max_frames + 1),
                "frame_tokens": range(self.max_frame_tokens + 1),
                "text": range(self.max_text + 1),
                "text_first": 1,
                "codes_k": 1,
                **{f"{name}_words": offset for name in ("frame", "text", "tile")},
                **{f"{name}_tiles": tiles for name in ("frame", "text")},
            }
        )

    @property
    def buffer(self):
        """The map of P."""
        return ScoreBufferConfig(rows=self.max_frames, columns=self.max_frames)

    @property
    def block_layout(self):
        return layouts.block_layout(self.max_frames, self.rows, self.slices)

    @property
    def task_layout(self):
        """A block and a key tile that it meets; ``first`` and ``last`` of the block."""
        scores = layouts.scores_task(self.tiles, self.keys, self.matrix_words, self.rows, self.slices)
        return data.StructLayout({**scores.members, "first": 1, "last": 1})

    @property
    def tile_layout(self):
        """Of the task in a place."""
        return layouts.tile_and_rows(self.keys, self.rows, self.slices)

    def consumer_layout(self, name):
        """Of the task, what consumer ``name`` takes."""
        kind = name.partition("_")[0]
        if kind == "values":
            return data.StructLayout(layouts.tile_fields(self.tiles, self.keys, self.matrix_words))
        if kind == "products":
            return layouts.products_task(self.tiles, self.keys, self.rows, self.slices)
        if kind == "scores":
            return layouts.scores_task(self.tiles, self.keys, self.matrix_words, self.rows, self.slices)
        names = ("place", "bank", "slices", "rows", "first", "last")
        return data.StructLayout({name: self.task_layout.members[name] for name in names})


class TileSchedule(wiring.Component):
    """The tasks of a head, in the order of ``golden.simcore.chip.tile_schedule.order_of``.

    Of J key tiles of which I are important, step k = 1, 2, ... takes an important one when ``acc + I >= J`` (then ``acc +=
    I - J``), another one otherwise (``acc += I``); both kinds in the order of their tokens. A frame, and the text, are cut
    into tiles of ``keys`` tokens, the last one of what is left.

    Parameters
    ----------
    config : TileScheduleConfig

    Members
    -------
    run : In(1), a head is under way; the unit is reset between heads
    head : In, its geometry; stable from ``run`` on
    i_block : In(stream of blocks); one with ``end`` is the last
    o_read, i_bits : the score buffer's read port: the map's row of a block's frame
    o_values, o_scores_fp16, o_scores_lut, o_products_fp16, o_products_lut, o_merging : Out(streams of tasks), one for each
        of ``CONSUMERS``, which takes a task when it is done with it
    tasks : Out, ``tokens`` and ``rows`` of the task in each place, until all have taken it
    begun : Out(1 a place), a new task takes the place in this cycle
    ended : Out(1), all tasks of the head are taken
    tiles_fp16, tiles_lut : Out(32), slices of tasks so far whose scores are the FP16 array's, or the LUT array's

    Cycles, hidden behind the tasks before: of a block of J tiles in P frames (text counts) 2 P + 3 J at most. Limits: none
    of its own, geometry is checked before.
    Golden: ``golden.simcore.chip.tile_schedule.tile_schedule``.
    """

    def __init__(self, *, config):
        self.config = config
        consumers = {name: stream.Signature(config.consumer_layout(name)) for name in CONSUMERS}
        super().__init__(
            {
                "run": In(1),
                "head": In(config.head_layout),
                "i_block": In(stream.Signature(config.block_layout)),
                "o_read": Out(stream.Signature(config.buffer.read_layout)),
                "i_bits": In(stream.Signature(config.buffer.o_layout)),
                **{f"o_{name}": Out(signature) for name, signature in consumers.items()},
                "tasks": Out(data.ArrayLayout(config.tile_layout, config.tiles)),
                "begun": Out(config.tiles),
                "ended": Out(1),
                "tiles_fp16": Out(32),
                "tiles_lut": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        block = self._block(m)
        pointers = [self._pointer(m, k, block) for k in range(2)]
        step = self._step(m, block, pointers)
        self._control(m, block, step, pointers)
        return m

    def _block(self, m):
        """The block that meets its key tiles: which of them are important, and how many there are."""
        c, head = self.config, self.head
        parts = range(c.max_frames + 2)  # frames, and the text
        total = range((c.max_frames + 1) * c.part_tiles + 1)
        b = SimpleNamespace(
            payload=Signal(c.block_layout, name="block"),
            bits=Signal(c.max_frames + 1, name="bits"),
            parts=Signal(parts, name="parts"),
            part=Signal(parts, name="part"),
            text_part=Signal(parts, name="text_part"),
            tiles=Signal(range(c.part_tiles + 1), name="tiles_of_part"),
            important_part=Signal(name="part_bit"),
            total=Signal(total, name="total"),
            important=Signal(total, name="important"),
        )
        m.d.comb += [
            b.parts.eq(head.frames + head.text.any()),
            b.text_part.eq(Mux(head.text.any(), Mux(head.text_first, 0, head.frames), c.max_frames + 1)),
            b.tiles.eq(Mux(b.part == b.text_part, head.text_tiles, head.frame_tiles)),
            b.important_part.eq(b.bits.bit_select(b.part, 1)),
            self.o_read.payload.row.eq(b.payload.tile),
            self.o_read.payload.column.eq(0),
        ]
        return b

    def _step(self, m, block, pointers):
        """Which kind of tile comes next, and whether the ring takes it."""
        s = SimpleNamespace(
            acc=Signal.like(block.total, name="acc"),  # always below total
            number=Signal.like(block.total, name="step"),
            pick=Signal(name="pick"),
            chosen=Signal(name="chosen"),
            push=Signal(name="push"),
        )
        m.d.comb += s.pick.eq(s.acc + block.important >= block.total)
        s.pushed = self._ring(m, block, s, pointers)
        return s

    def _control(self, m, block, step, pointers):
        head, row = self.head, self.i_bits.payload.bits
        with m.FSM():
            with m.State("WAIT"):
                with m.If(self.run):
                    m.next = "BLOCK"
            with m.State("BLOCK"):
                m.d.comb += self.i_block.ready.eq(1)
                m.d.sync += [x.eq(0) for x in (block.part, block.total, block.important, step.acc, step.number)]
                with m.If(self.i_block.valid):
                    m.d.sync += block.payload.eq(self.i_block.payload)
                    with m.If(self.i_block.payload.end):
                        m.next = "END"
                    with m.Elif(self.i_block.payload.text | ~head.codes_k):
                        m.d.sync += block.bits.eq(-1)
                        m.next = "COUNT"
                    with m.Else():
                        m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.o_read.valid.eq(1)
                with m.If(self.o_read.ready):
                    m.next = "MAP"
            with m.State("MAP"):
                m.d.comb += self.i_bits.ready.eq(1)
                with m.If(self.i_bits.valid):
                    with m.If(head.text.any() & head.text_first):
                        m.d.sync += block.bits.eq(Cat(1, row))
                    with m.Else():
                        m.d.sync += block.bits.eq(row | (head.text.any() << head.frames))
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += [block.part.eq(block.part + 1), block.total.eq(block.total + block.tiles)]
                with m.If(block.important_part):
                    m.d.sync += block.important.eq(block.important + block.tiles)
                with m.If(block.part + 1 == block.parts):
                    m.next = "START"
            with m.State("START"):
                for pointer in pointers:
                    m.d.comb += pointer.start.eq(1)
                m.next = "PICK"
            with m.State("PICK"):
                total = Mux(step.pick, block.total, 0)
                m.d.sync += [step.chosen.eq(step.pick), step.acc.eq(step.acc + block.important - total)]
                m.next = "FIND"
            with m.State("FIND"):
                for k, pointer in enumerate(pointers):
                    here = Signal(name=f"here_{k}")
                    m.d.comb += here.eq(block.bits.bit_select(pointer.part, 1) == k)
                    with m.If(step.chosen == k):
                        m.d.comb += [pointer.skip.eq(~here), step.push.eq(here), pointer.taken.eq(step.pushed)]
                with m.If(step.pushed):
                    m.d.sync += step.number.eq(step.number + 1)
                    m.next = "PICK"
                    with m.If(step.number + 1 == block.total):
                        m.next = "BLOCK"
            with m.State("END"):
                m.d.comb += self.ended.eq(~self._busy)

    def _pointer(self, m, k, block):
        """The next tile of one kind: its part, its first word, the tokens that are left of the part."""
        c, head, text_part = self.config, self.head, block.text_part
        offset, parts = range(c.matrix_words + 1), block.part.shape()
        p = SimpleNamespace(
            part=Signal(parts, name=f"part_{k}"),
            offset=Signal(offset, name=f"offset_{k}"),
            tokens=Signal(range(c.max_part + 1), name=f"tokens_{k}"),
            start=Signal(name=f"start_{k}"),
            skip=Signal(name=f"skip_{k}"),
            taken=Signal(name=f"taken_{k}"),
        )
        begin = Signal(offset, name=f"begin_{k}")  # of the part
        behind = Signal(offset, name=f"behind_{k}")
        following = Signal(parts, name=f"following_{k}")
        next_tokens = Signal(range(c.max_part + 1), name=f"next_tokens_{k}")
        advance = Signal(name=f"advance_{k}")
        m.d.comb += [
            following.eq(Mux(p.start, 0, p.part + 1)),
            next_tokens.eq(Mux(following == text_part, head.text, head.frame_tokens)),
            behind.eq(Mux(p.start, 0, begin + Mux(p.part == text_part, head.text_words, head.frame_words))),
            advance.eq(p.start | p.skip | (p.taken & (p.tokens <= c.keys))),
        ]
        with m.If(advance):
            m.d.sync += [p.part.eq(following), begin.eq(behind), p.offset.eq(behind), p.tokens.eq(next_tokens)]
        with m.Elif(p.taken):
            m.d.sync += [p.offset.eq(p.offset + head.tile_words), p.tokens.eq(p.tokens - c.keys)]
        return p

    def _ring(self, m, block, s, pointers):
        """The tasks in flight. Returns whether the one that is pushed is taken in."""
        c, b, chosen = self.config, block.payload, s.chosen
        task = Signal(c.task_layout)
        tasks = Signal(data.ArrayLayout(c.task_layout, c.tiles))
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
            task.bank.eq(b.bank),
            task.slices.eq(b.slices),
            task.rows.eq(b.rows),
            task.first.eq(s.number == 0),
            task.last.eq(s.number + 1 == block.total),
            free.eq(~Cat(p.bit_select(at, 1) for p in pending).any()),
            taken.eq(s.push & free),
            self.begun.eq(taken << at),
            self._busy.eq(Cat(*pending).any()),
            *(self.tasks[k][name].eq(tasks[k][name]) for k in range(c.tiles) for name in c.tile_layout.members),
        ]
        with m.If(taken):
            m.d.sync += [tasks[at].eq(task), at.eq(at + 1)]
            for name, count in (("fp16", self.tiles_fp16), ("lut", self.tiles_lut)):
                with m.If(chosen == (name == "fp16")):
                    m.d.sync += count.eq(count + b.slices)
        for name, waits in zip(CONSUMERS, pending):
            o = getattr(self, f"o_{name}")
            mine = Signal(range(c.tiles), name=f"at_{name}")
            done = Signal(name=f"done_{name}")
            waiting = tasks[mine]
            m.d.comb += [
                o.valid.eq(waits.bit_select(mine, 1)),
                *(o.payload[field].eq(waiting[field]) for field in o.payload.shape().members),
                done.eq(o.valid & o.ready),
            ]
            m.d.sync += waits.eq((waits & ~(done << mine)) | self.begun)
            with m.If(done):
                m.d.sync += mine.eq(mine + 1)
        return taken


#: Config of each preset; the first is the default.
PRESETS = {
    "default": TileScheduleConfig(),
    "tiny": TileScheduleConfig(
        keys=6,
        rows=2,
        slices=2,
        tiles=2,
        max_frames=4,
        max_frame_tokens=16,
        max_text=8,
        matrix_words=72 * 4,
    ),
}
