# SPDX-License-Identifier: Apache-2.0
"""The papers' figures beside ours, row by row: SIMPICKER's Table II, what ORBIS says of its areas, and both across nodes.

Ours and theirs are compared in GE. um2 of a standard-cell library are shown as they are, at the library's node, and at the
paper's only together with both published factors (``synth.technologies.scaling``).
"""

import itertools
import statistics

from zoetrope.hw import catalogue
from zoetrope.synth.papers import figures, orbis, simpicker
from zoetrope.synth.papers.printed import Share, Total
from zoetrope.synth.technologies import scaling, sram

#: nm of the libraries that have a preset.
LIBRARY_NODES = {"sky130hd": 130, "sg13g2": 130, "asap7": 7, "osu018": 180}

#: Bits of the one port with which the buffers of Table II are priced.
BUFFER_PORT = 512


def table_ii(results):
    """Table II with a row for each of our blocks beside it, as dicts in its order.

    ``results`` are those of ``synth.costs.runs`` at default presets. Keys: ``row`` (``printed.Row``), ``block``, ``preset``,
    ``lanes``, ``ge`` and ``ratio`` of one unit; ``total_ge`` of all units of the row, and ``counted``, whether it is part of
    the sum of all rows; ``um2``, library name to um2 of one unit. ``block`` is None where we have no result; of the
    buffers, ``mm2``.
    """
    rows = []
    for name, row in simpicker.TABLE_II.items():
        ours = figures.blocks(f"simpicker.{name}")
        found = [result for block in ours for result in results if result["block"] == block]
        rows += [_beside(row, result) for result in found] or [{"row": row, "block": None}]
    rows[-1]["mm2"] = buffers_mm2()
    rows[-1]["ratio"] = rows[-1]["mm2"] / rows[-1]["row"].area_mm2
    return rows


def _beside(row, result):
    divisor = result["lanes"] or 1 if row.unit == "lane" else 1
    ge = result["generic"]["ge"] / divisor
    return {
        "row": row,
        "block": result["block"],
        "preset": result["preset"],
        "lanes": result["lanes"],
        "ge": ge,
        "ratio": ge / row.ge,
        "total_ge": ge * row.units,
        "counted": catalogue.find(result["block"]).counted,
        "um2": {name: mapped["um2"] / divisor for name, mapped in result.get("libraries", {}).items()},
    }


def buffers_mm2():
    """The buffers of Table II by the table of ``synth.technologies.sram``: one memory each, one port of
    ``BUFFER_PORT`` bits.
    """
    prices = [sram.price(kib * 8192 // BUFFER_PORT, BUFFER_PORT, shared_port=True) for _, kib in simpicker.BUFFERS]
    return sum(price["area_um2"] for price in prices) / 1e6


def totals(rows):
    """Each row of Table II that is logic with the blocks that count for it together, as dicts in its order.

    Keys: ``row``; ``blocks``, their entries of ``rows``, empty unless all of them are measured; ``ge`` of all units of the
    row, and ``ratio``, None without ``blocks``.
    """
    found = []
    for name, row in simpicker.TABLE_II.items():
        if row.unit == "bit":
            continue
        blocks = [each for each in rows if each["row"] is row and each["block"] and each["counted"]]
        complete = {each["block"] for each in blocks} == set(figures.counted(f"simpicker.{name}"))
        ge = sum(each["total_ge"] for each in blocks) if complete else None
        share = None if ge is None else ge / (row.ge * row.units)
        found.append({"row": row, "blocks": blocks if complete else [], "ge": ge, "ratio": share})
    return found


def logic(rows):
    """Sum of the rows of Table II that are logic, in GE: ``paper``, ``ours`` (None unless all are measured), ``ratio``."""
    found = totals(rows)
    theirs = sum(each["row"].ge * each["row"].units for each in found)
    complete = all(each["blocks"] for each in found)
    ours = sum(each["ge"] for each in found) if complete else None
    return {"paper": theirs, "ours": ours, "ratio": ours / theirs if complete else None}


def machine(result, matching):
    """A machine (a result of ``synth.costs.composition``) beside its paper's figure, a dict, or None where there is none.

    ``what`` is counted, ``paper`` and ``ours`` in the same ``unit``, ``ratio``; ``memories``: whether they are in it. A
    share is that of an instance whose array is that of ``matching`` (``synth.costs.datm_budget.budget``): logic, without
    quantization, which ORBIS includes.
    """
    figure = figures.figure(result["block"])
    if result["preset"] != catalogue.Block.PAPER_SIZE or not isinstance(figure, (Total, Share)):
        return None
    memories = isinstance(figure, Total) and figure.memories
    if isinstance(figure, Share):
        found = {"unit": "share", "paper": figure.share, "ours": result["ge"] / (result["ge"] + matching["array_ge"])}
    elif memories and result["sram"]["ge"] is None:
        return None
    else:
        found = {"unit": "GE", "paper": figure.ge, "ours": result["ge"] + (result["sram"]["ge"] if memories else 0)}
    return {"what": figure.what, **found, "ratio": found["ours"] / found["paper"], "memories": memories}


def crossed(um2, library, target=simpicker.NODE):
    """um2 of a library at the node of a paper: (library's node, the two ``scaling.Factor``, um2 by each or None).

    None for a library without a known node.
    """
    node = LIBRARY_NODES.get(library)
    if node is None:
        return None
    both = scaling.factors("area", node, target)
    return node, both, [None if factor.value is None else um2 * factor.value for factor in both]


def measured_factors(rows, libraries):
    """(larger node's library, smaller node's, um2 of the smaller over the larger) of each pair of libraries of two nodes.

    The median over the blocks beside Table II that are mapped to both: the same gates, so that no set of factors is in it.
    """
    known = sorted((name for name in libraries if name in LIBRARY_NODES), key=lambda name: (-LIBRARY_NODES[name], name))
    found = []
    for one, other in itertools.combinations(known, 2):
        mapped = [row["um2"] for row in rows if row["block"] and {one, other} <= set(row["um2"])]
        if mapped and LIBRARY_NODES[one] != LIBRARY_NODES[other]:
            found.append((one, other, statistics.median(um2[other] / um2[one] for um2 in mapped)))
    return found


def orbis_scaling():
    """ORBIS's own scaling, and what the other published set makes of it.

    Dicts of ``quantity``, ``unit``, ``value`` at its node, ``printed`` at the other; ``factors`` and ``scaled``, one a set.
    """
    chip, rows = orbis.CHIP, []
    for quantity, unit, value, printed in (
        ("area", "mm2", chip.area_mm2, chip.scaled_area_mm2),
        ("power", "W", chip.power_w, chip.scaled_power_w),
    ):
        both = scaling.factors(quantity, chip.node, chip.scaled_node)
        scaled = [None if factor.value is None else value * factor.value for factor in both]
        row = {"quantity": quantity, "unit": unit, "value": value, "printed": printed}
        rows.append(row | {"factors": both, "scaled": scaled})
    return rows
