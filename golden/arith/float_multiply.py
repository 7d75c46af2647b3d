# SPDX-License-Identifier: Apache-2.0
"""Floating-point multiplication: exact, or rounded once to nearest even. Hardware: ``hw.arith.float_multiply``."""

import numpy as np

from zoetrope.golden.formats import FP16, FP29, FP32, canonical_nan, codes_of, fields, fp16, numpy_types, to_float64


def float_multiply(a: np.ndarray, b: np.ndarray, operand=FP16, product=FP29, factor=None) -> np.ndarray:
    """``a * b`` element by element: codes of ``operand`` to codes of ``product``, with broadcasting.

    ``b`` has the format ``factor``, the operand's if None; FP32 beside an FP16 operand and product is the other choice.

    ``product`` is ``operand``, FP16 or FP32 (the product is rounded once; NumPy's element-wise multiplication is IEEE
    754), or a format that holds every product exactly: FP29 or FP32 for FP16 operands (``uint32``). Zeros and infinities
    have the exclusive-or of the operands' signs; infinity times zero, and anything times NaN, is NaN.
    """
    number, code = numpy_types(operand)
    if (factor or operand) != operand:
        if (operand, product, factor) != (FP16, FP16, FP32):
            raise ValueError(f"{operand.name} is multiplied by itself, and FP16 by FP32 to FP16, not by {factor.name}")
        a, b = codes_of(a, FP16), codes_of(b, FP32)
        with np.errstate(invalid="ignore"):  # 11 and 24 significant bits: the product is exact in float64
            return fp16(to_float64(a, FP16) * to_float64(b, FP32))
    a, b = codes_of(a, operand), codes_of(b, operand)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if product == operand:
            return canonical_nan((a.view(number) * b.view(number)).view(code), operand)
        if operand.fraction_bits * 2 + 1 > product.fraction_bits:
            raise ValueError(f"products of {operand.name} are rounded to {operand.name} or exact, not {product.name}")
        exact = to_float64(a, operand) * to_float64(b, operand)
    sign = fields(a, operand)[0] ^ fields(b, operand)[0]
    fraction, exponent = np.frexp(np.abs(np.where(np.isfinite(exact), exact, 0)))
    magnitude = (np.int64(exponent) + product.bias - 2 << product.fraction_bits) + np.ldexp(
        fraction, product.fraction_bits + 1
    ).astype(np.int64)
    magnitude = np.where(exact == 0, 0, np.where(np.isinf(exact), product.inf, magnitude))
    return np.where(np.isnan(exact), product.nan, magnitude | sign << (product.width - 1)).astype(np.uint32)
