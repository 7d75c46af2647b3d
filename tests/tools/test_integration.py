# SPDX-License-Identifier: Apache-2.0
"""What an engineer takes home: files that share a design and that others can read, a wrapper, a core, a C header."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyslang
import pytest
import synth_parts
import systemrdl
from machine_parts import REGISTERS, Copier, CopierConfig

from zoetrope.hw import catalogue
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.catalogue import Block
from zoetrope.hw.verilog import comments, design, names, sidecar, write
from zoetrope.hw.verilog.lint import lint
from zoetrope.sim.host.driver import Driver
from zoetrope.sim.run import build
from zoetrope.sim.run.native import Native
from zoetrope.sim.run.native_axi import AxiMemory, Lite

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

#: Blocks with parts in common, with queues (whose modules have dotted names), with registers; a preset beside the default.
CHOSEN = (
    *(("lut_pe", preset) for preset in ("default", "shared")),
    *(("sfu", preset) for preset in ("default", "deep")),
    *(("registers", preset) for preset in ("default", "one")),
    ("axi_master", "default"),
)

COPIER = Block("copier", Copier, configs={"default": CopierConfig(AxiConfig(data_bits=64, granularity=1, burst=4))})


def made(*pairs):
    return list(write.generated([(catalogue.find(name), preset) for name, preset in pairs]))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder and stems of the chosen blocks, written with their wrappers."""
    out = tmp_path_factory.mktemp("rtl")
    pairs = [(catalogue.find(name), preset) for name, preset in CHOSEN]
    write.write(pairs, out, aresetn=True)
    return out, [block.stem(preset) for block, preset in pairs]


def diagnostics(*texts):
    """Errors and warnings of slang, an independent parser, about a design of several files."""
    compilation = pyslang.ast.Compilation()
    for number, text in enumerate(texts):
        compilation.addSyntaxTree(pyslang.syntax.SyntaxTree.fromText(text, f"{number}.v"))
    return [str(found.code) for found in compilation.getAllDiagnostics() if found.isError()]


# -- names -----------------------------------------------------------------------------------------------------------------


def test_files_share_a_design(written):
    """All of them in one: no module twice, no warning, whatever parts they have in common."""
    out, stems = written
    texts = [(out / f"{stem}.v").read_text() for stem in stems]
    modules = [name for text in texts for name in design.split(text)]
    assert len(modules) == len(set(modules)) > 60
    tops = [stem.replace(".", "_") for stem in stems]
    for stem, top, text in zip(stems, tops, texts, strict=True):
        assert all(name == top or name.startswith(f"{top}__") for name in design.split(text)), stem
    ports = {top: json.loads((out / f"{stem}.json").read_text())["ports"] for stem, top in zip(stems, tops)}
    lines = ["module all;"]
    for top in tops:
        outputs = [port for port in ports[top] if port["direction"] == "output"]
        inputs = [port for port in ports[top] if port["direction"] == "input"]
        lines += [f"  wire [{port['width'] - 1}:0] {top}_{port['name']};" for port in outputs]
        pins = [f".{p['name']}({top}_{p['name']})" for p in outputs] + [
            f".{p['name']}({p['width']}'d0)" for p in inputs
        ]
        lines.append(f"  {top} u_{top} ({', '.join(pins)});")
    together = "\n".join([*texts, *lines, "endmodule", ""])
    assert lint(together, "all") == []
    assert diagnostics(together) == []


def test_a_prefix_sets_two_versions_of_one_block_apart(tmp_path):
    write.main(["--block", "sfu", "--out", str(tmp_path)])
    write.main(["--block", "sfu", "--prefix", "old_", "--out", str(tmp_path)])
    new, old = (design.split((tmp_path / f"{stem}.v").read_text()) for stem in ("sfu", "old_sfu"))
    assert not set(new) & set(old) and len(new) == len(old)
    assert "old_sfu" in old and all(name.startswith("old_sfu") for name in old)
    assert json.loads((tmp_path / "old_sfu.json").read_text())["module"] == "old_sfu"
    assert "module: old_sfu" not in (tmp_path / "sfu.core").read_text()


