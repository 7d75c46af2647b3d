# SPDX-License-Identifier: Apache-2.0
"""``synth.costs.power``: energies that can be computed by hand, of a library of round numbers."""

import json

import numpy as np
import pytest
from power_parts import INVERTED, ROWS, STORE

from zoetrope.hw import cache, catalogue, emit
from zoetrope.hw.errors import ToolError, UserError
from zoetrope.hw.pe.aligned_pe import AlignedPEConfig
from zoetrope.sim.input import clips, tensor_files
from zoetrope.synth.costs import power, runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.flows import switching
from zoetrope.synth.flows.liberty import PowerLibrary, parse
from zoetrope.synth.report import page_tables
from zoetrope.synth.report import tables as report
from zoetrope.synth.technologies import libraries as technologies
from zoetrope.synth.technologies import sram

# pytest resets the filter with which hw.emit silences this.
pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

# A unit of load is 1 fF and a volt is a volt, so energies are in fJ; 2 V, so that 1 fF costs 2 fJ a transition.
HEAD = """library(tiny) {{
  time_unit : "{time}"; capacitive_load_unit({load}); leakage_power_unit : "{leakage}"; voltage_unit : "1V";
  current_unit : "1mA"; nom_voltage : 2.0; nom_temperature : 25; default_max_transition : {m};
  lu_table_template(grid) {{ variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1("{t0}, {t1}"); index_2("{c0}, {c1}"); }}
  power_lut_template(energy) {{ variable_1 : total_output_net_capacitance; variable_2 : input_transition_time;
    index_1("{c0}, {c1}"); index_2("{t0}, {t1}"); }}
  power_lut_template(passive) {{ variable_1 : input_transition_time; index_1("{t0}, {t1}"); }}
"""
UNITS = {"time": "1ns", "load": '1, "ff"', "leakage": "1nW", "m": 1, "t0": 0.01, "t1": 1, "c0": 1, "c1": 101}
#: The same library in ps, pF and pW; energies are then in pJ.
OTHER_UNITS = {
    "time": "1ps",
    "load": "1, pf",
    "leakage": "1pW",
    "m": 1000,
    "t0": 10,
    "t1": 1000,
    "c0": 0.001,
    "c1": 0.101,
}


