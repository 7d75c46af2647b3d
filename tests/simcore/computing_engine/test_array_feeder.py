# SPDX-License-Identifier: Apache-2.0
"""The array feeder: the golden's jobs by hand, benches, its neighbours' streams, wrong configs."""

from dataclasses import replace

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.computing_engine.array_feeder import Products, Scores, array_feeder
from zoetrope.golden.simcore.computing_engine.computing_engine import A, S
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.catalogue import find
from zoetrope.hw.simcore.computing_engine.array_feeder import ArrayFeeder, ArrayFeederConfig
from zoetrope.hw.simcore.computing_engine.key_stream import KeyStream, KeyStreamConfig


def test_jobs_by_hand():
    """Scores load K once; a slice without a column is no job."""
    rng = np.random.default_rng(0)
    q = [rng.integers(1 << 15, size=(rows, 5)).astype(np.uint16) for rows in (2, 1, 2)]
    e = [rng.integers(1 << 15, size=(rows, 4)).astype(np.uint16) for rows in (2, 1, 2)]
    keys, values = (rng.integers(1 << 15, size=(4, 5)).astype(np.uint16) for _ in range(2))
    columns = [np.array([1, 0, 0, 1, 0], bool), np.zeros(5, bool), np.ones(5, bool)]
    jobs = array_feeder([Scores(3, q, keys), Products(3, e, values, columns)])
    assert [(job.kind, job.slice, job.tile, job.keep_w) for job in jobs] == [
        *((S, 0, 3, True), (S, 1, 3, True), (S, 2, 3, False)),
        *((A, 0, 3, False), (A, 2, 3, False)),
    ]
    assert all(job.w is keys and job.x is rows for job, rows in zip(jobs, q))
    assert [job.mask.tolist() for job in jobs[3:]] == [columns[0].tolist(), columns[2].tolist()]


@pytest.mark.parametrize("preset", find("array_feeder").presets)
def test_rtl(preset):
    assert vectors("array_feeder", preset) > 500


def test_its_streams_join_its_neighbours():
    """``hw.stream.connect`` joins streams of equal layouts only."""
    unit = ArrayFeeder(config=ArrayFeederConfig())
    assert unit.o_command.payload.shape() == AxiConfig().command_layout
    assert unit.i_k.payload.shape() == KeyStream(config=KeyStreamConfig()).o.payload.shape()


ARRAY = ArrayFeederConfig().array


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"slices": 1}, "slices must be a power of two of at least 2, not 1"),
        ({"slices": 8}, "slice_bits of array must be at least 3 for 8, not 2"),
        ({"tiles": 8}, "tile_bits of array must be at least 3 for 8, not 2"),
        ({"matrix_words": 0}, "matrix_words must be at least 1, not 0"),
        ({"array": replace(ARRAY, load_lanes=12)}, "load_lanes of array must be a power of two, not 12"),
        ({"array": replace(ARRAY, array=replace(ARRAY.array, rows=6))}, "rows of array must be a power of two, not 6"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        ArrayFeederConfig(**config)
