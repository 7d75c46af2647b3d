# SPDX-License-Identifier: Apache-2.0
"""The control of the DATM engine, behind the last iteration: the least pairs and the dst are sent, then the statistics.

Each function adds states to the engine's state machine. ``engine`` is a ``hw.orbis.matching.datm.Datm``: its ports, its
parts and, in ``engine.control``, what its stages share.
"""

from zoetrope.hw.orbis.matching.datm_config import STAGES, Statistic


def select(m, engine):
    """The pairs of least distance, and the dst."""
    control = engine.control
    walk, top_k = engine.walk, engine.top_k
    visit = walk.visit.payload
    m.d.comb += [
        top_k.i_command.payload.entries.eq(control.sources),
        top_k.i_command.payload.k.eq(control.job.pairs),
        top_k.i.payload.key.eq(visit.distance),
        top_k.i.payload.index.eq(visit.token),
        top_k.i.payload.payload.eq(visit.slot),
        engine.o_pairs.payload.src.eq(top_k.o.payload.index),
        engine.o_pairs.payload.slot.eq(top_k.o.payload.payload),
        engine.o_pairs.payload.distance.eq(top_k.o.payload.key),
        engine.o_pairs.payload.last.eq(control.left == 1),
        engine.o_pairs.valid.eq(top_k.o.valid),
        top_k.o.ready.eq(engine.o_pairs.ready),
    ]
    with m.State("SELECT_START"):
        control.count(m, Statistic.TOP_K)
        m.d.comb += top_k.i_command.valid.eq(1)
        m.d.sync += control.left.eq(control.job.pairs)
        with m.If(top_k.i_command.ready):
            m.d.comb += [walk.start.eq(1), walk.first.eq(control.end)]
            m.next = "SELECT"

    with m.State("SELECT"):
        control.count(m, Statistic.TOP_K)
        m.d.comb += [
            walk.sources.eq(1),
            top_k.i.valid.eq(walk.visit.valid),
            walk.visit.ready.eq(top_k.i.ready),
            top_k.o_status.ready.eq(walk.idle),
        ]
        with m.If(engine.o_pairs.valid & engine.o_pairs.ready):
            m.d.sync += control.left.eq(control.left - 1)
        m.d.sync += control.place.eq(0)
        with m.If(top_k.o_status.valid & walk.idle):
            m.next = "SEND_READ"

    with m.State("SEND_READ"):
        m.d.comb += control.list_read.eq(1)
        m.next = "SEND"

    with m.State("SEND"):
        m.d.comb += [
            engine.o_dst.valid.eq(1),
            engine.o_dst.payload.token.eq(engine.list.r_data[0]),
            engine.o_dst.payload.last.eq(control.place + 1 == control.job.slots),
        ]
        with m.If(engine.o_dst.ready):
            m.d.sync += control.place.eq(control.place + 1)
            m.next = "SEND_READ"
            with m.If(engine.o_dst.payload.last):
                m.d.sync += control.place.eq(0)
                m.next = "CYCLES"


def report(m, engine):
    """Cycles of the stages, iterations, status."""
    control = engine.control
    o = engine.o_stats.payload
    with m.State("CYCLES"):
        m.d.comb += [
            engine.o_stats.valid.eq(1),
            o.value.eq(control.cycles[control.place[:3]]),
            o.kind.eq(control.place + Statistic.CHOOSE.value),
        ]
        with m.If(engine.o_stats.ready):
            m.d.sync += control.place.eq(control.place + 1)
            with m.If(control.place == len(STAGES) - 1):
                m.next = "ITERATIONS"

    with m.State("ITERATIONS"):
        m.d.comb += [engine.o_stats.valid.eq(1), o.value.eq(control.iterations), o.kind.eq(Statistic.ITERATIONS.value)]
        with m.If(engine.o_stats.ready):
            m.next = "STATUS"

    with m.State("STATUS"):
        m.d.comb += [
            engine.o_stats.valid.eq(1),
            o.value.eq(control.status),
            o.kind.eq(Statistic.STATUS.value),
            o.last.eq(1),
        ]
        with m.If(engine.o_stats.ready):
            m.next = "IDLE"