class Writer:
    """The text of the library in given units."""

    def __init__(self, units, power=True):
        self.units, self.power = units, power
        self.energy = 1e-3 if "pf" in units["load"] else 1.0
        self.capacitance = self.energy
        self.leakage = 1e3 if units["leakage"] == "1pW" else 1.0
        self.time = 1e3 if units["time"] == "1ps" else 1.0

    def text(self):
        gates = [("INV", 1, "!A"), ("BUF", 1.5, "A"), ("NAND2", 2, "(A B)'"), ("NOR2", 2.5, "!(A | B)")]
        return HEAD.format(**self.units) + "".join(self.gate(*gate) for gate in gates) + self.flop() + "}\n"

    def gate(self, name, area, function):
        """Y costs 2 rising and 4 falling with 1 fF, 100 more with 100 fF more; where B is 0, A costs 1 besides."""
        pins = [pin for pin in "AB" if pin in function]
        quiet = self.passive("internal_power", "2", "0", 'when : "!B";') if "B" in pins else ""
        inputs = "".join(f"pin({pin}) {{ {self.input()} {quiet if pin == 'A' else ''} }}\n" for pin in pins)
        arcs = "".join(self.arc("combinational", pin, "timing_sense : negative_unate;") for pin in pins)
        powers = "".join(self.output_power(pin, 2, 4) for pin in pins)
        output = f'pin(Y) {{ direction : output; function : "{function}"; max_capacitance : {100 * self.capacitance};'
        leakage = f'leakage_power() {{ when : "A"; value : {self.leakage}; }}'
        leakage += f" leakage_power() {{ value : {3 * self.leakage}; }}"
        return f"cell({name}) {{ area : {area}; {leakage}\n{inputs}{output} {arcs} {powers} }} }}\n"

    def flop(self):
        """Q costs 10 rising and 6 falling, C 3 and 5 where D is 0, 5 and 7 where D is 1: a cycle costs 8 or 12."""
        clock = self.passive("internal_power", "3", "5", 'when : "!D";') + self.passive(
            "internal_power", "5", "7", 'when : "D";'
        )
        return (
            f"cell(DFF) {{ area : 9; cell_leakage_power : {7 * self.leakage};\n"
            'ff(IQ, IQN) { clocked_on : "C"; next_state : "D"; }\n'
            f"pin(C) {{ clock : true; {self.input()} {clock} }}\npin(D) {{ {self.input()} }}\n"
            f'pin(Q) {{ direction : output; function : "IQ"; max_capacitance : {100 * self.capacitance};\n'
            f"{self.arc('rising_edge', 'C')} {self.output_power('C', 10, 6)} }} }}\n"
        )

    def input(self):
        return f"direction : input; capacitance : {self.capacitance};"

    def passive(self, kind, rise, fall, when):
        if not self.power:
            return ""
        rise, fall = (float(value) * self.energy for value in (rise, fall))
        tables = (
            f'rise_power(passive) {{ values("{rise}, {rise}"); }} fall_power(passive) {{ values("{fall}, {fall}"); }}'
        )
        return f"{kind}() {{ {when} {tables} }}"

    def output_power(self, related, rise, fall):
        if not self.power:
            return ""
        tables = ""
        for name, value in (("rise_power", rise), ("fall_power", fall)):
            low, high = value * self.energy, (value + 100) * self.energy
            tables += f'{name}(energy) {{ values("{low}, {low}", \\\n "{high}, {high}"); }} '
        return f'internal_power() {{ related_pin : "{related}"; {tables} }}'

    def arc(self, kind, related, sense=""):
        values = ", ".join(str(t * self.time) for t in (0.01, 0.1))
        slower = ", ".join(str(t * self.time) for t in (0.1, 0.2))
        names = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        tables = "".join(f'{name}(grid) {{ values("{values}", "{slower}"); }}' for name in names)
        return f'timing() {{ related_pin : "{related}"; {sense} timing_type : {kind}; {tables} }}\n'


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory):
    """Results of this module's own, none at its first test; builds are shared."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("results")
        patch.setattr(cache, "results", lambda: folder)
        patch.delenv("PDK_ROOT", raising=False)
        yield


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return written(tmp_path_factory.mktemp("liberty"), UNITS)


def written(folder, units, **options):
    path = folder / "tiny.lib"
    path.write_text(Writer(units, **options).text())
    return technologies.read_library((str(path),))


N, WIDTH = len(ROWS), 4


@pytest.fixture(scope="module")
def tensors():
    """In place of the clip: two small frames."""
    rng = np.random.default_rng(5)
    return clips.Tensors(
        *(rng.standard_normal((2, 12, 8)).astype(np.float16) for _ in "qkv"), grid=(2, 3, 4), source="seeded"
    )


@pytest.fixture(scope="module")
def inverted(library, tensors):
    """The netlist of ``Inverted`` and its counts over N rows, each of which changes every bit."""
    netlist = flows.netlist(emit.rtlil(INVERTED.build(), "inverted"), "inverted", library)
    return netlist, run(netlist, library, tensors)


def run(netlist, library, tensors):
    return switching.activity(netlist, library, INVERTED, INVERTED.config(), tensors, "tb_inverted")


# -- by hand -------------------------------------------------------------------------------------------------------------


def test_netlist_is_the_hardware(inverted):
    netlist, _ = inverted
    kinds = [kind for kind, _ in netlist["cells"]]
    assert (kinds.count("INV"), kinds.count("DFF"), len(kinds)) == (WIDTH, WIDTH + 1, 2 * WIDTH + 1)


@pytest.mark.parametrize("wire", [0.0, 0.5])
def test_energy_of_inverters_and_flops_by_hand(inverted, library, wire):
    netlist, counts = inverted
    result = power.priced(netlist, counts, library, N, clock_mhz=1000, wire_ff=wire)
    # One cycle goes by, then row k is offered in cycle k + 1; its result is taken in cycle k + 2.
    cycles = N + 2
    assert (result["cycles"], result["products"], result["cells"], result["flops"]) == (cycles, N, 9, 5)
    # The rows begin with 0, as the port does, and behind the last the bench offers what it is not: N changes. The register
    # showed ~0 and has the last row when the run ends: one less. `valid` rises and falls, its register only rises.
    inverter = WIDTH * N * (3 + wire)  # drives one flip-flop: 1 fF, and each fF more costs 1 more
    # Q drives an output, which is no load: the table's first point, 1 fF.
    flops = (WIDTH * (N - 1) + 1) * 8
    each = 1 + wire
    switching = 2 * each * (WIDTH * N * 2 + 2)
    # D is 1 while the row is 0: (N + 1) / 2 of the N offered cycles, and the one before. `valid` is 1 in N.
    ones = WIDTH * ((N + 1) // 2 + 1) + N
    clock = 8 * (WIDTH + 1) * cycles + 4 * ones + 2 * 2 * each * (WIDTH + 1) * cycles
    # An inverter leaks 1 nW while A is 1, else 3; 1 nW over 1 ns is 1e-3 fJ.
    leakage = (7 * (WIDTH + 1) * cycles + WIDTH * (3 * cycles - 2 * ((N - 1) // 2 + 1))) * 1e-3
    expected = {"internal": inverter + flops, "switching": switching, "clock": clock, "leakage": leakage}
    expected = {name: value / 1000 / N for name, value in expected.items()}
    found = result["energy_pj"]
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert found["logic"] == pytest.approx(sum(expected.values()), rel=1e-5)
    assert result["power_mw"] == pytest.approx(found["logic"] * N / cycles, rel=1e-5)  # pJ a ns
    assert result["cycle_pj"]["logic"] == pytest.approx(result["power_mw"], rel=1e-5)
    assert result["glitches"] is False and result["unpriced"] == []


def test_wire_slope_is_the_change_of_switching(inverted, library):
    none, some = (power.priced(*inverted, library, N, wire_ff=wire) for wire in (0.0, 0.25))
    parts = [{name: r["energy_pj"][name] for name in ("switching", "clock")} for r in (none, some)]
    assert sum(parts[1].values()) - sum(parts[0].values()) == pytest.approx(0.25 * none["wire_pj_per_ff"], rel=1e-4)
    share = none["wire_pj_per_ff"] / none["energy_pj"]["logic"]
    assert none["wire_mw_per_ff"] / none["power_mw"] == pytest.approx(share, rel=1e-4)


def test_no_activity_is_clock_and_leakage(inverted, library):
    netlist, counts = inverted
    still = counts | {"toggles": [0] * len(counts["nets"]), "ones": [0] * len(counts["nets"])}
    found = power.priced(netlist, still, library, N, clock_mhz=500)
    assert (found["energy_pj"]["internal"], found["energy_pj"]["switching"], found["toggles_per_net"]) == (0, 0, 0)
    cycles = counts["cycles"]
    assert found["energy_pj"]["clock"] == pytest.approx((8 + 4) * (WIDTH + 1) * cycles / 1000 / N, rel=1e-5)
    leakage = (7 * (WIDTH + 1) + 3 * WIDTH) * cycles * 2e-6 / N  # all A are 0; 2 ns a cycle
    assert found["energy_pj"]["leakage"] == pytest.approx(leakage, rel=1e-5)


def test_units_of_the_file_do_not_matter(inverted, library, tmp_path):
    other = written(tmp_path, OTHER_UNITS)
    first, second = (power.priced(*inverted, lib, N, wire_ff=0.5) for lib in (library, other))
    assert first["energy_pj"] == pytest.approx(second["energy_pj"], rel=1e-5)
    assert first["slew_ps"] == pytest.approx(second["slew_ps"])


def test_conditions_weigh_by_how_often_they_hold(library):
    nand = PowerLibrary(library, ["NAND2"]).cells["NAND2"]
    netlist = {
        "ports": {"a": {"direction": "input", "bits": [2]}, "b": {"direction": "input", "bits": [3]}},
        "cells": [("NAND2", {"A": [2], "B": [3], "Y": [4]})],
        "srams": {},
    }
    counts = {"cycles": 100, "nets": [2, 3, 4], "toggles": [40, 0, 0], "ones": [50, 25, 0]}
    assert set(nand.pins["A"].related) == {()} and nand.functions() == {"Y": "(A B)'"}
    found = power.priced(netlist, counts, library, 1, clock_mhz=1000)["energy_pj"]
    assert found["internal"] == pytest.approx(40 * 0.75 * 1 / 1000)  # A costs 1 while B is 0
    assert found["leakage"] == pytest.approx(100 * (0.5 * 1 + 0.5 * 3) * 1e-6)
    assert (found["clock"], found["switching"]) == (0, pytest.approx(40 * 2 / 1000))


# -- the netlist is run ----------------------------------------------------------------------------------------------------


def test_damaged_netlist_is_an_error(inverted, library, tensors):
    netlist = inverted[0] | {"cells": [list(cell) for cell in inverted[0]["cells"]]}
    next(cell for cell in netlist["cells"] if cell[0] == "INV")[0] = "BUF"
    with pytest.raises(ToolError, match="vectors: 33 of 33 differ") as failure:
        run(netlist, library, tensors)
    assert "again" not in str(failure.value)


def test_netlist_with_a_loop_is_an_error(inverted, library, tensors):
    cells = [*inverted[0]["cells"], ("INV", {"A": [999], "Y": [999]})]
    with pytest.raises(ToolError, match="has a loop of gates"):
        run(inverted[0] | {"cells": cells}, library, tensors)


def test_full_rate_only_and_the_same_again(inverted, library, tensors):
    netlist, counts = inverted
    assert (counts["tests"], counts["compared"]) == (["rows"], N)
    arguments = (netlist, library, INVERTED, INVERTED.config(), tensor_files.arrays(tensors), "tb_inverted", ["rows"])
    assert json.dumps(switching._alone(switching._run, *arguments), sort_keys=True) == json.dumps(
        counts, sort_keys=True
    )


def test_tests_on_the_clip_are_known_by_their_names():
    module = switching._module(
        "sim.benches.simcore.sparsification_engine.tb_sparsification_unit", catalogue.find("sparsification_unit")
    )
    assert switching._tests(module) == ["clip"]
    assert switching.on_clip("a_tile_of_the_clip") and switching.on_clip("clip_distances")
    module = switching._module("sim.benches.pe.tb_ewu", catalogue.find("ewu"))
    assert switching._tests(module) == ["corner_operands", "random_operands"]


def test_a_function_of_many_inputs_is_of_several_gates():
    nets = switching._Nets({"ports": {}, "cells": [], "srams": {}})
    table = tuple(np.random.default_rng(1).integers(0, 2, 512).tolist())
    inputs = list(range(100, 109))
    gates = switching._ordered(nets._narrow(50, inputs, table))
    assert len(gates) == 15 and gates[-1][0] == 50
    for row in range(512):
        values = {net: row >> k & 1 for k, net in enumerate(inputs)}
        for output, sources, bits in gates:
            values[output] = bits >> sum(values[net] << k for k, net in enumerate(sources)) & 1
        assert values[50] == table[row]


def test_memory_is_simulated_and_priced_apart(library, tensors):
    result = power.energy(STORE, STORE.config(), library, tensors=tensors, bench="tb_store")
    found = result["sram"]
    (memory,) = found["memories"]
    reads, writes = (memory[key] * result["cycles"] for key in ("reads", "writes"))
    assert (memory["depth"], memory["width"], found["per"]) == (128, 16, "cycle")
    assert (reads, writes) == (pytest.approx(200, rel=1e-5), pytest.approx(100, rel=1e-5))
    price = sram.price(128, 16)
    access = (200 * price["read_pj"] + 100 * price["write_pj"]) / result["cycles"]
    assert found["access_pj"] == pytest.approx(access, rel=1e-5)


def test_pe_on_the_clip_is_right_kept_and_the_same(library, tensors, monkeypatch):
    config = AlignedPEConfig(lanes=1, words=3, bits=12, max_operands=64)
    first = power.energy("aligned_pe", config, library, tensors=tensors)
    assert first["tests"] == ["clip"] and first["vectors"] == "seeded"
    assert first["products"] == first["compared"] * 8 == 12 * 3 * 8 and first["cycles"] >= first["products"] / 2
    assert all(value > 0 for value in first["energy_pj"].values())
    assert first["energy_pj"]["leakage"] < first["energy_pj"]["clock"] < first["energy_pj"]["logic"]
    monkeypatch.setattr(flows, "run_yosys", None)
    monkeypatch.setattr(switching, "_alone", None)
    again = power.energy("aligned_pe", config, library, tensors=tensors)
    assert json.dumps(again) == json.dumps(first)
    slower = power.energy("aligned_pe", config, library, tensors=tensors, clock_mhz=first["clock_mhz"] / 4)
    assert slower["energy_pj"]["leakage"] == pytest.approx(4 * first["energy_pj"]["leakage"], rel=1e-4)
    shown = power.text(first)
    assert "pJ a product" in shown and "0.0 fF of wire a fanout (each fF adds" in shown


def test_any_block_has_power_and_every_table_shows_it(library, tensors, monkeypatch):
    monkeypatch.setattr(power, "_clip", lambda: tensors)
    pairs = [(catalogue.find(name), "default") for name in ("float_convert", "local_table")]
    monkeypatch.setattr(power, "LARGEST", 200)
    large, small = results = runs.measure_all(pairs, ("generic", "power"), library, jobs=2)
    assert (large["liberty"]["power"], small["liberty"]["no_power"]) == (None, None)
    assert large["liberty"]["no_power"] == "float_convert.default has 303 gates: power is measured up to 200"
    found = small["liberty"]["power"]
    assert found["power_mw"] > 0 and found["energy_pj"] is None and found["compared"] > 100
    lines = report.rows_text(results).splitlines()
    assert lines[0].split()[-2:] == ["mW", "pJ/product"]
    assert [line.split()[-2:] for line in lines[2:]] == [["-", "-"], [f"{found['power_mw']:.4g}", "-"]]
    legend = report.power_text(results)
    assert "at 100 MHz, tiny" in legend and "0 fF of wire a fanout" in legend
    assert legend.endswith(f"no power: {large['liberty']['no_power']}")
    rows = [result | {"libraries": {"tiny": result["liberty"]}} for result in results]
    table = page_tables.power_table(rows)
    assert [row[:3] for row in table.rows] == [("local_table", "default", "tiny")]
    assert f"{found['power_mw']:.4g}" in table.rows[0] and large["liberty"]["no_power"] in table.note
    assert page_tables.power_table([large | {"libraries": {}}]) is None


def test_a_wrong_netlist_has_no_power_and_says_why(library, tensors, monkeypatch):
    monkeypatch.setattr(power, "_clip", lambda: tensors)
    real = flows.netlist

    def wrong(*arguments):
        found = real(*arguments)
        return found | {"cells": [("NOR2" if kind == "NAND2" else kind, pins) for kind, pins in found["cells"]]}

    monkeypatch.setattr(flows, "netlist", wrong)
    monkeypatch.setattr(flows, "scripts", lambda: "wrong")
    block = catalogue.find("local_table")
    text = emit.rtlil(block.build(), "local_table")
    found = power.attempted(block, "default", 118, text, "local_table", library)
    assert found["power"] is None
    assert found["no_power"].startswith("local_table.default: the netlist of local_table")


def test_command_line_tabulates_all_blocks(library, tensors, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(power, "_clip", lambda: tensors)
    monkeypatch.setattr(power, "LARGEST", 200)
    small = {name: catalogue.BLOCKS[name] for name in ("float_convert", "local_table")}
    monkeypatch.setattr(catalogue, "BLOCKS", small)
    written(tmp_path, UNITS)
    power.main(["--liberty", str(tmp_path / "tiny.lib")])
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.out.splitlines()[:3:2]] == ["block", "local_table"]
    assert "0 fF of wire a fanout" in shown.out and "float_convert" not in shown.out
    assert "no power: float_convert.default has 303 gates: power is measured up to 200" in shown.err


# -- bad input -------------------------------------------------------------------------------------------------------------


def test_library_without_power_tables(inverted, tmp_path):
    silent = written(tmp_path, UNITS, power=False)
    with pytest.raises(UserError, match="has no internal_power tables: give one with power"):
        power.priced(*inverted, silent, N)


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ("nom_voltage : 2.0;", "has no nom_voltage"),
        ('leakage_power_unit : "1nW";', "does not say its leakage_power_unit"),
    ],
)
def test_library_without_what_is_needed(inverted, tmp_path, remove, message):
    path = tmp_path / "tiny.lib"
    path.write_text(Writer(UNITS).text().replace(remove, ""))
    with pytest.raises(UserError, match=message):
        power.priced(*inverted, technologies.read_library((str(path),)), N)


@pytest.mark.parametrize("bad", [{"wire_ff": -1.0}, {"clock_mhz": 0}, {"slew_ps": -5}])
def test_settings_out_of_range(inverted, library, bad):
    with pytest.raises(UserError, match="must be positive"):
        power.priced(*inverted, library, N, **bad)


def test_no_library_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        power.main(["--block", "plain_pe"])
    assert stopped.value.code == 2
    assert "give a Liberty file with --liberty PATH" in capsys.readouterr().err


def test_presets_that_cannot_be_measured(library, monkeypatch):
    monkeypatch.setattr(power, "LARGEST", 100)
    with pytest.raises(UserError, match=r"local_table\.default has 118 gates: power is measured up to 100"):
        power.energy("local_table", library=library)
    with pytest.raises(UserError, match=r"lut_pe\.paper is too large"):
        power.energy("lut_pe", "paper", library)


def test_library_without_power_is_no_error_of_synth(tmp_path):
    silent = written(tmp_path, UNITS, power=False)
    (found,) = runs.measure_all([(catalogue.find("local_table"), "default")], ("generic", "power"), silent)
    assert found["liberty"]["um2"] > 0 and found["liberty"]["power"] is None
    assert "has no internal_power tables" in found["liberty"]["no_power"]
    assert "no power: Liberty file of tiny has no internal_power tables" in report.power_text([found])


def test_statements_of_all_forms():
    group = parse(
        'a : 1 ;\n b : "x:y;(z)" c : two words;\n list(1, "p q");\n g("n") { d : 3\n } h(1) {\n k : -1e-3; } } e : 5;'
    )
    assert group.attributes == {"a": "1", "b": "x:y;(z)", "c": "two words", "list": ["1", "p q"]}
    assert [(g.kind, g.arguments, g.attributes) for g in group.groups] == [
        ("g", ["n"], {"d": "3"}),
        ("h", ["1"], {"k": "-1e-3"}),
    ]
