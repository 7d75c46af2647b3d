# SPDX-License-Identifier: Apache-2.0
"""The control of the DATM engine, an iteration: pair, check, sums of groups, nearest members, exchange of dst.

Each function adds states to the engine's state machine. ``engine`` is a ``hw.orbis.matching.datm.Datm``: its ports, its
parts and, in ``engine.control``, what its stages share.
"""

from types import SimpleNamespace

from amaranth import Mux, Signal

from zoetrope.hw.orbis.matching.datm_config import STAGES, Statistic, Status
from zoetrope.hw.orbis.matching.group_update import GroupUpdate


def pair(m, engine):
    """All src with all dst, tile by tile: the dst of a tile are loaded, then the src come one by one."""
    loader = _loader(m, engine)
    result = _results(m, engine)
    _load_tile(m, engine, loader)
    _pair_tile(m, engine, result)


def _loader(m, engine):
    """Where a word of dst is loaded to, and how many there are, as a namespace."""
    c, pairing, control = engine.config, engine.pairing, engine.control
    lane = Signal(range(max(2, c.dst_lanes)), name="load_lane")
    group = Signal(range(max(2, c.tile_groups)), name="load_group")
    group_addr = Signal(pairing.load_addr.shape(), name="load_group_addr")
    last_group = Signal(group.shape(), name="last_group", reset_less=True)
    last_lanes = Signal(range(c.dst_lanes + 1), name="last_lanes", reset_less=True)
    m.d.comb += [
        pairing.load_lane.eq(lane),
        pairing.load_addr.eq(group_addr + control.word),
        pairing.last_group.eq(last_group),
        pairing.last_lanes.eq(last_lanes),
    ]
    return SimpleNamespace(lane=lane, group=group, group_addr=group_addr, last_group=last_group, last_lanes=last_lanes)


def _results(m, engine):
    """Results of the pairing to their memory; returns whether there is one."""
    result = Signal(name="result")
    result_token = Signal(engine.config.token_bits, name="result_token", reset_less=True)
    m.d.comb += [
        engine.kept.w_en.eq(result),
        engine.kept.w_addr.eq(result_token),
        engine.kept.w_data.eq(engine.pairing.o),
    ]
    m.d.sync += [result.eq(engine.pairing.done), result_token.eq(engine.walk.visit.payload.token)]
    return result


def _load_tile(m, engine, loader):
    """The next tile of dst to the local memory."""
    c, control, walk, pairing = engine.config, engine.control, engine.walk, engine.pairing
    lane, group, group_addr = loader.lane, loader.group, loader.group_addr
    with m.State("ITERATE"):
        control.count(m, Statistic.LOAD)
        m.d.sync += [control.loss.eq(0), control.base.eq(0), control.end.eq(0)]
        m.next = "TILE"

    # ``end`` is that of the tile before.
    with m.State("TILE"):
        control.count(m, Statistic.LOAD)
        rest = Signal(c.count_bits, name="slots_left")
        m.d.comb += rest.eq(control.job.slots - control.end)
        m.d.sync += [
            control.base.eq(control.end),
            control.end.eq(control.end + Mux(rest > c.tile, c.tile, rest)),
            control.left.eq(Mux(rest > c.tile, c.tile, rest)),
            lane.eq(0),
            group.eq(0),
            group_addr.eq(0),
        ]
        m.next = "LOAD_START"

    with m.State("LOAD_START"):
        control.count(m, Statistic.LOAD)
        m.d.comb += walk.start.eq(1)
        m.next = "LOAD"

    with m.State("LOAD"):
        control.count(m, Statistic.LOAD)
        m.d.comb += [
            walk.fetch.eq(1),
            engine.i_data.ready.eq(control.asked),
            pairing.load.eq(control.moved),
            walk.visit.ready.eq(control.moved & control.over),
        ]
        with m.If(control.moved):
            m.d.sync += control.word.eq(Mux(control.over, 0, control.word + 1))
            with m.If(control.over):
                m.d.sync += [
                    control.left.eq(control.left - 1),
                    lane.eq(lane + 1),
                    loader.last_lanes.eq(lane + 1),
                    loader.last_group.eq(group),
                ]
                with m.If(lane == c.dst_lanes - 1):
                    m.d.sync += [
                        lane.eq(0),
                        group.eq(group + 1),
                        group_addr.eq(group_addr + control.last_word + 1),
                    ]
                with m.If(control.left == 1):
                    m.next = "PAIR_START"


