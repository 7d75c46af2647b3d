# SPDX-License-Identifier: Apache-2.0
"""Bench of the bus adapter: requests of every kind, good and bad, to registers and a memory that answer by a plan."""

import numpy as np

from zoetrope.golden.board.bus_adapter import READ_MEMORY, READ_REGISTERS, WRITE_MEMORY, WRITE_REGISTERS, obey
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack

KINDS = {WRITE_REGISTERS: "write registers", READ_REGISTERS: "read registers"}
KINDS |= {WRITE_MEMORY: "write memory", READ_MEMORY: "read memory"}


@bench_test()
async def requests(bench):
    """Short and long ones of each kind, all answered well."""
    for kind in KINDS:
        for count in (1, 2, 7):
            await exchange(bench, kind, request(bench, kind, address(bench, kind, count), count))


@bench_test(stalls=("none", "both"))
async def errors(bench):
    """Errors of the bus at the first, a middle and the last access; addresses beyond, and up to the last."""
    c = bench.config
    for kind in KINDS:
        for failing in (0, 2, 4):
            await exchange(bench, kind, request(bench, kind, address(bench, kind, 5), 5), failing=failing)
        size = 1 << min(32, c.memory_bits if kind >> 1 else c.register_bits)
        step = 1 if kind >> 1 else 4
        for start, count in ((size - 2 * step, 2), (size - step, 3), ((1 << 32) - step, 1)):
            await exchange(bench, kind, request(bench, kind, start, count))
        await exchange(bench, kind, request(bench, kind, address(bench, kind, 3), 3))


@bench_test(stalls=("none", "both"))
async def malformed(bench):
    """Requests cut anywhere, with bytes behind, of no length, misaligned; one by one, then without a pause."""
    for kind in KINDS:
        good = request(bench, kind, address(bench, kind, 2), 2)
        bad = [good[:k] for k in range(1, len(good))]
        bad += [good + b"\x01", good + b"\x01\x02\x03\x04\x05", good[:4] + b"\x00\x00"]
        bad += [bytes([good[0] | k]) + good[1:] for k in (1, 2)] + [good[:4] + b"\x06\x00"]
        for one in bad:
            await exchange(bench, kind, one)
        await exchange(bench, kind, *bad, good)


def address(bench, kind, count):
    """A random one of ``count`` words or bytes that are there."""
    c = bench.config
    if kind >> 1:
        return int(bench.rng.integers((1 << min(32, c.memory_bits)) - count))
    return 4 * int(bench.rng.integers((1 << c.register_bits - 2) - count))


def request(bench, kind, start, count):
    """The bytes of a request of ``count`` words or bytes."""
    size = count * (1 if kind >> 1 else 4)
    rest = size.to_bytes(2, "little") if kind & 1 else bench.rng.bytes(size)
    return start.to_bytes(4, "little") + rest


async def exchange(bench, kind, *requests, failing=None):
    """Send requests, answer what they ask; access ``failing`` is answered with an error. Compare all of it."""
    c = bench.config
    answers = []

    def respond(access):
        error = len(answers) == failing
        value = int(bench.rng.integers(0, 1 << (8 if kind >> 1 else 32))) if kind & 1 else 0
        resp = int(bench.rng.integers(2, 4)) if error else int(bench.rng.integers(2))
        answers.append((value, resp))
        return value, error

    bits = {"register_bits": c.register_bits, "memory_bits": c.memory_bits}
    asked, parts, statuses = zip(*(obey(kind, data, respond, **bits) for data in requests))
    accesses, answer = [access for each in asked for access in each], b"".join(parts)
    name = f"{KINDS[kind]}: {', '.join(data.hex() for data in requests)}"
    bench.set("kind", kind)
    values, responses = np.array(answers, np.uint64).reshape(-1, 2).T
    places = np.array([access.address for access in accesses], np.uint64)
    written = np.array([access.value for access in accesses], np.uint64)
    count = len(accesses)
    for data in requests:
        last = np.arange(len(data)) == len(data) - 1
        bench.send("i", pack(np.frombuffer(data, np.uint8), last, widths=[8, 1]))
    if kind >> 1:
        bench.send("i_host", pack(values, responses, widths=[8, 2]))
        writes = np.full(count, kind == WRITE_MEMORY)
        expected = {"o_host": pack(places, written, writes, widths=[c.memory_bits, 8, 1])}
    elif kind & 1:
        bench.send("i_r", pack(values, responses, widths=[32, 2]))
        expected = {"o_ar": pack(places, widths=[c.register_bits])}
    else:
        bench.send("i_b", pack(responses, widths=[2]))
        full = np.full(count, 15)
        expected = {"o_aw": pack(places, widths=[c.register_bits]), "o_w": pack(written, full, widths=[32, 4])}
    end = await bench.collect("o_end", len(requests))
    bench.compare(end, np.array(statuses, np.uint8), unit="statuses", describe=lambda i: name)
    for stream, rows in expected.items():
        got = await bench.collect(stream, count)
        bench.compare(got, rows, unit="accesses", describe=lambda i: name)
    got = await bench.collect("o", len(answer))
    bench.compare(got, np.frombuffer(answer, np.uint8), unit="bytes", describe=lambda i: name)
