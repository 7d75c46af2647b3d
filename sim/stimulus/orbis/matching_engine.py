# SPDX-License-Identifier: Apache-2.0
"""Jobs of the whole matching engine: tokens in memory, what is written, and the cycles from job to status."""

from dataclasses import dataclass

import numpy as np

from zoetrope.golden.orbis.matching.datm import weights
from zoetrope.golden.orbis.matching.matching_engine import matching_engine, tables
from zoetrope.golden.orbis.matching.quantization_engine import quantize
from zoetrope.hw.orbis.matching.datm import Datm
from zoetrope.hw.orbis.matching.datm_config import STAGES, Status
from zoetrope.hw.orbis.matching.matching_engine import Table
from zoetrope.sim.model.matching import error_cycles, job_cycles, list_cycles, quantization_of
from zoetrope.sim.packing import pack
from zoetrope.sim.stimulus.orbis.datm import Job, expected_cycles
from zoetrope.sim.stimulus.orbis.quantization_engine import normal


@dataclass(eq=False)
class Run:
    """A job: the tokens of both passes, (M, d) of binary16 codes or None where none are read, and what comes of them."""

    x: np.ndarray | None
    job: Job
    second: np.ndarray | None = None

    @property
    def name(self):
        return self.job.name

    def command(self, c):
        j = self.job
        values = j.tokens, j.channels, j.slots, j.k, j.eps, j.cap, j.seed, j.dst is not None
        return pack(*([value] for value in values), widths=_widths(c.job_layout))

    def dst(self, c):
        return self.job.dst_rows(c.datm)

    def tokens(self, c):
        """Words of both passes. What does not count is NaN."""
        lanes = c.datm.channel_lanes
        if self.x is None:
            return np.zeros((0, 2 * lanes), np.uint8)
        count, channels = self.x.shape
        padded = np.full((2, count, -(-channels // lanes) * lanes), 0x7E00, np.uint16)
        padded[0, :, :channels] = self.x
        padded[1, :, :channels] = self.x if self.second is None else self.second
        return padded.reshape(-1, lanes).astype("<u2").view(np.uint8)

    def addresses(self, c):
        return pack(np.tile(np.arange(len(self.tokens(c)) // 2), 2), widths=_widths(c.fetch_layout))

    def writes(self, c):
        d = c.datm
        widths = [1, d.token_bits, c.data_bits]
        if self.job.found is None:
            return pack([], [], [], widths=widths)
        pairs, dst = tables(self.job.found)
        kinds = np.repeat([Table.PAIRS.value, Table.DST.value], [len(pairs), len(dst)])
        places = np.concatenate([np.arange(len(pairs)), np.arange(len(dst))])
        shifts = np.array([0, d.token_bits, d.token_bits + d.slot_bits])
        return pack(kinds, places, np.concatenate([(pairs << shifts).sum(axis=1), dst]), widths=widths)

    def cycles(self, c, words):
        """(least, most) from job to status, by the engine's formulas; ``words``: its statistics as (kind, value, last)."""
        j, given = self.job, len(self.job.dst or ())
        quantization = quantization_of(c.quantization)
        if j.status == Status.LIST:
            most = list_cycles(j.tokens, j.channels, given, c.datm.flag_bits, quantization)
            return most - given, most
        if j.found is None:
            exact = error_cycles(given, *((0, 0) if self.x is None else self.x.shape), quantization)
        else:
            stages = sum(value for kind, value, _ in words if kind in STAGES)
            exact = job_cycles(j.tokens, j.channels, j.slots, j.found.iterations, stages, quantization)
        return exact, exact


SOURCES = {"i_job": Run.command, "i_dst": Run.dst, "i_tokens": Run.tokens}


SINKS = {"o_fetch": Run.addresses, "o_write": Run.writes}


def good(c, x, k, **options):
    """A job that ends well; what it must give is the golden's."""
    codes, amax = quantize(x)
    d = c.datm
    word = d.channel_lanes if d.form == "word" else 0
    job = Job(codes, k, weights=weights(amax, d.weight_bits), word=word, **options)
    sizes = {"slots": job.slots} if job.dst is None else {"dst": job.dst}
    settings = {"seed": job.seed, "eps": job.eps, "cap": job.cap, "weight_bits": d.weight_bits, "shared": word or 1}
    job.found = matching_engine(x, k=k, **sizes, **settings)
    return Run(np.asarray(x, np.uint16), job)


def random_run(rng, c, tokens, slots, *, channels=None, pairs=None, x=None, **options):
    channels = channels or c.datm.max_channels
    x = normal(rng, tokens, channels) if x is None else x
    pairs = int(rng.integers(0, tokens - slots + 1)) if pairs is None else pairs
    settings = {"dst": rng.permutation(tokens)[:slots].tolist(), "cap": 3} | options
    settings = {"name": f"{tokens} tokens, {slots} dst, {channels} channels"} | settings
    return good(c, x, pairs, **settings)


def corner_runs(rng, c):
    d = c.datm
    odd = min(d.max_tokens, d.flag_bits + 5)
    most = min(d.max_slots, odd - 1)
    few = rng.integers(0, 2, (odd, d.max_channels)).astype(np.uint16) << 15 | 0x3C00
    return [
        random_run(rng, c, 2, 1, pairs=1, channels=1),
        random_run(rng, c, 2, 1, pairs=0),
        random_run(rng, c, odd, most, pairs=odd - most, channels=min(d.max_channels, d.channel_lanes + 1)),
        random_run(rng, c, d.max_tokens, min(5, d.max_slots), cap=2),
        random_run(rng, c, odd, min(3, most), x=few, cap=4, name="ties"),
        random_run(rng, c, odd, 2, x=np.zeros((odd, 2), np.uint16), name="all dead"),
        good(c, normal(rng, odd - 1, 2), 3, slots=2, seed=7, cap=3, name="seeded"),
    ]


def bad_runs(rng, c):
    """A job for every error, with a given list and without, and good ones between."""
    d = c.datm
    tokens, slots = 10, min(4, d.max_slots)
    dst = list(range(slots))
    x = normal(rng, tokens, d.max_channels)
    nan, infinite, louder = x.copy(), x.copy(), x.copy()
    nan[tokens - 1, -1], infinite[0, 0] = 0xFE01, 0x7C00
    louder[4, 0] = 0x7BFF
    sizes = {"tokens": tokens, "channels": d.max_channels, "dst": dst, "k": 1}

    def run(status, x=None, second=None, **changes):
        return Run(x, Job(None, status=status, name=status.name, **(sizes | changes)), second)

    def right():
        return random_run(rng, c, tokens, slots, cap=2)

    runs = [
        run(Status.TOKENS, tokens=1),
        run(Status.TOKENS, tokens=0, dst=None, slots=1),
        run(Status.TOKENS, tokens=(1 << d.count_bits) - 1),
        right(),
        run(Status.CHANNELS, channels=0),
        run(Status.CHANNELS, channels=d.max_channels + 1),
        run(Status.SLOTS, slots=0, dst=[0, 0, 0]),
        run(Status.SLOTS, slots=tokens, dst=None),
        right(),
        run(Status.PAIRS, k=tokens - slots + 1),
        run(Status.ITERATIONS, cap=0),
        right(),
        run(Status.LIST, x, dst=[*dst[:-1], tokens]),
        run(Status.LIST, x, dst=dst[:-1], slots=slots),
        run(Status.LIST, x, dst=dst, slots=slots - 1),
        run(Status.LIST, x, dst=[*dst[:-1], dst[0]]),
        right(),
        run(Status.NOT_FINITE, nan),
        right(),
        run(Status.NOT_FINITE, x, nan, dst=None, slots=slots),
        run(Status.NOT_FINITE, infinite, dst=[0, 0]),
        run(Status.CHANGED, x, louder),
        run(Status.NOT_FINITE, nan[-1:].repeat(tokens, axis=0)[:, -1:], channels=1),
        right(),
    ]
    return runs


def _widths(layout):
    return [f.width for _, f in sorted(layout, key=lambda item: item[1].offset)]


def wrong_stages(c, job, words):
    """What stages of a job took beyond the formulas, and beyond what the search for src behind runs of dst may add.

    ``words``: the statistics of the job, as (kind, value, last). Returns a line for each stage that is wrong.
    """
    if job.found is None:
        return []
    found = {kind: value for kind, value, _ in words}
    search = -(-job.tokens // c.datm.flag_bits) * (len(range(0, job.slots, c.datm.tile)) + 1) * job.found.iterations
    return [
        f"{kind.name} of {job.name}: {found[kind]} cycles, the formula says {least}"
        for kind, least in expected_cycles(Datm(config=c.datm), job).items()
        if not least <= found[kind] <= least + search
    ]
