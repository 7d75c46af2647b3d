# SPDX-License-Identifier: Apache-2.0
"""Which pairs of tokens there are: a walk over the tokens of a clip and the candidates of each, one job a cycle."""

from types import SimpleNamespace
from typing import NamedTuple

from amaranth import Mux, Signal
from amaranth.utils import ceil_log2

from zoetrope.hw.simcore.sparsification_engine.token_stores import token_place


class Walk(NamedTuple):
    """Where the walk is.

    ``job``: the next one, its ``entry``, whether it is ``ready`` and the ``first`` or ``last`` of its token, the places of
    token and reference; ``taken`` is driven by who takes it. ``place``: of its token; ``walked``: tokens all of whose
    jobs are taken; ``frees``: the first slot of the line store that is still needed when this token is decided.
    """

    job: SimpleNamespace
    place: SimpleNamespace
    walked: Signal
    frees: Signal


def walk_candidates(m, c, clip, tokens, lines):
    """The ``Walk`` over the jobs of all tokens: a token's candidates in the previous frame by index, then its reference.

    A token without candidates has one job that is not valid, so that it is decided like any other.
    """
    job = SimpleNamespace(
        entry=Signal(c.job_layout, name="job"),
        ready=Signal(name="job_ready"),
        taken=Signal(name="job_taken"),
        first=Signal(name="job_first"),
        last=Signal(name="job_last"),
        token=Signal(ceil_log2(c.in_flight), name="job_token"),
        reference=Signal(ceil_log2(c.in_flight), name="job_reference"),
    )
    place = token_place(m, c, clip, "walk")
    walked = Signal.like(tokens.arrived, name="walked")  # tokens all of whose jobs are in beats
    left, right, top, bottom = _window(m, c, clip, place)

    # The bases say where the window's first row begins, and the row that the walk is in.
    row = Signal(range(c.max_height + 1), name="candidate_row")
    column = Signal(range(c.max_width + 1), name="candidate_column")
    inside = Signal(name="candidate_inside")  # the walk is within the window, not at its first candidate
    spatial = Signal(name="candidate_is_reference")
    top_base, row_base = _base(c, "top"), _base(c, "row")
    here_row = Signal.like(row, name="here_row")
    here_column = Signal.like(column, name="here_column")
    slot = Signal(c.slot_bits, name="candidate_slot")
    index = Signal(c.index.index_bits, name="candidate_index")
    temporal = Signal(name="job_temporal")
    last_candidate = Signal()
    there = Signal()
    m.d.comb += [
        here_row.eq(Mux(inside, row, top)),
        here_column.eq(Mux(inside, column, left)),
        slot.eq(Mux(inside, row_base.slot, top_base.slot) + here_column),
        index.eq(Mux(inside, row_base.index, top_base.index) + here_column),
        temporal.eq((place.frame != 0) & ~spatial),
        last_candidate.eq((here_row == bottom) & (here_column == right)),
        there.eq((slot - lines.freed)[: c.slot_bits] < (lines.filled - lines.freed)[: c.slot_bits]),
        job.ready.eq(clip.running & ~place.over & (tokens.arrived != walked) & (there | ~temporal)),
        job.first.eq(~inside & ~spatial),
        job.last.eq(Mux(temporal, last_candidate & place.first_of_group, 1)),
        job.token.eq(walked),
        job.entry.valid.eq(temporal | ~place.first_of_group),
        job.entry.spatial.eq(~temporal & ~place.first_of_group),
        job.entry.slot.eq(slot),
        job.entry.index.eq(index),
        place.step.eq(job.taken & job.last),
        place.clear.eq(clip.start),
    ]
    with m.If(job.taken):
        with m.If(job.last):
            m.d.sync += [inside.eq(0), spatial.eq(0), walked.eq(walked + 1)]
            with m.If(place.last_of_group):
                m.d.sync += job.reference.eq(job.reference + 1)
        with m.Elif(last_candidate):
            m.d.sync += [inside.eq(0), spatial.eq(1)]
        with m.Else():
            m.d.sync += [inside.eq(1), row.eq(here_row), column.eq(here_column + 1)]
            with m.If(~inside):
                m.d.sync += [row_base.slot.eq(top_base.slot), row_base.index.eq(top_base.index)]
            with m.If(here_column == right):
                m.d.sync += [
                    row.eq(here_row + 1),
                    column.eq(left),
                    row_base.slot.eq(Mux(inside, row_base.slot, top_base.slot) + clip.pitch),
                    row_base.index.eq(Mux(inside, row_base.index, top_base.index) + clip.given.width),
                ]

    with m.If(clip.start):
        m.d.sync += [inside.eq(0), spatial.eq(0), walked.eq(0), job.reference.eq(0)]
    frees = _move_bases(m, c, clip, place, top_base, left)
    return Walk(job, place, walked, frees)


def _move_bases(m, c, clip, place, top, left):
    """Move the ``top`` base, of the window's first row, when a row of tokens ends. Returns what a token ``frees``."""
    own, after = _base(c, "own"), _base(c, "next")
    m.d.comb += [after.slot.eq(own.slot + clip.pitch), after.index.eq(own.index + clip.given.width)]
    # In frame 0 there is nothing that they could move over.
    with m.If(place.step & place.last_column & (place.frame != 0)):
        m.d.sync += [own.slot.eq(after.slot), own.index.eq(after.index)]
        with m.If(place.last_row):
            m.d.sync += [top.slot.eq(after.slot), top.index.eq(after.index)]
        with m.Elif(place.y >= clip.reach):
            m.d.sync += [top.slot.eq(top.slot + clip.pitch), top.index.eq(top.index + clip.given.width)]
    with m.If(clip.start):
        m.d.sync += [top.slot.eq(0), top.index.eq(0), own.slot.eq(0), own.index.eq(0)]

    # What no token needs when this one is decided: all before its window; behind the last of a frame, all of the frame.
    frees = Signal(c.slot_bits, name="frees")
    with m.If(place.frame == 0):
        m.d.comb += frees.eq(0)
    with m.Elif(place.last_row & place.last_column):
        m.d.comb += frees.eq(after.slot)
    with m.Else():
        m.d.comb += frees.eq(top.slot + Mux((place.y >= clip.reach) | place.last_row, left, 0))
    return frees


def _base(c, name):
    """Slot and index of column 0 of a row of the previous frame."""
    return SimpleNamespace(
        slot=Signal(c.slot_bits, name=f"{name}_slot"), index=Signal(c.index.index_bits, name=f"{name}_index")
    )


def _window(m, c, clip, place):
    """Columns and rows of the window's corners, cut at the borders: (left, right, top, bottom)."""
    edges = []
    largest = max(c.max_width, c.max_height) + c.max_window
    for low, position, size in (("left", place.x, clip.given.width), ("top", place.y, clip.given.height)):
        first = Signal.like(position, name=f"window_{low}")
        last = Signal.like(position, name=f"window_{low}_end")
        end = Signal(range(largest + 1), name=f"window_{low}_beyond")
        m.d.comb += [
            first.eq(Mux(position < clip.reach, 0, position - clip.reach)),
            end.eq(position + clip.given.window - clip.reach),
            last.eq(Mux(end > size, size, end) - 1),
        ]
        edges += [first, last]
    return edges
