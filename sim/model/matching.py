# SPDX-License-Identifier: Apache-2.0
"""Cycles of ORBIS's token matching (ORBIS 3.2, 3.3): of each unit, of each stage of the matching engine, of whole jobs.

All of it is in clock cycles, without stalls from outside. M is the number of tokens, K that of dst, d that of channels.
What a formula depends on of a unit is a ``NamedTuple`` of plain numbers; ``quantization_of``, ``top_k_of`` and their like
take these from a config or a component of ``hw.orbis.matching``.
"""

from typing import NamedTuple

#: From the transfer of a command to that of its status, where the command is refused.
REFUSED = 1


class Chooser(NamedTuple):
    """What the cycles of a dst chooser depend on: tokens at most, tokens whose marks are a word, states passed over."""

    max_tokens: int
    mark_bits: int
    warm_up: int


def chooser_cycles(tokens, count, draws, unit: Chooser):
    """Of a command to choose ``count`` of ``tokens``, from its transfer to that of its status (ORBIS 3.2, Dst-Src Init.).

    Drawn: ``warm_up + draws + 2`` for ``draws`` numbers. A given list, ``draws`` None: ``ceil(M / mark_bits)`` to wipe the
    marks, 2 a token, and 2.
    """
    if tokens > unit.max_tokens or not 0 < count < tokens:
        return REFUSED
    if draws is None:
        return -(-tokens // unit.mark_bits) + 2 * count + 2
    return unit.warm_up + draws + 2


class Quantization(NamedTuple):
    """What the cycles of a quantization engine depend on: channels of a word, tokens and channels at most."""

    lanes: int
    max_tokens: int
    max_channels: int


def quantization_cycles(tokens, channels, unit: Quantization):
    """Of a matrix, from the transfer of its command to that of its status (ORBIS 3.2, 3.3): ``2 M words + 2 d + 15``.

    The tokens come twice, in ``words = ceil(d / lanes)`` words each; the channels leave once and are looked at once before.
    """
    if not 0 < tokens <= unit.max_tokens or not 0 < channels <= unit.max_channels:
        return REFUSED
    return 2 * tokens * -(-channels // unit.lanes) + 2 * channels + 15


class TopK(NamedTuple):
    """What the cycles of a top-k unit depend on: entries of a row, entries at most, stages of its sorter, and from the heads
    being compared to the row being written."""

    lanes: int
    max_entries: int
    sort_stages: int
    merge_latency: int


def top_k_cycles(entries, k, unit: TopK):
    """Of a selection of ``k`` of ``entries``, from the transfer of its command to that of its status (ORBIS 3.2, 3.3).

    n to take the entries and k to send them; between them ``ceil(log2 R)`` passes over ``R = ceil(n / lanes)`` rows. A pass
    takes a cycle for each row that it writes, at most ``ceil(k / lanes)`` of a run, one for each pair of runs, and
    ``merge_latency + 2``.
    """
    if not entries or entries > unit.max_entries or k > entries:
        return REFUSED
    total = entries + unit.sort_stages + 3
    if not k:
        return total
    rows, limit, span = -(-entries // unit.lanes), -(-k // unit.lanes), 1
    while span < rows:
        run = min(span, limit)
        for base in range(0, rows, 2 * span):
            first, second = min(run, rows - base), min(run, max(0, rows - base - span))
            total += min(limit, first + second) + 1
        total += unit.merge_latency + 2
        span *= 2
    return total + k + 1


class Datm(NamedTuple):
    """What the cycles of a DATM engine depend on.

    ``dst_lanes`` and ``channel_lanes``: dst and channels compared at once; ``tile``: dst in the local memory;
    ``pair_latency``: from a src's last word to its result; ``sum_latency``: from a word to the last write that it causes;
    ``sum_spacing``: least distance of words of two tokens; ``top_k``: of the top-k unit.
    """

    dst_lanes: int
    channel_lanes: int
    tile: int
    pair_latency: int
    sum_latency: int
    sum_spacing: int
    top_k: TopK

    def words(self, channels):
        """Words of a token."""
        return -(-channels // self.channel_lanes)

    def tiles(self, slots):
        """Numbers of dst of the tiles."""
        return [min(self.tile, slots - first) for first in range(0, slots, self.tile)]


def pair_cycles(tokens, slots, channels, unit: Datm, memory=1):
    """Of one pairing pass, all tiles (ORBIS 3.2): ``(M - K) * ceil(K / dst_lanes) * words``, and the way of each tile's src.

    ``memory``: cycles from a transfer of ``o_read`` to that of its word, with a word in every cycle then. Where dst fill
    words of flags before the first src or behind the last, each costs a tile up to a cycle more.
    """
    words = unit.words(channels)
    way = unit.pair_latency + words + memory + 6
    return sum((tokens - slots) * -(-tile // unit.dst_lanes) * words + way for tile in unit.tiles(slots))


def load_cycles(slots, channels, unit: Datm, memory=1):
    """Of loading all tiles for one pairing pass: ``1 + K * words``, and ``4 + memory`` a tile (ORBIS 3.3)."""
    return 1 + slots * unit.words(channels) + len(unit.tiles(slots)) * (4 + memory)


def sum_cycles(tokens, channels, unit: Datm, memory=1):
    """Of the sums of all groups, once (ORBIS 3.2): ``(M - 1) * max(words, sum_spacing)`` and the way of the last token.

    Up to 2 more where few dst leave the search for src no start.
    """
    words = unit.words(channels)
    return (tokens - 1) * max(words, unit.sum_spacing) + words + unit.sum_latency + 4 + memory


def update_cycles(tokens, slots, channels, unit: Datm, memory=1):
    """Of finding the nearest members, once, as long as the sums, and of the exchange of dst, ``3 K`` (ORBIS 3.2)."""
    return sum_cycles(tokens, channels, unit, memory) + 3 * slots


def select_cycles(tokens, slots, pairs, unit: Datm):
    """Of the selection of ``pairs``: ``top_k_cycles`` of the M - K src, and 6 (ORBIS 3.2).

    Where dst fill words of flags before the first src, each costs a cycle more.
    """
    return top_k_cycles(tokens - slots, pairs, unit.top_k) + 6


def start_cycles(tokens, channels, unit: Quantization, memory=1):
    """From the transfer of a matching engine's job to the last weight, which starts the matching (ORBIS 3.3)."""
    return quantization_cycles(tokens, channels, unit) + memory + 3


def job_cycles(tokens, channels, slots, iterations, stages, unit: Quantization, memory=1):
    """From the transfer of a matching engine's job to that of its status (ORBIS 3.3).

    ``stages``: the sum of the cycles that its statistics give. Beside them a cycle an iteration, 2 a dst, and 8.
    """
    return start_cycles(tokens, channels, unit, memory) + stages + iterations + 2 * slots + 8


def error_cycles(given, tokens, channels, unit: Quantization, memory=1):
    """The same of a job with wrong sizes, ``tokens`` 0, or with wrong tokens, of which there are ``tokens``.

    ``given``: the length of a list that came, else 0.
    """
    return (start_cycles(tokens, channels, unit, memory) if tokens else 2) + 3 + given


def list_cycles(tokens, channels, given, flag_bits, unit: Quantization, memory=1):
    """The same of a job with a wrong list of ``given`` tokens: at most so many, up to ``given`` less.

    ``flag_bits``: tokens whose flags are cleared in a cycle.
    """
    return start_cycles(tokens, channels, unit, memory) + -(-tokens // flag_bits) + 2 * given + 1


# -- the numbers of a config or a component of ``hw.orbis.matching``


def chooser_of(config):
    """Of a ``DstChooserConfig``."""
    return Chooser(config.max_tokens, config.mark_bits, config.warm_up)


def quantization_of(config):
    """Of a ``QuantizationEngineConfig``."""
    return Quantization(config.lanes, config.max_tokens, config.max_channels)


def top_k_of(config):
    """Of a ``TopKConfig``."""
    return TopK(config.lanes, config.max_entries, config.sorter.stages, config.merge_latency)


def datm_of(engine):
    """Of a ``Datm``."""
    c, update = engine.config, engine.update
    latencies = engine.pairing.latency, update.latency, update.spacing
    return Datm(c.dst_lanes, c.channel_lanes, c.tile, *latencies, top_k_of(engine.top_k.config))
