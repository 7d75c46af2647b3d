# SPDX-License-Identifier: Apache-2.0
"""Bench of the transposing operand buffer: matrices of every shape in both orders, kept and read again, with any mask."""

import numpy as np

from zoetrope.golden.memory.transpose_buffer import load_words, transpose_buffer
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.model.memory import transpose_cycles
from zoetrope.sim.packing import integer, pack
from zoetrope.sim.stimulus.transpose_buffer import Matrix, elements, mask_bits, some


@bench_test()
async def shapes(bench):
    """Matrices of random sizes from 1 x 1 to the largest, masks of none, all and some, one to three reads each."""
    await check(bench, some(bench.rng, bench.config, 24))


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word in and a word out a cycle; loads behind reads."""
    c = bench.config
    largest = Matrix(elements(bench.rng, c, (c.max_operands, c.max_outputs)))
    loads = await check(bench, [largest] * 4)
    reads = c.max_operands * largest.words(c)
    bench.measure(latency=("i", loads - 1, "o", 0), interval=("o", 0, reads - 1))
    span = bench.transfers("o")[-1] - bench.transfers("i")[0]
    bench.equal("cycles", span, transpose_cycles(loads, reads, 4, bench.component.latency))


@bench_test(stalls=("none",))
async def reset_within_a_matrix(bench):
    """A reset while one matrix loads and one is read leaves nothing of them."""
    c = bench.config
    first = [Matrix(elements(bench.rng, c, (c.max_operands, c.max_outputs))) for _ in range(2)]
    send(bench, first)
    await bench.cycles(len(load_words(first[0].values, c.lanes)) + 10)
    await bench.reset()
    await check(bench, some(bench.rng, c, 4))


def send(bench, matrices):
    c = bench.config
    for matrix in matrices:
        operands, outputs = matrix.values.shape
        words = matrix.words(c)
        size = {"operands": operands, "words": words}
        order = {"straight": matrix.straight, "mask": mask_bits(matrix.mask)} if c.straight else {}
        bench.send("i_load", [integer(c.load_layout, outputs=outputs, **size, **order)])
        sent = load_words(matrix.values, c.lanes, matrix.straight)
        bench.send("i", pack(*sent.T, widths=[c.width] * c.lanes))
        for read in range(matrix.reads):
            tag = read & ((1 << c.tag_bits) - 1)
            bench.send("i_read", [integer(c.read_layout, keep=read < matrix.reads - 1, tag=tag, **size)])


async def check(bench, matrices):
    """Load and read ``matrices``; returns the words of ``i`` that the first of them takes."""
    c = bench.config
    send(bench, matrices)
    expected, kept, last, tags = [], [], [], []
    for matrix in matrices:
        found = transpose_buffer(matrix.values, c.columns, matrix.mask)
        operands, words, _ = found.values.shape
        for read in range(matrix.reads):
            expected.append(found.values.reshape(-1, c.columns))
            kept.append(np.tile(found.kept, (operands, 1)))
            last.append(np.arange(operands * words) >= (operands - 1) * words)
            tags.append(np.full(operands * words, read & ((1 << c.tag_bits) - 1)))
    expected, kept, last, tags = (np.concatenate(parts) for parts in (expected, kept, last, tags))
    got = await bench.collect("o", len(expected))
    widths = [c.width] * c.columns + [1, c.tag_bits]
    undefined = pack(*np.where(kept, 0, -1 & ((1 << c.width) - 1)).T, last * 0, tags * 0, widths=widths)
    bench.compare(got & ~undefined, pack(*expected.T, last, tags, widths=widths), unit="words")
    return len(load_words(matrices[0].values, c.lanes, matrices[0].straight))
