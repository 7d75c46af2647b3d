# SPDX-License-Identifier: Apache-2.0
"""Heads of seeded tensors for the tests of SIMCORE's flow, and the flow once more in plain loops."""

import numpy as np

from zoetrope.golden.formats import FP32, fp32
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales, scale_unit
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_a, importance_of_p
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import sparsify
from zoetrope.golden.softmax import tile_merge_unit
from zoetrope.golden.softmax.sfu import tile


def head(geometry, d, seed=0, spread=1.0):
    """q, k, v ``float16`` whose frames differ, with tokens that repeat those of the frame before."""
    rng = np.random.default_rng((seed, d, geometry.tokens))
    made = []
    for n in range(3):
        x = rng.standard_normal((geometry.frames, geometry.rows, d))
        x += spread * rng.standard_normal((geometry.frames, 1, d)) * (n < 2)
        for f in range(1, geometry.frames):
            same = rng.random(geometry.rows) < 0.4
            x[f, same] = x[f - 1, same] + 0.05 * rng.standard_normal((same.sum(), d))
        text = rng.standard_normal((geometry.text, d))
        parts = [text, x.reshape(-1, d)]
        made.append(np.concatenate(parts if geometry.text_first else parts[::-1]).astype(np.float16))
    return made


def codes(x):
    return np.ascontiguousarray(x).view(np.uint16)


# The flow once more, a slice and a key tile after the other, by the goldens of the units.


def cut(tiles, keys):
    """(first token, end, tile) of each key tile."""
    found = []
    for n, place in enumerate(tiles):
        tokens = list(range(place.start, place.stop))
        while tokens:
            now, tokens = tokens[:keys], tokens[keys:] if keys else []
            found.append((now[0], now[-1] + 1, n))
    return found


def in_turn(important):
    """Numbers of the key tiles in their order, step by step as it is defined."""
    waiting = {kind: [n for n, bit in enumerate(important) if bit == kind] for kind in (True, False)}
    most, total, acc, order = len(important), len(waiting[True]), 0, []
    for _ in important:
        acc += total
        now = acc >= most
        acc -= most * now
        order.append(waiting[now].pop(0))
    return order


def plain(q, k, v, g, s):
    t, d = q.shape
    video, tiles = g.video, g.tiles
    table = np.arange(t)
    if s.sparsify:
        options = {"tau": s.tau, "window": s.window, "group": s.group, "lanes": s.distance_lanes}
        found = sparsify(q[video], (g.frames, g.height, g.width), **options)
        table[video] = found.table + video.start
    on_p, on_a = s.quantize and s.speculate_p, s.quantize and s.speculate_a
    k_codes, k_scales = quantize(k)
    v_codes, v_scales = quantize(v)
    folded = codes(fold_key_scales(q, k_scales))
    order = {"lanes": s.lanes, "running": s.running}
    cuts = cut(tiles, s.keys)
    seen = importance_of_p(q[video], k[video], g.rows, s.p_p, p_bits=s.p_bits, **order).map
    scale, factor = fp32(np.array([1 / np.sqrt(d)])), inverse(s.rows)
    a = np.zeros((t, d), np.uint16)
    frames = [f for f, place in enumerate(tiles) if video.start <= place.start < video.stop]
    for f, place in enumerate(tiles):
        kept = [i for i in range(place.start, place.stop) if table[i] == i]
        bits = []
        for _, _, n in cuts:
            video_pair = f in frames and n in frames
            bits.append(bool(not on_p or not video_pair or seen[frames.index(f), frames.index(n)]))
        if s.compact:
            slices = [kept[start : start + s.rows] for start in range(0, len(kept), s.rows)]
        else:
            windows = [range(start, start + s.rows) for start in range(place.start, place.stop, s.rows)]
            slices = [rows for window in windows if (rows := [i for i in kept if i in window])]
        for rows in slices:
            found = []
            for g in in_turn(bits):
                keys = slice(*cuts[g][:2])
                if bits[g]:
                    scores = fp16_pe(codes(q)[rows], codes(k)[keys].T)
                else:
                    scores = lut_pe(folded[rows], k_codes[keys].T)
                e, m, total = tile(scores, scale, **order)
                exact = fp16_pe(e, codes(v)[keys])
                if on_a:
                    important = importance_of_a(e, v[keys], s.p_a, factor=factor, p_bits=s.p_bits).map
                    mixed = scale_unit(lut_pe(e, v_codes[keys]), v_scales.view(np.uint32), FP32)
                    exact = np.where(important, exact, mixed)
                found.append((m, total, exact))
            a[rows] = tile_merge_unit.tile_merge_unit(*(np.stack(each) for each in zip(*found)))
    return a[table]