@pytest.mark.parametrize("prefix", ["1a", "a-b", ""])
def test_a_prefix_that_is_no_name_is_refused(prefix, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        write.main(["--block", "sfu", "--prefix", prefix, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2 and "must be letters, digits and _, and begin" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


AWKWARD = r"""module \part.a$1 (\in[0].x , \end , o);
  input [3:0] \in[0].x ;
  wire [3:0] \in[0].x ;
  input \end ;
  wire \end ;
  output [3:0] o;
  wire [3:0] o;
  wire [3:0] in_0_x;
  wire [3:0] \$1 ;
  wire [3:0] \1$ ;
  assign in_0_x = \in[0].x  + 4'ha;
  assign \$1  = \in[0].x [3:0] ^ { \end , 3'h0 };
  assign \1$  = in_0_x & \$1 ;
  assign o = \1$ ;
endmodule

module t(a, o);
  input [3:0] a;
  wire [3:0] a;
  output [3:0] o;
  wire [3:0] o;
  wire \t.x ;
  wire [3:0] \u$1 ;
  assign \t.x  = a[0];
  \part.a$1  \u$2  (
    .\end (\t.x ),
    .\in[0].x (a),
    .o(\u$1 )
  );
  \t.sub  sub (
    .a(\u$1 ),
    .o(o)
  );
endmodule

module \t.sub (a, o);
  input [3:0] a;
  wire [3:0] a;
  output [3:0] o;
  wire [3:0] o;
  assign o = ~a;
endmodule
"""


def test_awkward_names_become_plain_ones_that_nothing_else_has():
    text = names.renamed(AWKWARD, "t")
    assert "\\" not in text
    assert list(design.split(text)) == ["t__part_a_1", "t", "t__sub"]
    part = design.split(text)["t__part_a_1"]
    assert [name for _, _, name in design.ports(part)] == ["in_0_x_2", "end_", "o"]  # in_0_x is another wire's
    assert "  assign _1_2 = in_0_x & _1;" in part
    assert "    .in_0_x_2(a)," in text and "    .end_(t_x)," in text and "t__part_a_1 u_2 (" in text
    assert diagnostics(text) == []
    assert list(design.split(names.renamed(AWKWARD, "t", "p_"))) == ["p_t__part_a_1", "p_t", "p_t__sub"]


def test_renaming_changes_nothing_but_names():
    """With each name replaced by the place of its first use in the module, both texts are the same."""

    def shape(text, escaped):
        pattern = r"\\\S+\s|(?<![\w'$])[A-Za-z_]\w*" if escaped else r"(?<![\w'$])[A-Za-z_]\w*"
        seen = {}
        return re.sub(pattern, lambda found: f"n{seen.setdefault(found[0].strip(), len(seen))}", text)

    for each in made(("lut_pe", "default"), ("axi_master", "default")):
        after = names.renamed(each.verilog, each.top)
        for (name, old), new in zip(design.split(each.verilog).items(), design.split(after).values(), strict=True):
            if not design.instances(old):  # ports of instances are names of another module
                assert shape(old, True).split() == shape(new, False).split(), name


def test_no_name_is_escaped_and_slang_reads_every_file(written):
    out, stems = written
    for stem in stems:
        text, wrapper = ((out / f"{stem}{end}").read_text() for end in (".v", "_axi.v"))
        assert "\\" not in text
        assert diagnostics(text, wrapper) == [], stem


def test_slang_says_what_is_wrong():
    assert diagnostics("module m(input a, output b); assign b = c; endmodule\n")


# -- comments and sidecar --------------------------------------------------------------------------------------------------


def test_a_file_says_what_it_is(written):
    out, _ = written
    head = (out / "lut_pe.shared.v").read_text().partition("\nmodule ")[0]
    assert head.startswith("// SPDX-License-Identifier: Apache-2.0\n")
    assert "Block lut_pe of Zoetrope, preset shared, after SIMPICKER" in head and "Generated by zoetrope" in head
    assert re.search(r'^//   tables +"pe"$', head, re.M) and "lut_pe.shared.json" in head
    registers = (out / "registers.v").read_text()
    assert "Registers: registers.h" in registers.partition("\nmodule ")[0]
    assert re.search(r"  // register control, field start, pulse: begins a run\n  output control_start;", registers)
    assert re.search(
        r"  // write address: byte address of the first beat.*\n  output \[31:0\] m_axi_awaddr;",
        (out / "axi_master.v").read_text(),
    )


def test_every_port_of_every_block_has_a_meaning():
    for block in catalogue.BLOCKS.values():
        for preset in block.presets:
            found = sidecar.meanings(block.build(preset))
            assert all(found.values()), (block.name, preset, [name for name, meaning in found.items() if not meaning])


def test_configs_within_a_config_are_json():
    block = catalogue.find("computing_engine")
    parameters = {p["name"]: p["value"] for p in sidecar.parameters(block.config())}
    assert parameters["fp16"]["lanes"] == block.config().fp16.lanes
    assert ("fp16.lanes", block.config().fp16.lanes) in list(sidecar.flat(sidecar.parameters(block.config())))
    assert "Config(" not in json.dumps(parameters)


def test_memories_are_listed_with_their_ports_and_how_often():
    (each,) = made(("lut_pe", "default"))
    listed = write.files(each)[1]["memories"]
    config = each.component.config
    buffer = listed[0]
    assert buffer == {
        "module": "lut_pe__sram_8192x128_w16_1r",
        "sram": True,
        "depth": 8192,
        "width": 128,
        "write_enable_bits": 16,
        "write_ports": 1,
        "read_ports": 1,
        "read_latency": 1,
        "instances": 1,
    }
    tables = next(entry for entry in listed if entry["module"] == "lut_pe__sram_16x128_1r")
    assert tables["instances"] == config.lanes
    queue = next(entry for entry in listed if not entry["sram"])
    assert queue["read_latency"] == 0 and queue["module"] in names.renamed(each.verilog, "lut_pe")
    for entry in listed:  # the Verilog has the same arrays
        module = design.split(names.renamed(each.verilog, "lut_pe"))[entry["module"]]
        assert f"reg [{entry['width'] - 1}:0] " in module and f"[{entry['depth'] - 1}:0];" in module


def test_a_macro_takes_the_place_of_a_memory(written):
    """The module is left out where its name is defined as external, and one of the same ports fits."""
    text = (written[0] / "lut_pe.v").read_text()
    name = "lut_pe__sram_8192x128_w16_1r"
    ports = ", ".join(port for _, _, port in design.ports(design.split(text)[name]))
    macro = f"module {name}({ports}); input clk, rst, r_en__0; input [12:0] r_addr__0, w_addr;\n"
    macro += "  input [127:0] w_data; input [7:0] w_en; output [127:0] r_data__0;\nendmodule\n"
    assert diagnostics(f"`define EXTERNAL_{name}\n{text}", macro) == []
    assert diagnostics(f"`define EXTERNAL_{name}\n{text}") == ["DiagCode(UnknownModule)"]


def test_read_ports_and_instances_are_counted():
    (each,) = made(("transpose_buffer", "default"))
    for entry in write.files(each, "p_")[1]["memories"]:
        assert entry["module"].startswith("p_transpose_buffer__") and entry["instances"] >= 1


# -- files beside ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["lut_pe", "sfu.deep", "registers"])
def test_the_template_is_an_instance(written, stem):
    out, _ = written
    template = (out / f"{stem}.vh").read_text()
    design_text = (out / f"{stem}.v").read_text() + (out / f"{stem}_axi.v").read_text()
    assert diagnostics(f"{design_text}\nmodule user;\n{template}\nendmodule\n") == []
    top = f"{stem.replace('.', '_')}_axi"
    assert f"{top} u_{top} (" in template


def test_the_header_compiles_and_has_the_map(written):
    out, _ = written
    program = '#include "registers.h"\n#include "registers.one.h"\nint main(void) { return '
    program += "REGISTERS_CONTROL_OFFSET != 0 || REGISTERS_CONTROL_THRESHOLD_MASK != 0x0ffff000u"
    program += " || REGISTERS_CONTROL_THRESHOLD_SHIFT != 12 || REGISTERS_CONTROL_THRESHOLD_RESET != 0x3c00"
    program += (
        " || REGISTERS_WIDE_OFFSET != 0x3c || REGISTERS_WIDE_MASK != 0x7fffffff || REGISTERS_ONE_VALUE_RESET != 9; }\n"
    )
    (out / "main.c").write_text(program)
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o", "main", "main.c"]
    subprocess.run(command, cwd=out, check=True)
    subprocess.run([out / "main"], check=True)


def test_the_header_of_simcore_names_the_causes(tmp_path):
    block = catalogue.find("simcore")
    described = {"module": "simcore", "block": "simcore", "preset": "default", "paper": "", "tools": {"zoetrope": "1"}}
    text = write.companions.c_header(described | {"registers": describe(block.component.register_map)})
    assert (
        "#define SIMCORE_STATUS_CAUSE_THRESHOLD 4u\n" in text
        and "#define SIMCORE_CONTROL_START_MASK 0x00000001u" in text
    )
    rdl = write.companions.system_rdl(described | {"registers": describe(block.component.register_map)})
    (tmp_path / "simcore.rdl").write_text(rdl)
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(tmp_path / "simcore.rdl"))
    assert len(list(compiler.elaborate("simcore").top.registers())) == len(block.component.register_map)
    (tmp_path / "simcore.h").write_text(text)
    subprocess.run(["cc", "-fsyntax-only", "-Wall", "-Werror", "-x", "c", "simcore.h"], cwd=tmp_path, check=True)


def test_a_systemrdl_compiler_reads_the_registers(written):
    """An independent reader finds the map that the hardware was made from."""
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(written[0] / "registers.rdl"))
    read = {}
    for register in compiler.elaborate("registers").top.registers():
        for field in register.fields():
            reset = field.get_property("reset") or 0
            read[register.inst_name, field.inst_name] = (register.absolute_address, field.low, field.width, reset)
    described = json.loads((written[0] / "registers.json").read_text())["registers"]
    assert read == {
        (name, field): (entry["offset"], f["bit"], f["width"], f["reset"])
        for name, entry in described.items()
        for field, f in entry["fields"].items()
    }


def _guide(language):
    """The examples of the integration guide in one language."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "integration.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def test_examples_of_the_guide_are_right(written, tmp_path):
    (program,), (macro,) = _guide("c"), _guide("verilog")
    block = catalogue.find("simcore")
    described = {"module": "simcore", "block": "simcore", "preset": "default", "paper": "", "tools": {"zoetrope": "1"}}
    header = write.companions.c_header(described | {"registers": describe(block.component.register_map)})
    (tmp_path / "simcore.h").write_text(header)
    (tmp_path / "driver.c").write_text(program)
    subprocess.run(["cc", "-fsyntax-only", "-std=c99", "-Wall", "-Werror", "driver.c"], cwd=tmp_path, check=True)
    (name,) = re.findall(r"-D(EXTERNAL_\w+)", macro)
    assert diagnostics(f"`define {name}\n" + (written[0] / "lut_pe.v").read_text(), macro) == []


def test_fusesoc_takes_the_core(written, tmp_path):
    out, _ = written
    (tmp_path / "fusesoc.conf").write_text("[main]\n")
    tool = [sys.executable, "-m", "fusesoc.main", "--config", "fusesoc.conf", "--cores-root", str(out)]

    def run(*arguments):
        return subprocess.run([*tool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)

    listed = run("list-cores").stdout
    assert all(f"zoetrope:rtl:{name}_axi:" in listed for name in ("lut_pe", "lut_pe_shared", "registers"))
    run("run", "--target", "lint", "--setup", "--no-export", "zoetrope:rtl:sfu_axi")
    (described,) = tmp_path.rglob("*.eda.yml")
    text = described.read_text()
    assert "sfu.v" in text and "sfu_axi.v" in text and "toplevel: sfu_axi" in text


# -- the wrapper -----------------------------------------------------------------------------------------------------------


def test_wrappers_are_lint_clean(written):
    out, stems = written
    for stem in stems:
        text = (out / f"{stem}.v").read_text() + (out / f"{stem}_axi.v").read_text()
        assert lint(text, f"{stem.replace('.', '_')}_axi") == [], stem


def test_streams_become_axi_streams_of_whole_bytes(written):
    text = (written[0] / "lut_pe_axi.v").read_text()
    assert re.search(r"input wire \[23:0\] s_axis_x_tdata\b", text) and ".i_x__payload(s_axis_x_tdata[16:0])" in text
    assert re.search(r"output wire \[255:0\] m_axis_tdata\b", text) and "input wire aresetn" in text
    assert not re.search(r"\b(?:input|output) wire (?:clk|rst)\b", text)


#: The wrapper under the pins of the block itself, so that the drivers of this project can run it.
_PINS = """module pins({ports});
{declarations}
  {module} dut ({pins});
endmodule
"""


def test_a_machine_works_behind_aresetn():
    """The copier of the tests, written with a wrapper: registers, memory, work, and a reset in the middle of it."""
    (each,) = write.generated([(COPIER, "default")])
    texts, described = write.files(each, "chip_", aresetn=True)
    inner = {"aclk": "clk", "aresetn": "~rst"}
    ports = described["ports"]
    wrapped = _PINS.format(
        ports=", ".join(port["name"] for port in ports),
        declarations="\n".join(f"  {port['direction']} [{port['width'] - 1}:0] {port['name']};" for port in ports),
        module=described["wrapper"],
        pins=", ".join(f".{p['name']}({inner.get(p['name'], p['name'])})" for p in write.wrapper.ports(described)),
    )
    text = texts["chip_copier.v"] + texts["chip_copier_axi.v"] + wrapped
    native = Native(build.for_native(text, "pins"), {}, {port["name"]: port["width"] for port in ports})
    memory = AxiMemory(native, 4096, base=0)
    driver = Driver(describe(REGISTERS), Lite(native, memory))
    memory.run(limit=4)  # the reset ends two edges after that of ``rst``
    content = np.random.default_rng(1).integers(0, 256, 4096, dtype=np.uint8)
    memory.write(0, content)
    for name, value in (("source", 40), ("destination", 2048), ("length", 333)):
        driver.write(name, value)
    driver.write("control.start", 1)
    memory.run(limit=2000)
    assert (driver.read("status.busy"), driver.read("status.read"), driver.read("status.write")) == (0, 0, 0)
    assert np.array_equal(memory.data[2048 : 2048 + 333], content[40 : 40 + 333])
    assert driver.read("source") == 40
    native.reset(1)
    memory.run(limit=4)
    assert driver.read("source") == 0


def test_reset_is_there_at_once_and_goes_with_the_second_edge():
    """Of the wrapper's own flip-flops: ``aresetn`` needs no clock to begin a reset."""
    (each,) = write.generated([(synth_parts.PRODUCT_ROW, "default")])
    wrapper = write.files(each, aresetn=True)[0]["product_row_axi.v"]
    probe = "module product_row(i__payload, i__valid, i__ready, o__payload, o__valid, o__ready, clk, rst);\n"
    probe += "  input [37:0] i__payload; input i__valid, o__ready, clk, rst; output [35:0] o__payload;\n"
    probe += "  output i__ready, o__valid; assign o__valid = rst; assign i__ready = 1'b0; assign o__payload = 36'd0;\n"
    probe += "endmodule\n"
    pins = "module pins(clk, aresetn, reset);\n  input clk, aresetn; output reset;\n"
    pins += "  product_row_axi dut (.aclk(clk), .aresetn(aresetn), .m_axis_tvalid(reset), .s_axis_tdata(40'd0),"
    pins += " .s_axis_tvalid(1'b0), .s_axis_tready(), .m_axis_tdata(), .m_axis_tready(1'b1));\nendmodule\n"
    native = Native(build.for_native(wrapper + probe + pins, "pins"), {}, {"clk": 1, "aresetn": 1, "reset": 1})
    native.set("aresetn", 1)
    native.tick(3)
    seen = [native.get("reset")]
    for level, edges in ((0, 0), (1, 0), (1, 1), (1, 1), (1, 1)):
        native.set("aresetn", level)
        if edges:
            native.tick(edges)
        seen.append(native.get("reset"))
    assert seen == [0, 1, 1, 1, 0, 0]


def test_comments_are_short_lines(written):
    out, stems = written
    for stem in stems:
        for line in (out / f"{stem}.v").read_text().splitlines():
            assert len(line) <= 120 or not line.lstrip().startswith("//"), line
    assert comments.port_comment({"name": "a", "meaning": ""}) == ""
    assert Path(out / "registers.h").read_text().startswith("/* SPDX")
