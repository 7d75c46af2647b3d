# SPDX-License-Identifier: Apache-2.0
"""Payloads and port values: arrays of the golden, rows of packed little-endian bytes, integers."""

import numpy as np


def as_rows(array):
    """The bytes of an array of any type, one row for each element of its first axis."""
    array = np.atleast_1d(np.ascontiguousarray(array))
    return array.view(np.uint8).reshape(len(array), -1) if array.size else np.zeros((len(array), 0), np.uint8)


def to_rows(values, width, name):
    """Values of a port of ``width`` bits as ``uint8`` rows of ``(width + 7) // 8`` bytes.

    ``values`` is an array whose rows have that many bytes, little-endian, or a sequence of integers, negative ones in
    two's complement. ``ValueError`` calls the port ``name`` if they do not fit.
    """
    size = (width + 7) // 8
    array = values if isinstance(values, np.ndarray) else None
    if array is not None and len(array) and array.nbytes == len(array) * size:
        rows = as_rows(array)
        if width % 8 and (excess := rows[:, -1] >> (width % 8)).any():
            i = int(np.flatnonzero(excess)[0])
            raise ValueError(f"{name}: row {i} does not fit {width} bits: 0x{rows[i, ::-1].tobytes().hex()}")
        return rows
    if array is not None and len(array) and (array.ndim != 1 or array.dtype.kind not in "iub"):
        raise ValueError(f"{name} takes {size} bytes a row ({width} bits), not an array {array.dtype}{array.shape}")
    data = bytearray()
    for i, value in enumerate(values):
        value = int(value)
        code = value + (1 << width) if value < 0 else value
        if not 0 <= code < 1 << width:
            raise ValueError(f"{name}: row {i} does not fit {width} bits: {value:#x}")
        data += code.to_bytes(size, "little")
    return np.frombuffer(data, np.uint8).reshape(len(values), size)


def to_integers(values, width, name):
    """The same values as a list of unsigned integers."""
    rows = to_rows(values, width, name)
    data, size = rows.tobytes(), rows.shape[1]
    return (
        [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)] if size else [0] * len(rows)
    )
