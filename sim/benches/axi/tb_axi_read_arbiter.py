# SPDX-License-Identifier: Apache-2.0
"""Bench of the AXI4 read arbiter: turns, whose words are whose, one burst and one word a cycle."""

import numpy as np

from zoetrope.golden.axi.axi_read_arbiter import owners, saturated
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.stimulus.axi import address_rows


@bench_test()
async def turns(bench):
    """Readers with many bursts, few and none, of 1 to 256 words; words come as soon as their burst is out."""
    traffic = Traffic(bench, counts(bench.config, 24), longest=256)
    order = await run(bench, traffic)
    if bench.stall in ("none", "sink"):  # no reader is ever late
        bench.compare(order, saturated(traffic.counts), unit="turns")


@bench_test()
async def short_bursts(bench):
    """Of 1 and 2 words, from two readers only where there are more: those between them have no turn."""
    some = [40 if k in (0, bench.config.readers - 1) else 0 for k in range(bench.config.readers)]
    traffic = Traffic(bench, some, longest=2)
    order = await run(bench, traffic)
    if bench.stall in ("none", "sink"):
        bench.compare(order, saturated(traffic.counts), unit="turns")


@bench_test(stalls=("none",))
async def reset_within_bursts(bench):
    """A reset while bursts are begun leaves nothing of them, and reader 0 is the first again."""
    c = bench.config
    traffic = Traffic(bench, [1] * c.readers, longest=4)
    traffic.send(bench)
    await bench.collect("o_ar", 1, more=True)
    await bench.reset()
    traffic = Traffic(bench, [2] * c.readers, longest=4)
    bench.compare(await run(bench, traffic), saturated(traffic.counts), unit="turns")


@bench_test(stalls=("none",))
async def throughput(bench):
    """Bursts of one word, each word there when it is asked for: a burst and a word a cycle, from whomever they come."""
    c = bench.config
    traffic = Traffic(bench, [4 * c.outstanding] * c.readers, longest=1)
    order = saturated(traffic.counts)
    traffic.send(bench)
    bench.send("i_r", traffic.words(order))
    await traffic.check(bench, order)
    if c.outstanding > 1:
        bench.measure(latency=("i_ar__0", 0, "o_ar", 0), interval="o_ar")
        gaps = np.diff(bench.transfers("i_r")) - 1
        bench.equal("cycles without a word", int(gaps.sum()), 0)


class Traffic:
    """``counts[k]`` bursts of reader k, of up to ``longest`` words, at addresses that tell them apart."""

    def __init__(self, bench, counts, longest):
        self.config, self.counts = bench.config, list(counts)
        c, rng = bench.config, bench.rng
        number = np.arange(sum(counts), dtype=np.uint64)
        lengths = rng.integers(1, longest + 1, len(number), dtype=np.uint64)
        lengths[rng.random(len(number)) < 0.1] = longest
        addresses = number << np.uint64(c.address_bits - 12) | rng.integers(0, 2, len(number), dtype=np.uint64)
        self.bursts = np.split(np.stack([addresses, lengths], axis=1), np.cumsum(counts)[:-1])
        self._data = [
            [rng.integers(0, 256, (n, c.data_bits // 8), dtype=np.uint8) for n in bursts[:, 1].tolist()]
            for bursts in self.bursts
        ]
        self._flags = [
            [(rng.integers(0, 4, n) | (np.arange(n) == n - 1) << 2).astype(np.uint8) for n in bursts[:, 1].tolist()]
            for bursts in self.bursts
        ]

    def send(self, bench):
        for k, bursts in enumerate(self.bursts):
            if len(bursts):
                bench.send(f"i_ar__{k}", address_rows(self.config, bursts))

    def numbered(self, order):
        """(reader, number of the burst among its own) of bursts in the order of their readers."""
        seen = [0] * self.config.readers
        for k in np.asarray(order).tolist():
            yield k, seen[k]
            seen[k] += 1

    def in_order(self, order):
        """Rows of ``o_ar``."""
        return address_rows(self.config, np.stack([self.bursts[k][n] for k, n in self.numbered(order)]))

    def burst_words(self, k, n):
        """Rows of R of reader k's burst n."""
        return np.concatenate([self._data[k][n], self._flags[k][n][:, None]], axis=1)

    def words(self, order):
        """Rows of ``i_r``."""
        return np.concatenate([self.burst_words(k, n) for k, n in self.numbered(order)])

    async def check(self, bench, order):
        """Every burst and every word, by the ``order`` of the readers."""
        got = await bench.collect("o_ar", len(order), more=True)
        bench.compare(got, self.in_order(order), unit="bursts")
        await self.check_words(bench, order)

    async def check_words(self, bench, order):
        lengths = [int(self.bursts[k][n, 1]) for k, n in self.numbered(order)]
        whose, words = owners(order, lengths), self.words(order)
        for k in range(self.config.readers):
            got = await bench.collect(f"o_r__{k}", int((whose == k).sum()), more=True)
            bench.compare(got, words[whose == k], unit=f"words of reader {k}")


async def run(bench, traffic):
    """Send all; give each burst's words when it is out. Returns the order of the readers, each of whose is checked."""
    traffic.send(bench)
    total = sum(traffic.counts)
    places = {}
    for k, bursts in enumerate(traffic.bursts):
        places |= {row.tobytes(): k for row in address_rows(traffic.config, bursts)}
    order, seen = [], []
    for _ in range(total):
        row = (await bench.collect("o_ar", 1, more=True))[0]
        k = places[row.tobytes()]
        bench.send("i_r", traffic.burst_words(k, order.count(k)))
        order.append(k)
        seen.append(row)
    bench.compare(np.stack(seen), traffic.in_order(order), unit="bursts")
    await traffic.check_words(bench, order)
    return np.array(order)


def counts(c, most):
    """Bursts of each reader: the first has most, the last few, one in between none."""
    return [most, *(most // 2 if k % 2 else 0 for k in range(1, c.readers - 1)), 3][: c.readers]
