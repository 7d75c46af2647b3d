# SPDX-License-Identifier: Apache-2.0
"""The prologue: golden against the head's own and against a memory, benches, a long run, what is refused."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.axi import axi_reader
from zoetrope.golden.formats import FP16, FP32, fp16, to_float64
from zoetrope.golden.simcore.chip.prologue import prologue, reads, words
from zoetrope.golden.simcore.chip.simcore import Settings, prepare
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import KEPT
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.chip.prologue import Prologue, PrologueConfig
from zoetrope.hw.simcore.quantization_engine.prediction_unit import PredictionUnitConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnitConfig
from zoetrope.hw.simcore.sparsification_engine.sparsification_unit import SparsificationUnitConfig
from zoetrope.sim.benches.simcore.chip.tb_prologue import ADDRESSES, Head, similar
from zoetrope.sim.input import clips
from zoetrope.sim.model.simcore import Queries, key_cycles, query_cycles, tail_cycles
from zoetrope.sim.packing import pack, unpack
from zoetrope.sim.run.native import Native

GEOMETRIES = [Geometry(3, 2, 4), Geometry(2, 3, 3, 4), Geometry(4, 1, 5, 2, text_first=False), Geometry(1, 1, 1, 1)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_map_and_table_are_those_of_the_head(geometry):
    q, k, v = similar(np.random.default_rng(geometry.tokens), geometry, 11)
    found = prologue(q, k, v, geometry, tau=1.0, lanes=4)
    whole = prepare(q, k, v, geometry, Settings(tau=1.0, distance_lanes=4))
    frames = [tile for tile in range(len(geometry.tiles)) if tile != geometry.text_tile]
    np.testing.assert_array_equal(found.map, whole.map_p[np.ix_(frames, frames)])
    np.testing.assert_array_equal(found.table + geometry.video.start, whole.table[geometry.video])
    assert (whole.kind == KEPT).sum() == (found.table == np.arange(len(found.table))).sum() + geometry.text
    assert found.not_finite == (False, False, False) and not found.map_error


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("d", [1, 7, 8])
def test_what_is_read_is_in_memory(geometry, d):
    """The matrices as they lie in memory, with garbage behind d: what the readers bring are the tokens."""
    lanes, rng = 4, np.random.default_rng(d)
    pitch = -(-d // lanes) * lanes
    tensors = dict(zip("qkv", rng.integers(0, 1 << 16, (3, geometry.tokens, pitch)).astype(np.uint16)))
    memory = np.zeros(1 << 22, np.uint8)
    for name, x in tensors.items():
        memory[ADDRESSES[name] : ADDRESSES[name] + x.nbytes] = x.view(np.uint8).ravel()
    commands = reads(geometry, d, ADDRESSES, lanes=lanes)
    assert ("previous" in commands) == (geometry.frames > 1)
    for reader, (address, length) in commands.items():
        got, _ = axi_reader.read(memory, address, length, word_bytes=2 * lanes)
        rows = tensors["q" if reader == "previous" else reader]
        rows = rows[geometry.video] if reader in ("q", "previous") else rows
        rows = rows[: len(rows) - geometry.rows] if reader == "previous" else rows
        np.testing.assert_array_equal(got.view(np.uint16).reshape(-1, pitch), rows)
        given = words(rows[:, :d], lanes)
        assert given.last.sum() == len(rows) and given.end.nonzero()[0].tolist() == [len(got) - 1]
        assert given.count[given.last].tolist() == [(d - 1) % lanes + 1] * len(rows)


def test_nothing_is_read_that_is_not_asked_for():
    geometry = Geometry(2, 2, 2)
    asked = dict.fromkeys(("sparsify", "predict", "quantize_v"), False)
    q, k, v = similar(np.random.default_rng(1), geometry, 4)
    q[0, 0], k[0, 0] = FP16.nan, FP16.inf
    assert reads(geometry, 4, ADDRESSES, **asked) == {}
    found = prologue(q, k, v, geometry, **asked)
    assert found == (None, False, None, (False, False, False))
    assert set(reads(geometry, 4, ADDRESSES, **asked | {"predict": True})) == {"q", "k"}
    assert prologue(q, k, v, geometry, **asked | {"predict": True}).not_finite == (True, True, False)
    assert set(reads(geometry, 4, ADDRESSES, **asked | {"sparsify": True})) == {"q", "previous"}
    with pytest.raises(ValueError, match="k has 7 tokens, the geometry 8"):
        prologue(q, k[1:], v, geometry)


def test_words_that_are_measured_have_the_maxima_of_the_scales():
    x = fp16(np.random.default_rng(2).standard_normal((13, 7)))
    given = words(x, 4)
    largest = np.abs(to_float64(given.values, FP16)).reshape(13, 8).max(axis=0)[:7]
    np.testing.assert_allclose(to_float64(quantize(x)[1].view(np.uint32), FP32), largest / 127, rtol=1e-7)


@pytest.mark.parametrize("preset", find("prologue").small_presets)
def test_rtl(preset):
    assert vectors("prologue", preset) > 5000


@pytest.mark.campaign
def test_frames_of_the_clip():
    """Eight whole frames of the clip with text in front, in RTL: map, table, maxima, and the cycles that are stated."""
    config = PrologueConfig()
    tensors = clips.load()
    frames, d = 8, tensors.q.shape[2]
    geometry = Geometry(frames, *tensors.grid[1:], text=12)
    text = fp16(np.random.default_rng(3).standard_normal((3, 12, d))).view(np.uint16)
    given = [fp16(x[:frames].reshape(-1, d)).view(np.uint16) for _, x in tensors.items()]
    head = Head(config, [np.concatenate(pair) for pair in zip(text, given)], geometry)
    native = Native.build(Prologue(config=config), "prologue")
    native.set("sizes", head.sizes(config))
    measured = {f"o_measure_{name}": head.measured(config, name) for name in "kv"}
    scores = len(head.prediction.scores(config.prediction).count)
    got, cycles, _ = native.streams(
        {
            "i_job": head.job(config),
            **{f"i_{reader}": head.sent(config, reader) for reader in head.reads},
            "i_probabilities": head.prediction.results(config.prediction),
        },
        {**{name: len(rows) for name, rows in measured.items()}, "o_scores": scores, "o_done": 1}
        | {f"o_command_{reader}": 1 for reader in head.reads},
    )
    assert [int(x[0]) for x in unpack(got["o_done"], [1, 1, 1])] == [0, 0, 0]
    for name, rows in measured.items():
        np.testing.assert_array_equal(got[name], rows)
    table = []
    for address in range(len(head.found.table)):
        native.set("r_addr", address)
        native.set("r_en", 1)
        native.tick()
        table.append(native.get("r_data"))
    np.testing.assert_array_equal(table, head.found.table)
    reading = pack(np.arange(frames), np.zeros(frames, int), widths=[6, 6])
    bits = np.array(unpack(native.streams({"i_read": reading}, {"o": frames})[0]["o"], [1] * 33)).T[:, :frames]
    np.testing.assert_array_equal(bits.astype(bool), head.found.map)

    begun, ended, queries = cycles["o_command_k"][0], cycles["o_done"][0], cycles["i_q"][1]
    assert begun - cycles["i_job"][0] == 2
    assert abs(queries - begun - key_cycles(frames, geometry.rows, 12, d, lanes=config.lanes)) <= 2 * config.lanes
    grid = (frames, geometry.height, geometry.width)
    unit = Queries.of(config)
    stated = query_cycles(grid, d, 3, 4, unit)
    assert 0 <= ended - queries - stated <= tail_cycles(geometry.rows, d, frames, unit)


def test_its_streams_are_those_of_a_reader_and_of_the_quantization_unit():
    config, axi = PrologueConfig(), AxiConfig(data_bits=64)
    assert (config.command_layout, config.data_layout) == (axi.command_layout, axi.data_layout)
    assert config.measure_layout == QuantizationUnitConfig(lanes=4, max_channels=128).i_layout


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"lanes": 8}, "prediction.lanes must be lanes, 8, not 4"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"max_channels": 130}, "prediction.max_channels must be at least max_channels, 130, not 128"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        ({"address_bits": 0}, "address_bits must be at least 1, not 0"),
        ({"length_bits": 20}, "length_bits must be at least 21, not 20: for 10000 tokens of 128 channels"),
        ({"sparsification": SparsificationUnitConfig(lanes=2)}, "sparsification.lanes must be lanes, 4, not 2"),
        (
            {"sparsification": SparsificationUnitConfig(max_words=16)},
            "sparsification.max_words must be at least 32, for max_channels 128, not 16",
        ),
        ({"prediction": PredictionUnitConfig(sfu_inside=True)}, "prediction.sfu_inside must be False"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        PrologueConfig(**config)
