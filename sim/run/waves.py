"""A GTKWave view of a finished run: clock and reset, then each stream as a group, then the other ports."""

from vcd.gtkw import GTKWSave


def write_view(trace, top, component_streams, component_ports, clocked):
    """Write ``waves.gtkw`` beside ``trace`` (a VCD or FST file) and return its path.

    Parameters
    ----------
    trace : path of the trace
    top : name of the top module in it
    component_streams, component_ports : as ``sim.ports.interface`` returns them
    clocked : whether the top has ``clk`` and ``rst``
    """
    path = trace.with_name("waves.gtkw")
    with open(path, "w") as file:
        save = GTKWSave(file)
        save.dumpfile(str(trace), abspath=False)
        save.treeopen(f"{top}.")
        save.signals_width(240)
        if clocked:
            save.trace(f"{top}.clk")
            save.trace(f"{top}.rst")
        for stream in component_streams.values():
            with save.group(stream.name):
                save.trace(f"{top}.{stream.port('valid')}")
                save.trace(f"{top}.{stream.port('ready')}")
                if stream.width:
                    save.trace(_signal(top, stream.port("payload"), stream.width))
        for port in component_ports.values():
            if port.width:
                save.trace(_signal(top, port.name, port.width))
    return path


def _signal(top, name, width):
    return f"{top}.{name}" if width == 1 else f"{top}.{name}[{width - 1}:0]"
