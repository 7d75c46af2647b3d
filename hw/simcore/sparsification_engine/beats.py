# SPDX-License-Identifier: Apache-2.0
"""The beats of the sparsification unit: jobs packed into them, and their words read, one word of one beat a cycle."""

from types import SimpleNamespace
from typing import NamedTuple

from amaranth import Cat, Mux, Signal
from amaranth.lib.fifo import SyncFIFO
from amaranth.utils import ceil_log2

from zoetrope.hw.simcore.sparsification_engine.token_stores import word_address


class Beats(NamedTuple):
    """The ``queue`` of beats, and ``waiting``: of each token whose jobs are in beats, what its decision frees and its
    place in its group; taken from by the last stage."""

    queue: SyncFIFO
    waiting: SyncFIFO


class Issue(NamedTuple):
    """The word that is read in this cycle.

    ``advance``: driven by the last stage, everything from here on moves; ``beat``: whose word it is; ``first`` and
    ``last``: whether it is the beat's first or last word; ``pending``: what is to be known of the beats in flight when
    their distances come, in order.
    """

    advance: Signal
    beat: Signal
    first: Signal
    last: Signal
    pending: SyncFIFO


def build_beats(m, c, clip, walk):
    """Jobs into the queue of ``Beats``: a beat is closed when it is full, or the next job does not fit."""
    job = walk.job
    bank_bits = ceil_log2(c.banks)
    m.submodules.beats = beats = SyncFIFO(width=c.beat_layout.size, depth=max(2, c.add_stages))
    m.submodules.waiting = waiting = SyncFIFO(width=c.slot_bits + len(walk.place.in_group), depth=c.in_flight)
    beat = Signal(c.beat_layout, name="beat")
    base = Signal(c.beat_layout, name="beat_base")
    used = Signal(c.banks, name="banks_used")
    base_used = Signal(c.banks, name="base_banks_used")
    referred = Signal(name="beat_has_reference")
    base_referred = Signal(name="base_has_reference")
    bank = Signal(c.banks, name="job_bank")
    starts = Signal(name="starts_token")
    fits = Signal(name="job_fits")
    close = Signal(name="beat_close")
    add = Signal(name="beat_add")
    m.d.comb += [
        bank.eq(Mux(job.entry.valid & ~job.entry.spatial, 1 << job.entry.slot[:bank_bits], 0)),
        starts.eq(job.first & (beat.count != 0)),
        fits.eq(
            (beat.count != c.candidates) & ~(bank & used).any() & ~(job.entry.spatial & referred) & ~(starts & beat.two)
        ),
        close.eq((beat.count != 0) & beats.w_rdy & Mux(job.ready, ~fits, (beat.count == c.candidates) | ~beats.r_rdy)),
        add.eq(job.ready & (fits | close)),
        job.taken.eq(add),
        beats.w_data.eq(beat),
        beats.w_en.eq(close),
        base.eq(Mux(close, 0, beat)),
        base_used.eq(Mux(close, 0, used)),
        base_referred.eq(~close & referred),
        waiting.w_data.eq(Cat(walk.frees, walk.place.in_group)),
        waiting.w_en.eq(add & job.last),
    ]
    m.d.sync += [beat.eq(base), used.eq(base_used), referred.eq(base_referred)]
    with m.If(add):
        m.d.sync += [used.eq(base_used | bank), referred.eq(base_referred | job.entry.spatial)]
        _add_job(m, c, beat, base, job)
    with m.If(clip.start):
        m.d.sync += [beat.eq(0), used.eq(0), referred.eq(0)]
    return Beats(beats, waiting)


def _add_job(m, c, beat, base, job):
    """``beat`` becomes ``base`` and one job more, of the token that the base ends with or of a second one."""
    second = Signal(name="job_is_second")
    m.d.comb += second.eq((base.count != 0) & (base.two | job.first))
    m.d.sync += [beat.count.eq(base.count + 1), beat.two.eq(second)]
    for k in range(c.candidates):
        with m.If(base.count == k):
            m.d.sync += [beat.jobs[k].eq(job.entry), beat.jobs[k].second.eq(second)]
    with m.If(job.entry.spatial):
        m.d.sync += beat.reference.eq(job.reference)
    with m.If(second):
        m.d.sync += [beat.second_token.eq(job.token), beat.second_done.eq(job.last)]
    with m.Else():
        m.d.sync += [beat.first_token.eq(job.token), beat.first_done.eq(job.last)]
    with m.If(base.count == 0):
        m.d.sync += beat.again.eq(~job.first)


