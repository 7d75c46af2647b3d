# SPDX-License-Identifier: Apache-2.0
"""FP16 x INT8 without rounding: 11 + 7 bits of significand. Hardware: ``exact`` of ``hw.pe.plain_pe``, ``split_pe``."""

import numpy as np

from zoetrope.golden.formats import FP16, FP24, codes_of, int8_codes, normalised
from zoetrope.golden.pe.lut_multiplier import pack_product


def exact_product(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """``x * w`` exactly, element by element with broadcasting: binary16 and sign-magnitude INT8 codes to FP24 codes.

    Zeros, infinities and NaN are those of ``golden.pe.lut_multiplier.lut_multiplier``.
    """
    x, w = np.broadcast_arrays(codes_of(x, FP16), int8_codes(w))
    exponent, fraction = normalised(x, FP16)
    product = np.maximum((1024 + fraction) * (w & 0x7F).astype(np.int64), 1)
    top = np.frexp(product.astype(np.float64))[1] - 1
    return pack_product(x, w, exponent + top - 10, (product << (17 - top)) & 0x1FFFF, FP24)
