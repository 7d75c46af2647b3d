# SPDX-License-Identifier: Apache-2.0
"""One head of attention, from commands to the memory of Q, K and V to rows of A (SIMPICKER IV, V-A).

::

    prologue: channel maxima, map of P, index table
        |
        v
    row fetcher --> blocks of rows --> tile schedule --> tasks
                                                          |
         +------------------------+-----------------------+----------------------+
         v                        v                       v                      v
    value buffer --V--> FP16 feeder --> FP16 array --S--> score path      merging: column merge
         |                                         --A--> queue ------------->|
         +--V codes--> LUT feeder --> LUT array    --A--> queue ------------->|--> tile merge --> o_results
                                                   --S--> score path          |
                                                            |--- e, m, l, masks
    recovery: rows of A that repeat others

Everything here is in reset state when a head begins.
"""

from types import SimpleNamespace

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw.axi.channels import STATUS_LAYOUT
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.ports import join_ports
from zoetrope.hw.memory.word_fifo import StreamFifo, WordFifoConfig
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore.chip.prologue import Prologue
from zoetrope.hw.simcore.chip.score_path import ScorePath
from zoetrope.hw.simcore.chip.simcore_config import READERS, SimcoreCoreConfig
from zoetrope.hw.simcore.chip.simcore_registers import Cause
from zoetrope.hw.simcore.chip.tile_schedule import TileSchedule
from zoetrope.hw.simcore.computing_engine.array_feeder import ArrayFeeder
from zoetrope.hw.simcore.computing_engine.column_merge import ColumnMerge
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngine, ComputingEngineConfig
from zoetrope.hw.simcore.computing_engine.key_stream import KeyStream
from zoetrope.hw.simcore.computing_engine.row_fetcher import RowFetcher
from zoetrope.hw.simcore.computing_engine.tile_array import ACTIVITIES, Kind
from zoetrope.hw.simcore.computing_engine.value_buffer import ValueBuffer
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnit
from zoetrope.hw.simcore.sparsification_engine.recovery import Recovery
from zoetrope.hw.softmax.tile_merge_unit import TileMergeUnit
from zoetrope.hw.stream import connect

ARRAYS = ("fp16", "lut")

#: Counters that the core gives, beside those of the arrays.
CORE_COUNTERS = (
    "prologue_cycles",
    "recovery_cycles",
    "sfu_busy",
    "sparsification_busy",
    "rows_kept",
    "slices",
    "tiles_fp16",
    "tiles_lut",
)


