# SPDX-License-Identifier: Apache-2.0
"""What is written beside the Verilog of a block: a template to instantiate it, a FuseSoC core, registers in C and SystemRDL.

From SystemRDL others make what there is none of here: IP-XACT, UVM, documentation, by PeakRDL for one.
"""

from zoetrope.hw.verilog.comments import LICENCE, generator, header, origin


def template(sidecar, module, ports):
    """An instance of ``module`` to copy: a wire for each of its ``ports``, and the connections."""
    more = (f"A template to copy: wires, and an instance of {module}.",)
    wide = max(len(port["name"]) for port in ports)
    bits = [f"[{port['width'] - 1}:0]" if port["width"] > 1 else "" for port in ports]
    room = max(map(len, bits))
    wires = [f"wire {width:<{room}} {port['name']};" for width, port in zip(bits, ports)]
    joined = [f"  .{port['name']:<{wide}} ({port['name']})" for port in ports]
    ends = [f"{',' if port is not ports[-1] else ' '}  // {port['direction']}" for port in ports]
    pins = "\n".join(line + end for line, end in zip(joined, ends))
    return header(sidecar | {"parameters": []}, more) + "\n".join(
        ["", *wires, "", f"{module} u_{module} (", pins, ");", ""]
    )


def core(sidecar, module, sources, others):
    """A FuseSoC core (CAPI2). ``sources`` are the Verilog files, ``others`` what else belongs to it."""
    version = sidecar["tools"]["zoetrope"] or "0"
    files = "".join(f"      - {source}\n" for source in sources)
    beside = "".join(f"      - {other}\n" for other in others)
    return f"""CAPI=2:
# {LICENCE}
# {generator(sidecar)}
name: "zoetrope:rtl:{module}:{version}"
description: "{origin(sidecar)}"

filesets:
  rtl:
    files:
{files}    file_type: verilogSource
  description:
    files:
{beside}    file_type: user

targets:
  default: &default
    filesets: [rtl, description]
    toplevel: {module}
  lint:
    <<: *default
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
"""


def c_header(sidecar):
    """Offsets, and position, mask and reset of fields, of the registers of a sidecar, as macros of C."""
    name = sidecar["module"].upper()
    lines = [f"/* {LICENCE} */", f"/* {origin(sidecar)}", f" * {generator(sidecar)} */"]
    lines += [f"#ifndef ZOETROPE_{name}_H", f"#define ZOETROPE_{name}_H", ""]
    for register, entry in sorted(sidecar["registers"].items(), key=lambda item: item[1]["offset"]):
        lines += [
            f"/* {register}{_said(entry)} */",
            f"#define {name}_{register.upper()}_OFFSET {entry['offset']:#06x}u",
        ]
        for field, f in entry["fields"].items():
            lines += [f"/* {f['access']}{_said(f)} */" if f["doc"] != entry["doc"] else f"/* {f['access']} */"]
            lines += _field(f"{name}_{register}_{field}".upper() if field != register else f"{name}_{field}".upper(), f)
        lines.append("")
    return "\n".join([*lines, "#endif", ""])


#: Access of a field to its properties in SystemRDL.
_PROPERTIES = {
    "rw": "sw = rw; hw = r;",
    "ro": "sw = r; hw = w;",
    "w1c": "sw = rw; hw = rw; onwrite = woclr; hwset;",
    "pulse": "sw = w; hw = r;",
}


def system_rdl(sidecar):
    """The registers of a sidecar as an address map of SystemRDL. Names are escaped: some are words of the language."""
    lines = [f"// {LICENCE}", f"// {origin(sidecar)}", f"// {generator(sidecar)}"]
    lines += [f"addrmap {sidecar['module']} {{", "  default regwidth = 32;", "  default accesswidth = 32;"]
    for register, entry in sorted(sidecar["registers"].items(), key=lambda item: item[1]["offset"]):
        lines += ["", "  reg {", *([f"    {_desc(entry)}"] if entry["doc"] else [])]
        for field, f in entry["fields"].items():
            said = f" {_desc(f)}" if f["doc"] else ""
            single = " singlepulse;" if f["access"] == "pulse" and f["width"] == 1 else ""
            reset = "" if f["access"] == "ro" else f" = {f['reset']:#x}"
            place = f"[{f['bit'] + f['width'] - 1}:{f['bit']}]"
            lines.append(f"    field {{ {_PROPERTIES[f['access']]}{single}{said} }} \\{field}{place}{reset};")
        lines.append(f"  }} \\{register} @ {entry['offset']:#x};")
    return "\n".join([*lines, "};", ""])


def _desc(entry):
    text = entry["doc"].replace("\\", "\\\\").replace('"', '\\"')
    return f'desc = "{text}";'


def _said(entry):
    return f": {entry['doc']}" if entry["doc"] else ""


def _field(name, f):
    mask = ((1 << f["width"]) - 1) << f["bit"]
    lines = [f"#define {name}_SHIFT {f['bit']}", f"#define {name}_MASK {mask:#010x}u"]
    if f["access"] in ("rw", "w1c"):
        lines.append(f"#define {name}_RESET {f['reset']:#x}u")
    return lines + [f"#define {name}_{value} {number}u" for value, number in f.get("values", {}).items()]
