# SPDX-License-Identifier: Apache-2.0
"""Narrow words into a wide memory: a bus brings B elements a cycle, and who computes reads L of them at a time.

::

    values --> part 0 | part 1 | ... of word 0, word 1, ... of a row --> memory of wide words --> read ports

Rejected: a register that gathers a wide word before it is written, as a queue needs it. The memory has an enable for each
part, and the flip-flops of a wide word are saved.
"""

from amaranth import Const, Mux, Signal, Value
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.ports import serve
from zoetrope.hw.memory.sram import Sram, SramConfig


def wide_store(m, name, ports, address, values, taken, last, *, words, parts):
    """A memory, submodule ``name`` of ``m``, whose rows of up to ``words`` words are written ``parts`` parts a word.

    Parameters
    ----------
    ports : read ports of the component, as ``hw.memory.ports.read_port`` has them, each the memory's own
    address : a view with a field ``word``, which is driven here; the other fields say which row is written
    values : a part; ``taken``: it is written in this cycle; ``last``: it is its row's last, and the next one begins a word
    parts : a power of two

    Parts behind a row's last keep what they had.
    """
    part_bits = ceil_log2(parts)
    part = Value.cast(values)
    depth = 1 << len(Value.cast(address))
    config = SramConfig(depth=depth, width=parts * len(part), granularity=len(part), read_ports=len(ports))
    sram = Sram(config=config)
    m.submodules[name] = emit_once(sram)
    word = Signal(range(max(2, words * parts)), name=f"{name}_word")
    m.d.comb += [
        address.word.eq(word >> part_bits),
        sram.w_en.eq(taken << (word[:part_bits] if part_bits else Const(0, 1))),
        sram.w_addr.eq(address),
        sram.w_data.eq(part.replicate(parts)),
    ]
    serve(m, sram, ports)
    with m.If(taken):
        m.d.sync += word.eq(Mux(last, 0, word + 1))