def _pair_tile(m, engine, result):
    """All src with the dst of the tile."""
    control, walk, pairing = engine.control, engine.walk, engine.pairing
    # No slot is visited, only src: the walk begins where it ends.
    with m.State("PAIR_START"):
        control.count(m, Statistic.PAIR)
        m.d.comb += [walk.start.eq(1), walk.first.eq(control.end), pairing.clear.eq(1)]
        m.d.sync += control.left.eq(control.sources)
        m.next = "PAIR"

    with m.State("PAIR"):
        control.count(m, Statistic.PAIR)
        m.d.comb += [
            walk.sources.eq(1),
            walk.fetch.eq(1),
            engine.i_data.ready.eq(control.asked & pairing.room),
            pairing.fill.eq(control.moved),
            walk.visit.ready.eq(pairing.done),
        ]
        with m.If(control.moved):
            m.d.sync += control.word.eq(Mux(control.over, 0, control.word + 1))
        with m.If(result):
            m.d.sync += control.left.eq(control.left - 1)
            with m.If(control.end == control.job.slots):
                m.d.sync += control.loss.eq(control.loss + pairing.o.distance)
        # The walk may still be looking for src behind the last one.
        with m.If((control.left == result) & walk.idle):
            m.next = "TILE"
            with m.If(control.end == control.job.slots):
                m.next = "CHECK"


def check(m, engine):
    """The loss, and whether another iteration follows."""
    control = engine.control
    job = control.job
    fell = Signal(engine.config.loss_bits + 1, name="fell")
    settled = Signal(name="settled")
    o = engine.o_stats.payload
    m.d.comb += [
        # The loss never rises: a difference of its own sign would be an error of the engine.
        fell.eq(
            Mux(
                control.loss < control.loss_before,
                control.loss_before - control.loss,
                control.loss - control.loss_before,
            )
        ),
        settled.eq(control.iterations.any() & (fell < job.eps)),
    ]
    with m.State("CHECK"):
        m.d.comb += [engine.o_stats.valid.eq(1), o.value.eq(control.loss), o.kind.eq(Statistic.LOSS.value)]
        with m.If(engine.o_stats.ready):
            m.d.sync += [
                control.iterations.eq(control.iterations + 1),
                control.loss_before.eq(control.loss),
                control.summing.eq(1),
                control.status.eq(Mux(settled, Status.CONVERGED.value, Status.CAP.value)),
            ]
            m.next = "GROUPS_START"
            with m.If(settled | (control.iterations + 1 == job.cap)):
                m.next = "SELECT_START"


def groups(m, engine):
    """Two passes over all tokens, dst first: sums, then nearest members."""
    control = engine.control
    walk, update = engine.walk, engine.update
    stage = Mux(control.summing, STAGES.index(Statistic.SUM), STAGES.index(Statistic.UPDATE))

    with m.State("GROUPS_START"):
        m.d.comb += [control.counting.eq(1), control.stage.eq(stage), walk.start.eq(1), walk.first.eq(0)]
        m.d.sync += [control.left.eq(control.job.tokens), control.pace.eq(0)]
        m.next = "GROUPS"

    with m.State("GROUPS"):
        m.d.comb += [control.counting.eq(1), control.stage.eq(stage)]
        m.d.comb += [
            walk.sources.eq(1),
            walk.fetch.eq(1),
            engine.i_data.ready.eq(control.asked & (control.pace == 0)),
            update.valid.eq(control.moved),
            walk.visit.ready.eq(control.moved & control.over),
        ]
        with m.If(control.pace.any()):
            m.d.sync += control.pace.eq(control.pace - 1)
        with m.If(control.moved):
            m.d.sync += control.word.eq(Mux(control.over, 0, control.word + 1))
            with m.If(control.over):
                # Equal words of two tokens shall be ``spacing`` apart.
                short = Mux(control.last_word < GroupUpdate.spacing, GroupUpdate.spacing - 1 - control.last_word, 0)
                m.d.sync += [
                    control.left.eq(control.left - 1),
                    control.pace.eq(short),
                    control.wait.eq(GroupUpdate.latency),
                ]
        with m.If((control.left == 0) & walk.idle):
            m.d.sync += control.wait.eq(control.wait - 1)
            with m.If(control.wait == 0):
                m.d.sync += [control.summing.eq(0), control.place.eq(0)]
                m.next = "GROUPS_START"
                with m.If(~control.summing):
                    m.next = "EXCHANGE"


def exchange(m, engine):
    """The best members become the dst."""
    control = engine.control
    new = Signal(engine.config.token_bits, name="new_dst")
    old = Signal(engine.config.token_bits, name="old_dst")
    m.d.comb += [new.eq(engine.update.best), old.eq(engine.list.r_data[0])]
    with m.State("EXCHANGE"):
        control.count(m, Statistic.UPDATE)
        m.d.comb += [engine.update.best_en.eq(1), control.list_read.eq(1)]
        m.next = "LEAVE"
    with m.State("LEAVE"):
        control.count(m, Statistic.UPDATE)
        m.d.comb += [control.flag_token.eq(old), control.flag_write.eq(1)]
        m.next = "JOIN"
    with m.State("JOIN"):
        control.count(m, Statistic.UPDATE)
        m.d.comb += [
            control.flag_token.eq(new),
            control.flag_value.eq(1),
            control.flag_write.eq(1),
            engine.list.w_en.eq(1),
            engine.list.w_data.eq(new),
        ]
        m.d.sync += control.place.eq(control.place + 1)
        m.next = "EXCHANGE"
        with m.If(control.place + 1 == control.job.slots):
            m.next = "ITERATE"
