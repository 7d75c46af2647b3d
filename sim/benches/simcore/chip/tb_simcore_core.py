# SPDX-License-Identifier: Apache-2.0
"""Bench of SIMCORE's core: heads through it, with a memory behind its readers, the row writer's and recovery's streams."""

from collections import Counter

import numpy as np

from zoetrope.golden.formats import fp32
from zoetrope.golden.memory.words import words
from zoetrope.golden.simcore.chip.head_geometry import head_geometry
from zoetrope.golden.simcore.chip.simcore import simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.golden.simcore.quantization_engine.reduction_tree import inverse
from zoetrope.golden.simcore.quantization_engine.sort_select import proportion
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import squared_threshold
from zoetrope.hw.simcore.chip.simcore_config import READERS
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS, Cause
from zoetrope.sim.host.simcore import settings_of
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import integer, unpack
from zoetrope.sim.stimulus.outer_product import seeded_tensors

MATRICES = "qkva"


@bench_test(stalls=("none", "both"))
async def heads(bench):
    """Text before, behind and none, with every switch, and without; one token."""
    c, rng = bench.config, bench.rng
    for geometry, switches in (
        (Geometry(3, 2, 3, 3), {}),
        (Geometry(2, 2, 4, 5, False), {"compact": False}),
        (Geometry(2, 3, 2), {"sparsify": False, "speculate_a": False}),
        (Geometry(2, 2, 2, 1), {"quantize": False}),
        (Geometry(1, 1, 1), {}),
    ):
        channels = int(rng.integers(1, c.max_channels + 1))
        await check(bench, *similar(rng, geometry, channels), geometry, switches)


@bench_test(stalls=("none",))
async def clip(bench):
    """The corner of two frames of the clip; without a clip, of seeded tensors."""
    c = bench.config
    tensors = bench.tensors or seeded_tensors(bench.rng)
    geometry = Geometry(2, 2, 2)
    d = min(c.max_channels, tensors["q"].shape[-1])
    q, k, v = (tensors[n].reshape(-1, tensors[n].shape[-1])[: geometry.tokens, :d].astype(np.float16) for n in "qkv")
    await check(bench, q, k, v, geometry, {})


@bench_test(stalls=("none",))
async def no_number(bench):
    """NaN in K ends the head with its cause; after a reset the next head is right."""
    c, rng = bench.config, bench.rng
    geometry = Geometry(2, 2, 2)
    q, k, v = similar(rng, geometry, min(c.max_channels, 3))
    wrong = k.copy()
    wrong[3, 0] = np.nan
    await run(bench, q, wrong, v, geometry, settings_of(c, tau=1.0))
    bench.equal("cause", bench.get("cause"), int(Cause.NOT_FINITE_K))
    await check(bench, q, k, v, geometry, {})


async def check(bench, q, k, v, geometry, switches):
    """A head: rows of A, and what the counters say of it."""
    settings = settings_of(bench.config, tau=1.0, **switches)
    want = simcore(q, k, v, geometry, settings)
    a = await run(bench, q, k, v, geometry, settings)
    bench.equal("cause", bench.get("cause"), int(Cause.NONE))
    bench.equal("done", bench.get("done"), 1)
    bench.compare(a, want.a.view(np.uint16), unit="rows of A", describe=lambda row: f"{geometry}, row {row}")
    counted = want.statistics
    kept = counted.tokens - counted.temporal - counted.spatial
    bench.equal("rows kept", bench.get("rows_kept"), kept)
    bench.equal("slices", bench.get("slices"), counted.slices)
    tiles = [counted.important, counted.tiles - counted.important]
    bench.equal("tiles", [bench.get("tiles_fp16"), bench.get("tiles_lut")], tiles)


async def run(bench, q, k, v, geometry, settings):
    """Reset, a head from ``go`` to ``done`` or an error; A as it is in memory."""
    c = bench.config
    await bench.reset()
    memory = Memory(c, {"q": q, "k": k, "v": v})
    bench.set("head", head(c, geometry, settings, q.shape[1], memory.bases))
    bench.set("quiet", 1)
    bench.set("go", 1)
    for _ in range(200_000):
        await bench.cycles(4)
        await serve(bench, memory)
        if bench.get("done") or bench.get("cause"):
            break
    bench.set("go", 0)
    bench.abandon(*(f"i_data_{name}" for name in READERS), *(f"o_command_{name}" for name in READERS))
    bench.abandon("o_place", "o_results", "o_write_command", "o_write_data", "i_write_status")
    return memory.a


