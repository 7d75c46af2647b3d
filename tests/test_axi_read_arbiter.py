"""The AXI4 read arbiter: golden by hand, benches, readers of different speed on one memory through the RTL."""

import numpy as np
import pytest

from golden.axi_read_arbiter import grants, owners, saturated
from hw.axi.axi_read_arbiter import AxiReadArbiterConfig
from hw.registry import find
from sim.harness import simulate


@pytest.mark.parametrize("preset", find("axi_read_arbiter").presets)
def test_rtl(preset):
    assert simulate("axi_read_arbiter", preset).vectors > 500


def test_golden_by_hand():
    assert saturated([3, 0, 1, 2]).tolist() == [0, 2, 3, 0, 3, 0]
    assert saturated([1, 1, 1], last=0).tolist() == [1, 2, 0]
    assert grants(np.array([[0, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]])).tolist() == [1, 0, 1, 0]
    assert owners([2, 0], [3, 1]).tolist() == [2, 2, 2, 0]
    with pytest.raises(ValueError, match="grant 0 needs a reader that waits"):
        grants(np.zeros((1, 2)))


def test_whoever_waits_is_passed_over_once_by_each():
    rng = np.random.default_rng(5)
    waiting = np.zeros(5, bool)
    passed, last = np.zeros((5, 5), int), -1
    for _ in range(2000):
        waiting |= rng.random(5) < 0.3
        if not waiting.any():
            continue
        last = int(grants(waiting[None], last)[0])
        waiting[last] = False
        passed[waiting, last] += 1
        passed[last] = 0
        assert passed.max() <= 1


@pytest.mark.parametrize(
    "config, message",
    [
        ({"readers": 0}, "readers must be at least 1, not 0"),
        ({"outstanding": 0}, "outstanding must be at least 1, not 0"),
        ({"data_bits": 48}, r"data_bits must be one of \(32, 64, 128, 256, 512\), not 48"),
        ({"address_bits": 12}, "address_bits must be 13 to 64, not 12"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        AxiReadArbiterConfig(**config)
