# SPDX-License-Identifier: Apache-2.0
"""The LUT multiplier (SIMPICKER IV-B): FP16 x INT8 by one look-up and one exponent add.

Hardware: ``hw.pe.lut_multiplier``, with its table in ``hw.pe.local_table`` and ``hw.pe.lut_buffer``.

Two readings of the paper's 128 KB product table, which it gives without an entry format:

``odd16``
    Entry (f, j) is (1 + f/1024) * (2j + 1) rounded to 11 significant bits, to nearest even, kept as
    ``increment << 10 | fraction``: value ``2**increment * (1 + fraction/1024)``. With w = +-odd * 2**t the product is
    ``entry * 2**(exponent of x + t)``, that is x * w rounded once to 11 bits.
``byte128``
    Entry (f, m) is f * m / 512 rounded to an integer, to nearest even. The product is
    ``(2m + entry) / 2 * 2**(exponent of x)``.
"""

import functools

import numpy as np

from zoetrope.golden.formats import FP16, FP17, codes_of, fields, int8_codes, int8_decode, is_nan, normalised

READINGS = ("odd16", "byte128")


def _check_reading(reading):
    if reading not in READINGS:
        raise ValueError(f"reading must be one of {', '.join(READINGS)}, not {reading!r}")


@functools.cache
def product_table(reading: str = "odd16") -> np.ndarray:
    """The whole table: ``uint16`` (1024, 64) for ``odd16``, ``uint8`` (1024, 128) for ``byte128``; read-only."""
    _check_reading(reading)
    fraction = np.arange(1024, dtype=np.int64)[:, None]
    if reading == "odd16":
        table = _odd16_entries((1024 + fraction) * (2 * np.arange(64) + 1))
    else:
        table = _round_half_even(fraction * np.arange(128), np.int64(9)).astype(np.uint8)
    table.setflags(write=False)
    return table


def _odd16_entries(product):
    """Integers 2**10 .. 2**18 - 1 as ``increment << 10 | fraction``; a carry out of the fraction raises the increment."""
    increment = np.frexp(product.astype(np.float64))[1] - 11
    rounded = _round_half_even(product, increment.astype(np.int64))
    return ((increment << 10) + rounded - 1024).astype(np.uint16)


def _round_half_even(value, bits):
    """``value / 2**bits`` to the nearest integer, ties to even; non-negative ``int64``."""
    quotient = value >> bits
    rest, half = value - (quotient << bits), (np.int64(1) << bits) >> 1
    up = (rest > half) | ((rest == half) & (half > 0) & (quotient & 1 == 1))
    return quotient + up


def lut_multiplier(x: np.ndarray, w: np.ndarray, reading: str = "odd16") -> np.ndarray:
    """``x * w`` as the LUT multiplier computes it, element by element with broadcasting.

    Parameters
    ----------
    x : binary16 codes
    w : sign-magnitude INT8 codes; 0x80 means 0
    reading : ``odd16`` or ``byte128``

    Returns
    -------
    FP17 codes, ``uint32``. A zero has the sign of x if w is zero and the exclusive-or of the signs otherwise; infinity
    times zero, and anything times NaN, is NaN.
    """
    _check_reading(reading)
    x, w = np.broadcast_arrays(codes_of(x, FP16), int8_codes(w))
    exponent, fraction = normalised(x, FP16)
    parts = _odd16_product if reading == "odd16" else _byte128_product
    scale, rounded = parts(fraction, (w & 0x7F).astype(np.int64))
    return pack_product(x, w, exponent + scale, rounded, FP17)


def pack_product(x, w, exponent, fraction, fmt):
    """Codes of ``fmt``: finite products as given, ``2**exponent * (1 + fraction / 2**F)``; IEEE's rules for the others."""
    magnitude = w & 0x7F
    sign = fields(x, FP16)[0] ^ (int8_decode(w) < 0)
    code = ((exponent + fmt.bias) << fmt.fraction_bits) | fraction
    x_zero, x_inf = (x & 0x7FFF) == 0, (x & 0x7FFF) == FP16.inf
    code = np.where(x_zero | (magnitude == 0), 0, code)
    code = np.where(x_inf, fmt.inf, code) | (sign << (fmt.width - 1))
    return np.where(is_nan(x, FP16) | (x_inf & (magnitude == 0)), fmt.nan, code).astype(np.uint32)


def _odd16_product(fraction, magnitude):
    """(power of two, 10-bit fraction) of ``(1 + fraction/1024) * magnitude``, by the table."""
    twos = np.frexp((magnitude & -magnitude).astype(np.float64))[1] - 1
    twos = np.maximum(twos, 0)
    entry = product_table("odd16")[fraction, magnitude >> twos >> 1].astype(np.int64)
    return (entry >> 10) + twos, entry & 1023


def _byte128_product(fraction, magnitude):
    """The same of ``(2 * magnitude + entry) / 2``, which has 9 significant bits."""
    total = np.maximum(2 * magnitude + product_table("byte128")[fraction, magnitude], 1)
    top = np.frexp(total.astype(np.float64))[1] - 1
    return top - 1, (total << (10 - top)) & 1023
