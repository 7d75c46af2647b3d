# SPDX-License-Identifier: Apache-2.0
"""The computing engine (SIMPICKER IV-A, V-A): the FP16 array and the LUT array at work on different tiles at one time.

::

    i_job --> check --> queues --------+----------------------------+-------------> tag queue
                          |            |                            |                   v
    i_x --> operand memory of x --one operand a row--> array of PEs --sums--> rows, tags --> o
    i_w --> operand memory of w --one word of weights--^                          (one of each for either array)

A job is one tile: of S, up to t rows of Q and the keys of a tile; or of A, up to t rows of P and the values of a tile.
"""

from dataclasses import dataclass, field

from amaranth import Module
from amaranth.lib.wiring import Out

from zoetrope.hw.emit import emit_once
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore.computing_engine.tile_array import (
    ACTIVITIES,
    SIZES,
    TileArray,
    TileArrayConfig,
    array_members,
    size_field,
)
from zoetrope.hw.stream import FullyPipelined, connect


@dataclass(frozen=True)
class ComputingEngineConfig:
    fp16: FP16PEConfig = field(
        default=FP16PEConfig(rows=4, columns=1, lanes=4, words=25, add_stages=2, ragged=True),
        metadata={"doc": "the array of FP16 PEs"},
    )
    lut: LutPEConfig = field(
        default=LutPEConfig(
            rows=4, columns=2, lanes=4, words=13, add_stages=2, copy_width=64, slices="generator", ragged=True
        ),
        metadata={"doc": "the array of LUT PEs"},
    )
    max_channels: int = size_field("max_channels", 64)
    max_tokens: int = size_field("max_tokens", 100)
    load_lanes: int = size_field("load_lanes", 16)
    queue: int = size_field("queue", 2)
    slice_bits: int = size_field("slice_bits", 16)
    tile_bits: int = size_field("tile_bits", 8)

    def __post_init__(self):
        for name in ARRAYS:
            try:
                self.array(name)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def array(self, name):
        """The config of the array ``name``, with its queue and memories."""
        return TileArrayConfig(array=getattr(self, name), **{each: getattr(self, each) for each in SIZES})


ARRAYS = ("fp16", "lut")


class ComputingEngine(FullyPipelined):
    """Two arrays side by side, each with its own jobs, operands and results: important tiles on one, others on the other.

    Members
    -------
    i_job_fp16, i_job_lut : In(stream), tiles for the FP16 array and for the LUT array; fields as in ``TileArray``
    i_x_fp16, i_x_lut : In(stream of L x FP16), Q or P of each job, row by row; for the LUT array Q is folded with K's scales
    i_w_fp16 : In(stream of L x FP16), K or V of each job, token by token
    i_w_lut : In(stream of L x INT8), K's or V's codes of each job, token by token
    o_fp16, o_lut : Out(stream), the results of each array, with tags; fields as in ``TileArray``
    busy_fp16, busy_lut : Out(32), cycles in which weights were multiplied
    waiting_fp16, waiting_lut : Out(32), cycles in which there was a job, and its operands had not come
    stalled_fp16, stalled_lut : Out(32), cycles in which weights waited for slices, or for sums that are still in the adder
    blocked_fp16, blocked_lut : Out(32), cycles in which weights waited because results were not taken
    error_fp16, error_lut : Out(1), since reset an impossible job was dropped
    filled : Out(1), the LUT buffer is complete; with a slice generator, always

    Of a tile of S the importance map says which array gets it, Q and K in FP16 or folded Q and K's codes; of a tile of A
    each array gets a job, with P twice, V in FP16 and V's codes, and the mask of its columns. Neither array waits for the
    other.

    Operands at the full rate, L elements a cycle on each stream: an array is busy in every cycle but the first few when
    ``D >= A`` and ``D >= C`` (the LUT array), and when the loads of a job are no longer than its sums.
    For a tile of S that is ``L >= outputs`` a word of the array; with fewer, K has to stay for ``outputs / L`` slices
    (``keep_w``), which at the paper's size and L = 8 is 8 of a frame's 85. For a tile of A it is
    ``ceil(channels / L) <= max(D, A, C)``.

    Limits: D of a tile of A is its columns over those of the array. Arrays wider than half a head meet a token of P with one
    word: at d = 64 and 64 outputs a word the FP16 array is then busy 1 / A of its cycles, and the LUT array 1 / C, C up to t
    slices. So it is for any engine of outer products, in which a value of P meets d weights and no more; narrow arrays of
    many words do not have it, nor have tiles of S.

    One queue and one set of operand streams for both arrays would have to hold FP16 and INT8 weights in one memory, and
    stop both when one is full.

    Latency: that of a tile of one word, see ``TileArray.latency``. Initiation interval: 1 cycle a word of weights.
    Golden: ``golden.simcore.computing_engine.computing_engine.computing_engine``.
    """

    def __init__(self, *, config):
        self.config = config
        self._arrays = {name: TileArray(config=config.array(name)) for name in ARRAYS}
        members = {}
        for name in ARRAYS:
            for member, flow in array_members(config.array(name)).items():
                members[f"{member}_{name}"] = flow
        super().__init__(members | {"filled": Out(1)})

    @property
    def latency(self):
        """Of the FP16 array."""
        return self.fp16_latency

    @property
    def fp16_latency(self):
        return self._arrays["fp16"].latency

    @property
    def lut_latency(self):
        return self._arrays["lut"].latency

    def elaborate(self, platform):
        m = Module()
        for name, array in self._arrays.items():
            m.submodules[name] = emit_once(array)
            for member in ("i_job", "i_x", "i_w"):
                connect(m, getattr(self, f"{member}_{name}"), getattr(array, member))
            connect(m, array.o, getattr(self, f"o_{name}"))
            for member in (*ACTIVITIES, "error"):
                m.d.comb += getattr(self, f"{member}_{name}").eq(getattr(array, member))
        m.d.comb += self.filled.eq(self._arrays["lut"].filled)
        return m


#: Config of each preset; the first is the default.
PRESETS = {
    "default": ComputingEngineConfig(),
    "tiny": ComputingEngineConfig(
        fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=5, ragged=True),
        lut=LutPEConfig(rows=2, columns=1, lanes=2, words=6, copy_width=16, slices="generator", ragged=True),
        max_channels=7,
        max_tokens=10,
        load_lanes=3,
    ),
    "paper": ComputingEngineConfig(
        fp16=FP16PEConfig(rows=8, columns=8, words=22, ragged=True),
        lut=LutPEConfig(rows=16, columns=8, words=22, copy_width=64, ragged=True),
        max_tokens=1350,
        load_lanes=8,
    ),
}
