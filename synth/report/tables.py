# SPDX-License-Identifier: Apache-2.0
"""Results of ``synth.costs.runs`` as tables: LUT PE against plain PE first, then every block beside the paper."""

from zoetrope.hw.files import table
from zoetrope.synth.costs import power
from zoetrope.synth.costs.lanes import MULTIPLIER, compared
from zoetrope.synth.flows.fpga import TARGETS
from zoetrope.synth.flows.modules import FLOPS_BITS
from zoetrope.synth.papers import simpicker
from zoetrope.synth.technologies import sram


def comparison(results):
    """Rows of LUT PE against plain PE, per lane, as dicts; an empty list unless both were measured.

    Of the multiplier: ``logic_ge``; ``table_ge``, its tables as SRAM (CACTI, 32 nm: ``synth.technologies.sram``);
    ``buffer_ge``, the LUT
    buffer divided by the 1,024 lanes that share it in SIMPICKER; ``ge``, the sum, a lower bound where ``at_least`` is true.
    ``ratio_plain`` is ``ge`` over the plain PE's, ``ratio_paper`` over SIMPICKER's LUT lane, ``paper_ge``. ``pe_ge`` and
    ``pe_ratio_plain`` are the logic of the whole PE, with FP32 accumulation and control. With ``memories`` in flip-flops
    tables are logic.
    """
    by_name = {}
    for result in results:
        by_name.setdefault(result["block"], result)
    names = compared()
    if not names or not set(names) <= set(by_name):
        return []
    measured = [by_name[name] for name in names]
    rows = []
    for memories, flow in (("SRAM", "generic"), ("flip-flops", "generic_flops")):
        if all(result[flow] for result in measured):
            plain = _compared(measured[-1], memories, flow)
            for row in (_compared(result, memories, flow) for result in measured):
                row["ratio_plain"] = round(row["ge"] / plain["ge"], 3)
                row["pe_ratio_plain"] = round(row["pe_ge"] / plain["pe_ge"], 3)
                rows.append(row)
    return rows


def _compared(result, memories, flow):
    lanes, generic, reference = result["lanes"], result[flow], simpicker.TABLE_II["lut_pes"]
    logic, tables = _products(generic["modules"], MULTIPLIER)
    buffers = [memory for memory in generic["memories"] if memory["bits"] > FLOPS_BITS]
    table, buffer = sram.total(tables), sram.total(buffers)
    ge = logic / lanes + (table["ge"] or 0) / lanes + (buffer["ge"] or 0) / reference.units
    return {
        "block": result["block"],
        "preset": result["preset"],
        "memories": memories,
        "logic_ge": round(logic / lanes, 1),
        "table_bits": table["bits"] // lanes,
        "table_ge": None if table["ge"] is None else round(table["ge"] / lanes, 1),
        "buffer_ge": None if buffer["ge"] is None else round(buffer["ge"] / reference.units, 1),
        "at_least": table["at_least"] or buffer["at_least"] or None in (table["ge"], buffer["ge"]),
        "ge": round(ge, 1),
        "paper_ge": round(reference.ge, 1),
        "ratio_paper": round(ge / reference.ge, 3),
        "pe_ge": round(generic["ge"] / lanes, 1),
    }


def _products(modules, heads):
    """(GE, memories) of all modules whose name begins with one of ``heads``, and of all that is in them."""
    inside = {name for name in modules if name.startswith(heads)}
    while more := {part for name in inside for part in modules[name]["parts"]} - inside:
        inside |= more
    memories = [
        memory | {"count": memory["count"] * modules[name]["count"]}
        for name in sorted(inside)
        for memory in modules[name]["memories"]
    ]
    return sum(modules[name]["count"] * modules[name]["ge"] for name in inside), memories


def comparison_text(rows):
    """The printed form of ``comparison``."""
    header = ("GE per lane", "memories in", "multiplier", "its table", "LUT buffer", "sum", "/ plain")
    header += ("paper's LUT lane", "/ paper's", "PE logic", "/ plain PE")
    return table(header, [compared_cells(row) for row in rows])


