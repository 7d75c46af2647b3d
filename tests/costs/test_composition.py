# SPDX-License-Identifier: Apache-2.0
"""Sums of modules against the same blocks flattened, and the sums that are committed.

That these are of the hardware as it is, digests say (``test_results``).
"""

import pytest
import synth_parts

from zoetrope.hw import catalogue
from zoetrope.synth.costs import composition
from zoetrope.synth.results import rows
from zoetrope.synth.technologies import sram

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

COMMITTED = rows.committed()
MACHINES = {(row["block"], row["preset"]): row for row in COMMITTED["machines"]}
CHECKS = {(row["block"], row["preset"]): row for row in COMMITTED["checks"]}
PRESETS = COMMITTED["counts"]
DEFAULTS = {(row["block"], row["preset"]): row["generic"] for row in COMMITTED["blocks"]}


def test_the_same_bytes_from_nothing_by_any_number_of_jobs(tmp_path, monkeypatch, capsys):
    """Module by module, flattened, and as it is printed."""
    monkeypatch.setattr(catalogue, "BLOCKS", synth_parts.BLOCKS)
    written = []
    for jobs in ("1", "3"):
        monkeypatch.setenv("ZOETROPE_CACHE", str(tmp_path / f"cache_{jobs}"))
        out = tmp_path / jobs
        composition.main(["--block", "product_row", "--check", "--all", "--jobs", jobs, "--out", str(out)])
        (file,) = out.iterdir()
        written.append((file.name, file.read_bytes(), capsys.readouterr().out))
        kept = list((tmp_path / f"cache_{jobs}" / "results").iterdir())
        assert len(kept) == 4, "RTLIL, each module, the flat design"
    assert written[0] == written[1]
    assert written[0][0] == "product_row.default.composition.json"


def test_machines_without_a_block(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(composition, "machines", lambda broken: [("lut_buffer", "default"), ("local_table", "default")])
    assert composition.main(["--out", str(tmp_path)]) == 0
    names = ["local_table.default.composition.json", "lut_buffer.default.composition.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    shown = capsys.readouterr().out
    assert shown.index("lut_buffer.default\n") < shown.index("local_table.default\n")


def test_modules_by_kind():
    modules = [
        {"module": "lut_pe_0123abcd", "count": 3, "ge": 10.0, "flops": 2},
        {"module": "lut_pe_0123abcd.operands", "count": 3, "ge": 1.0, "flops": 0},
        {"module": "lut_pe_89abcdef", "count": 1, "ge": 20.0, "flops": 1},
        {"module": "sram_2x256_1r", "count": 4, "ge": 5.0, "flops": 0},
    ]
    assert composition.kinds(modules) == [
        {"kind": "lut_pe", "count": 4, "ge": 53.0, "flops": 7},
        {"kind": "sram", "count": 4, "ge": 20.0, "flops": 0},
    ]


# -- what is committed -----------------------------------------------------------------------------------------------------


def test_every_machine_and_check_is_committed():
    assert set(MACHINES) == set(composition.machines())
    assert set(CHECKS) == set(composition.checks())
    tools = COMMITTED["blocks"][0]["tools"]
    assert all(row["tools"] == tools for row in (*MACHINES.values(), *CHECKS.values()))


@pytest.mark.parametrize("machine", composition.machines(), ids=".".join)
def test_machines_are_the_sum_of_their_modules_and_memories(machine):
    row = MACHINES[machine]
    assert row["ge"] == sum(module["count"] * module["ge"] for module in row["modules"])
    assert row["flops"] == sum(module["count"] * module["flops"] for module in row["modules"])
    assert row["sram"] == sram.total(row["memories"])
    assert row["sram"]["bits"] == sum(module["count"] * module["memory_bits"] for module in row["modules"])
    assert [memory["price"] for memory in row["memories"]] == [sram.price_of(memory) for memory in row["memories"]]
    assert row["settings"] == composition.settings()


@pytest.mark.parametrize("name", [name for name in PRESETS if tuple(name.split(".")) in {**MACHINES, **CHECKS}])
def test_rows_are_of_the_hardware_as_it_is(name):
    """As far as they are among the counts of presets."""
    pair, found = tuple(name.split(".")), PRESETS[name]
    for row in (MACHINES.get(pair), CHECKS.get(pair)):
        assert row is None or (row["ge"], row["flops"]) == (found["ge"], found["flops"])
    bits = MACHINES[pair]["sram"]["bits"] if pair in MACHINES else CHECKS[pair]["bits"]
    assert bits == found["memory_bits"]


@pytest.mark.parametrize("check", composition.checks(), ids=".".join)
def test_committed_checks(check):
    row = CHECKS[check]
    assert row["flat_ge"] >= composition.LEAST_GE
    assert row["difference"] == round((row["ge"] - row["flat_ge"]) / row["flat_ge"], 6)
    assert row["flat_flops"] <= row["flops"] and row["flat_bits"] <= row["bits"]
    if check in DEFAULTS:
        assert (row["ge"], row["flops"]) == (DEFAULTS[check]["ge"], DEFAULTS[check]["flops"])
        assert row["bits"] == DEFAULTS[check]["memory_bits"]


def test_the_bound_holds_but_where_it_is_said_not_to():
    beyond = {check: row["difference"] for check, row in CHECKS.items() if not composition.within(row)}
    said = dict(distance_accumulation_unit=0.092, matching_engine=0.084, datm=0.074, sfu=0.063)
    assert {block: difference for (block, _), difference in beyond.items()} == pytest.approx(said, abs=5e-4)
    text = " ".join(composition.__doc__.split())
    for block, difference in said.items():
        assert f"{100 * difference:.1f} % for ``{block}``" in text


def test_within_the_bound():
    assert composition.within({"difference": -composition.BOUND, "flat_ge": 1e6})
    assert not composition.within({"difference": 1.01 * composition.BOUND, "flat_ge": 1e6})
    assert composition.within({"difference": 0.2, "flat_ge": composition.LEAST_GE - 1})
