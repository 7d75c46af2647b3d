"""The rows of Q that are kept, block by block on chip, as they are and folded with K's scales (SIMPICKER V-A).

::

    index table --> kept? --> o_command ~~memory~~> i_data --+------------------> rows of Q       (two blocks) --> FP16 array
                      |                                      +--> x K's scales --> rows folded    (two blocks) --> LUT array
                      +--> o_place: where the row of A goes

One block is multiplied while the next is fetched.

Rejected: a compacted copy of Q in memory, as the paper's reordering writes it: rows are read once either way, and a row is a
burst of its own.
"""

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.formats import FP16
from zoetrope.hw.memory.sram import Sram, SramConfig
from zoetrope.hw.simcore.chip.simcore_config import SimcoreConfig, counted, depth, read_port
from zoetrope.hw.simcore.computing_engine.scale_unit import ScaleUnit


class RowFetcher(wiring.Component):
    """Kept tokens of each frame, and those of the text, in blocks of up to G slices of t rows.

    Tokens are taken in order: a frame, or the text, is a query tile, and a block has rows of one query tile. A token is kept
    if its entry of the index table is its own; without ``sparsify``, and of the text, all are.

    Parameters
    ----------
    config : SimcoreConfig

    Members
    -------
    run : In(1), a head is under way; the unit is reset between heads
    head : In, its geometry, switches and addresses
    table : Out(read port) of the index buffer's; ``table_ready``: In(1), it reads in this cycle
    o_command, i_data : to and from the AXI reader
    i_scale : In(stream of ``scale``: FP32, ``last``), K's, once if ``codes_k``
    o_place : Out(stream of ``row``, ``address``), where the results of a row go, once for each row, before its block
    o_block : Out(stream of blocks), when all of its rows are there
    written : In(1), written_bank : In(1), a row of results of that bank's block has left
    q_fp16, q_lut : In(read ports), words of L channels of Q and of Q folded
    rows_kept, slices : Out(32), so far
    not_finite : Out(1), a NaN or an infinity came in Q
    overflow : Out(1), a folded row is beyond FP16

    Cycles: 3 a token that is not kept, the most of 4 and its words for one that is, 1 less without ``sparsify``; hidden
    behind the block before. Memory: two blocks of G t rows of max_channels x 16 bits, twice.
    """

    def __init__(self, *, config: SimcoreConfig):
        self.config = config
        index = config.sparsification.index.index_bits
        port = In(read_port(config.q_address, config.load_lanes * FP16.width))
        super().__init__(
            {
                "run": In(1),
                "head": In(config.head_layout),
                "table": Out(read_port(index, index)),
                "table_ready": In(1),
                "o_command": Out(stream.Signature(config.axi.command_layout)),
                "i_data": In(stream.Signature(config.axi.data_layout)),
                "i_scale": In(stream.Signature(config.quantization.o_scale_layout)),
                "o_place": Out(stream.Signature(config.writer.place_layout)),
                "o_block": Out(stream.Signature(config.block_layout)),
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
        c, head = self.config, self.head
        bank = Signal()
        asked = Signal(range(c.block_rows + 1))  # rows of the block
        counts = Signal(data.ArrayLayout(range(c.rows + 1), c.slices))  # of its slices
        at = Signal(range(c.slices + 1))  # the slice that takes the next row
        place = Signal(c.row_layout)
        arrived = Signal()
        fresh = Signal()
        self._receive(m, place, asked, fresh, arrived)

        text = Signal()  # the query tile is the text
        frame = Signal(range(c.max_frames + 1))
        token = Signal(range(c.max_part + 1))
        index = Signal(c.sparsification.index.index_bits)  # of the video token
        size = Signal(range(c.max_part + 1))
        m.d.comb += size.eq(Mux(text, head.text, head.frame_tokens))
        addresses = {name: Signal(c.address_bits, name=f"{name}_address") for name in ("q", "a")}
        pitch = Signal(range(c.max_words * c.data_bits // 8 + 1))
        m.d.comb += pitch.eq(head.words << ceil_log2(c.data_bits // 8))
        busy = self._busy(m, bank)

        last_token = Signal()
        window_end = Signal()
        m.d.comb += [
            last_token.eq(token + 1 == size),
            window_end.eq(token[: c.row_shift].all() if c.row_shift else 1),
        ]
        known = Signal()  # the table's entry of the token is there
        kept = Signal()
        commanded = Signal()
        placed = Signal()
        done_command = Signal()
        done_place = Signal()
        m.d.comb += [
            self.table.addr.eq(index),
            kept.eq(text | ~head.sparsify | (self.table.data == index)),
            self.o_command.payload.address.eq(addresses["q"]),
            self.o_command.payload.length.eq(head.words << ceil_log2(c.lanes)),
            self.o_place.payload.address.eq(addresses["a"]),
            place.row.eq(counts[at]),
            place.slice.eq(at),
            place.bank.eq(bank),
            self.o_place.payload.row.eq(place),
            done_command.eq(commanded | self.o_command.ready),
            done_place.eq(placed | self.o_place.ready),
        ]
        block = self.o_block.payload
        m.d.comb += [
            block.tile.eq(frame),
            block.text.eq(text),
            block.bank.eq(bank),
            block.slices.eq(at),
            block.rows.eq(counts),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.run):
                    m.d.sync += [addresses["q"].eq(head.q), addresses["a"].eq(head.a)]
                    m.d.sync += text.eq(head.text.any() & head.text_first)
                    m.next = "TOKEN"
            with m.State("TOKEN"):
                # Its entry of the table is read, if there is need of it.
                with m.If(text | ~head.sparsify | known):
                    m.d.sync += known.eq(0)
                    m.next = "NEXT"
                    with m.If(kept):
                        m.next = "ROW"
                with m.Else():
                    m.d.comb += self.table.en.eq(1)
                    m.d.sync += known.eq(self.table_ready)
            with m.State("ROW"):
                with m.If(asked.any() | ~busy):
                    m.d.comb += [self.o_command.valid.eq(~commanded), self.o_place.valid.eq(~placed)]
                    m.d.sync += [commanded.eq(done_command & ~done_place), placed.eq(done_place & ~done_command)]
                    with m.If(done_command & done_place):
                        m.d.sync += [asked.eq(asked + 1), self.rows_kept.eq(self.rows_kept + 1)]
                        m.d.sync += counts[at].eq(counts[at] + 1)
                        m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += token.eq(token + 1)
                m.d.sync += [address.eq(address + pitch) for address in addresses.values()]
                with m.If(~text):
                    m.d.sync += index.eq(index + 1)
                m.next = "TOKEN"
                # The slice is full, or without ``compact`` the t tokens have passed of which it takes those kept.
                with m.If(counts[at].any() & (last_token | Mux(head.compact, counts[at] == c.rows, window_end))):
                    m.d.sync += at.eq(at + 1)
                    with m.If(last_token | (at + 1 == c.slices)):
                        m.next = "CLOSE"
                with m.Elif(last_token):
                    m.next = "TILE"
                    with m.If(at.any()):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.o_block.valid.eq(arrived)
                with m.If(arrived & self.o_block.ready):
                    m.d.comb += fresh.eq(1)
                    m.d.sync += [
                        bank.eq(~bank),
                        asked.eq(0),
                        at.eq(0),
                        counts.eq(0),
                        self.slices.eq(self.slices + block.slices),
                    ]
                    m.next = "TOKEN"
                    with m.If(token == size):
                        m.next = "TILE"
            with m.State("TILE"):
                m.d.sync += token.eq(0)
                m.next = "TOKEN"
                with m.If(text):
                    m.d.sync += text.eq(0)
                    with m.If(~head.text_first):
                        m.next = "END"
                with m.Else():
                    m.d.sync += frame.eq(frame + 1)
                    with m.If(frame + 1 == head.frames):
                        m.d.sync += text.eq(1)
                        with m.If(head.text_first | ~head.text.any()):
                            m.next = "END"
            with m.State("END"):
                m.d.comb += [block.end.eq(1), self.o_block.valid.eq(1)]
                with m.If(self.o_block.ready):
                    m.next = "ENDED"
            with m.State("ENDED"):
                pass
        return m

    def _busy(self, m, bank):
        """Whether results of the bank's block before have not left yet."""
        c = self.config
        counts = []
        for b in range(2):
            count = Signal(range(c.block_rows + 1), name=f"outstanding_{b}")
            more = Signal(name=f"placed_{b}")
            less = Signal(name=f"written_{b}")
            m.d.comb += [
                more.eq(self.o_place.valid & self.o_place.ready & (bank == b)),
                less.eq(self.written & (self.written_bank == b)),
            ]
            m.d.sync += count.eq(count + more - less)
            counts.append(count)
        return Mux(bank, counts[1], counts[0]).any()

    def _receive(self, m, place, asked, fresh, arrived):
        """Words of Q into both memories; ``arrived`` when those of all rows that were asked for are there."""
        c, head = self.config, self.head
        fold = ScaleUnit(config=c.fold)
        m.submodules.fold = emit_once(fold)
        word = Signal(range(max(2, c.max_words)))
        last = Signal()
        taken = Signal()
        values = data.View(data.ArrayLayout(FP16.layout, c.lanes), self.i_data.payload.data)
        kept, wrong = counted(m, values, head.channels, last, c.lanes, "q")
        m.d.comb += [
            last.eq(word + 1 == head.words),
            self.i_data.ready.eq(~head.codes_k | fold.i.ready),
            taken.eq(self.i_data.valid & self.i_data.ready),
            fold.i.valid.eq(self.i_data.valid & head.codes_k),
            fold.i.payload["values"].eq(kept),
            fold.o.ready.eq(1),
            fold.i_scale.payload.scale.eq(self.i_scale.payload.scale),
            fold.i_scale.payload.last.eq(self.i_scale.payload.last),
            fold.i_scale.valid.eq(self.i_scale.valid),
            self.i_scale.ready.eq(fold.i_scale.ready),
            self.overflow.eq(fold.not_finite),
        ]
        with m.If(taken):
            m.d.sync += [word.eq(Mux(last, 0, word + 1)), self.not_finite.eq(self.not_finite | wrong)]
        folded = Signal()
        m.d.comb += folded.eq(fold.o.valid)
        q_rows = self._store(m, "q_fp16", place, fresh, taken, last, kept)
        f_rows = self._store(m, "q_lut", place, fresh, folded, fold.o.payload.last, fold.o.payload["values"])
        m.d.comb += arrived.eq((q_rows == asked) & ((f_rows == asked) | ~head.codes_k))

    def _store(self, m, name, place, fresh, taken, last, values):
        """A memory of rows; the number of those of the block that are there."""
        c = self.config
        port = getattr(self, name)
        parts = c.load_lanes // c.lanes
        part_bits = ceil_log2(parts)
        width = c.lanes * FP16.width
        sram = Sram(config=SramConfig(depth=depth(c.q_address), width=parts * width, granularity=width))
        m.submodules[name] = emit_once(sram)
        # Rows come in the order in which they were asked for.
        m.submodules[f"{name}_places"] = places = SyncFIFO(width=c.row_layout.size, depth=c.block_rows)
        word = Signal(range(max(2, c.channel_words * parts)), name=f"{name}_word")
        row = Signal(range(c.block_rows + 1), name=f"{name}_row")
        address = Signal(c.q_address, name=f"{name}_address")
        m.d.comb += [
            address.word.eq(word >> part_bits),
            address.row.eq(places.r_data),
            places.w_data.eq(place),
            places.w_en.eq(self.o_place.valid & self.o_place.ready),
            places.r_en.eq(taken & last),
            sram.w_en.eq(taken << (word[:part_bits] if part_bits else 0)),
            sram.w_addr.eq(address),
            sram.w_data.eq(Value.cast(values).replicate(parts)),
            sram.r_en[0].eq(port.en),
            sram.r_addr[0].eq(port.addr),
            port.data.eq(sram.r_data[0]),
        ]
        with m.If(taken):
            m.d.sync += word.eq(Mux(last, 0, word + 1))
            with m.If(last):
                m.d.sync += row.eq(row + 1)
        with m.If(fresh):
            m.d.sync += row.eq(0)
        return row
