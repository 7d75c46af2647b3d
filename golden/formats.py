# SPDX-License-Identifier: Apache-2.0
"""Number formats, as codes: binary16, binary32, FP17, FP24 and FP29 (products) and sign-magnitude INT8.

==========  ====  ========  ========  ====  =========================================================================
format      sign  exponent  fraction  bias  values
==========  ====  ========  ========  ====  =========================================================================
binary16    1     5         10        15    IEEE 754, subnormals kept
binary32    1     8         23        127   IEEE 754, subnormals kept
FP17        1     6         10        31    products of a binary16 and an INT8: never subnormal, never overflows
FP24        1     6         17        31    the same products, exact: 11 + 7 bits of significand
FP29        1     7         21        63    exact products of two binary16: never subnormal, never overflows
INT8        1     --        7         --    sign and magnitude, -127..127; code 0x80 (-0) is accepted, never produced
==========  ====  ========  ========  ====  =========================================================================

Policy, the same in ``hw.formats``:

* Rounding is to nearest, ties to even. Nothing flushes to zero.
* One NaN leaves a block: positive, quiet, empty payload (0x7E00, 0x7FC00000, FP17 0xFE00, FP29
  0xFF00000). Any NaN may enter.
* Zeros have a sign. ``x * 0`` is a zero whose sign is the exclusive-or of the operands' signs; ``-0 + +0`` is ``+0``.
* Order is total on values: -inf < finite < +inf < NaN, with ``-0 == +0`` and all NaN equal. Ties go to the lowest index.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Float(NamedTuple):
    """A binary floating-point format with IEEE 754 encoding: ``sign | exponent | fraction``."""

    name: str
    exponent_bits: int
    fraction_bits: int

    @property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def bias(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def exponent_max(self) -> int:
        """The exponent field of infinities and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def nan(self) -> int:
        """The one NaN code that a block produces."""
        return (self.exponent_max << self.fraction_bits) | (1 << (self.fraction_bits - 1))

    @property
    def inf(self) -> int:
        return self.exponent_max << self.fraction_bits


FP16 = Float("FP16", 5, 10)
FP32 = Float("FP32", 8, 23)
FP17 = Float("FP17", 6, 10)
FP24 = Float("FP24", 6, 17)
FP29 = Float("FP29", 7, 21)


def numpy_types(fmt: Float) -> tuple[type, type]:
    """NumPy's type of the numbers of ``fmt``, and that of their codes. ``ValueError`` for a format that NumPy has not."""
    if fmt not in (FP16, FP32):
        raise ValueError(f"the format must be FP16 or FP32, not {getattr(fmt, 'name', fmt)}")
    return (np.float16, np.uint16) if fmt == FP16 else (np.float32, np.uint32)


def codes_of(values: np.ndarray, fmt: Float) -> np.ndarray:
    """Codes of ``fmt`` as ``uint16`` or, of more than 16 bits, ``uint32``. ``ValueError`` for what are no such codes."""
    return _codes(values, fmt.width, fmt.name, {"FP16": "fp16(x)", "FP32": "fp32(x)"}.get(fmt.name))


def int8_codes(values: np.ndarray) -> np.ndarray:
    """Codes of sign-magnitude INT8 as ``uint8``. ``ValueError`` for what are no such codes."""
    return _codes(values, 8, "INT8", "int8_encode(x)")


def _codes(values, width, name, made_by):
    values = np.asarray(values)
    kind = np.uint8 if width <= 8 else np.uint16 if width <= 16 else np.uint32
    if values.dtype == kind and width in (8, 16, 32):
        return values
    hint = f": golden.formats.{made_by} makes them of numbers" if made_by else ""
    if values.dtype.kind not in "ui" and values.size:
        raise ValueError(f"codes of {name} must be whole numbers of {width} bits, not {values.dtype}{hint}")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < 1 << width:
        wrong = values.min() if values.min() < 0 else values.max()
        raise ValueError(f"codes of {name} must be whole numbers of {width} bits, not {wrong}{hint}")
    return values.astype(kind, copy=False)


