# SPDX-License-Identifier: Apache-2.0
"""Commands to bursts: golden word by word, benches, tens of thousands of commands through the RTL."""

import numpy as np
import pytest

from zoetrope.golden.axi.axi_bursts import ALIGNMENT, FRAME, LENGTH, OKAY, RANGE, bursts, first_error, refusal
from zoetrope.golden.axi.axi_reader import read
from zoetrope.golden.axi.axi_writer import write
from zoetrope.hw.axi.axi_bursts import AxiBursts, AxiConfig
from zoetrope.hw.axi.channels import Cause
from zoetrope.hw.catalogue import find
from zoetrope.sim.run.harness import simulate
from zoetrope.sim.run.native import Native
from zoetrope.sim.stimulus.axi import arguments, command_rows
from zoetrope.sim.stimulus.axi_bursts import anywhere, expected_rows, without_refused


def by_hand(address, length, c):
    """Word by word: a burst begins at the command's first word and at each multiple of the longest burst."""
    found = []
    for word in range(address, address + length * c.granularity, c.word_bytes):
        if word == address or word % (c.burst * c.word_bytes) == 0:
            found.append([word, 0])
        found[-1][1] += 1
    return found


@pytest.mark.parametrize("preset", find("axi_bursts").presets)
def test_golden_by_hand(preset):
    c = find("axi_bursts").config(preset)
    rng = np.random.default_rng(7)
    for _, address, length in anywhere(rng, c, 300):
        found = bursts(address, length, burst=c.burst, **arguments(c))
        if refusal(address, length, **arguments(c)) != OKAY:
            assert len(found) == 0
            continue
        assert found.tolist() == by_hand(address, length, c)
        first, last = found[:, 0], found[:, 0] + found[:, 1] * np.uint64(c.word_bytes) - np.uint64(1)
        assert np.all(first // 4096 == last // 4096)
        assert found[:, 1].max() <= c.burst


def test_refusals_by_hand():
    space = {"word_bytes": 16, "granularity": 2, "address_bits": 16}
    assert refusal(0, 0, **space) == refusal(1, 0, **space) == LENGTH
    assert refusal(8, 1, **space) == refusal(0xFFFF, 1, **space) == ALIGNMENT
    assert refusal(0xFFF0, 8, **space) == OKAY
    assert refusal(0xFFF0, 9, **space) == refusal(0x8000, 0x4001, **space) == RANGE
    assert refusal(0x8000, 0x4000, **space) == OKAY


def test_causes_are_those_of_the_hardware():
    from zoetrope.golden.axi import axi_bursts as golden

    assert {cause.name: cause.value for cause in Cause} == {cause.name: getattr(golden, cause.name) for cause in Cause}
    assert first_error([0, 0]) == first_error([]) == OKAY and first_error([0, 5, 4]) == 5


def test_memory_by_hand():
    memory = np.arange(64, dtype=np.uint8)
    words, cause = read(memory, 0x1010, 9, base=0x1000)
    assert cause == OKAY
    np.testing.assert_array_equal(words.ravel(), [*range(16, 34), *[0] * 14])
    after, cause = write(memory, 0x1010, 9, 100 + words, base=0x1000)
    assert cause == OKAY
    np.testing.assert_array_equal(after, [*range(16), *range(116, 134), *range(34, 64)])
    after, cause = write(memory, 0x1010, 9, words[:1], base=0x1000)
    assert cause == FRAME and after.tolist() == memory.tolist()
    assert write(memory, 0x1011, 1, words, base=0x1000)[1] == ALIGNMENT


def test_rtl():
    assert simulate("axi_bursts").vectors > 1000


def test_many_commands_through_the_rtl():
    """From all over the address space, with and without stalls: no burst crosses 4 KiB, all words once."""
    c = AxiConfig(data_bits=64, granularity=2, burst=32, address_bits=64)
    rng = np.random.default_rng(11)
    native = Native.build(AxiBursts(config=c), "axi_bursts")
    cases = anywhere(rng, c, 6_000)
    expected, _ = expected_rows(c, cases)
    for stalls in (None, {"o": rng.random(997) < 0.4}):
        gaps = stalls and {"i": rng.random(991) < 0.4}
        got, cycles, _ = native.streams({"i": command_rows(c, cases)}, {"o": len(expected)}, stalls=stalls, gaps=gaps)
        np.testing.assert_array_equal(without_refused(c, got["o"]), expected)
        if stalls is None:
            assert cycles["o"][-1] - cycles["o"][0] == len(expected) - 1


@pytest.mark.parametrize(
    "config, message",
    [
        ({"data_bits": 48}, "data_bits must be one of 32, 64, 128, 256, 512, not 48"),
        ({"granularity": 3}, "granularity must be a power of two from 1 to 16, not 3"),
        ({"granularity": 32}, "granularity must be a power of two from 1 to 16, not 32"),
        ({"granularity": 0}, "granularity must be a power of two from 1 to 16, not 0"),
        ({"burst": 512}, "burst must be a power of two from 1 to 256, not 512"),
        ({"burst": 128, "data_bits": 512}, "burst must be a power of two from 1 to 64, not 128"),
        ({"burst": 0}, "burst must be a power of two from 1 to 256, not 0"),
        ({"burst": 12}, "burst must be a power of two from 1 to 256, not 12"),
        ({"address_bits": 15}, "address_bits must be 16 to 64, not 15"),
        ({"address_bits": 65}, "address_bits must be 16 to 64, not 65"),
        ({"length_bits": 0}, "length_bits must be 1 to 32, not 0"),
        ({"length_bits": 33}, "length_bits must be 1 to 32, not 33"),
        ({"outstanding": 1}, "outstanding must be at least 2, not 1"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        AxiConfig(**config)
