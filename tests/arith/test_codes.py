# SPDX-License-Identifier: Apache-2.0
"""Goldens of operators take codes: numbers, codes of another width and formats that they have not are refused."""

import numpy as np
import pytest

from zoetrope.golden.arith.exp import exp
from zoetrope.golden.arith.float_add import float_add
from zoetrope.golden.arith.float_compare import float_compare
from zoetrope.golden.arith.float_convert import float_convert, integer_convert
from zoetrope.golden.arith.float_multiply import float_multiply
from zoetrope.golden.arith.reciprocal import reciprocal
from zoetrope.golden.formats import FP16, FP17, FP32, codes_of, fp16, fp32, int8_decode, to_float64
from zoetrope.golden.pe.aligned_pe import aligned_pe
from zoetrope.golden.pe.array_product import fp_fp, fp_int
from zoetrope.golden.pe.exact_product import exact_product
from zoetrope.golden.pe.fp16_pe import fp16_pe
from zoetrope.golden.pe.lut_multiplier import lut_multiplier
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.softmax.sfu import sfu

X, W = fp16([[1.0, 2.0]]), np.zeros((1, 2, 3), np.uint8)
NUMBERS = np.array([[1.5, 2.5]])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: exp(x),
        lambda x: float_add(x, fp32(NUMBERS)),
        lambda x: float_add(fp32(NUMBERS), x),
        lambda x: float_add(fp32(NUMBERS), x, FP32, FP16),
        lambda x: float_compare(x, X, FP16),
        lambda x: float_convert(x),
        lambda x: float_multiply(X, x),
        lambda x: float_multiply(X, x, FP16, FP16, FP32),
        lambda x: reciprocal(x),
        lambda x: to_float64(x, FP17),
        lambda x: int8_decode(x),
        lambda x: lut_multiplier(x, np.uint8(1)),
        lambda x: lut_multiplier(X, x),
        lambda x: exact_product(x, np.uint8(1)),
        lambda x: fp16_pe(x, np.zeros((1, 2, 3), np.uint16)),
        lambda x: lut_pe(x, W),
        lambda x: aligned_pe(x, W),
        lambda x: fp_fp(x, X.T),
        lambda x: fp_int(X, x.T),
        lambda x: sfu(x),
    ],
)
def test_numbers_are_no_codes(call):
    with pytest.raises(ValueError, match=r"codes of \w+ must be whole numbers of \d+ bits, not float64"):
        call(NUMBERS)


def test_codes_of_another_width():
    with pytest.raises(
        ValueError, match=r"codes of FP16 must be whole numbers of 16 bits, not 1065353216: .*fp16\(x\)"
    ):
        exp(fp32([1.0]), FP16)
    with pytest.raises(ValueError, match="codes of FP32 must be whole numbers of 32 bits, not -1"):
        reciprocal(np.array([-1]))
    assert codes_of([1, 2], FP16).dtype == np.uint16 and codes_of([1 << 16], FP17).dtype == np.uint32
    assert codes_of([], FP16).shape == (0,)


@pytest.mark.parametrize(
    "call",
    [
        lambda fmt: exp(X, FP16, fmt),
        lambda fmt: exp(X, fmt, FP16),
        lambda fmt: float_add(X, X, fmt),
        lambda fmt: float_multiply(X, X, fmt),
        lambda fmt: float_convert(X, FP16, fmt),
        lambda fmt: integer_convert([1], fmt),
        lambda fmt: reciprocal(X, fmt),
    ],
)
def test_formats_that_an_operator_has_not(call):
    with pytest.raises(ValueError, match="the format must be FP16 or FP32, not FP17"):
        call(FP17)
