# SPDX-License-Identifier: Apache-2.0
"""Jobs of the matching engine: what is sent, what memory is asked for, and what must come, by the golden."""

from dataclasses import dataclass, field

import numpy as np

from zoetrope.golden.orbis.matching.datm import Match, match
from zoetrope.golden.orbis.matching.dst_chooser import choose
from zoetrope.hw.orbis.matching.datm_config import Statistic, Status
from zoetrope.sim.model.matching import datm_of, load_cycles, pair_cycles, select_cycles, sum_cycles, update_cycles
from zoetrope.sim.packing import pack, unpack


@dataclass(eq=False)
class Job:
    """One job and its results. ``dst``: given tokens, or None for those that ``seed`` chooses; ``slots``: how many.

    ``status``: None where the golden says what it is, else the error that the job must end with; then ``codes`` may be None
    and ``tokens`` and ``channels`` what the job claims. ``word``: channels that share the weight of the first of them; 0 if
    all have their own. ``resend``: the weights are sent, else they are those of the job before.
    """

    codes: np.ndarray | None
    k: int
    dst: list | None = None
    slots: int | None = None
    seed: int = 0
    eps: int = 1
    cap: int = 20
    weights: np.ndarray | None = None
    name: str = ""
    status: Status | None = None
    tokens: int | None = None
    channels: int | None = None
    weight_count: int | None = None
    word: int = 0
    resend: bool = True
    found: Match | None = field(default=None, init=False)

    def __post_init__(self):
        if self.codes is not None:
            self.tokens = len(self.codes) if self.tokens is None else self.tokens
            self.channels = self.codes.shape[1] if self.channels is None else self.channels
        if self.slots is None:
            self.slots = len(self.dst)
        if self.status is None:
            dst = choose(self.tokens, self.slots, self.seed) if self.dst is None else self.dst
            weights = np.ones(self.channels, int) if self.weights is None else self.weights
            if self.word:
                weights = weights[np.arange(self.channels) // self.word * self.word]
            self.found = match(self.codes, dst, k=self.k, weights=weights, eps=self.eps, cap=self.cap)

    # What is sent.

    def job(self, c):
        values = [self.tokens, self.channels, self.slots, self.k, self.eps, self.cap, self.seed]
        values += [self.dst is not None, self.resend]
        return pack(*([value] for value in values), widths=_widths(c.job_layout))

    def weight_rows(self, c):
        if not self.resend:
            return np.zeros((0, _bytes(c.weights_layout)), np.uint8)
        count = max(1, self.channels) if self.weight_count is None else self.weight_count
        weights = np.ones(count, int) if self.weights is None else self.weights
        return pack(weights, np.arange(count) == count - 1, widths=[c.weight_bits, 1])

    def dst_rows(self, c):
        if self.dst is None:
            return np.zeros((0, _bytes(c.token_layout)), np.uint8)
        dst = np.array(self.dst)
        return pack(dst, np.arange(len(dst)) == len(dst) - 1, widths=[c.token_bits, 1])

    # What memory is asked for, and answers.

    def visits(self, c):
        """Tokens in the order in which their words are read."""
        if self.found is None:
            return np.zeros(0, int)
        parts, pairings = [], self.found.medoids
        for t, dst in enumerate(pairings):
            src = np.setdiff1d(np.arange(self.tokens), dst)
            for start in range(0, len(dst), c.tile):
                parts += [dst[start : start + c.tile], src]
            if t < len(pairings) - 1:
                parts += [dst, src] * 2
        return np.concatenate(parts)

    def reads(self, c):
        tokens = self.visits(c)
        words = -(-self.channels // c.channel_lanes) if len(tokens) else 1
        fields = np.repeat(tokens, words), np.tile(np.arange(words), len(tokens))
        return pack(*fields, widths=_widths(c.read_layout))

    def words(self, c):
        """The words that memory answers with. Unused channels are not 0."""
        tokens = self.visits(c)
        if not len(tokens):
            return np.zeros((0, (4 * c.channel_lanes + 7) // 8), np.uint8)
        words = -(-self.channels // c.channel_lanes)
        padded = np.full((self.tokens, words * c.channel_lanes), 5)
        padded[:, : self.channels] = self.codes
        rows = padded.reshape(self.tokens, words, c.channel_lanes)[tokens].reshape(-1, c.channel_lanes)
        return pack(*(rows & 15).T, widths=[4] * c.channel_lanes)

    # What must come.

    def pairs(self, c):
        if self.found is None or not self.k:
            return np.zeros((0, _bytes(c.pair_layout)), np.uint8)
        f = self.found
        return pack(f.src, f.slot, f.distance, np.arange(self.k) == self.k - 1, widths=_widths(c.pair_layout))

    def medoids(self, c):
        if self.found is None:
            return np.zeros((0, _bytes(c.token_layout)), np.uint8)
        dst = self.found.dst
        return pack(dst, np.arange(len(dst)) == len(dst) - 1, widths=[c.token_bits, 1])

    def statistics(self):
        """(kind, value) of each word of the statistics; None where the golden does not know it: cycles."""
        if self.found is None:
            return [(Statistic.STATUS, self.status.value)]
        words = [(Statistic.LOSS, loss) for loss in self.found.losses]
        words += [(Statistic(kind), None) for kind in range(Statistic.CHOOSE.value, Statistic.TOP_K.value + 1)]
        words += [(Statistic.ITERATIONS, self.found.iterations)]
        return [*words, (Statistic.STATUS, (Status.CONVERGED if self.found.converged else Status.CAP).value)]


SOURCES = {"i_job": Job.job, "i_weights": Job.weight_rows, "i_dst": Job.dst_rows, "i_data": Job.words}
SINKS = {"o_read": Job.reads, "o_pairs": Job.pairs, "o_dst": Job.medoids}


def run(native, c, jobs, **options):
    """Run ``jobs`` on a ``sim.run.native.Native`` of the engine and compare all that comes.

    ``options``: of ``Native.streams``. Returns the statistics of each job as {kind: value}, the losses left out. An
    ``AssertionError`` names the stream and the job where something differs.
    """
    sent = {name: np.concatenate([rows(job, c) for job in jobs]) for name, rows in SOURCES.items()}
    expected = {name: [rows(job, c) for job in jobs] for name, rows in SINKS.items()}
    counts = [len(job.statistics()) for job in jobs]
    wanted = {name: sum(map(len, parts)) for name, parts in expected.items()} | {"o_stats": sum(counts)}
    got, *_ = native.streams(sent, wanted, **options)
    for name, parts in expected.items():
        names = [job.name for job, part in zip(jobs, parts) for _ in part]
        wrong = np.flatnonzero((got[name] != np.concatenate(parts)).any(axis=1))
        if len(wrong):
            raise AssertionError(
                f"{name}: {len(wrong)} of {len(names)} differ, first row {wrong[0]} of {names[wrong[0]]}"
            )
    words = statistics(got["o_stats"], c)
    wrong = wrong_statistics(words, jobs)
    if wrong:
        raise AssertionError("; ".join(wrong[:4]))
    ends = np.cumsum(counts)
    return [{kind: value for kind, value, _ in words[end - n : end]} for n, end in zip(counts, ends)]


def statistics(rows, c):
    """Rows of the statistics as (kind, value, last)."""
    value, kind, last = unpack(rows, _widths(c.statistic_layout))
    return [(Statistic(int(k)), int(v), int(e)) for k, v, e in zip(kind, value, last)]


def wrong_statistics(got, jobs):
    """Lines that say where (kind, value, last) of all ``jobs`` differ from what is expected; cycles are not compared."""
    expected = []
    for job in jobs:
        words = job.statistics()
        expected += [(job.name, kind, value, n == len(words) - 1) for n, (kind, value) in enumerate(words)]
    lines = []
    for (name, kind, value, last), found in zip(expected, got):
        if found != (kind, found[1] if value is None else value, last):
            lines.append(f"{name}: got {found}, expected {(kind, value, last)}")
    return lines


def _widths(layout):
    return [f.width for _, f in sorted(layout, key=lambda item: item[1].offset)]


def _bytes(layout):
    return (layout.size + 7) // 8


def corner_jobs(rng, c):
    """Jobs at the limits of ``c`` that a bench runs in a few thousand cycles."""
    tokens, slots = c.max_tokens, c.max_slots
    odd = min(tokens, c.flag_bits + 5)  # a word of flags and a part of one
    few = min(slots, c.tile + 1)  # a tile and a slot of the next
    most = min(slots, odd - 1)
    jobs = [
        random_job(rng, c, 2, 1, pairs=1),
        random_job(rng, c, 2, 1, pairs=0),
        random_job(rng, c, odd, 1, channels=1),
        random_job(rng, c, odd, most, pairs=odd - most),
        random_job(rng, c, tokens, few, cap=2),
        random_job(rng, c, tokens - 1, min(slots, tokens - 2), cap=1, channels=1),
        random_job(rng, c, odd, min(most, 4), spread=2, channels=2, name="ties"),
        random_job(rng, c, odd, min(most, 3), spread=2, eps=0, cap=4, name="cap"),
        random_job(rng, c, odd, min(most, 3), eps=(1 << c.loss_bits) - 1, name="eps"),
    ]
    equal = np.full((odd, c.max_channels), -7)
    jobs.append(Job(equal, odd // 2, dst=[odd - 1, 1][:most], name="all equal"))
    twice = np.repeat(rng.integers(-7, 8, ((odd + 1) // 2, c.max_channels)), 2, axis=0)[:odd]
    jobs.append(Job(twice, 1, dst=list(range(min(most, 3))), cap=5, name="duplicates"))
    return jobs


def random_job(rng, c, tokens, slots, *, channels=None, pairs=None, spread=8, **options):
    channels = channels or c.max_channels
    codes = rng.integers(1 - spread, spread, (tokens, channels))
    dst = rng.permutation(tokens)[:slots].tolist()
    pairs = int(rng.integers(0, tokens - slots + 1)) if pairs is None else pairs
    weights = rng.integers(0, 1 << c.weight_bits, channels)
    settings = {"cap": 3, "name": f"{tokens} tokens, {slots} dst, {channels} channels"} | options
    return Job(codes, pairs, dst=dst, weights=weights, **settings)


def bad(rng, c):
    """A job for every error, given dst of the right and of the wrong length among them, and good ones between."""
    tokens = min(c.max_tokens, 10)
    slots = min(c.max_slots, 4, tokens - 1)
    dst = list(range(slots))
    sizes = {"tokens": tokens, "channels": 1, "dst": dst, "k": 1}

    def job(status, **changes):
        return Job(None, status=status, name=status.name, **(sizes | changes))

    jobs = [
        job(Status.TOKENS, tokens=1),
        job(Status.TOKENS, tokens=0, dst=None, slots=1),
        job(Status.TOKENS, tokens=(1 << c.count_bits) - 1),
        job(Status.CHANNELS, channels=0),
        job(Status.CHANNELS, channels=c.max_channels + 1) if c.max_channels & (c.max_channels + 1) else None,
        job(Status.SLOTS, slots=0, dst=[0, 0, 0]),
        job(Status.SLOTS, slots=tokens),
        job(Status.SLOTS, slots=tokens, dst=None),
        job(Status.PAIRS, k=tokens - slots + 1),
        job(Status.ITERATIONS, cap=0),
        random_job(rng, c, tokens, slots),
        job(Status.LIST, dst=[*dst[:-1], tokens]) if tokens < 1 << c.token_bits else None,
        job(Status.LIST, dst=dst, slots=slots - 1),
        job(Status.LIST, dst=dst[:-1], slots=slots),
        job(Status.LIST, dst=[dst[0], dst[0], *dst[2:]]),
        job(Status.LIST, dst=[*dst[:-1], dst[0]]),
        job(Status.WEIGHTS, weight_count=2),
        job(Status.WEIGHTS, weight_count=1, channels=c.channel_lanes + 1),
        random_job(rng, c, tokens, slots),
    ]
    return [one for one in jobs if one is not None]


def expected_cycles(engine, job, memory=1):
    """Cycles of each stage of a job on ``engine``, a ``Datm``, all pairings together.

    ``memory``: cycles in which the memory answers.
    """
    unit = datm_of(engine)
    passes = job.found.iterations
    sizes = job.tokens, job.slots, job.channels
    return {
        Statistic.LOAD: passes * load_cycles(job.slots, job.channels, unit, memory),
        Statistic.PAIR: passes * pair_cycles(*sizes, unit, memory),
        Statistic.SUM: (passes - 1) * sum_cycles(job.tokens, job.channels, unit, memory),
        Statistic.UPDATE: (passes - 1) * update_cycles(*sizes, unit, memory),
        Statistic.TOP_K: select_cycles(job.tokens, job.slots, job.k, unit),
    }
