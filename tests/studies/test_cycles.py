# SPDX-License-Identifier: Apache-2.0
"""The model of the arrays' cycles against counting tile by tile."""

import math
from dataclasses import replace

import numpy as np
import pytest

from zoetrope.golden.simcore.chip.simcore import FP16_ONLY, Settings, simcore
from zoetrope.golden.simcore.computing_engine.computing_engine import Job, S
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.model import cycles
from zoetrope.sim.model.computing_engine import Array, cost
from zoetrope.sim.model.cycles import Machine
from zoetrope.sim.model.quantization_engine import sort_cycles

#: Tokens of a key tile: frames have 12, the text 5.
KEYS = 5
SMALL = Machine(fp16=Array(5, 4, 8, turnaround=3), lut=Array(5, 2, 8, turnaround=2, beats=2))
WIDE = Machine(fp16=Array(5, 64, 8, turnaround=1), lut=Array(5, 128, 8, turnaround=4, beats=1))


@pytest.fixture(scope="module")
def found():
    geometry = Geometry(4, 3, 4, text=5)
    rng = np.random.default_rng(0xC1C)
    q, k, v = (rng.standard_normal((geometry.tokens, 10)) for _ in range(3))
    q[5:] += np.repeat(3 * rng.standard_normal((4, 10)), 12, axis=0)
    q[29:41:2] = q[17:29:2]
    q, k, v = (x.astype(np.float16) for x in (q, k, v))
    settings = Settings(rows=5, p_p=0.4, tau=1.0)
    others = (replace(FP16_ONLY, rows=5), replace(settings, keys=KEYS), replace(settings, compact=False))
    return geometry, simcore(q, k, v, geometry, settings), *(simcore(q, k, v, geometry, each) for each in others)


def places(geometry, keys):
    """(tokens, tile) of each key tile."""
    for g, place in enumerate(geometry.tiles):
        n = place.stop - place.start
        for start in range(0, n, keys or n):
            yield min(keys or n, n - start), g


def counted(geometry, result, machine, keys=None):
    """(products, cycles) of the FP16 and the LUT array, with loops."""
    products, cycles, d = [0, 0], [0, 0], result.a.shape[1]
    for tile, rows, columns in zip(result.slices.tile, result.slices.rows, result.map_a):
        for (n, g), mask in zip(places(geometry, keys), columns, strict=True):
            on_fp16 = int(mask.sum())
            jobs = [(0 if result.map_p[tile, g] else 1, n, d), (0, on_fp16, n), (1, d - on_fp16, n)]
            for which, outputs, length in jobs:
                array = machine[which]
                products[which] += int(rows) * outputs * length
                words = math.ceil(outputs / array.outputs)
                cycles[which] += length * max(words, array.turnaround, array.beats * int(rows)) if words else 0
    return products, cycles


@pytest.mark.parametrize("machine", [SMALL, WIDE])
@pytest.mark.parametrize("which, keys", [(1, None), (2, None), (3, KEYS), (4, None)])
def test_cycles_are_those_counted(found, machine, which, keys):
    geometry, result = found[0], found[which]
    products, taken = counted(geometry, result, machine, keys)
    work = cycles.work(result, geometry, keys)
    statistics = result.statistics
    assert products == [statistics.fp16, statistics.lut] == [int(each.sum()) for each in work.products()]
    expected = [math.ceil(each / multipliers) for each, multipliers in zip(products, machine.multipliers)]
    assert cycles.bound(work, machine) == (*expected, max(expected))
    assert cycles.fitted(work, machine) == (*taken, max(taken))
    assert all(least <= most for least, most in zip(cycles.bound(work, machine), cycles.fitted(work, machine)))


#: (frames, height, width, d) of preset small and, from its RTL, cycles between prologue and recovery with speculation of
#: all rows; the arrays' cycles by the model; slices times key tiles.
MEASURED = {
    (8, 1, 1, 64): (106_068, 13_728, 64),
    (8, 2, 2, 64): (103_786, 11_680, 64),
    (8, 3, 4, 64): (207_960, 44_784, 128),
    (8, 3, 4, 16): (19_777, 15_360, 128),
    (6, 6, 6, 64): (294_748, 120_168, 180),
}


@pytest.mark.parametrize("size", MEASURED)
def test_small_frames_take_as_long_as_their_sorts(size):
    """Within 4 % of what the RTL took; the arrays alone are up to a ninth of it."""
    frames, height, width, d = size
    taken, arrays, pairs = MEASURED[size]
    rng = np.random.default_rng(0)
    made = [rng.standard_normal((frames, height * width, d)) + rng.standard_normal((frames, 1, d)) for _ in "qkv"]
    for t in range(1, frames):
        same = rng.random(height * width) < 0.5
        made[0][t, same] = made[0][t - 1, same]
    config = catalogue.find("simcore").config("small")
    settings = replace(settings_of(config), sparsify=False)
    geometry = Geometry(frames, height, width)
    result = simcore(*(x.astype(np.float16).reshape(-1, d) for x in made), geometry, settings)
    work, machine = cycles.work(result, geometry, settings.keys), cycles.machine(config.engine)
    assert cycles.fitted(work, machine).total == arrays and work.important.size == pairs
    model = cycles.fitted(work, machine, P_BITS).total
    print(f"{size}: {taken} cycles, model {model}, arrays {arrays}")
    assert 0.96 * taken < model <= taken


def test_a_sort_takes_what_the_unit_says():
    config = catalogue.find("column_importance").config().sort
    columns = np.array([[0, 3], [10, 7]])
    work = cycles.Work(np.ones(2, int), np.ones(2, int), 10, np.ones((2, 2), bool), columns)
    expected = sum(sort_cycles(10, int(taken), p_bits=config.p_bits) for taken in columns.ravel())
    assert cycles.sorting(work, config.p_bits) == expected
    assert config.p_bits == P_BITS


def test_a_tile_takes_what_the_engine_says():
    """Rows of different fractions: no copy is shared."""
    x = (np.arange(5 * 7).reshape(5, 7) / 64 + 1).astype(np.float16).view(np.uint16)
    for array in (*SMALL, *WIDE):
        job = Job(S, x, np.zeros((9, 7), np.uint16))
        assert cycles.taken(array, np.array(5), np.array(9), 7) == cost(job, array).compute
    assert cycles.taken(SMALL.lut, np.array(5), np.array(0), 7) == 0


def test_machines_of_the_presets():
    configs = catalogue.find("simcore").presets
    paper = cycles.machine(configs["paper"].engine)
    assert paper.multipliers == (512, 1024) and str(paper) == "16 x 32 and 16 x 64"
    small = cycles.machine(configs["small"].engine)
    assert small.fp16.beats == 0 < small.lut.beats and small.multipliers[0] == small.multipliers[1]
    assert [array.turnaround for array in small] == [small.fp16.turnaround] * 2