def fields(codes: np.ndarray, fmt: Float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes to (sign, exponent, fraction), each ``int64`` of the same shape."""
    codes = codes_of(codes, fmt).astype(np.int64)
    sign = codes >> (fmt.width - 1) & 1
    exponent = codes >> fmt.fraction_bits & fmt.exponent_max
    return sign, exponent, codes & ((1 << fmt.fraction_bits) - 1)


def is_nan(codes: np.ndarray, fmt: Float) -> np.ndarray:
    return _magnitudes(codes, fmt) > fmt.inf


def is_finite(codes: np.ndarray, fmt: Float) -> np.ndarray:
    return _magnitudes(codes, fmt) < fmt.inf


def _magnitudes(codes, fmt):
    """Codes without their signs, which are in the order of the values; an infinity is below every NaN."""
    return codes_of(codes, fmt) & ((1 << fmt.width - 1) - 1)


def to_float64(codes: np.ndarray, fmt: Float) -> np.ndarray:
    """The exact value of each code, in ``float64`` (every format here is a subset of it)."""
    sign, exponent, fraction = fields(codes, fmt)
    subnormal = exponent == 0
    significand = np.where(subnormal, fraction, fraction | (1 << fmt.fraction_bits)).astype(np.float64)
    value = np.ldexp(significand, np.where(subnormal, 1, exponent) - fmt.bias - fmt.fraction_bits)
    value = np.where(exponent == fmt.exponent_max, np.where(fraction == 0, np.inf, np.nan), value)
    return np.where(sign == 1, -value, value)


def canonical_nan(codes: np.ndarray, fmt: Float) -> np.ndarray:
    """Every NaN code replaced by the one that a block produces; same dtype."""
    codes = np.asarray(codes)
    return np.where(is_nan(codes, fmt), codes.dtype.type(fmt.nan), codes)


def fp16(values: np.ndarray) -> np.ndarray:
    """Numbers to binary16 codes (``uint16``), rounded to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        return canonical_nan(np.asarray(values).astype(np.float16).view(np.uint16), FP16)


def fp32(values: np.ndarray) -> np.ndarray:
    """Numbers to binary32 codes (``uint32``), rounded to nearest even."""
    with np.errstate(over="ignore", invalid="ignore"):
        return canonical_nan(np.asarray(values).astype(np.float32).view(np.uint32), FP32)


def normalised(codes: np.ndarray, fmt: Float) -> tuple[np.ndarray, np.ndarray]:
    """Finite non-zero codes as (exponent, fraction) with a leading one: ``|x| = 2**exponent * (1 + fraction / 2**F)``.

    A subnormal is shifted up to its leading one and its exponent lowered by as much; what a zero, an infinity or a NaN
    returns has no meaning.
    """
    _, exponent, fraction = fields(codes, fmt)
    position = np.frexp(np.maximum(fraction, 1).astype(np.float64))[1] - 1
    shift = np.where(exponent == 0, fmt.fraction_bits - position, 0)
    mask = (1 << fmt.fraction_bits) - 1
    return np.where(exponent == 0, 1 - shift, exponent) - fmt.bias, (fraction << shift) & mask


def order_key(codes: np.ndarray, fmt: Float) -> np.ndarray:
    """Codes to ``int64`` keys whose integer order is the total order above; equal values have equal keys."""
    codes = np.asarray(codes)
    sign, exponent, fraction = fields(codes, fmt)
    magnitude = (exponent << fmt.fraction_bits) | fraction
    return np.where(is_nan(codes, fmt), fmt.inf + 1, np.where(sign == 1, -magnitude, magnitude))


def int8_encode(values: np.ndarray) -> np.ndarray:
    """Integers -127..127 to sign-magnitude codes (``uint8``). ``ValueError`` outside that range: -128 has no magnitude."""
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"INT8 codes are made from integers, not {values.dtype}")
    wide = values.astype(np.int64)
    if wide.size and np.abs(wide).max() > 127:
        raise ValueError(f"sign-magnitude INT8 holds -127..127, not {wide.flat[np.abs(wide).argmax()]}")
    return (np.abs(wide) | np.where(wide < 0, 0x80, 0)).astype(np.uint8)


def int8_decode(codes: np.ndarray) -> np.ndarray:
    """Sign-magnitude codes to ``int16`` numbers; 0x80 (-0) is 0."""
    codes = int8_codes(codes).astype(np.int16)
    return np.where(codes & 0x80, -(codes & 0x7F), codes & 0x7F).astype(np.int16)
