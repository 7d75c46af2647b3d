# SPDX-License-Identifier: Apache-2.0
"""A block under the names and the reset of an AXI system: a module around it.

``aclk`` and ``aresetn`` in place of ``clk`` and ``rst``. The block's reset rises at once when ``aresetn`` falls, and falls
with the second clock edge after ``aresetn`` has risen, never between two edges. It acts at a clock edge, as all else does.

A stream becomes an AXI4-Stream: sink ``i_x`` is ``s_axis_x_tdata``, ``tvalid`` and ``tready``, source ``o_x`` is
``m_axis_x_tdata`` and so on; ``i`` and ``o`` alone are ``s_axis`` and ``m_axis``. TDATA is whole bytes: bits above the
payload are ignored, or 0. Pins of AXI4 and AXI4-Lite have their standard names already and keep them, as does all else.
"""

from zoetrope.hw.verilog.comments import header, port_comment

_SIGNALS = {"payload": "tdata", "valid": "tvalid", "ready": "tready"}

_RESET = """\
  // Reset comes at once and goes with the clock.
  (* async_reg = "true" *) reg [1:0] held = 2'b11;
  always @(posedge aclk or negedge aresetn)
    if (!aresetn) held <= 2'b11;
    else held <= {held[0], 1'b0};

"""


def name(sidecar):
    """The name of the wrapper's module."""
    return f"{sidecar['module']}_axi"


def ports(sidecar):
    """The wrapper's ports, as a sidecar has them, each with the ``inner`` port of the block that it leads to."""
    return [_port(port) | {"inner": port} for port in sidecar["ports"]]


def _port(port):
    if port["name"] == "clk":
        return port | {"name": "aclk"}
    if port["name"] == "rst":
        return port | {"name": "aresetn", "meaning": "reset, active low; its end is synchronised here"}
    owner = port.get("stream")
    if not owner:
        return port
    side, plain = ("s", "i") if owner["side"] == "sink" else ("m", "o")
    rest = owner["name"].removeprefix(plain) if owner["name"].split("_")[0] == plain else f"_{owner['name']}"
    outer = f"{side}_axis{rest.replace('__', '_')}_{_SIGNALS[owner['signal']]}"
    return port | {"name": outer, "width": (port["width"] + 7) // 8 * 8 if owner["signal"] == "payload" else 1}


def wrapper(sidecar):
    """The Verilog of the wrapper."""
    outer = ports(sidecar)
    said = f"{sidecar['module']} with aclk, aresetn and AXI4-Stream names; its ports are described in its .json."
    text = header(sidecar | {"module": name(sidecar), "summary": said, "parameters": []})
    declared = ",\n".join(_declaration(port) for port in outer)
    text += f"\nmodule {name(sidecar)} (\n{declared}\n);\n"
    text += _RESET if any(port["name"] == "aresetn" for port in outer) else ""
    for port in outer:
        spare = port["width"] - port["inner"]["width"]
        if spare and port["direction"] == "output":
            text += f"  assign {port['name']}[{port['width'] - 1}:{port['inner']['width']}] = {spare}'b0;\n"
    joined = ",\n".join(f"    .{port['inner']['name']}({_inner(port)})" for port in outer)
    return text + f"  {sidecar['module']} core (\n{joined}\n  );\nendmodule\n"


def _declaration(port):
    comment = port_comment(port)
    bits = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
    return (f"{comment}\n" if comment else "") + f"  {port['direction']} wire {bits}{port['name']}"


def _inner(port):
    if port["name"] == "aresetn":
        return "held[1]"
    width = port["inner"]["width"]
    return port["name"] if width == port["width"] else f"{port['name']}[{width - 1}:0]"