def compared_cells(row):
    """A row of ``comparison`` as it is shown."""
    bound = "≥ " if row["at_least"] else ""
    return (
        f"{row['block']}.{row['preset']}",
        row["memories"],
        _n(row["logic_ge"]),
        bound + _n(row["table_ge"]) if row["table_bits"] else "-",
        _n(row["buffer_ge"]) if row["buffer_ge"] else "-",
        bound + _n(row["ge"]),
        f"{bound}{row['ratio_plain']:.2f}",
        _n(row["paper_ge"]),
        f"{bound}{row['ratio_paper']:.2f}",
        _n(row["pe_ge"]),
        f"{row['pe_ratio_plain']:.2f}",
    )


def rows_text(results):
    """The table of all results, one row each."""
    header = ["block", "preset", "GE", "flops %", "in flops GE", "SRAM bits", "GE/lane", "paper's", "ratio"]
    ecp5 = any("ecp5" in r for r in results)
    header += ["LUT4", "FF", "DSP", "BRAM", "Fmax MHz"] if ecp5 else []
    header += [f"{family} {name}" for family, name in _families(results)]
    header += ["um2", "GE (lib)", "delay ps"] if any("liberty" in r for r in results) else []
    header += ["mW", "pJ/product"] if any("power" in r.get("liberty", ()) for r in results) else []
    return table(header, [_cells(result, len(header), ecp5) for result in results])


def _families(results):
    """(family, resource) of the other FPGAs that were counted."""
    return [
        (family, name)
        for family in ("ice40", "xilinx7")
        if any(family in result for result in results)
        for name in TARGETS[family].resources
    ]


def _cells(result, length, ecp5):
    generic, beside = result["generic"], result["beside_paper"]
    in_flops = result["generic_flops"]
    cells = [
        result["block"],
        result["preset"],
        _n(generic["ge"]),
        _n(100 * generic["flop_ge"] / generic["ge"]) if generic["ge"] else "-",
        _n(in_flops["ge"]) if in_flops else "-",
        _n(generic["memory_bits"]),
        _n(result["ge_per_lane"]),
        f"{beside['paper_ge']:,.0f}/{beside['unit']}" if beside else "-",
        f"{beside['ratio']:.2f}" if beside else "-",
    ]
    if ecp5:
        cells += _ecp5_cells(result.get("ecp5"), generic["ge"])
    cells += [_n(result[family][name]) for family, name in _families([result])]
    if "liberty" in result:
        mapped = result["liberty"]
        cells += [f"{mapped['um2']:,.1f}", _n(mapped["ge"]), _n(mapped["delay_ps"])]
        cells += power_cells(mapped.get("power"))
    return cells + ["-"] * (length - len(cells))


def _ecp5_cells(ecp5, ge):
    if ecp5 is None:
        return ["-"] * 4 + [f"not counted: {ge:,.0f} GE"]
    if ecp5["fmax_mhz"]:
        fmax = f"{ecp5['fmax_mhz']:.1f}"
    elif not ecp5["fits"]:
        fmax = "does not fit"
    else:
        fmax = "-" if ecp5["method"] == "flat" else f"not routed: {ge:,.0f} GE"
    return [_n(ecp5["lut_sites"]), _n(ecp5["ff"]), _n(ecp5["dsp"]), _n(ecp5["bram"]), fmax]


def power_cells(found):
    """mW and pJ a product of a result of ``power.measured``; a dash for what it does not have."""
    if not found:
        return ["-", "-"]
    product = found["energy_pj"]
    return [f"{found['power_mw']:.4g}", f"{product['logic']:.3f}" if product else "-"]


def power_text(results):
    """What the power in ``rows_text`` is, and why some have none; "" where it was not asked for."""
    mapped = [result["liberty"] for result in results if "power" in result.get("liberty", ())]
    measured = [found["power"] for found in mapped if found["power"]]
    reasons = dict.fromkeys(found["no_power"] for found in mapped if found["no_power"])
    return "\n".join([*([power.legend(measured)] if measured else []), *(f"no power: {reason}" for reason in reasons)])


def _n(value):
    return "-" if value is None else f"{value:,.0f}"
