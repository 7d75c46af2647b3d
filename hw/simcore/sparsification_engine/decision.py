# SPDX-License-Identifier: Apache-2.0
"""What the distances of a token mean: it repeats its nearest candidate, or its reference, or is kept."""

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.index_buffer import IndexBuffer
from zoetrope.hw.simcore.sparsification_engine.squared_distance import WIDTH, to_fp32


def decide(m, c, clip, stores, walk, beats, issue, ends):
    """Compare with the T register and write the index buffer, which is returned; ``stores``: ``Tokens`` and ``Lines``."""
    index_buffer, decision, take = _one_by_one(m, c, issue, ends)
    tokens, lines = stores
    own = Signal(c.index.index_bits, name="own_index")
    frees = Signal(c.slot_bits, name="deciding_frees")
    in_group = Signal(len(walk.place.in_group), name="deciding_in_group")
    temporal = Signal(name="is_temporal")
    spatial = Signal(name="is_spatial")
    tag = Signal(c.tag_layout, name="decision_tag")
    m.d.comb += [
        tag.temporal.eq(to_fp32(m, decision.temporal, "temporal_distance")),
        tag.spatial.eq(to_fp32(m, decision.spatial, "spatial_distance")),
    ]
    m.d.comb += [
        Cat(frees, in_group).eq(beats.waiting.r_data),
        beats.waiting.r_en.eq(take),
        temporal.eq(tag.temporal < clip.given.threshold),
        spatial.eq(~temporal & (tag.spatial < clip.given.threshold)),
        index_buffer.i.payload.match.eq(Mux(temporal, decision.index, own - Mux(spatial, in_group, 0))),
        tag.kind.eq(Cat(temporal, spatial)),
        index_buffer.i.payload.tag.eq(tag),
        index_buffer.clear.eq(clip.start),
    ]
    with m.If(take):
        m.d.sync += [own.eq(own + 1), tokens.decided.eq(tokens.decided + 1), lines.freed.eq(frees)]
    with m.If(clip.start):
        m.d.sync += [own.eq(0), tokens.decided.eq(0), lines.freed.eq(0)]
    return index_buffer


def _one_by_one(m, c, issue, ends):
    """Up to two tokens that end in a beat, one after the other: the index buffer, the token's distances, when they go."""
    layout = data.StructLayout({"temporal": WIDTH, "index": c.index.index_bits, "spatial": WIDTH})
    packed = []
    for k, end in enumerate(ends):
        each = Signal(layout, name=f"end_{k}")
        m.d.comb += [each.temporal.eq(end.temporal), each.index.eq(end.index), each.spatial.eq(end.spatial)]
        packed.append(each)
    held = [Signal(layout, name=f"decision_{k}", reset_less=True) for k in range(2)]
    valid = [Signal(name=f"decision_{k}_valid") for k in range(2)]
    index_buffer = IndexBuffer(config=c.index)
    m.submodules.index_buffer = emit_once(index_buffer)
    take = Signal(name="decide")
    m.d.comb += [
        take.eq(valid[0] & index_buffer.i.ready),
        index_buffer.i.valid.eq(valid[0]),
        issue.advance.eq(~valid[1] & (~valid[0] | take)),
    ]
    with m.If(issue.advance):
        m.d.sync += [
            valid[0].eq(ends[0].valid | ends[1].valid),
            valid[1].eq(ends[0].valid & ends[1].valid),
            held[0].eq(Mux(ends[0].valid, packed[0], packed[1])),
            held[1].eq(packed[1]),
        ]
    with m.Elif(take):
        m.d.sync += [valid[0].eq(valid[1]), valid[1].eq(0), held[0].eq(held[1])]
    return index_buffer, held[0], take
