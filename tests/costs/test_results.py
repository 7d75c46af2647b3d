# SPDX-License-Identifier: Apache-2.0
"""The committed costs are those of the hardware as it is; `zoetrope expected` writes them anew where a change is meant.

With the same tools the same design has the same counts, so each row is held to the digest of its design, and each design to
the table or to an elaboration. A few presets, drawn by lot, are elaborated and counted by the tools from nothing.
"""

import json
import random

import pytest
import synth_parts

from zoetrope.hw import cache, catalogue, emit
from zoetrope.hw.catalogue import BLOCKS
from zoetrope.synth.costs import expectations, lanes, runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.results import rows, table

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

COMMITTED = rows.read()
WHOLE = COMMITTED["blocks"] | COMMITTED["operators"]

#: How many presets are counted anew, and up to how many cells each.
LOT, COUNTED_CELLS = 3, 1500


def _pair(name):
    block, _, preset = name.rpartition(".")
    return catalogue.find(block), preset


# -- every block has its rows, of its design -------------------------------------------------------------------------------


def test_every_preset_has_a_row():
    """`zoetrope expected --block B` writes those of a new one."""
    assert sorted(COMMITTED["counts"]) == sorted(f"{b.key}.{p}" for b, p in expectations.due())
    assert sorted(COMMITTED["blocks"]) == sorted(f"{key}.{block.default}" for key, block in BLOCKS.items())
    assert sorted(COMMITTED["operators"]) == sorted(f"{b.key}.{p}" for b, p in expectations.operators())


def test_rows_are_of_the_pinned_tools():
    named = [row for kind in ("blocks", "operators", "machines", "checks") for row in COMMITTED[kind].values()]
    assert all(row["tools"] == expectations.tools() for row in named)
    assert all(tools == expectations.tools() for tools in COMMITTED["tools"].values())


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_are_of_the_design_as_it_is(block):
    """A change of it is acknowledged by `zoetrope expected --block B`."""
    found = BLOCKS[block]
    for preset in found.presets:
        name, design = f"{block}.{preset}", runs.design(found, preset)
        designs = {kind: COMMITTED[kind][name]["design"] for kind in rows.KINDS if name in COMMITTED[kind]}
        assert designs == dict.fromkeys(designs, design), name


@pytest.mark.parametrize("lane", lanes.ways(), ids=lambda lane: lane.name)
def test_lanes_are_of_the_design_as_it_is(lane):
    row = next(row for row in COMMITTED["lanes"] if row["name"] == lane.name)
    assert row["design"] == runs.design_of(lane.counted, "pe")


def test_the_head_is_of_the_design_as_it_is():
    """What it takes in cycles is measured by `make sim`, and committed by `zoetrope expected --studies`."""
    found = COMMITTED["head"]
    assert found["design"] == runs.design(BLOCKS["simcore"], found["preset"])


@pytest.mark.parametrize("name", WHOLE)
def test_gates_are_the_sum_of_modules(name):
    generic = WHOLE[name]["generic"]
    for key in ("ge", "cells", "flops"):
        assert generic[key] == sum(module["count"] * module[key] for module in generic["modules"].values())
    used = dict.fromkeys(generic["modules"], 0)
    for module in generic["modules"].values():
        for part, number in module["parts"].items():
            used[part] += number * module["count"]
    counts = {part: module["count"] for part, module in generic["modules"].items()}
    assert {part: number or 1 for part, number in used.items()} == counts and list(used.values()).count(0) == 1


@pytest.mark.parametrize("row", COMMITTED["operators"].values(), ids=lambda row: row["block"])
def test_deepest_operators_close_the_target(row):
    """120 MHz on ECP5 speed grade 6."""
    assert row["ecp5"]["fmax_mhz"] >= 120


def test_lanes_meet_what_the_machine_was_planned_with():
    """An FP16 lane of at most 4,200 GE; the best mixed lane, tables included, at most two thirds of it."""
    fp16, *mixed = (row["area"]["lane"] + row["area"]["table_ge"] for row in COMMITTED["lanes"])
    assert fp16 <= 4200
    assert min(mixed) <= 2 / 3 * fp16


# -- the tables that are looked up -----------------------------------------------------------------------------------------


def _lot():
    """Names of small presets, others for each content of the table."""
    small = sorted(name for name, row in COMMITTED["counts"].items() if row["cells"] <= COUNTED_CELLS)
    return random.Random(cache.digest(table.MODULES.path.read_text())).sample(small, LOT)


@pytest.mark.parametrize("name", _lot())
def test_presets_drawn_by_lot_are_counted_from_nothing(name):
    """Elaborated without the cache, each module counted by the tools without the table."""
    block, preset = _pair(name)
    text = emit.rtlil(block.build(preset), block.stem(preset, "_"))
    assert runs.digest(text) == COMMITTED["counts"][name]["design"]
    assert expectations.checked([(block, preset)]) == []


def test_a_lane_drawn_by_lot_is_counted_by_the_table():
    lane = random.Random(cache.digest(table.MODULES.path.read_text())).choice(lanes.ways())
    row = next(row for row in COMMITTED["lanes"] if row["name"] == lane.name)
    assert lanes.area(lane) == row["area"]


