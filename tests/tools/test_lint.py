# SPDX-License-Identifier: Apache-2.0
"""Lint of many files with each module looked at once: nothing is missed, nothing is made up; and every preset is clean."""

import random

import pytest
import synth_parts

from zoetrope.hw import catalogue
from zoetrope.hw.verilog import lint, write

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

CHILD = """module child(clk, a, b, x, y);
  input clk;
  input a;
  input [1:0] b;
  output x;
  output [1:0] y;
  reg held;
  wire inner;
  always @(posedge clk) held <= a;
  assign inner = b[0] & held;
  assign x = held;
  assign y = { b[1], inner };
endmodule
"""

PARENT = """module {name}(clk, a, o);
  input clk;
  input a;
  output o;
  wire [1:0] b;
  wire [1:0] y;
  wire x;
  assign b = {{ {high}, {low} }};
  assign o = ^ y;
  child one (
    .a(a),
    .b(b),
    .clk(clk),
    .x(x),
    .y(y)
  );
endmodule
"""

CLEAN = PARENT.format(name="clean", high="x", low="a")
LOOP = PARENT.format(name="loop", high="y[1]", low="a")
NO_LOOP = PARENT.format(name="no_loop", high="y[0]", low="a")  # one of the word alone: y[1] <- b[1] <- y[0] <- b[0]
LATCH = CHILD.replace("always @(posedge clk) held <= a;", "always @* if (clk) held = a;")


def run(*files):
    """What is reported of each (text, top), and how many modules were looked at in it."""
    linter = lint.Linter()
    found = []
    for text, top in files:
        part, new = linter.part(text, top)
        found.append((linter.lint(part, text, top), new))
    return found


def test_a_module_of_two_files_is_looked_at_in_the_first():
    found = run((CHILD + CLEAN, "clean"), (CHILD + CLEAN.replace("clean", "other"), "other"), (CHILD + CLEAN, "clean"))
    assert found == [([], 2), ([], 1), ([], 0)]


def test_a_fault_in_a_shared_module_is_reported_once():
    (first, _), (second, _) = run((LATCH + CLEAN, "clean"), (LATCH + CLEAN.replace("clean", "other"), "other"))
    assert any("LATCH" in line for line in first) and second == []


def test_a_fault_in_a_later_file_is_reported():
    faulty = CLEAN.replace("clean", "other").replace("    .x(x),\n", "    .x(x), .z(x),\n")
    (first, _), (second, _) = run((CHILD + CLEAN, "clean"), (CHILD + faulty, "other"))
    assert first == [] and any("PINNOTFOUND" in line for line in second)


@pytest.mark.parametrize("order", [1, -1])
def test_a_loop_through_a_module_that_is_not_there_is_found(order):
    files = [(CHILD + CLEAN, "clean"), (CHILD + LOOP, "loop")][::order]
    found = dict(zip([top for _, top in files], run(*files)))
    assert found["clean"][0] == [] and any("UNOPTFLAT" in line for line in found["loop"][0])


def test_a_loop_of_ports_that_is_none_of_bits_is_not_reported():
    linter = lint.Linter()
    text = CHILD + NO_LOOP
    part, _ = linter.part(text, "no_loop")
    assert lint.paths(CHILD, {}) == {"x": [], "y": ["b"]}
    assert linter.lint(part, text, "no_loop") == lint.lint(text, "no_loop")


def test_paths_lead_through_instances_and_end_at_registers():
    assert lint.paths(CLEAN, {"child": {"x": [], "y": ["b"]}}) == {"o": ["a"]}
    assert lint.paths(CLEAN, {"child": {"x": ["a"], "y": []}}) == {"o": []}


def test_equal_parts_of_presets_are_looked_at_once():
    """Of generated blocks, whose files call an equal part by different names."""
    said = []
    found = write.lint_all([(synth_parts.PRODUCT_ROW, preset) for preset in ("default", "four")], said.append)
    assert found == {"product_row.v": [], "product_row.four.v": []}
    assert said == [
        "lint 1/2 product_row.v: 2 modules, 2 of them new, 0 warnings",
        "lint 2/2 product_row.four.v: 2 modules, 1 of them new, 0 warnings",
    ]


def test_presets_drawn_by_lot_are_lint_clean():
    """Of all of them the campaign has a row; a few small ones are looked at again."""
    small = [(b, p) for b, p in catalogue.select(None, "all") if b.machine == "" and p in b.small_presets]
    pairs = random.Random("lint").sample(small, 6)
    assert {name: lines for name, lines in write.lint_all(pairs).items() if lines} == {}