class SimcoreCore(wiring.Component):
    """Attention of one head, between reset and ``done``.

    Parameters
    ----------
    config : SimcoreCoreConfig

    Members
    -------
    go : In(1), from the beginning of the head on
    head : In, what is to be done; checked before, and stable
    o_command_q, o_command_k_fp16, o_command_k_lut, o_command_v : Out(streams), for a reader of the bus each
    i_data_q, i_data_k_fp16, i_data_k_lut, i_data_v : In(streams), what they read
    o_place, o_results : Out(streams), the row writer's
    quiet : In(1), all that was given to the row writer and to the bus's writer is in memory
    o_write_command, o_write_data, i_write_status : Out, Out, In(streams), the bus's writer, for recovery
    done : Out(1), the head is complete
    cause : Out, of the first error, else ``Cause.NONE``
    prologue_cycles, recovery_cycles, sfu_busy, sparsification_busy, rows_kept, slices, tiles_fp16, tiles_lut : Out(32),
        ``CORE_COUNTERS``, as the registers of these names have them
    fp16_busy, fp16_waiting, fp16_stalled, fp16_blocked : Out(32), counters of the FP16 array, likewise
    lut_busy, lut_waiting, lut_stalled, lut_blocked : Out(32), those of the LUT array

    There is no ``latency`` or ``initiation_interval``: the counters say what a head took.
    Golden: ``golden.simcore.chip.simcore.simcore``.
    """

    def __init__(self, *, config):
        self.config = config
        c = config
        members = {"go": In(1), "head": In(c.head_layout)}
        for name in READERS:
            members[f"o_command_{name}"] = Out(stream.Signature(c.axi.command_layout))
            members[f"i_data_{name}"] = In(stream.Signature(c.axi.data_layout))
        members |= {
            "o_place": Out(stream.Signature(c.fetcher.place_layout)),
            "o_results": Out(stream.Signature(c.merge.o_layout)),
            "quiet": In(1),
            "o_write_command": Out(stream.Signature(c.axi.command_layout)),
            "o_write_data": Out(stream.Signature(c.axi.data_layout)),
            "i_write_status": In(stream.Signature(STATUS_LAYOUT)),
            "done": Out(1),
            "cause": Out(8),
        }
        for name in CORE_COUNTERS:
            members[name] = Out(32)
        for name in ARRAYS:
            members |= {f"{name}_{activity}": Out(32) for activity in ACTIVITIES}
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        c = self.config
        prologue = Prologue(config=c.prologue)
        fetcher = RowFetcher(config=c.fetcher)
        schedule = TileSchedule(config=c.schedule)
        values = ValueBuffer(config=c.values)
        scores = ScorePath(config=c.scores)
        engine = ComputingEngine(config=c.engine)
        recovery = Recovery(config=c.recovery)
        feeders = {name: ArrayFeeder(config=c.feeder(name)) for name in ARRAYS}
        keys = {name: KeyStream(config=c.key_stream(name)) for name in ARRAYS}
        quantize = {name: QuantizationUnit(config=c.quantization) for name in "kv"}
        parts = {"prologue": prologue, "fetcher": fetcher, "schedule": schedule, "values": values, "scores": scores}
        parts |= {"engine": engine, "recovery": recovery}
        parts |= {f"feeder_{name}": part for name, part in feeders.items()}
        parts |= {f"keys_{name}": part for name, part in keys.items()}
        parts |= {f"quantize_{name}": part for name, part in quantize.items()}
        for name, part in parts.items():
            m.submodules[name] = emit_once(part)
        for part in (fetcher, schedule, values, scores, *feeders.values(), *keys.values()):
            m.d.comb += [part.head[name].eq(self.head[name]) for name in part.config.head_layout.members]

        self._merging = Signal(name="merging")  # rows whose results have not left
        phase = self._phases(m, prologue, schedule, recovery)
        self._read(m, phase, prologue, fetcher, values, feeders, keys, recovery)
        self._table(m, phase, prologue, fetcher, recovery)
        self._codes(m, phase, prologue, quantize, values, keys["lut"])

        # Rows, tiles, operands.
        connect(m, fetcher.o_block, schedule.i_block)
        connect(m, schedule.o_read, prologue.i_read)
        connect(m, prologue.o, schedule.i_bits)
        connect(m, quantize["k"].o_scale, fetcher.i_scale)
        connect(m, fetcher.o_place, self.o_place)
        connect(m, schedule.o_values, values.i_task)
        for part in (values, scores):
            m.d.comb += part.begun.eq(schedule.begun)
        m.d.comb += [scores.tasks.eq(schedule.tasks), scores.values_ready.eq(values.ready)]
        join_ports(m, scores.v, values.v_importance)
        for name, feeder in feeders.items():
            connect(m, getattr(schedule, f"o_scores_{name}"), feeder.i_scores)
            connect(m, getattr(schedule, f"o_products_{name}"), feeder.i_products)
            connect(m, keys[name].o, feeder.i_k)
            m.d.comb += [feeder.values_ready.eq(values.ready), feeder.slices_ready.eq(scores.ready)]
            join_ports(m, feeder.q, getattr(fetcher, f"q_{name}"))
            join_ports(m, feeder.e, getattr(scores, f"e_{name}"))
            join_ports(m, feeder.v, getattr(values, f"v_{name}"))
            join_ports(m, feeder.mask, getattr(scores, f"mask_{name}"))
            connect(m, feeder.o_job, getattr(engine, f"i_job_{name}"))
            connect(m, feeder.o_x, getattr(engine, f"i_x_{name}"))
            connect(m, feeder.o_w, getattr(engine, f"i_w_{name}"))

        # Scores and products.
        connect(m, prologue.o_scores, scores.i_scores)
        connect(m, scores.o_probabilities, prologue.i_probabilities)
        products = {name: self._route(m, name, engine, scores) for name in ARRAYS}
        self._merge(m, schedule, scores, products, quantize["v"], fetcher)
        self._causes(m, prologue, fetcher, values, keys, engine, recovery)
        self._count(m, phase, schedule, fetcher, scores, engine, prologue)
        return m

    def _phases(self, m, prologue, schedule, recovery):
        """Prologue, main, recovery: one bit each."""
        c, head = self.config, self.head
        job = prologue.i_job.payload
        phase = SimpleNamespace(
            prologue=Signal(name="in_prologue"), main=Signal(name="in_main"), recovery=Signal(name="in_recovery")
        )
        given = Signal()
        for name in ("frames", "height", "width", "text", "text_first", "channels", "window", "group", "sparsify"):
            m.d.comb += job[name].eq(head[name])
        for name in "qkv":
            m.d.comb += job[name].eq(head[name])
        m.d.comb += [
            Value.cast(job.threshold).eq(head.threshold),
            Value.cast(job.factor).eq(head.frame_inverse),
            Value.cast(job.scale).eq(head.score_scale),
            job.p.eq(head.p_p),
            job.predict.eq(head.codes_k),
            job.quantize_v.eq(head.codes_v),
            prologue.i_job.valid.eq(phase.prologue & ~given),
            prologue.o_done.ready.eq(1),
        ]
        m.d.comb += [prologue.sizes[name].eq(head[name]) for name in c.prologue.sizes_layout.members]
        video = Signal(c.address_bits)  # the row of A of the first video token
        m.d.comb += video.eq(head.a + Mux(head.text_first, head.text_words << c.word_shift, 0))
        job = recovery.i_job.payload
        m.d.comb += [
            job.tokens.eq(head.video_tokens),
            job.words.eq(head.words),
            job.channels.eq(head.channels),
            job.address.eq(video),
            recovery.i_job.valid.eq(phase.recovery & ~given),
            recovery.o_done.ready.eq(1),
        ]
        with m.FSM():
            with m.State("WAIT"):
                with m.If(self.go):
                    m.next = "PROLOGUE"
            with m.State("PROLOGUE"):
                m.d.comb += phase.prologue.eq(1)
                with m.If(prologue.i_job.ready):
                    m.d.sync += given.eq(1)
                with m.If(prologue.o_done.valid):
                    m.d.sync += given.eq(0)
                    m.next = "MAIN"
            with m.State("MAIN"):
                m.d.comb += phase.main.eq(1)
                with m.If(schedule.ended & ~self._merging & self.quiet):
                    m.next = "DONE"
                    with m.If(head.sparsify):
                        m.next = "RECOVERY"
            with m.State("RECOVERY"):
                m.d.comb += phase.recovery.eq(1)
                with m.If(recovery.i_job.ready):
                    m.d.sync += given.eq(1)
                with m.If(recovery.o_done.valid):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
        return phase

    def _read(self, m, phase, prologue, fetcher, values, feeders, keys, recovery):
        """Each reader of the bus serves the prologue first, then the tiles; Q's also recovery."""
        users = {
            "q": ("q", fetcher.o_command, fetcher.i_data),
            "k_fp16": ("previous", feeders["fp16"].o_command, keys["fp16"].i_data),
            "k_lut": ("k", feeders["lut"].o_command, keys["lut"].i_data),
            "v": ("v", values.o_command, values.i_data),
        }
        for name, (before, command, data) in users.items():
            choices = [
                (phase.prologue, getattr(prologue, f"o_command_{before}"), getattr(prologue, f"i_{before}")),
                (phase.main, command, data),
            ]
            if name == "q":
                choices.append((phase.recovery, recovery.o_read_command, recovery.i_data))
            o, i = getattr(self, f"o_command_{name}"), getattr(self, f"i_data_{name}")
            for active, command, data in choices:
                m.d.comb += data.payload.eq(i.payload)
                with m.If(active):
                    m.d.comb += [
                        o.payload.eq(command.payload),
                        o.valid.eq(command.valid),
                        command.ready.eq(o.ready),
                        data.valid.eq(i.valid),
                        i.ready.eq(data.ready),
                    ]
        connect(m, recovery.o_write_command, self.o_write_command)
        connect(m, recovery.o_write_data, self.o_write_data)
        m.d.comb += [
            recovery.i_status.payload.eq(self.i_write_status.payload),
            recovery.i_status.valid.eq(self.i_write_status.valid & phase.recovery),
            self.i_write_status.ready.eq(1),
        ]
        m.d.comb += [fetcher.run.eq(phase.main)]

    def _table(self, m, phase, prologue, fetcher, recovery):
        """The index buffer's read port, for the row fetcher and for recovery."""
        m.d.comb += [
            prologue.r_en.eq(Mux(phase.recovery, recovery.r_en, fetcher.table.en)),
            prologue.r_addr.eq(Mux(phase.recovery, recovery.r_addr, fetcher.table.addr)),
            fetcher.table_ready.eq(prologue.r_ready),
            recovery.r_ready.eq(prologue.r_ready),
            fetcher.table.data.eq(prologue.r_data),
            recovery.r_data.eq(prologue.r_data),
        ]

    def _codes(self, m, phase, prologue, quantize, values, keys):
        """The quantization units: maxima in the prologue, codes of tiles after it."""
        for name, measured, encoded, codes in (
            ("k", prologue.o_measure_k, keys.o_encode, keys.i_codes),
            ("v", prologue.o_measure_v, values.o_encode, values.i_codes),
        ):
            i = quantize[name].i
            m.d.comb += [
                i.payload.eq(Mux(phase.prologue, Value.cast(measured.payload), Value.cast(encoded.payload))),
                i.valid.eq(Mux(phase.prologue, measured.valid, encoded.valid)),
                measured.ready.eq(phase.prologue & i.ready),
                encoded.ready.eq(~phase.prologue & i.ready),
            ]
            connect(m, quantize[name].o, codes)

    def _route(self, m, name, engine, scores):
        """Results of an array by their kind: scores, or a queue of products, which is returned."""
        c = self.config
        o = getattr(engine, f"o_{name}")
        to_scores = getattr(scores, f"i_{name}")
        layout = o.payload["values"].shape()
        # An array may be this far ahead of the other: as long as that computes scores of a block, and no products.
        depth = 2 * c.slices * c.rows * c.engine.array(name).words
        queue = StreamFifo(config=WordFifoConfig(depth=depth, width=layout.size))
        m.submodules[f"products_{name}"] = emit_once(queue)
        of_scores = Signal(name=f"{name}_of_scores")
        m.d.comb += [
            of_scores.eq(o.payload.kind == Kind.S),
            to_scores.payload.eq(o.payload),
            to_scores.valid.eq(o.valid & of_scores),
            queue.i.payload.eq(o.payload["values"]),
            queue.i.valid.eq(o.valid & ~of_scores),
            o.ready.eq(Mux(of_scores, to_scores.ready, queue.i.ready)),
        ]
        return queue.o

    def _merge(self, m, schedule, scores, products, quantize, fetcher):
        """Slice by slice: rows of A_g from both arrays, merged with those of the tiles before."""
        c, head = self.config, self.head
        columns = ColumnMerge(config=c.columns)
        merge = TileMergeUnit(config=c.merge)
        m.submodules.columns = emit_once(columns)
        m.submodules.merge = emit_once(merge)
        connect(m, quantize.o_scale, columns.i_scale)
        for name, queue in products.items():
            i = getattr(columns, f"i_{name}")
            m.d.comb += [i.payload.eq(queue.payload), i.valid.eq(queue.valid), queue.ready.eq(i.ready)]
        connect(m, columns.o, merge.i)
        connect(m, merge.o, self.o_results)

        task = schedule.o_merging.payload
        number = Signal(range(c.slices + 1))
        row = Signal(range(c.rows + 1))
        place = Signal(c.scores.slice_layout)
        told_row = Signal()
        told_tile = Signal()
        done_row = Signal()
        done_tile = Signal()
        last = Signal()
        tile = merge.i_tile.payload
        m.d.comb += [
            place.slice.eq(number),
            place.place.eq(task.place),
            scores.mask_merge.addr.eq(place),
            scores.sums.addr.row.eq(row),
            scores.sums.addr.slice.eq(place),
            last.eq(row + 1 == task.rows[number]),
            columns.i_row.payload.mask.eq(scores.mask_merge.data),
            columns.i_row.payload.channels.eq(head.channels),
            tile.row.eq(Cat(row[: exact_log2(c.rows)], number[: exact_log2(c.slices)], task.bank)),
            Value.cast(tile.maximum).eq(scores.sums.data[:32]),
            Value.cast(tile.total).eq(scores.sums.data[32:]),
            tile.first.eq(task.first),
            tile.last.eq(task.last),
            done_row.eq(told_row | columns.i_row.ready),
            done_tile.eq(told_tile | merge.i_tile.ready),
        ]
        with m.FSM(name="merging"):
            with m.State("SLICE"):
                with m.If(schedule.o_merging.valid & scores.ready.bit_select(Value.cast(place), 1)):
                    m.d.comb += scores.mask_merge.en.eq(1)
                    m.next = "ROW"
            with m.State("ROW"):
                m.d.comb += scores.sums.en.eq(1)
                m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += [columns.i_row.valid.eq(~told_row), merge.i_tile.valid.eq(~told_tile)]
                m.d.sync += [told_row.eq(done_row & ~done_tile), told_tile.eq(done_tile & ~done_row)]
                with m.If(done_row & done_tile):
                    m.d.sync += row.eq(row + 1)
                    m.next = "ROW"
                    with m.If(last):
                        m.d.sync += [row.eq(0), number.eq(number + 1)]
                        m.next = "SLICE"
                        with m.If(number + 1 == task.slices):
                            m.d.sync += number.eq(0)
                            m.d.comb += schedule.o_merging.ready.eq(1)

        # A row whose last result has left may be another's; a cycle or two later, as its address is read then.
        left = Signal(2)
        bank = Signal(2)
        ended = Signal()
        rows = Signal(range(2 * c.slices * c.rows + 1), name="rows_on_their_way")
        placed = Signal()
        m.d.comb += [
            ended.eq(merge.o.valid & merge.o.ready & merge.o.payload.last),
            placed.eq(self.o_place.valid & self.o_place.ready),
            fetcher.written.eq(left[1]),
            fetcher.written_bank.eq(bank[1]),
            self._merging.eq(rows.any()),
        ]
        m.d.sync += [
            left.eq(Cat(ended, left)),
            bank.eq(Cat(merge.o.payload.row[-1], bank)),
            rows.eq(rows + placed - ended),
        ]

    def _causes(self, m, prologue, fetcher, values, keys, engine, recovery):
        """The first error that shows."""
        done, restored = prologue.o_done, recovery.o_done
        geometry = done.valid & done.payload.refused
        internal = (done.valid & (done.payload.map_error | done.payload.table_error)) | (
            restored.valid & restored.payload.index_error
        )
        found = [
            (Cause.NOT_FINITE_Q, prologue.not_finite_q | fetcher.not_finite),
            (Cause.NOT_FINITE_K, prologue.not_finite_k | keys["fp16"].not_finite | keys["lut"].not_finite),
            (Cause.NOT_FINITE_V, prologue.not_finite_v | values.not_finite),
            (Cause.FOLD, fetcher.overflow),
            (Cause.GEOMETRY, geometry),
            (Cause.INTERNAL, internal | engine.error_fp16 | engine.error_lut),
        ]
        with m.If(self.cause == Cause.NONE):
            for cause, seen in reversed(found):
                with m.If(seen):
                    m.d.sync += self.cause.eq(cause)

    def _count(self, m, phase, schedule, fetcher, scores, engine, prologue):
        happens = {
            "prologue_cycles": phase.prologue,
            "recovery_cycles": phase.recovery,
            "sfu_busy": scores.busy,
            "sparsification_busy": phase.prologue & self.head.sparsify,
        }
        for name, event in happens.items():
            counter = getattr(self, name)
            with m.If(event):
                m.d.sync += counter.eq(counter + 1)
        for name in ("rows_kept", "slices"):
            m.d.comb += getattr(self, name).eq(getattr(fetcher, name))
        m.d.comb += [self.tiles_fp16.eq(schedule.tiles_fp16), self.tiles_lut.eq(schedule.tiles_lut)]
        m.d.comb += schedule.run.eq(phase.main)
        for name in ARRAYS:
            for activity in ACTIVITIES:
                m.d.comb += getattr(self, f"{name}_{activity}").eq(getattr(engine, f"{activity}_{name}"))


