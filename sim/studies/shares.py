# SPDX-License-Identifier: Apache-2.0
"""Shares of what may be nothing, and how a table shows a figure that there is not."""

import math


def share(part: float, whole: float) -> float:
    """``part / whole``. Nothing of nothing is 0, something of nothing infinite."""
    if whole == 0:
        return math.inf if part else 0.0
    return float(part / whole)


def shown(value: float, form: str) -> str:
    """``value`` in a format such as ``.1%``; ``-`` where it is no number or infinite."""
    return format(value, form) if math.isfinite(value) else "-"
