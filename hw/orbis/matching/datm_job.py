# SPDX-License-Identifier: Apache-2.0
"""The control of the DATM engine, before the first iteration: a job is taken, its sizes checked, its dst entered.

Each function adds states to the engine's state machine. ``engine`` is a ``hw.orbis.matching.datm.Datm``: its ports, its
parts and, in ``engine.control``, what its stages share.
"""

from amaranth import Const, Mux, Signal

from zoetrope.hw.logic import exceeds
from zoetrope.hw.orbis.matching.datm_config import Statistic, Status


def accept(m, engine):
    """A job is taken: its sizes, and its weights."""
    control = engine.control
    c = engine.config
    job = control.job
    with m.State("IDLE"):
        m.d.comb += engine.i_job.ready.eq(1)
        m.d.sync += [
            job.eq(engine.i_job.payload),
            control.failed.eq(0),
            control.iterations.eq(0),
            control.place.eq(0),
            control.word.eq(0),
            control.channel.eq(0),
        ]
        m.d.sync += [count.eq(0) for count in control.cycles]
        with m.If(engine.i_job.valid):
            m.next = "SIZES"

    with m.State("SIZES"):
        m.d.sync += [
            control.sources.eq(job.tokens - job.slots),
            control.tail.eq(job.channels),
            control.last_word.eq(0),
        ]
        with m.If((job.tokens < 2) | exceeds(job.tokens, c.max_tokens)):
            control.fail(m, Status.TOKENS)
        with m.Elif((job.channels == 0) | exceeds(job.channels, c.max_channels)):
            control.fail(m, Status.CHANNELS)
        with m.Elif((job.slots == 0) | (job.slots >= job.tokens) | exceeds(job.slots, c.max_slots)):
            control.fail(m, Status.SLOTS)
        with m.Elif(job.pairs + job.slots > job.tokens):
            control.fail(m, Status.PAIRS)
        with m.Elif((job.cap == 0) | exceeds(job.cap, c.max_iterations)):
            control.fail(m, Status.ITERATIONS)
        m.next = "WORDS"

    # ceil(channels / channel_lanes), by subtraction: as many cycles as words.
    with m.State("WORDS"):
        with m.If(~control.failed & (control.tail > c.channel_lanes)):
            m.d.sync += [control.tail.eq(control.tail - c.channel_lanes), control.last_word.eq(control.last_word + 1)]
        with m.Else():
            m.next = "WEIGHTS"

    with m.State("WEIGHTS"):
        lane = Signal(range(max(2, c.channel_lanes)), name="weight_lane")
        own = Const(1, c.channel_lanes) << lane
        # One weight a word: that of its first channel, in all lanes.
        written = Mux(lane == 0, (1 << c.channel_lanes) - 1, 0) if c.form == "word" else own
        weight = engine.i_weights.payload
        m.d.comb += [
            engine.i_weights.ready.eq(job.weights),
            engine.weights.w_data.eq(weight.weight.replicate(c.channel_lanes)),
        ]
        with m.If(job.weights & engine.i_weights.valid):
            m.d.comb += engine.weights.w_en.eq(Mux(control.failed, 0, written))
            m.d.sync += [control.channel.eq(control.channel + 1), lane.eq(lane + 1)]
            with m.If(lane == c.channel_lanes - 1):
                m.d.sync += [lane.eq(0), control.word.eq(control.word + 1)]
            with m.If(~control.failed & (weight.last != (control.channel == job.channels - 1))):
                control.fail(m, Status.WEIGHTS)
        with m.If(~job.weights | (engine.i_weights.valid & weight.last)):
            m.d.sync += [control.word.eq(0), lane.eq(0)]
            m.next = "CLEAR"


def choose(m, engine):
    """Flags and list of the dst: given, or chosen."""
    control = engine.control
    c = engine.config
    job = control.job
    chooser = engine.chooser
    token = Signal(c.token_bits, name="candidate")
    valid = Signal(name="candidate_valid")
    last = Signal(name="candidate_last")
    take = Signal(name="candidate_taken")
    entered = Signal(c.count_bits, name="entered")
    m.d.comb += [
        token.eq(Mux(job.given, engine.i_dst.payload.token, chooser.o.payload)),
        valid.eq(Mux(job.given, engine.i_dst.valid, chooser.o.valid)),
        last.eq(Mux(job.given, engine.i_dst.payload.last, entered == job.slots)),
        entered.eq(control.place + 1),
        engine.i_dst.ready.eq(take & job.given),
        chooser.o.ready.eq(take & ~job.given),
        chooser.i_command.payload.tokens.eq(job.tokens),
        chooser.i_command.payload.count.eq(job.slots),
        chooser.i_command.payload.seed.eq(job.seed),
        # What it could complain of is known to be right; a given list is checked here, where its flags are.
        chooser.o_status.ready.eq(1),
    ]

    # A word of flags a cycle; tokens that do not exist are no src.
    with m.State("CLEAR"):
        control.count(m, Statistic.CHOOSE)
        rest = Signal(c.count_bits, name="rest")
        m.d.comb += [
            rest.eq(job.tokens - control.place),
            control.flag_token.eq(control.place),
            control.word_write.eq(~control.failed),
        ]
        for k in range(c.flag_bits):
            m.d.comb += control.word_value[k].eq(rest <= k)
        m.d.sync += control.place.eq(control.place + c.flag_bits)
        with m.If(control.failed | (rest <= c.flag_bits)):
            m.d.sync += control.place.eq(0)
            m.next = "LIST"
            with m.If(~job.given):
                m.next = "CHOOSE"
                with m.If(control.failed):
                    m.next = "STATUS"

    with m.State("CHOOSE"):
        control.count(m, Statistic.CHOOSE)
        m.d.comb += chooser.i_command.valid.eq(1)
        with m.If(chooser.i_command.ready):
            m.next = "LIST"

    with m.State("LIST"):
        control.count(m, Statistic.CHOOSE)
        m.d.comb += [control.flag_token.eq(token), control.flag_read.eq(1), take.eq(control.failed)]
        with m.If(valid):
            with m.If(control.failed):
                with m.If(last):
                    m.next = "STATUS"
            with m.Elif((token >= job.tokens) | (control.place == job.slots)):
                control.fail(m, Status.LIST)
            with m.Else():
                m.next = "ENTER"

    with m.State("ENTER"):
        control.count(m, Statistic.CHOOSE)
        m.d.comb += [
            control.flag_token.eq(token),
            control.flag_value.eq(1),
            control.flag_write.eq(1),
            engine.list.w_en.eq(1),
            engine.list.w_data.eq(token),
            take.eq(1),
        ]
        m.d.sync += control.place.eq(entered)
        with m.If(control.flag | (last & (entered != job.slots))):
            control.fail(m, Status.LIST)
        m.next = "LIST"
        with m.If(last):
            m.next = "STATUS"
            with m.If(~control.flag & (entered == job.slots)):
                m.next = "ITERATE"
