"""Bench of the quantization engine: matrices of awkward shapes and contents, tokens of the clip, refused commands."""

import numpy as np

from zoetrope.golden.formats import FP16, fp16
from zoetrope.golden.orbis.matching.quantization_engine import engine
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.codes import corners, random_codes


@bench_test()
async def matrices(bench):
    """One token, one channel, a word and its neighbours; contents by name; NaN; passes that differ; the clip's tokens."""
    c = bench.config
    rng = bench.rng
    widths = {1, 2, c.lanes - 1, c.lanes, c.lanes + 1, 2 * c.lanes, 2 * c.lanes + 3, c.max_channels}
    jobs = [
        Job(normal(rng, tokens, d), name=f"{tokens} x {d}")
        for tokens in (1, 5)
        for d in sorted(widths)
        if 0 < d <= c.max_channels
    ]
    await check(bench, jobs + special_jobs(rng, c) + clip_jobs(bench.tensors, c))


@bench_test(stalls=("none",))
async def refused(bench):
    """No tokens, no channels, too many of either; and a command that is right after each."""
    c = bench.config
    bad = [
        (0, 1),
        (1, 0),
        (0, 0),
        (c.max_tokens + 1, 1),
        (1, c.max_channels + 1),
        (c.max_tokens + 1, c.max_channels + 1),
    ]
    bad += [(0, c.max_channels + 1)]
    jobs = []
    for shape in bad:
        jobs += [Job(np.zeros((0, 1), np.uint16), claimed=shape), Job(normal(bench.rng, 2, min(3, c.max_channels)))]
    await check(bench, jobs)


@bench_test(stalls=("none",))
async def reset_within_a_matrix(bench):
    """A reset in either pass and among the channels leaves nothing behind."""
    c = bench.config
    for part in (3, 2, 1.2):
        job = Job(normal(bench.rng, 9, c.max_channels))
        job.send(bench)
        await bench.cycles(int(c.cycles(9, c.max_channels) / part))
        await bench.reset()
        await check(bench, [Job(normal(bench.rng, 3, min(3, c.max_channels)))])


@bench_test(stalls=("none",))
async def throughput(bench):
    """A word a cycle in both passes."""
    c = bench.config
    job = Job(normal(bench.rng, 40, c.max_channels))
    await check(bench, [job])
    count = 40 * c.words
    bench.measure(latency=("i", count, "o", 0), interval=("o", 0, count - 1))


