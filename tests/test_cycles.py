"""The model of the arrays' cycles against counting tile by tile."""

import math
from dataclasses import replace

import numpy as np
import pytest

from golden.simcore import FP16_ONLY, Geometry, Settings, simcore
from sim import cycles
from sim.cycles import Array, Machine

#: Tokens of a key tile: frames have 12, the text 5.
KEYS = 5
SMALL = Machine(fp16=Array(2, 1, 4, turnaround=3), lut=Array(4, 2, 2, parts=3, turnaround=2, copy=2))


@pytest.fixture(scope="module")
def found():
    geometry = Geometry(4, 3, 4, text=5)
    rng = np.random.default_rng(0xC1C)
    q, k, v = (rng.standard_normal((geometry.tokens, 10)) for _ in range(3))
    q[5:] += np.repeat(3 * rng.standard_normal((4, 10)), 12, axis=0)
    q[29:41:2] = q[17:29:2]
    q, k, v = (x.astype(np.float16) for x in (q, k, v))
    settings = Settings(rows=5, p_p=0.4, tau=1.0)
    others = (FP16_ONLY, replace(settings, keys=KEYS))
    return geometry, simcore(q, k, v, geometry, settings), *(simcore(q, k, v, geometry, each) for each in others)


def places(geometry, keys):
    """(tokens, tile) of each key tile."""
    for g, place in enumerate(geometry.tiles):
        n = place.stop - place.start
        for start in range(0, n, keys or n):
            yield min(keys or n, n - start), g


def counted(geometry, result, machine, keys=None):
    """(products, passes times length) of the FP16 and the LUT array, with loops."""
    products, taken, d = [0, 0], [0, 0], result.a.shape[1]
    for tile, rows, columns in zip(result.slices.tile, result.slices.rows, result.map_a):
        for (n, g), mask in zip(places(geometry, keys), columns, strict=True):
            on_fp16 = int(mask.sum())
            jobs = [(0 if result.map_p[tile, g] else 1, n, d), (0, on_fp16, n), (1, d - on_fp16, n)]
            for which, outputs, length in jobs:
                array = machine[which]
                products[which] += int(rows) * outputs * length
                words = math.ceil(outputs / (array.columns * array.lanes))
                for start in range(0, rows, array.rows):
                    copied = array.copy * min(array.rows, rows - start)
                    taken[which] += length * max(words, array.turnaround, copied) if words else 0
    return products, [math.ceil(each / array.parts) for each, array in zip(taken, machine)]


@pytest.mark.parametrize("machine", [SMALL, cycles.PAPER, cycles.SPLIT, cycles.of_rows(4, 1)])
@pytest.mark.parametrize("which, keys", [(1, None), (2, None), (3, KEYS)])
def test_cycles_are_those_counted(found, machine, which, keys):
    geometry, result = found[0], found[which]
    products, taken = counted(geometry, result, machine, keys)
    work = cycles.work(result, geometry, keys)
    statistics = result.statistics
    assert products == [statistics.fp16, statistics.lut] == [int(each.sum()) for each in work.products()]
    expected = [math.ceil(each / array.multipliers) for each, array in zip(products, machine)]
    assert cycles.bound(work, machine) == (*expected, max(expected))
    assert cycles.fitted(work, machine) == (*taken, max(taken))
    assert all(least <= most for least, most in zip(cycles.bound(work, machine), cycles.fitted(work, machine)))


def test_without_grouping_skipped_rows_are_counted(found):
    geometry, result, dense, tiled = found
    work = cycles.ungrouped(result, geometry, 5)
    rows, first = [], []
    for place in geometry.tiles:
        for start in range(place.start, place.stop, 5):
            tokens = range(start, min(start + 5, place.stop))
            kept = [i for i in tokens if result.kind[i] == 0]
            if kept:
                rows.append(len(tokens))
                first.append(int((result.kind[: kept[0]] == 0).sum()))
    np.testing.assert_array_equal(work.rows, rows)
    slices = [int(np.searchsorted(result.slices.first, f, side="right")) - 1 for f in first]
    np.testing.assert_array_equal(work.columns, result.map_a[slices].sum(axis=2))
    np.testing.assert_array_equal(work.important, result.map_p[result.slices.tile[slices]])
    assert sum(result.slices.rows) < sum(rows)
    smaller = cycles.ungrouped(tiled, geometry, 5, KEYS)
    np.testing.assert_array_equal(smaller.columns, tiled.map_a[slices].sum(axis=2))
    np.testing.assert_array_equal(smaller.rows, rows)
    assert smaller.products()[0].sum() + smaller.products()[1].sum() == sum(rows) * geometry.tokens * 20
    everything = cycles.ungrouped(dense, geometry, Settings.rows)
    np.testing.assert_array_equal(everything.rows, dense.slices.rows)


def test_arrays():
    assert Array(16, 8, 8).multipliers == cycles.SPLIT.lut.multipliers == 1024
    assert str(Array(2, 3, 4)) == "2x3x4" and str(Array(2, 3, 4, parts=5)) == "5 of 2x3x4"
    for name in ("rows", "columns", "lanes", "parts", "turnaround", "copy"):
        with pytest.raises(ValueError, match=name):
            Array(**({"rows": 1, "columns": 1, "lanes": 1} | {name: -1}))
    for t in (1, 8, 64):
        assert [array.multipliers for array in cycles.of_rows(t, 1)] == [array.multipliers for array in cycles.PAPER]
    with pytest.raises(ValueError, match="rows must be a power of two of at most 64, not 12"):
        cycles.of_rows(12, 0)


def test_share_of_attention_at_which_two_speed_ups_agree():
    share = cycles.attention_share(3.0, 2.0)
    assert 1 / (1 - share + share / 3.0) == pytest.approx(2.0)
