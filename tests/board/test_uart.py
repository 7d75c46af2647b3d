# SPDX-License-Identifier: Apache-2.0
"""The UART: benches at several divisors, every byte at the edges of its tolerance."""

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.board.uart import bits, received
from zoetrope.hw.board.uart import Uart, UartConfig
from zoetrope.hw.catalogue import find
from zoetrope.sim.host.line import sampled
from zoetrope.sim.run.native import Native


def test_golden_by_hand():
    assert bits(0b01000101).tolist() == [0, 1, 0, 1, 0, 0, 0, 1, 0, 1]
    values = np.arange(256, dtype=np.uint8).reshape(2, 128)
    levels = bits(values)
    levels[0, 0, 9] = 0
    levels[1, 1, 0] = 1
    got, whole = received(levels)
    np.testing.assert_array_equal(got, values)
    assert np.argwhere(~whole).tolist() == [[0, 0], [1, 1]]
    with pytest.raises(ValueError, match="levels must be"):
        received(np.zeros(9))


def test_levels_of_a_byte():
    assert sampled([0b01000101], 2) == [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1]
    assert sampled([0], 1.5, 0.5)[:3] == [1, 0, 0]
    assert len(sampled([1, 2, 3], 10.2)) == 306


@pytest.mark.parametrize("preset", find("uart").presets)
def test_rtl(preset):
    assert vectors("uart", preset) > 200


@pytest.fixture(scope="module")
def uart():
    return Native.build(Uart(config=UartConfig(divisor=8)), "uart_8")


def receive(uart, levels):
    """What the receiver makes of levels, one a cycle."""
    uart.reset()
    ones = np.ones(len(levels), np.uint8)
    shown = uart.play({"rx": np.array(levels, np.uint8), "o__ready": ones}, ["o__valid", "o__payload"])
    return shown["o__payload"][shown["o__valid"][:, 0] == 1, 0]


@pytest.mark.parametrize("error", [-0.02, 0.02])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 0.9])
def test_every_byte_at_the_edge_of_the_tolerance(uart, error, phase):
    values = np.arange(256, dtype=np.uint8)
    levels = [1] * 8 + sampled(np.concatenate([values, values[::-1]]), 8 * (1 + error), phase) + [1] * 32
    np.testing.assert_array_equal(receive(uart, levels), np.concatenate([values, values[::-1]]))


def test_noise_never_stops_it(uart):
    """After half a million cycles of any noise it receives what follows two bytes' worth of silence."""
    rng = np.random.default_rng(1)
    values = np.arange(256, dtype=np.uint8)
    noise = np.repeat(rng.integers(0, 2, 100_000), rng.integers(1, 12, 100_000)).tolist()
    got = receive(uart, noise + [1] * 160 + sampled(values, 8) + [1] * 32)
    np.testing.assert_array_equal(got[-256:], values)


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="divisor must be at least 8, not 7"):
        UartConfig(divisor=7)
