"""The plain PE: the control, bit for bit the LUT PE."""

import numpy as np
import pytest

from golden.formats import FP17, FP32, canonical_nan, to_float64
from golden.lut_multiplier import lut_multiplier
from hw.registry import find
from hw.simcore.plain_pe import PlainPE, PlainPEConfig
from sim.harness import simulate
from sim.native import Native


@pytest.mark.parametrize("preset", find("plain_pe").presets)
def test_rtl(preset):
    assert simulate("plain_pe", preset).vectors > 1000


@pytest.mark.parametrize(
    "config",
    [PlainPEConfig(lanes=1, words=1, add_stages=0), PlainPEConfig(lanes=3, words=2, add_stages=5, product_stages=2)],
    ids=lambda c: f"D{c.words}-A{c.turnaround}",
)
def test_stalls_are_those_of_the_formula(config):
    simulate("plain_pe", config=config, testcase="sums")


def test_all_products_through_the_rtl():
    x = np.arange(1 << 16, dtype=np.uint16)
    w = np.tile(np.arange(256, dtype=np.uint8).reshape(32, 8), (len(x), 1))
    native = Native.build(PlainPE(config=PlainPEConfig(words=32)), "plain_pe")
    native.reset()
    rows, _, _ = native.streams({"i_x": (x.astype(np.uint32) | 1 << 16), "i_w": w}, {"o": len(w)}, max_cycles=3_000_000)
    got = rows["o"].reshape(-1, 4).view(np.uint32).reshape(1 << 16, 256)
    products = to_float64(lut_multiplier(x[:, None], np.arange(256, dtype=np.uint8)), FP17)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = canonical_nan((products + 0.0).astype(np.float32).view(np.uint32), FP32)
    np.testing.assert_array_equal(got, expected)


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="product_stages must be 1 or 2, not 0"):
        PlainPEConfig(product_stages=0)