def test_most_designs_and_modules_are_known():
    """So that a clone has little to make; `zoetrope expected` adds what is new."""
    presets = [(block, preset) for block in BLOCKS.values() for preset in block.presets]
    known = [table.DESIGNS.get(cache.design(b.build(p), b.stem(p, "_"))) is not None for b, p in presets]
    assert sum(known) > 0.5 * len(presets) and len(table.MODULES) > 2 * len(presets)


def test_a_table_that_is_wrong_is_found(monkeypatch, tmp_path):
    block = BLOCKS["float_compare"]
    text = cache.rtlil(block.build("fp16"), block.stem("fp16", "_"))
    wrong = table.Table(tmp_path / "modules.jsonl")
    found = {
        flows.module_digest(module): flows.module_cost(module)
        for module in flows.modules(text, "float_compare_fp16").values()
    }
    wrong.write({digest: cost | {"ge": cost["ge"] + 1} for digest, cost in found.items()})
    monkeypatch.setattr(table, "MODULES", wrong)
    monkeypatch.setattr(flows, "measured_alone", lambda module: found[flows.module_digest(module)])
    (line,) = expectations.checked([(block, "fp16")])
    assert line.startswith("float_compare.fp16: what is looked up is not what the tools count")


def test_a_table_is_lines_in_order(tmp_path):
    made = table.Table(tmp_path / "t.jsonl")
    made.write({"b": 1, "a": {"y": 2, "x": 1}})
    made.write({"c": 3})
    assert made.path.read_text() == '["a", {"x": 1, "y": 2}]\n["b", 1]\n["c", 3]\n'
    assert (made.get("b"), made.get("d"), len(made)) == (1, None, 3)
    made.write({"b": 1}, only=True)
    assert list(made) == ["b"]


# -- the command -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def apart(monkeypatch, tmp_path):
    """Files of their own for blocks of known hardware."""
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    monkeypatch.setattr(rows, "FOLDER", tmp_path)
    monkeypatch.setattr(runs, "TECHNOLOGIES", ("generic",))
    monkeypatch.setattr(expectations, "WHOLE", ("generic",))
    for name in ("MODULES", "DESIGNS"):
        monkeypatch.setattr(table, name, table.Table(tmp_path / f"{name.lower()}.jsonl"))
    return tmp_path / "blocks.json"


def test_command_rewrites_rows_and_keeps_the_others(apart, capsys):
    gone = {"register.gone": {}, "store.small": {"ge": 1.0}}
    apart.write_text(json.dumps({"tools": expectations.tools(), "counts": gone}))
    expectations.main(["--block", "register"])
    found = rows.read()
    design = found["counts"]["register.wide"].pop("design")
    assert found["counts"] == {
        "register.wide": {"ge": 64.0, "cells": 16, "flops": 16, "memory_bits": 0},
        "register.gone": {},
        "store.small": {"ge": 1.0},
    }
    assert found["blocks"]["register.default"]["generic"]["flops"] == 8
    assert design == runs.digest(emit.rtlil(synth_parts.BLOCKS["register"].build("wide"), "register_wide"))
    assert "2 presets, 2 rows new or changed, 2 modules known" in capsys.readouterr().out


def test_what_did_not_change_is_not_measured_again(apart, monkeypatch, capsys):
    expectations.main(["--block", "register"])

    def never(*arguments, **options):
        raise AssertionError("measured")

    monkeypatch.setattr(runs, "measure_all", never)
    before = apart.read_text()
    expectations.main(["--block", "register"])
    assert apart.read_text() == before
    assert "2 presets, 0 rows new or changed" in capsys.readouterr().out


def test_check_counts_anew_and_names_what_differs(apart, capsys):
    expectations.main(["--block", "register"])
    assert expectations.main(["--block", "register", "--check"]) == 0
    found = json.loads(apart.read_text())
    found["counts"]["register.wide"]["ge"] += 1
    apart.write_text(json.dumps(found))
    capsys.readouterr()
    assert expectations.main(["--block", "register", "--check"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: register.wide is not as committed")


def test_rows_of_other_tools_are_dropped(apart):
    apart.write_text(json.dumps({"tools": {"yosys": "another"}, "counts": {"store.small": {"ge": 1.0}}}))
    expectations.commit("blocks", {"counts": {"register.wide": {}}})
    assert rows.read()["counts"] == {"register.wide": {}}


def test_interrupted_command_keeps_the_blocks_it_finished(apart, monkeypatch):
    real = expectations.measured

    def interrupted(pairs, *rest):
        if pairs[0][0].name == "product_row":
            raise KeyboardInterrupt
        return real(pairs, *rest)

    monkeypatch.setattr(expectations, "measured", interrupted)
    with pytest.raises(SystemExit):
        expectations.main([])
    assert list(rows.read()["counts"]) == ["register.wide"]


# -- files -----------------------------------------------------------------------------------------------------------------


def test_rows_are_written_as_they_are_read(tmp_path):
    """And stand in the file of their machine: what one edits is not what another edits."""
    rows.write(COMMITTED, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text() == (rows.FOLDER / path.name).read_text(), path.name
    assert rows.read(tmp_path) == COMMITTED
    orbis = json.loads((tmp_path / "orbis.json").read_text())
    assert {name.rpartition(".")[0] for name in orbis["counts"]} <= {
        k for k, b in BLOCKS.items() if b.machine == "orbis"
    }


def test_a_row_of_counts_is_a_line():
    line = '  "float_add.deep": {"cells": '
    assert line in (rows.FOLDER / "arith.json").read_text()