#: Config of each preset; the first is the default. Those of ``hw.simcore.chip.simcore`` are made of these.
PRESETS = {
    # It fits an ECP5 85F beside the link: words of two elements, one lane in most units.
    "board": SimcoreCoreConfig(
        engine=ComputingEngineConfig(
            fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=4, ragged=True),
            lut=LutPEConfig(rows=2, columns=1, lanes=2, words=4, copy_width=8, slices="generator", ragged=True),
            max_channels=8,
            max_tokens=6,
            load_lanes=2,
        ),
        slices=2,
        tiles=2,
        max_frames=4,
        max_height=4,
        max_width=4,
        max_tokens=64,
        max_text=8,
        data_bits=32,
        address_bits=16,
        sfu_lanes=1,
        merge_lanes=1,
        importance_lanes=2,
        candidates=1,
        slots=64,
    ),
    "tiny": SimcoreCoreConfig(
        engine=ComputingEngineConfig(
            fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=8, ragged=True),
            lut=LutPEConfig(rows=2, columns=1, lanes=2, words=8, copy_width=64, slices="generator", ragged=True),
            max_channels=16,
            max_tokens=6,
            load_lanes=8,
        ),
        slices=2,
        tiles=2,
        max_frames=4,
        max_height=4,
        max_width=4,
        max_tokens=64,
        max_text=8,
        data_bits=64,
        sfu_lanes=2,
        merge_lanes=2,
        importance_lanes=4,
        slots=64,
    ),
}
