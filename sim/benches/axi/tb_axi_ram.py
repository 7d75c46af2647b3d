# SPDX-License-Identifier: Apache-2.0
"""Bench of the on-chip memory: bursts of every awkward kind, both ways at once, and the host's bytes between them."""

from typing import NamedTuple

import numpy as np

from zoetrope.golden.axi import axi_ram
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.axi import address_rows, last_beats, w_rows

_BOUNDARY = 4096


class Burst(NamedTuple):
    name: str
    address: int
    beats: int


@bench_test()
async def bursts(bench):
    """The whole memory, then the corners and random ones, with strobes; what is there after all of them."""
    c = bench.config
    memory = await fill(bench)
    cases = labelled_bursts(c) + random_bursts(bench.rng, c, 12)
    memory = await write(bench, memory, cases)
    await read(bench, memory, cases)
    await read(bench, memory, whole(c))


@bench_test()
async def all_at_once(bench):
    """Reads of one third of the memory, writes to another, and bytes of a host in the last, each as if it were alone."""
    c = bench.config
    memory = await fill(bench)
    third = max(1, c.depth // 3)
    cases = random_bursts(bench.rng, c, 16, first=0, words=third)
    bytes_at = bench.rng.integers(2 * third * c.word_bytes, c.size + c.word_bytes, 24).tolist() if c.depth > 2 else []
    after = memory
    if c.depth > 1:
        writes = random_bursts(bench.rng, c, 16, first=third, words=third)
        after = send_writes(bench, memory, writes)
    send_reads(bench, cases)
    if bytes_at:
        values = bench.rng.integers(0, 256, len(bytes_at)).tolist()
        after = await host_writes(bench, after, bytes_at, values)
        await host_reads(bench, after, bytes_at)
    await compare_reads(bench, memory, cases)
    if c.depth > 1:
        await compare_writes(bench, memory, writes)
    await read(bench, after, whole(c))


@bench_test(stalls=("none", "both"))
async def host(bench):
    """A host's bytes: in every lane, at both ends, beyond the end, and what the bus then reads."""
    c = bench.config
    memory = await fill(bench)
    near = [0, 1, c.word_bytes - 1, c.size - 1, c.size, c.size + 1, (1 << c.address_bits) - 1]
    places = near + bench.rng.integers(0, c.size, 20).tolist()
    await host_reads(bench, memory, places)
    memory = await host_writes(bench, memory, places, bench.rng.integers(0, 256, len(places)).tolist())
    await host_reads(bench, memory, places)
    await read(bench, memory, whole(c))


@bench_test(stalls=("none",))
async def throughput(bench):
    """A beat a cycle, across bursts; a burst of one beat takes two cycles."""
    c = bench.config
    memory = await fill(bench)
    beats = min(16, c.depth, _BOUNDARY // c.word_bytes)
    cases = [Burst("", 0, beats)] * 6
    send_reads(bench, cases)
    await compare_reads(bench, memory, cases)
    first = len(bench.transfers("o_r")) - 6 * beats
    index = len(bench.transfers("i_ar")) - 6
    if beats > 1:
        bench.measure(latency=("i_ar", index, "o_r", first), interval=("o_r", first, first + 6 * beats - 1))
    before = len(bench.transfers("i_w"))
    memory = await write(bench, memory, cases)
    took = bench.transfers("i_w")[before:]
    bench.equal("cycles of the beats written", int(took[-1] - took[0]) + 1, 6 * beats if beats > 1 else 11)
    bench.equal("cycles from the last W to B", int(bench.transfers("o_b")[-1] - took[-1]), 1)
    before = len(bench.transfers("o_r"))
    await read(bench, memory, [Burst("", 0, 1)] * 6)
    took = bench.transfers("o_r")[before:]
    bench.equal("cycles of bursts of one beat", int(took[-1] - took[0]) + 1, 11)


def whole(c):
    """Bursts that cover the memory, each within 4 KiB."""
    most = min(256, _BOUNDARY // c.word_bytes)
    starts = range(0, c.depth, most)
    return [Burst(f"from word {k}", k * c.word_bytes, min(most, c.depth - k)) for k in starts]


def labelled_bursts(c):
    """The corners; those that are within a memory that is large enough."""
    word, page = c.word_bytes, _BOUNDARY // c.word_bytes
    longest = min(256, page)
    top = (1 << c.address_bits) - word
    return [
        Burst("the first word", 0, 1),
        Burst("the last word", c.size - word, 1),
        Burst("the word behind the last", c.size, 1),
        Burst("from within to behind the last", (c.depth - 1) * word, 2) if c.size % _BOUNDARY else Burst("", 0, 1),
        Burst("two words from the middle of one", word // 2, 2),
        Burst("the longest", 0, longest),
        Burst("up to 4 KiB", _BOUNDARY - word, 1),
        Burst("across 4 KiB", _BOUNDARY - word, 2),
        Burst("across 4 KiB, by far", word, 256) if word * 256 >= _BOUNDARY else Burst("", 0, 1),
        Burst("from 4 KiB on", _BOUNDARY, 2),
        Burst("the last word of the address space", top, 1),
        Burst("an address that is the memory's but for its top bit", 1 << (c.address_bits - 1), 1),
    ]


def random_bursts(rng, c, count, first=0, words=None):
    """Short and long ones in ``words`` words from word ``first`` on, by default in all and a little beyond."""
    page = _BOUNDARY // c.word_bytes
    words = words or c.depth + 2
    cases = []
    for _ in range(count):
        word = first + int(rng.integers(words))
        room = min(first + words - word, page - word % page, 256)
        beats = int(rng.integers(1, min(room, rng.choice([1, 2, 8, 40])) + 1))
        cases.append(Burst(f"{beats} beats from word {word}", word * c.word_bytes, beats))
    return cases


# -- the bus


async def fill(bench):
    """Random bytes to the whole memory. Returns them."""
    c = bench.config
    return await write(bench, np.zeros(c.size, np.uint8), whole(c), strobes=1.0)


async def write(bench, memory, cases, strobes=None):
    after = send_writes(bench, memory, cases, strobes)
    await compare_writes(bench, memory, cases)
    return after


def send_writes(bench, memory, cases, strobes=None):
    """Queue bursts of random words and strobes. Returns the memory after them."""
    c = bench.config
    rows = np.array([(case.address, case.beats) for case in cases], np.uint64)
    count = int(rows[:, 1].sum())
    words = bench.rng.integers(0, 256, (count, c.word_bytes), dtype=np.uint8)
    share = bench.rng.choice([0, 0.5, 1], (count, 1)) if strobes is None else strobes
    chosen = bench.rng.random((count, c.word_bytes)) < share
    bench.send("i_aw", address_rows(c, rows))
    bench.send("i_w", w_rows(words, chosen, np.isin(np.arange(count), last_beats(rows))))
    first = 0
    for case in cases:
        part = slice(first, first + case.beats)
        memory, _ = axi_ram.write(memory, case.address, words[part], chosen[part], c.word_bytes)
        first += case.beats
    return memory


async def compare_writes(bench, memory, cases):
    c = bench.config
    got = await bench.collect("o_b", len(cases), more=True)
    expected = [axi_ram.beats(len(memory), case.address, case.beats, c.word_bytes)[1].max() for case in cases]
    bench.compare(got, np.array(expected, np.uint8), unit="responses", describe=lambda i: cases[i].name)


async def read(bench, memory, cases):
    send_reads(bench, cases)
    await compare_reads(bench, memory, cases)


def send_reads(bench, cases):
    rows = np.array([(case.address, case.beats) for case in cases], np.uint64)
    bench.send("i_ar", address_rows(bench.config, rows))


async def compare_reads(bench, memory, cases):
    c = bench.config
    got = await bench.collect("o_r", sum(case.beats for case in cases), more=True)
    names = [case.name for case in cases for _ in range(case.beats)]
    parts = []
    for case in cases:
        words, responses = axi_ram.read(memory, case.address, case.beats, c.word_bytes)
        flags = responses | (np.arange(case.beats) == case.beats - 1).astype(np.uint8) << 2
        parts.append(np.concatenate([words, flags[:, None]], axis=1))
    bench.compare(got, np.concatenate(parts), unit="words", describe=lambda i: names[i])


# -- the host


async def host_writes(bench, memory, places, values):
    """Returns the memory after them."""
    c = bench.config
    widths = [c.address_bits, 8, 1]
    bench.send("i_host", pack(np.array(places, np.uint64), values, np.ones(len(places), int), widths=widths))
    got = await bench.collect("o_host", len(places), more=True)
    responses = []
    for place, value in zip(places, values):
        memory, response = axi_ram.write_byte(memory, place, value)
        responses.append(response)
    _compare_host(bench, got, np.zeros(len(places), int), responses, places)
    return memory


async def host_reads(bench, memory, places):
    c = bench.config
    nothing = np.zeros(len(places), int)
    widths = [c.address_bits, 8, 1]
    bench.send("i_host", pack(np.array(places, np.uint64), nothing, nothing, widths=widths))
    got = await bench.collect("o_host", len(places), more=True)
    values, responses = zip(*(axi_ram.read_byte(memory, place) for place in places))
    _compare_host(bench, got, values, responses, places)


def _compare_host(bench, got, values, responses, places):
    expected = pack(np.array(values), np.array(responses), widths=[8, 2])
    bench.compare(got, expected, unit="bytes", describe=lambda i: hex(places[i]))
