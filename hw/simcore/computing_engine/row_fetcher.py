# SPDX-License-Identifier: Apache-2.0
"""The rows of Q that are kept, block by block on chip, as they are and folded with K's scales (SIMPICKER V-A).

::

    index table --> kept? --> o_command ~~memory~~> i_data --+------------------> rows of Q       (two blocks) --> FP16 array
                      |                                      +--> x K's scales --> rows folded    (two blocks) --> LUT array
                      +--> o_place: where the row of A goes

One block is multiplied while the next is fetched.

Rejected: a compacted copy of Q in memory, as the paper's reordering writes it: rows are read once either way, and a row is a
burst of its own.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.memory.ports import read_port
from zoetrope.hw.memory.wide_store import wide_store
from zoetrope.hw.simcore import layouts
from zoetrope.hw.simcore.computing_engine.scale_unit import ScaleUnit, ScaleUnitConfig
from zoetrope.hw.simcore.computing_engine.tokens import token_words
from zoetrope.hw.stream import connect


@dataclass(frozen=True)
class RowFetcherConfig:
    lanes: int = field(default=8, metadata={"doc": "B, elements of a word of memory; a power of two"})
    load_lanes: int = field(default=16, metadata={"doc": "L, elements of a word of operands; a power of two from B on"})
    max_channels: int = field(default=64, metadata={"doc": "most channels of Q, d"})
    rows: int = field(default=8, metadata={"doc": "t, most rows of a slice; a power of two"})
    slices: int = field(default=4, metadata={"doc": "G, most slices of a block; a power of two"})
    max_frames: int = field(default=32, metadata={"doc": "most frames of a clip"})
    max_frame_tokens: int = field(default=256, metadata={"doc": "most tokens of a frame"})
    max_text: int = field(default=256, metadata={"doc": "most text tokens"})
    max_tokens: int = field(default=4096, metadata={"doc": "most video tokens: entries of the index table"})
    address_bits: int = field(default=32, metadata={"doc": "of an address, in bytes"})
    length_bits: int = field(default=24, metadata={"doc": "of a command's length, in elements"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.power_of_two(self, "load_lanes", least=self.lanes, why="a word of operands is made of words of memory")
        checks.power_of_two(self, "rows", "slices", least=2)
        names = ("max_channels", "max_frames", "max_frame_tokens", "max_text", "max_tokens")
        checks.at_least(self, 1, *names, "address_bits", "length_bits")

    @property
    def max_words(self):
        """Words of memory of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def channel_words(self):
        """Words of operands of the widest token."""
        return -(-self.max_channels // self.load_lanes)

    @property
    def block_rows(self):
        return self.slices * self.rows

    @property
    def index_bits(self):
        return max(1, ceil_log2(self.max_tokens))

    @property
    def fold(self):
        """Q times K's scales."""
        return ScaleUnitConfig(lanes=self.lanes, max_channels=self.max_channels)

    @property
    def head_layout(self):
        """What stays the same during a head: sizes, switches, and the addresses of Q and of A."""
        return data.StructLayout(
            {
                "frames": range(self.max_frames + 1),
                "frame_tokens": range(self.max_frame_tokens + 1),
                "text": range(self.max_text + 1),
                "channels": range(self.max_channels + 1),
                "words": range(self.max_words + 1),
                **{name: 1 for name in ("text_first", "sparsify", "compact", "codes_k")},
                **{name: self.address_bits for name in ("q", "a")},
            }
        )

    @property
    def row_layout(self):
        return layouts.row_layout(self.rows, self.slices)

    @property
    def block_layout(self):
        return layouts.block_layout(self.max_frames, self.rows, self.slices)

    @property
    def place_layout(self):
        return layouts.place_layout(self.rows, self.slices, self.address_bits)

    @property
    def address_layout(self):
        """Of a word of L channels."""
        return layouts.q_address(self.channel_words, self.rows, self.slices)


class RowFetcher(wiring.Component):
    """Kept tokens of each frame, and those of the text, in blocks of up to G slices of t rows.

    Tokens are taken in order: a frame, or the text, is a query tile, and a block has rows of one query tile. A token is kept
    if its entry of the index table is its own; without ``sparsify``, and of the text, all are.

    Parameters
    ----------
    config : RowFetcherConfig

    Members
    -------
    run : In(1), a head is under way; the unit is reset between heads
    head : In, sizes, switches and addresses, stable from ``run`` on: ``frames`` of ``frame_tokens``, and ``text``, before
        them with ``text_first``; ``channels`` and ``words`` of a token; ``sparsify``; ``compact``, kept rows stand side by
        side in slices; ``codes_k``, rows are wanted folded, too; addresses ``q`` and ``a``
    table : Out(read port), the index buffer's
    table_ready : In(1), the index buffer reads in this cycle
    o_command, i_data : Out(stream of ``address``, ``length``), In(stream of words of B), the AXI reader's
    i_scale : In(stream of ``scale``: FP32, ``last``), K's, once if ``codes_k``
    o_place : Out(stream of ``row``, ``address``), where the results of a row go, once for each row, before its block
    o_block : Out(stream of blocks), when all of its rows are there
    written : In(1), a row of results has left
    written_bank : In(1), the bank of the block of that row
    q_fp16, q_lut : In(read ports), words of L channels of Q and of Q folded
    rows_kept, slices : Out(32), so far
    not_finite : Out(1), a NaN or an infinity came in Q
    overflow : Out(1), a folded row is beyond FP16

    Cycles: 3 a token that is not kept, the most of 4 and its words for one that is, 1 less without ``sparsify``; hidden
    behind the block before. Memory: two blocks of G t rows of max_channels x 16 bits, twice.
    Golden: ``golden.simcore.computing_engine.row_fetcher.row_fetcher``.
    """

    def __init__(self, *, config):
        self.config = config
        c = config
        port = In(read_port(c.address_layout, c.load_lanes * FP16.width))
        super().__init__(
            {
                "run": In(1),
                "head": In(c.head_layout),
                "table": Out(read_port(c.index_bits, c.index_bits)),
                "table_ready": In(1),
                "o_command": Out(stream.Signature(layouts.command_layout(c.address_bits, c.length_bits))),
                "i_data": In(stream.Signature(layouts.word_layout(c.lanes))),
                "i_scale": In(stream.Signature(layouts.scale_layout())),
                "o_place": Out(stream.Signature(c.place_layout)),
                "o_block": Out(stream.Signature(c.block_layout)),
                "written": In(1),
                "written_bank": In(1),
                "q_fp16": port,
                "q_lut": port,
                "rows_kept": Out(32),
                "slices": Out(32),
                "not_finite": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        walk = self._walk(m)
        block = self._block(m, walk)
        with m.FSM():
            self._tokens(m, walk, block)
            self._rows(m, walk, block)
        self._receive(m, block)
        return m

    def _walk(self, m):
        """The token that is looked at: its query tile, its place there, its index, where its rows of Q and A are."""
        c, head = self.config, self.head
        most = max(c.max_frame_tokens, c.max_text)
        w = SimpleNamespace(
            text=Signal(name="text"),  # the query tile is the text
            frame=Signal(range(c.max_frames + 1), name="frame"),
            token=Signal(range(most + 1), name="token"),
            index=Signal(c.index_bits, name="index"),  # of the video token
            size=Signal(range(most + 1), name="size"),
            addresses={name: Signal(c.address_bits, name=f"{name}_address") for name in ("q", "a")},
            known=Signal(name="known"),  # the table's entry of the token is there
            kept=Signal(name="kept"),
            last=Signal(name="last_token"),
        )
        m.d.comb += [
            w.size.eq(Mux(w.text, head.text, head.frame_tokens)),
            w.last.eq(w.token + 1 == w.size),
            w.kept.eq(w.text | ~head.sparsify | (self.table.data == w.index)),
            self.table.addr.eq(w.index),
            self.o_command.payload.address.eq(w.addresses["q"]),
            self.o_command.payload.length.eq(head.words << exact_log2(c.lanes)),
            self.o_place.payload.address.eq(w.addresses["a"]),
        ]
        return w

    def _block(self, m, walk):
        """The block that is being filled."""
        c = self.config
        b = SimpleNamespace(
            bank=Signal(name="bank"),
            asked=Signal(range(c.block_rows + 1), name="asked"),  # rows of the block
            counts=Signal(layouts.rows_of_slices(c.rows, c.slices), name="counts"),
            at=Signal(range(c.slices + 1), name="at"),  # the slice that takes the next row
            place=Signal(c.row_layout, name="place"),
            arrived=Signal(name="arrived"),  # all rows that were asked for are there
            fresh=Signal(name="fresh"),  # the block is given away
            commanded=Signal(name="commanded"),
            placed=Signal(name="placed"),
        )
        payload = self.o_block.payload
        m.d.comb += [
            b.place.row.eq(b.counts[b.at]),
            b.place.slice.eq(b.at),
            b.place.bank.eq(b.bank),
            self.o_place.payload.row.eq(b.place),
            payload.tile.eq(walk.frame),
            payload.text.eq(walk.text),
            payload.bank.eq(b.bank),
            payload.slices.eq(b.at),
            payload.rows.eq(b.counts),
        ]
        b.busy = self._busy(m, b.bank)
        return b

    def _tokens(self, m, w, b):
        """States of one token after the other."""
        c, head = self.config, self.head
        pitch = Signal(range(2 * c.max_words * c.lanes + 1))
        window_end = Signal()
        m.d.comb += [
            pitch.eq(head.words << exact_log2(2 * c.lanes)),
            window_end.eq(w.token[: exact_log2(c.rows)].all()),
        ]
        with m.State("IDLE"):
            with m.If(self.run):
                m.d.sync += [w.addresses["q"].eq(head.q), w.addresses["a"].eq(head.a)]
                m.d.sync += w.text.eq(head.text.any() & head.text_first)
                m.next = "TOKEN"
        with m.State("TOKEN"):
            # Its entry of the table is read, if there is need of it.
            with m.If(w.text | ~head.sparsify | w.known):
                m.d.sync += w.known.eq(0)
                m.next = "NEXT"
                with m.If(w.kept):
                    m.next = "ROW"
            with m.Else():
                m.d.comb += self.table.en.eq(1)
                m.d.sync += w.known.eq(self.table_ready)
        with m.State("NEXT"):
            m.d.sync += w.token.eq(w.token + 1)
            m.d.sync += [address.eq(address + pitch) for address in w.addresses.values()]
            with m.If(~w.text):
                m.d.sync += w.index.eq(w.index + 1)
            m.next = "TOKEN"
            # The slice is full, or without ``compact`` the t tokens have passed of which it takes those kept.
            full = Mux(head.compact, b.counts[b.at] == c.rows, window_end)
            with m.If(b.counts[b.at].any() & (w.last | full)):
                m.d.sync += b.at.eq(b.at + 1)
                with m.If(w.last | (b.at + 1 == c.slices)):
                    m.next = "CLOSE"
            with m.Elif(w.last):
                m.next = "TILE"
                with m.If(b.at.any()):
                    m.next = "CLOSE"
        with m.State("TILE"):
            m.d.sync += w.token.eq(0)
            m.next = "TOKEN"
            with m.If(w.text):
                m.d.sync += w.text.eq(0)
                with m.If(~head.text_first):
                    m.next = "END"
            with m.Else():
                m.d.sync += w.frame.eq(w.frame + 1)
                with m.If(w.frame + 1 == head.frames):
                    m.d.sync += w.text.eq(1)
                    with m.If(head.text_first | ~head.text.any()):
                        m.next = "END"
        with m.State("END"):
            m.d.comb += [self.o_block.payload.end.eq(1), self.o_block.valid.eq(1)]
            with m.If(self.o_block.ready):
                m.next = "ENDED"
        with m.State("ENDED"):
            pass

    def _rows(self, m, w, b):
        """States of a kept row, and of a block that is whole."""
        done_command = Signal()
        done_place = Signal()
        m.d.comb += [
            done_command.eq(b.commanded | self.o_command.ready),
            done_place.eq(b.placed | self.o_place.ready),
        ]
        with m.State("ROW"):
            # The bank is free, or the row is not its first, or has its place already: that it has one is not to stop it.
            with m.If(b.asked.any() | b.placed | ~b.busy):
                m.d.comb += [self.o_command.valid.eq(~b.commanded), self.o_place.valid.eq(~b.placed)]
                m.d.sync += [b.commanded.eq(done_command & ~done_place), b.placed.eq(done_place & ~done_command)]
                with m.If(done_command & done_place):
                    m.d.sync += [b.asked.eq(b.asked + 1), self.rows_kept.eq(self.rows_kept + 1)]
                    m.d.sync += b.counts[b.at].eq(b.counts[b.at] + 1)
                    m.next = "NEXT"
        with m.State("CLOSE"):
            m.d.comb += self.o_block.valid.eq(b.arrived)
            with m.If(b.arrived & self.o_block.ready):
                m.d.comb += b.fresh.eq(1)
                m.d.sync += [b.bank.eq(~b.bank), b.asked.eq(0), b.at.eq(0), b.counts.eq(0)]
                m.d.sync += self.slices.eq(self.slices + b.at)
                m.next = "TOKEN"
                with m.If(w.token == w.size):
                    m.next = "TILE"

    def _busy(self, m, bank):
        """Whether results of the bank's block before have not left yet."""
        counts = []
        for b in range(2):
            count = Signal(range(self.config.block_rows + 1), name=f"outstanding_{b}")
            more = Signal(name=f"placed_{b}")
            less = Signal(name=f"written_{b}")
            m.d.comb += [
                more.eq(self.o_place.valid & self.o_place.ready & (bank == b)),
                less.eq(self.written & (self.written_bank == b)),
            ]
            m.d.sync += count.eq(count + more - less)
            counts.append(count)
        return Mux(bank, counts[1], counts[0]).any()

    def _receive(self, m, block):
        """Words of Q into both memories; ``arrived`` when those of all rows that were asked for are there."""
        c, head = self.config, self.head
        fold = ScaleUnit(config=c.fold)
        m.submodules.fold = emit_once(fold)
        token = token_words(m, self.i_data, head, self.not_finite, lanes=c.lanes, words=c.max_words, name="q")
        connect(m, self.i_scale, fold.i_scale)
        folded = fold.o.payload
        m.d.comb += [
            self.i_data.ready.eq(~head.codes_k | fold.i.ready),
            fold.i.valid.eq(self.i_data.valid & head.codes_k),
            fold.i.payload["values"].eq(token.values),
            fold.o.ready.eq(1),
            self.overflow.eq(fold.not_finite),
        ]
        rows = self._store(m, "q_fp16", block, token.taken, token.last, token.values)
        folded_rows = self._store(m, "q_lut", block, fold.o.valid, folded.last, folded["values"])
        m.d.comb += block.arrived.eq((rows == block.asked) & ((folded_rows == block.asked) | ~head.codes_k))

    def _store(self, m, name, block, taken, last, values):
        """A memory of rows; the number of those of the block that are there."""
        c = self.config
        # Rows come in the order in which they were asked for.
        m.submodules[f"{name}_places"] = places = SyncFIFO(width=c.row_layout.size, depth=c.block_rows)
        row = Signal(range(c.block_rows + 1), name=f"{name}_row")
        address = Signal(c.address_layout, name=f"{name}_address")
        m.d.comb += [
            address.row.eq(places.r_data),
            places.w_data.eq(block.place),
            places.w_en.eq(self.o_command.valid & self.o_command.ready),
            places.r_en.eq(taken & last),
        ]
        parts, words = c.load_lanes // c.lanes, c.channel_words
        wide_store(m, name, [getattr(self, name)], address, values, taken, last, words=words, parts=parts)
        with m.If(taken & last):
            m.d.sync += row.eq(row + 1)
        with m.If(block.fresh):
            m.d.sync += row.eq(0)
        return row


#: Config of each preset; the first is the default.
PRESETS = {
    "default": RowFetcherConfig(),
    "tiny": RowFetcherConfig(
        lanes=2,
        load_lanes=4,
        max_channels=7,
        rows=2,
        slices=2,
        max_frames=3,
        max_frame_tokens=10,
        max_text=5,
        max_tokens=30,
        address_bits=20,
        length_bits=6,
    ),
}
