# SPDX-License-Identifier: Apache-2.0
"""Recovery: golden against the recovery of kept rows, benches, cycles, what is refused."""

import functools

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.simcore.sparsification_engine import reorder_recover_unit
from zoetrope.golden.simcore.sparsification_engine.recovery import copies, recovery
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.catalogue import find
from zoetrope.hw.memory.index_buffer import IndexBufferConfig
from zoetrope.hw.simcore.sparsification_engine.recovery import RecoveryConfig
from zoetrope.sim.benches.simcore.sparsification_engine.tb_recovery import seeded, values
from zoetrope.sim.model.sparsification_engine import recovery_cycles


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_rows_of_kept_tokens_become_those_of_all(share):
    """A with its kept rows in place and anything elsewhere, against the expansion of A_c."""
    rng = np.random.default_rng(int(10 * share))
    table, a = seeded(rng, 50, share), values(rng, 50, 3)
    kept = np.unique(table)
    np.testing.assert_array_equal(recovery(a, table), reorder_recover_unit.recover(a[kept], table))


def test_order_does_not_matter_for_an_index_table():
    rng = np.random.default_rng(1)
    table, a = seeded(rng, 40, 0.6), values(rng, 40, 2)
    np.testing.assert_array_equal(recovery(a, table), a[table])
    assert not set(copies(table).source) & set(copies(table).target)


def test_entries_that_are_no_token_leave_their_row():
    found = copies([0, 3, 0, -1])
    assert found.source.tolist() == [3, 0] and found.target.tolist() == [1, 2] and found.index_error
    a = np.arange(4)
    assert recovery(a, [0, 4, 0, 3]).tolist() == [0, 1, 0, 3]
    with pytest.raises(ValueError, match="a must have a row for each of the 3 entries, not 4"):
        recovery(a, [0, 1, 2])


@pytest.mark.parametrize("preset", find("recovery").small_presets)
def test_rtl(preset):
    assert vectors("recovery", preset) > 2000


def test_rows_cost_their_words_and_kept_tokens_an_entry():
    """What the class says of cycles, beside moving every row."""
    cycles = functools.partial(recovery_cycles, rows_in_flight=RecoveryConfig().rows_in_flight)
    moving = np.zeros(1000, bool)
    moving[5::10] = True
    assert cycles(moving, 8) - 1000 in range(20)
    assert cycles(moving, 32) - 100 * 32 in range(20)
    assert cycles(np.ones(1000, bool), 8) - 8000 in range(20)
    assert cycles(np.ones(1000, bool), 1) - 2000 in range(20)
    assert cycles([], 8) == 3


def test_its_streams_are_those_of_a_reader_a_writer_and_the_index_buffer():
    config, axi = RecoveryConfig(), AxiConfig(data_bits=64)
    assert (config.command_layout, config.data_layout) == (axi.command_layout, axi.data_layout)
    assert config.table.width == IndexBufferConfig(depth=config.tokens).index_bits


@pytest.mark.parametrize(
    "config, message",
    [
        ({"lanes": 6}, "lanes must be a power of two, not 6"),
        ({"max_channels": 0}, "max_channels must be at least 1, not 0"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"rows_in_flight": 0}, "rows_in_flight must be at least 1, not 0"),
        ({"address_bits": 0}, "address_bits must be at least 1, not 0"),
        ({"length_bits": 7}, "length_bits must be at least 8, not 7: for 128 channels"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        RecoveryConfig(**config)
