"""Stream payloads in three shapes: arrays of the golden, rows of packed little-endian bytes, integers."""

import numpy as np


def as_rows(array):
    array = np.ascontiguousarray(array)
    if array.ndim == 0:
        array = array.reshape(1)
    return array.view(np.uint8).reshape(len(array), -1) if array.size else np.zeros((len(array), 0), np.uint8)


def to_integers(rows, width, name):
    """Payloads as a list of unsigned integers of ``width`` bits; see ``Bench.send``."""
    size = (width + 7) // 8
    if isinstance(rows, np.ndarray) and len(rows) and rows.nbytes == len(rows) * size:
        data = as_rows(rows).tobytes()
        integers = [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]
    elif isinstance(rows, np.ndarray) and (rows.ndim != 1 or rows.dtype.kind not in "iub") and len(rows):
        raise ValueError(f"{name} takes {size} bytes a payload ({width} bits), not an array {rows.dtype}{rows.shape}")
    else:
        integers = [int(value) + ((int(value) < 0) << width) for value in rows]
    for i, value in enumerate(integers):
        if not 0 <= value < 1 << width:
            raise ValueError(f"{name}: payload {i} does not fit {width} bits: {value:#x}")
    return integers
