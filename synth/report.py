"""Results of ``synth.runs`` as tables: LUT PE against plain PE first, then every block beside the paper."""

from hw.generate import table
from synth import paper

#: Modules that make a product in each PE, by the head of their name; the first alternative that the design has counts.
_PRODUCT = {"lut_pe": (("lut_multiplier",), ("lut_product", "local_table")), "plain_pe": (("plain_product",),)}


def comparison(results):
    """Rows of LUT PE against plain PE, per lane, as dicts; an empty list unless both were measured.

    ``product_ge`` is the multiplier alone, ``pe_ge`` the PE with its FP32 accumulation and control; ``sram_bits`` and
    ``sram_ge`` (CACTI, 32 nm, see ``synth.sram``) are memories beside that logic. ``ratio_plain`` is ``pe_ge`` over the
    plain PE's with its memories treated alike, ``ratio_paper`` is ``product_ge`` over SIMPICKER's LUT lane.
    """
    first = {}
    for result in results:
        if result["block"] in _PRODUCT:
            first.setdefault(result["block"], result)
    if len(first) < len(_PRODUCT):
        return []
    rows = []
    for memories in ("SRAM", "flip-flops"):
        key = "generic" if memories == "SRAM" else "generic_flops"
        if not all(result[key] for result in first.values()):
            continue
        plain = first["plain_pe"][key]["ge"] / first["plain_pe"]["lanes"]
        rows += [_compared(result, memories, key, plain) for result in first.values()]
    return rows


def _compared(result, memories, key, plain_ge):
    lanes, modules = result["lanes"], result[key]["modules"]
    product = _product_ge(_PRODUCT[result["block"]], modules) / lanes
    reference = paper.row("lut_pe").ge
    sram = result["sram"] if key == "generic" else None
    return {
        "block": result["block"],
        "preset": result["preset"],
        "memories": memories,
        "product_ge": round(product, 1),
        "pe_ge": round(result[key]["ge"] / lanes, 1),
        "sram_bits": result[key]["memory_bits"] // lanes,
        "sram_ge": round(sram["ge"] / lanes, 1) if sram and sram["ge"] is not None else None,
        "sram_at_least": bool(sram and sram["at_least"]),
        "ratio_plain": round(result[key]["ge"] / lanes / plain_ge, 3),
        "paper_ge": round(reference, 1),
        "ratio_paper": round(product / reference, 3),
    }


def _product_ge(alternatives, modules):
    for heads in alternatives:
        found = [part for name, part in modules.items() if name.startswith(heads)]
        if found:
            return sum(part["count"] * part["ge_with_parts"] for part in found)
    return 0.0


def comparison_text(rows):
    """The printed form of ``comparison``."""
    header = ("GE per lane", "memories in", "multiplier", "whole PE", "/ plain PE", "SRAM bits", "SRAM as GE")
    header += ("paper's LUT lane", "multiplier / paper's")
    cells = [
        (
            f"{row['block']}.{row['preset']}",
            row["memories"],
            _n(row["product_ge"]),
            _n(row["pe_ge"]),
            f"{row['ratio_plain']:.2f}",
            _n(row["sram_bits"]),
            "-" if row["sram_ge"] is None else ("≥ " if row["sram_at_least"] else "") + _n(row["sram_ge"]),
            _n(row["paper_ge"]),
            f"{row['ratio_paper']:.2f}",
        )
        for row in rows
    ]
    return table(header, cells)


def rows_text(results):
    """The table of all results, one row each."""
    header = ["block", "preset", "GE", "flops %", "in flops GE", "SRAM bits", "GE/lane", "paper's", "ratio"]
    header += ["LUT4", "FF", "DSP", "BRAM", "Fmax MHz"] if any("ecp5" in r for r in results) else []
    header += ["um2", "GE (lib)", "delay ps"] if any("liberty" in r for r in results) else []
    return table(header, [_cells(result, len(header)) for result in results])


def _cells(result, length):
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
    if "ecp5" in result:
        ecp5 = result["ecp5"]
        fmax = f"{ecp5['fmax_mhz']:.1f}" if ecp5["fmax_mhz"] else "-" if ecp5["fits"] else "does not fit"
        cells += [_n(ecp5["lut_sites"]), _n(ecp5["ff"]), _n(ecp5["dsp"]), _n(ecp5["bram"]), fmax]
    if "liberty" in result:
        mapped = result["liberty"]
        cells += [f"{mapped['um2']:,.1f}", _n(mapped["ge"]), _n(mapped["delay_ps"])]
    return cells + ["-"] * (length - len(cells))


def _n(value):
    return "-" if value is None else f"{value:,.0f}"
