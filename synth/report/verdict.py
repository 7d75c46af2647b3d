# SPDX-License-Identifier: Apache-2.0
"""What a reader of the report wants to know first: what is built, what it costs beside the papers, and what holds.

Every sentence here is made from results: a claim of a paper is said to hold, to hold in part or not to hold by a rule that
stands beside its figures, and changes with them.
"""

import dataclasses
import statistics

from zoetrope.hw import catalogue
from zoetrope.synth.papers import orbis, simpicker
from zoetrope.synth.report import side_by_side
from zoetrope.synth.report import tables as report
from zoetrope.synth.report.lane_plots import FIVE, FP16_LANE, lane_costs

HOLDS, PARTLY, NOT = "holds", "in part", "does not hold"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a paper says, whether it holds for what is built here, and the figures; ``place``: the section that has more."""

    text: str
    source: str
    verdict: str
    figures: str
    place: str


def built():
    """(machine, paper, number of its own blocks, what its largest block does) of each machine; what is shared last."""
    rows = []
    for name, paper in catalogue.MACHINES.items():
        mine = [block for block in catalogue.BLOCKS.values() if block.machine == name]
        if mine:
            whole = next((block for block in reversed(mine) if block.composed), mine[-1])
            rows.append(
                (name.upper(), "" if paper == name.upper() else paper, len(mine), f"{whole.key}: {whole.summary}")
            )
    shared = sum(not block.machine for block in catalogue.BLOCKS.values())
    rows.append(
        (
            "shared by machines",
            "",
            shared,
            "arithmetic, trees, memories, AXI, processing elements, softmax, a board's parts",
        )
    )
    return rows


def bridge(rows, machine):
    """From the units of Table II to the whole chip: (what, ours and the paper's GE, a lower bound or not) of each step.

    ``rows`` are those of ``side_by_side.table_ii``, ``machine`` is SIMCORE at the paper's size as the page has it; [] unless
    all of it is measured.
    """
    logic = side_by_side.logic(rows)
    if machine is None or logic["ours"] is None or machine["sram_ge"] is None:
        return []
    chip = simpicker.FIGURES["chip"].ge
    bound = machine["at_least"]
    kib = machine["sram_bits"] / 8192
    return [
        (
            "the units of Table II as they are by default, as many as the paper has",
            logic["ours"],
            logic["paper"],
            False,
        ),
        (
            "what the machine has besides at that size: controllers, queues, operand memories' ports, bus",
            machine["ge"] - logic["ours"],
            None,
            False,
        ),
        ("all logic of the machine", machine["ge"], logic["paper"], False),
        (f"its memories, {kib:,.0f} KiB; the paper's 628 KiB", machine["sram_ge"], chip - logic["paper"], bound),
        ("the whole chip, memories priced as gates", machine["total_ge"], chip, bound),
    ]


def claims(found, rows):
    """The papers' claims that what is measured says something about."""
    return [claim for make in (_multiplier, _lane, _units, _chip, _speed, _matching) if (claim := make(found, rows))]


def _multiplier(found, rows):
    lut, plain = (each for each in lane_costs(found.lanes) if each["name"] in (FIVE[0], FIVE[3]))
    logic, table = lut["multiplier"] / plain["multiplier"], (lut["multiplier"] + lut["table"]) / plain["multiplier"]
    compared = report.comparison(found.defaults)
    buffer = f", {lut['bound']}{compared[0]['ratio_plain']:.2f} with its part of the LUT buffer" if compared else ""
    return Claim(
        "A LUT multiplier is smaller than an 11 x 7 multiplier.",
        "SIMPICKER IV-B",
        HOLDS if table < 1 else NOT,
        f"{logic:.2f} of its gates without the table, {lut['bound']}{table:.2f} with its table as SRAM{buffer}",
        "lanes",
    )


def _lane(found, rows):
    lanes = {each["name"]: each for each in lane_costs(found.lanes)}
    fp16, lut = lanes[FP16_LANE], lanes[FIVE[0]]
    least = min(lanes.values(), key=lambda lane: lane["whole"])
    published = simpicker.TABLE_II["lut_pes"].ge / simpicker.TABLE_II["fp16_pes"].ge
    ratio = lut["whole"] / fp16["whole"]
    return Claim(
        f"A mixed lane takes {published:.2f} of an FP16 lane.",
        "SIMPICKER, Table II",
        HOLDS if ratio <= published else PARTLY if least["whole"] < fp16["whole"] else NOT,
        f"the LUT lane {lut['bound']}{ratio:.2f}, the least one ({least['name']}) {least['whole'] / fp16['whole']:.2f}; "
        "without what a row of lanes shares",
        "lanes",
    )


def _units(found, rows):
    logic = side_by_side.logic(rows)
    if logic["ours"] is None:
        return None
    within = [total["row"].component for total in side_by_side.totals(rows) if total["ratio"] <= 1]
    return Claim(
        "The units of SIMCORE fit into the areas of Table II.",
        "SIMPICKER, Table II",
        HOLDS if logic["ratio"] <= 1 else PARTLY if within else NOT,
        f"all together {logic['ratio']:.2f} of the paper's gates; within it: {', '.join(within) or 'none'}",
        "simpicker",
    )


def _chip(found, rows):
    machine = found.simcore
    if machine is None or machine["sram_ge"] is None:
        return None
    theirs, bound = simpicker.FIGURES["chip"].ge, "≥ " if machine["at_least"] else ""
    return Claim(
        f"SIMCORE takes {simpicker.TOTAL_MM2} mm2 at 32 nm, {theirs / 1e6:.2f} million gates.",
        "SIMPICKER, Table II",
        HOLDS if machine["total_ge"] <= theirs else NOT,
        f"{bound}{machine['total_ge'] / 1e6:.2f} million, {bound}{machine['total_ge'] / theirs:.2f} of it",
        "simcore",
    )


def _speed(found, rows):
    if not found.head:
        return None
    each = next(row for row in found.head["beside_paper"] if row["name"] == "all features")
    fitted = each["paper fitted"]
    both = each["measured"] >= each["paper"] and fitted >= each["paper"]
    return Claim(
        f"All features together make a head {each['paper']:.2f} x as fast as FP16 alone.",
        "SIMPICKER VI-E",
        HOLDS if both else PARTLY if max(each["measured"], fitted) >= each["paper"] else NOT,
        f"{each['measured']:.2f} x in RTL at preset {found.head['preset']}; by the model {fitted:.2f} x with arrays "
        "of the paper's size on the same short clip",
        "simcore",
    )


def _matching(found, rows):
    if not found.matching:
        return None
    shares, theirs = [row["share"] for row in found.matching["rows"]], orbis.CHIP.share
    return Claim(
        f"The matching engine takes {theirs:.1%} of an instance.",
        "ORBIS, abstract",
        HOLDS if max(shares) <= theirs else PARTLY if min(shares) <= theirs else NOT,
        f"{min(shares):.1%} to {max(shares):.1%} of the area, by how weights of channels are applied; without quantization",
        "orbis",
    )


def speeds(found):
    """What routed on ECP5 how fast, as a sentence; "" where nothing is."""

    def routed(results):
        return sorted(speed for r in results if (speed := (r.get("ecp5") or {}).get("fmax_mhz")))

    operators, blocks = routed(found.operators), routed(found.defaults)
    if not operators or not blocks:
        return ""
    return (
        f"Placed and routed on an ECP5, operators with all their register stages reach {operators[0]:,.0f} to "
        f"{operators[-1]:,.0f} MHz; {len(blocks)} blocks as they are by default {blocks[0]:,.0f} to {blocks[-1]:,.0f} MHz, "
        f"half of them {statistics.median(blocks):,.0f} or more. Larger blocks are not routed. Stages are parameters."
    )