def issue_words(m, c, clip, beats, tokens, lines):
    """A ring of ``add_stages`` beats whose head issues a word; the reads of that word, and what goes with them.

    A beat that enters leaves what is to be known when its distances come in the queue ``pending``.
    """
    advance = Signal(name="advance")
    ring = [
        SimpleNamespace(
            valid=Signal(name=f"ring_{k}_valid"),
            word=Signal(range(c.max_words), name=f"ring_{k}_word"),
            beat=Signal(c.read_layout, name=f"ring_{k}_beat", reset_less=True),
        )
        for k in range(c.add_stages)
    ]
    head, tail = ring[0], ring[-1]
    m.submodules.pending = pending = SyncFIFO(width=c.outcome_layout.size, depth=c.pending)
    queued = Signal(c.beat_layout, name="queued_beat")
    reads = Signal(c.read_layout, name="queued_reads")
    outcome = Signal(c.outcome_layout, name="queued_outcome")
    last = Signal(name="head_last")
    load = Signal(name="head_load")
    enter = Signal(name="beat_enters")
    m.d.comb += [
        queued.eq(beats.queue.r_data),
        last.eq(head.word == clip.given.words - 1),
        load.eq(~head.valid | last),
        enter.eq(load & beats.queue.r_rdy & pending.w_rdy),
        beats.queue.r_en.eq(advance & enter),
        pending.w_en.eq(advance & enter),
        pending.w_data.eq(outcome),
    ]
    _split(m, c, queued, reads, outcome)
    with m.If(advance):
        for before, after in zip(ring[1:], ring[:-1]):
            m.d.sync += [after.valid.eq(before.valid), after.word.eq(before.word), after.beat.eq(before.beat)]
        m.d.sync += [
            tail.valid.eq(Mux(load, enter, 1)),
            tail.word.eq(Mux(load, 0, head.word + 1)),
            tail.beat.eq(Mux(load, reads, head.beat)),
        ]
    issue_last = Signal(name="issue_last")
    issue_first = Signal(name="issue_first")
    en = Signal(name="read_en")
    m.d.comb += [
        issue_last.eq(head.valid & last),
        issue_first.eq(head.word == 0),
        en.eq(advance & head.valid),
    ]
    _read(m, c, tokens, lines, head, en)
    return Issue(advance, head.beat, issue_first, issue_last, pending)


def _read(m, c, tokens, lines, head, en):
    """The words of the head's beat: of both tokens, of the reference, and of a candidate from each bank."""
    beat, bank_bits = head.beat, ceil_log2(c.banks)
    stores = (*tokens.stores, tokens.references)
    for store, token in zip(stores, (beat.first_token, beat.second_token, beat.reference)):
        m.d.comb += [store.r_en[0].eq(en), store.r_addr[0].eq(word_address(c, token, head.word))]
    for b, bank in enumerate(lines.banks):
        line = Signal(c.slot_bits - 1 - bank_bits, name=f"bank_{b}_line")
        for k in range(c.candidates):
            job = beat.jobs[k]
            with m.If(job.temporal & (job.slot[:bank_bits] == b)):
                m.d.comb += line.eq(job.slot[bank_bits:])
        m.d.comb += [bank.r_en[0].eq(en), bank.r_addr[0].eq(word_address(c, line, head.word))]


def _split(m, c, queued, reads, outcome):
    """A beat into what reads its words and what awaits its distances."""
    m.d.comb += [
        *(reads[name].eq(queued[name]) for name in ("first_token", "second_token", "reference")),
        *(outcome[name].eq(queued[name]) for name in ("again", "two", "first_done", "second_done")),
    ]
    for k in range(c.candidates):
        job = queued.jobs[k]
        m.d.comb += [
            reads.jobs[k].second.eq(job.second),
            reads.jobs[k].temporal.eq(job.valid & ~job.spatial),
            reads.jobs[k].slot.eq(job.slot),
            outcome.jobs[k].first.eq(job.valid & ~job.spatial & ~job.second),
            outcome.jobs[k].second.eq(job.valid & ~job.spatial & job.second),
            outcome.jobs[k].spatial.eq(job.spatial),
            outcome.jobs[k].index.eq(job.index),
        ]
        with m.If(job.spatial):
            m.d.comb += outcome.spatial_second.eq(job.second)
