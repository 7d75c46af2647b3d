# SPDX-License-Identifier: Apache-2.0
"""The score buffer: which tiles are important, a bit each (SIMPICKER IV-C).

Hardware: ``hw.simcore.quantization_engine.score_buffer``.
"""

import numpy as np


def check(rows: int, columns: int, held_rows: int, held_columns: int) -> None:
    """``ValueError`` where a map of ``rows`` x ``columns`` tiles does not fit a buffer of so many, or is empty."""
    if not (1 <= rows <= held_rows and 1 <= columns <= held_columns):
        raise ValueError(f"the score buffer holds {held_rows} x {held_columns} tiles, not {rows} x {columns}")


def read(map: np.ndarray, written: np.ndarray, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows of bits, bits) that ``row`` and ``column``, both (n,), find in ``map`` (rows, columns), boolean.

    A row that was not ``written`` (rows,), and one outside of the map, is important throughout; so is a column outside.
    """
    row, column = np.asarray(row), np.asarray(column)
    if not (row.ndim == 1 and row.shape == column.shape and row.dtype.kind in "iu" and column.dtype.kind in "iu"):
        raise ValueError(
            f"row and column must be whole numbers (n,), not {row.dtype} {row.shape}, {column.dtype} {column.shape}"
        )
    if (row < 0).any() or (column < 0).any():
        raise ValueError("row and column must be at least 0")
    known = row < len(map)
    found = np.where(known, row, 0)
    lines = map[found] | ~(known & written[found])[:, None]
    inside = column < map.shape[1]
    bits = np.take_along_axis(lines, np.where(inside, column, 0)[:, None], axis=1)[:, 0]
    return lines, bits | ~inside