class Job:
    """A matrix as codes, what comes in the second pass if not the same, and what the engine makes of it."""

    def __init__(self, x, second=None, name="", claimed=None):
        self.x = np.asarray(x, np.uint16)
        self.second = self.x if second is None else np.asarray(second, np.uint16)
        self.shape = claimed or self.x.shape
        self.name = name or f"{self.shape[0]} x {self.shape[1]}"

    def refusal(self, c):
        tokens, channels = self.shape
        return (not tokens or not channels) | (tokens > c.max_tokens) << 1 | (channels > c.max_channels) << 2

    def command(self, c):
        return self.shape[0] | self.shape[1] << c.command["tokens"].width

    def sent(self, c):
        """Rows of bytes of the stream ``i``, both passes. What does not count is NaN."""
        return np.concatenate([self._words(x, c, 0x7E00).astype("<u2").view(np.uint8) for x in (self.x, self.second)])

    def _words(self, x, c, pad):
        tokens, channels = x.shape
        padded = np.full((tokens, -(-channels // c.lanes) * c.lanes), pad, np.uint16)
        padded[:, :channels] = x
        return padded.reshape(-1, c.lanes)

    def expected(self, c):
        """Rows of bytes of ``o`` and ``o_channels``, and the status."""
        if refusal := self.refusal(c):
            return (
                pack(*[[]] * c.lanes, widths=[4] * c.lanes),
                pack([], [], [], widths=[16, 32, c.weight_bits]),
                refusal,
            )
        made = engine(self.x, self.second, c.weight_bits)
        codes = self._words(made.codes.astype(np.uint16) & 15, c, 0)
        figures = made.amax.view(np.uint16), made.scales.view(np.uint32), made.weights
        status = made.not_finite << 3 | made.beyond << 4
        return pack(*codes.T, widths=[4] * c.lanes), pack(*figures, widths=[16, 32, c.weight_bits]), status

    def send(self, bench):
        bench.send("i_command", [self.command(bench.config)])
        if not self.refusal(bench.config):
            bench.send("i", self.sent(bench.config))


async def check(bench, jobs):
    """Send all jobs back to back; compare codes, channels and statuses, and without stalls the cycles."""
    c = bench.config
    before = [len(bench.transfers(stream)) for stream in ("i_command", "o_status")]
    for job in jobs:
        job.send(bench)
    codes, channels, statuses = zip(*(job.expected(c) for job in jobs))
    for stream, unit, rows in (("o_channels", "channels", channels), ("o", "words", codes)):
        names = [job.name for job, of_job in zip(jobs, rows) for _ in of_job]
        want = np.concatenate(rows)
        got = await bench.collect(stream, len(want), more=True, timeout=100_000)
        bench.compare(got, want, unit=unit, describe=lambda i, names=names: names[i])
    got = await bench.collect("o_status", len(jobs))
    bench.compare(got, np.array(statuses, np.uint8)[:, None], unit="statuses", describe=lambda i: jobs[i].name)
    if bench.stall == "none":
        begun, ended = (bench.transfers(stream)[n:] for stream, n in zip(("i_command", "o_status"), before))
        for job, start, end in zip(jobs, begun, ended):
            bench.equal(f"cycles of {job.name}", end - start, c.cycles(*job.shape))


def normal(rng, tokens, channels):
    """Normal numbers as codes, channels of different magnitude."""
    return fp16(rng.standard_normal((tokens, channels)) * np.exp2(rng.integers(-6, 3, channels)))


def special_jobs(rng, c):
    d = min(c.max_channels, 2 * c.lanes + 1)
    x = normal(rng, 6, d)
    ties = tie_matrix(rng, d)
    tiny = (x & 0x8000) | rng.integers(0, 40, x.shape).astype(np.uint16)
    nan = x.copy()
    nan[2, d // 2] = 0xFE01
    infinite = x.copy()
    infinite[0, 0], infinite[5, d - 1] = 0x7C00, 0xFC00
    dead = x.copy()
    dead[:, : (d + 1) // 2] = rng.choice(np.array([0, 0x8000], np.uint16), (6, (d + 1) // 2))
    louder = x.copy()
    louder[4] ^= 0x4000
    edge = np.array([k for k in corners_of_finite()], np.uint16)
    edges = np.resize(rng.permuted(np.tile(edge, (d, 1)), axis=1).T, (len(edge), d))
    return [
        Job(ties, name="ties"),
        Job(tiny, name="subnormal"),
        Job(np.zeros((3, d), np.uint16), name="all dead"),
        Job(np.full((3, d), 0x8000, np.uint16), name="all -0"),
        Job(dead, name="some dead"),
        Job(np.full((2, d), 0x7BFF, np.uint16), name="all greatest"),
        Job(nan, name="a NaN"),
        Job(x, nan, name="a NaN in the second pass"),
        Job(infinite, name="infinities"),
        Job(x, louder, name="passes that differ"),
        Job(edges, name="edges of the format"),
        Job(random_codes(rng, FP16, 9 * d).reshape(9, d), name="random codes"),
    ]


def corners_of_finite():
    return [code for code in corners(FP16).values() if code & 0x7C00 != 0x7C00]


def tie_matrix(rng, d):
    """In each channel amax and all odd multiples of a fourteenth of it, which lie between two codes; and neighbours."""
    amax = 14 * rng.integers(1, 140, d)
    rows = [amax] + [amax // 14 * odd for odd in range(1, 15, 2)]
    codes = fp16(np.array(rows) * 2.0**-7)
    return np.concatenate([codes, codes[1:] | 0x8000, codes[1:] + 1, codes[1:] - 1])


def clip_jobs(tensors, c):
    """Attention heads' V, the nearest that a clip has to what is matched: some tokens of the first frame."""
    if tensors is None:
        return []
    v = tensors["v"].view(np.uint16)[0]
    return [Job(v[:20, : c.max_channels], name="clip")]
