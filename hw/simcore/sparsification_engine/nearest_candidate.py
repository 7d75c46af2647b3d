# SPDX-License-Identifier: Apache-2.0
"""The nearest candidate of each token: distances by the lane groups, the least of a beat by comparison trees."""

from types import SimpleNamespace
from typing import NamedTuple

from amaranth import Mux, Signal, Value
from amaranth.utils import ceil_log2

from zoetrope.hw.simcore.sparsification_engine.squared_distance import NONE, WIDTH, LaneGroup
from zoetrope.hw.stream import delayed, operator
from zoetrope.hw.tree.min_tree import MinTree


class End(NamedTuple):
    """A token all of whose candidates were met, where ``valid``: the least ``temporal`` distance and the ``index`` of that
    candidate, and the ``spatial`` one; ``NONE`` where there is none."""

    valid: Value
    temporal: Value
    index: Value
    spatial: Value


def measure(m, c, issue, tokens, lines):
    """The lane groups: (distances, and whether they are those of a beat's last word)."""
    bank_bits = ceil_log2(c.banks)
    distances = []
    first = delayed(m, issue.advance, issue.first, 1 + c.group.lead, "first", reset_less=True)[-1]
    done = delayed(m, issue.advance, issue.last, c.distance_latency, "done")[-1]
    for k in range(c.candidates):
        job = issue.beat.jobs[k]
        # s1: the words are read; which of them are this group's.
        second = Signal(name=f"s1_second_{k}", reset_less=True)
        temporal = Signal(name=f"s1_temporal_{k}", reset_less=True)
        bank = Signal(max(1, bank_bits), name=f"s1_bank_{k}", reset_less=True)
        with m.If(issue.advance):
            m.d.sync += [second.eq(job.second), temporal.eq(job.temporal), bank.eq(job.slot[:bank_bits])]
        token = Signal(c.word_bits, name=f"token_{k}")
        candidate = Signal(c.word_bits, name=f"candidate_{k}")
        m.d.comb += token.eq(Mux(second, tokens.stores[1].r_data[0], tokens.stores[0].r_data[0]))
        with m.If(~temporal):
            m.d.comb += candidate.eq(tokens.references.r_data[0])
        with m.Else():
            with m.Switch(bank):
                for b in range(c.banks):
                    with m.Case(b):
                        m.d.comb += candidate.eq(lines.banks[b].r_data[0])
        group = operator(m, f"group_{k}", LaneGroup, c.group, issue.advance)
        m.d.comb += [
            group.x.as_value().eq(token),
            group.y.as_value().eq(candidate),
            group.first.eq(first),
        ]
        distances.append(group.o)
    return distances, done


def compare(m, c, issue, distances, done):
    """The least distance of each token that ends in a beat, across its beats: two ``End``."""
    outcome = Signal(c.outcome_layout, name="outcome")
    spatial_key = Signal(WIDTH, name="reference_distance")
    m.d.comb += [outcome.eq(issue.pending.r_data), issue.pending.r_en.eq(issue.advance & done), spatial_key.eq(NONE)]
    for k in range(c.candidates):
        with m.If(outcome.jobs[k].spatial):
            m.d.comb += spatial_key.eq(distances[k])
    valid = delayed(m, issue.advance, done, c.tree_stages, "compared")[-1]
    spatial = delayed(m, issue.advance, spatial_key, c.tree_stages, "reference", reset_less=True)[-1]
    late = Signal(c.outcome_layout, name="compared_outcome")
    m.d.comb += late.eq(delayed(m, issue.advance, outcome.as_value(), c.tree_stages, "outcome", reset_less=True)[-1])
    first, second = (_tree(m, c, issue, name, distances, outcome, late) for name in ("first", "second"))

    # The least so far of the token that the next beat may go on with; earlier beats have the lower indices.
    least = Signal(WIDTH, name="least")
    nearest = Signal(c.index.index_bits, name="nearest")
    before = Signal(name="before_is_least")
    key = Signal(WIDTH, name="first_least")
    index = Signal(c.index.index_bits, name="first_nearest")
    m.d.comb += [
        before.eq(late.again & (least <= first.key)),
        key.eq(Mux(before, least, first.key)),
        index.eq(Mux(before, nearest, first.index)),
    ]
    with m.If(issue.advance & valid):
        m.d.sync += [least.eq(Mux(late.two, second.key, key)), nearest.eq(Mux(late.two, second.index, index))]
    return [
        End(
            valid=valid & late.first_done,
            temporal=key,
            index=index,
            spatial=Mux(late.spatial_second, NONE, spatial),
        ),
        End(
            valid=valid & late.two & late.second_done,
            temporal=second.key,
            index=second.index,
            spatial=Mux(late.spatial_second, spatial, NONE),
        ),
    ]


def _tree(m, c, issue, which, distances, outcome, late):
    """The comparison tree of a beat's ``first`` or ``second`` token: the least distance, the index of the nearest."""
    tree = operator(m, f"{which}_tree", MinTree, c.tree, issue.advance)
    for k, distance in enumerate(distances):
        m.d.comb += tree.i[k].eq(Mux(outcome.jobs[k][which], distance, NONE))
    index = Signal(c.index.index_bits, name=f"{which}_index")
    with m.Switch(tree.o.index):
        for k in range(c.candidates):
            with m.Case(k):
                m.d.comb += index.eq(late.jobs[k].index)
    return SimpleNamespace(key=tree.o.key, index=index)