class Memory:
    """Q, K, V and A as the core's commands name them."""

    def __init__(self, c, matrices):
        self.c = c
        tokens, self.channels = matrices["q"].shape
        codes = {name: np.ascontiguousarray(x).view(np.uint16) for name, x in matrices.items()}
        size = tokens * -(-self.channels // c.lanes) * 2 * c.lanes
        self.bases = {name: 0x100 + number * (size + 0x40 & ~0x3F) for number, name in enumerate(MATRICES)}
        self.words = {name: words(x, c.lanes).reshape(-1, c.lanes) for name, x in codes.items()}
        self.words["a"] = np.zeros_like(self.words["q"])
        self.places, self.row, self.seen = {}, [], Counter()
        self.commands, self.packet, self.packets = [], [], []

    @property
    def a(self):
        return self.words["a"].reshape(-1, -(-self.channels // self.c.lanes) * self.c.lanes)[:, : self.channels]

    def at(self, address, length):
        """The words of a command."""
        name = max((n for n in MATRICES if self.bases[n] <= address), key=self.bases.get)
        first = (address - self.bases[name]) // (2 * self.c.lanes)
        return self.words[name][first : first + -(-length // self.c.lanes)]


async def serve(bench, memory):
    """What has come since the last call: results before places, as a row is another's only when its last result has left."""
    c = bench.config
    for row, values, last in await results(bench, memory):
        memory.row += values
        if last:
            place = memory.at(memory.places[row], memory.channels)
            place[:] = words(np.array([memory.row], np.uint16), c.lanes)[0]
            memory.row = []
    for payload in await new(bench, memory, "o_place"):
        row, address = unpack(payload[None], [field.width for _, field in c.fetcher.place_layout])
        memory.places[int(row[0])] = int(address[0])
    # A packet's words may come before its command, or after it.
    memory.commands += [fields(c, command) for command in await new(bench, memory, "o_write_command")]
    for payload in await new(bench, memory, "o_write_data"):
        *values, last = unpack(payload[None], [16] * c.lanes + [1])
        memory.packet.append([int(x[0]) for x in values])
        if last[0]:
            memory.packets.append(memory.packet)
            memory.packet = []
    while memory.commands and memory.packets:
        memory.at(*memory.commands.pop(0))[:] = memory.packets.pop(0)
        bench.send("i_write_status", [0])
    for name in READERS:
        for command in await new(bench, memory, f"o_command_{name}"):
            found = memory.at(*fields(c, command))
            sent = [sum(int(x) << 16 * k for k, x in enumerate(word)) for word in found]
            sent[-1] |= 1 << c.data_bits
            bench.send(f"i_data_{name}", sent)


async def new(bench, memory, stream):
    """What has come on ``stream`` since the last call."""
    count = len(bench.transfers(stream)) - memory.seen[stream]
    memory.seen[stream] += count
    return await bench.collect(stream, count, more=True) if count else []


async def results(bench, memory):
    """(row, values, whether it is the row's last) of each word of results."""
    c = bench.config
    layout = c.merge.o_layout
    found = []
    for payload in await new(bench, memory, "o_results"):
        word = layout.from_bits(int.from_bytes(payload.tobytes(), "little"))
        count = int(word["count"]) if int(word["last"]) else c.merge_lanes
        values = [int(word["results"][k].as_value().value) for k in range(min(count, c.merge_lanes) or c.merge_lanes)]
        found.append((int(word["row"]), values, bool(int(word["last"]))))
    return found


def fields(c, command):
    return (int(x[0]) for x in unpack(command[None], [field.width for _, field in c.axi.command_layout]))


def head(c, geometry, settings, channels, bases):
    sizes = {name: getattr(geometry, name) for name in ("frames", "height", "width", "text")}
    return integer(
        c.head_layout,
        **sizes,
        **head_geometry(geometry, channels, c.lanes, c.keys)._asdict(),
        channels=channels,
        text_first=int(geometry.text_first),
        sparsify=int(settings.sparsify),
        compact=int(settings.compact),
        codes_k=int(settings.codes_of_k),
        codes_v=int(settings.codes_of_v),
        window=settings.window,
        group=min(settings.group, c.max_width),
        p_p=proportion(settings.p_p, P_BITS),
        p_a=proportion(settings.p_a, P_BITS),
        threshold=int(squared_threshold(settings.tau)),
        frame_inverse=inverse(geometry.rows),
        score_scale=int(fp32(np.array([1 / np.sqrt(channels)]))[0]),
        **bases,
    )


def similar(rng, geometry, channels):
    """Q, K and V, ``float16``; Q's tokens resemble those of the frame before."""
    base = np.tile(rng.standard_normal((geometry.rows, channels)), (geometry.frames, 1))
    q = rng.standard_normal((geometry.tokens, channels))
    q[geometry.video] = base + 0.2 * rng.standard_normal(base.shape)
    return [x.astype(np.float16) for x in (q, *rng.standard_normal((2, geometry.tokens, channels)))]
