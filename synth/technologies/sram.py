# SPDX-License-Identifier: Apache-2.0
"""The price of SRAM, apart from logic: area, energy a read and leakage of a macro, from published CACTI 7 results.

``sram.csv`` holds what CACTI says at 32 nm, the node of SIMPICKER's Table II; its head states the settings. CACTI is not
run here: it is a C++ program to be built, and its results do not change. Logic is never scaled by these numbers, nor SRAM
by a factor for logic.
"""

import bisect
import csv
import functools
import math
from pathlib import Path

#: um2 of the NAND2 with which SRAM area is expressed in GE: NAND2X0 of the 32 nm library of Table II.
NAND2_UM2 = 1.525

_QUANTITIES = ("area_um2", "read_pj", "write_pj", "leakage_mw", "access_ns")


@functools.cache
def _curves():
    """(read-write, read, write ports, width) to a list of (bytes, quantities), by size."""
    lines = Path(__file__).with_name("sram.csv").read_text().splitlines()
    curves = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        key = tuple(int(row[k]) for k in ("read_write_ports", "read_ports", "write_ports", "width"))
        curves.setdefault(key, []).append((int(row["bytes"]), {q: float(row[q]) for q in _QUANTITIES}))
    return curves


def price(depth, width, read_ports=1, write_ports=1, shared_port=False):
    """Cost of a memory of ``depth`` words of ``width`` bits at 32 nm, as a dict, or None when CACTI gave no number for it.

    Keys: ``area_um2``, ``read_pj`` and ``write_pj`` (an access), ``leakage_mw``, ``access_ns``, and ``at_least``.
    Between two sizes of the same width the quantities are interpolated in log(size), log(quantity); nothing is
    extrapolated. A width between two columns is priced as the next wider one. A memory too shallow for its width (fewer
    than 32 words) gets the price of its bits behind the widest port that the table has for them, with ``at_least`` true:
    the real one is dearer. ``shared_port`` is one read-write port instead of a read and a write port.
    """
    ports = (1, 0, 0) if shared_port else (0, read_ports, write_ports)
    size = depth * width / 8
    widths = sorted(key[3] for key in _curves() if key[:3] == ports)
    wide_enough = [w for w in widths if w >= width]
    for candidate in wide_enough[:1]:
        found = _interpolate(_curves()[*ports, candidate], size)
        if found:
            return found | {"at_least": False}
    for candidate in reversed([w for w in widths if w < width]):
        found = _interpolate(_curves()[*ports, candidate], size)
        if found:
            return found | {"at_least": True}
    return None


def _interpolate(curve, size):
    sizes = [point[0] for point in curve]
    if not sizes[0] <= size <= sizes[-1]:
        return None
    k = bisect.bisect_left(sizes, size)
    if sizes[k] == size:
        return dict(curve[k][1])
    (low, below), (high, above) = curve[k - 1], curve[k]
    t = math.log(size / low) / math.log(high / low)
    return {q: round(below[q] * (above[q] / below[q]) ** t, 6) for q in _QUANTITIES}


def total(memories):
    """Sum over memories as the flows list them: ``bits``, ``area_um2``, ``ge``, ``leakage_mw``, ``at_least``.

    ``area_um2``, ``ge`` and ``leakage_mw`` are None when one of the memories has no price.
    """
    prices = [(memory["count"], price_of(memory)) for memory in memories]
    bits = sum(memory["count"] * memory["bits"] for memory in memories)
    if any(found is None for _, found in prices):
        return {"bits": bits, "area_um2": None, "ge": None, "leakage_mw": None, "at_least": False}
    area = sum(count * found["area_um2"] for count, found in prices)
    return {
        "bits": bits,
        "area_um2": round(area, 1),
        "ge": round(area / NAND2_UM2, 1),
        "leakage_mw": round(sum(count * found["leakage_mw"] for count, found in prices), 4),
        "at_least": any(found["at_least"] for _, found in prices),
    }


def price_of(memory):
    """``price`` of an entry of a flow's list of memories, or None.

    One with more read ports than the table has for its size is ``copies`` of one with a single read port, as it is built of
    macros: all are written, each is read by a port. Area, leakage and energy of a write are as many times those of one.
    """
    depth, width, reads, writes = (memory[key] for key in ("depth", "width", "read_ports", "write_ports"))
    found = price(depth, width, reads, writes)
    if found or reads == 1:
        return found
    one = price(depth, width, 1, writes)
    if one is None:
        return None
    copied = {quantity: round(reads * one[quantity], 6) for quantity in ("area_um2", "write_pj", "leakage_mw")}
    return one | copied | {"copies": reads}
