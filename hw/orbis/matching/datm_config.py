# SPDX-License-Identifier: Apache-2.0
"""Sizes of the matching engine, the widths that follow from them, and what it says of a run."""

from dataclasses import dataclass, field

from amaranth import Shape, signed
from amaranth.lib import data, enum
from amaranth.utils import bits_for, ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.orbis.matching.distance_accumulation_unit import LARGEST, DistanceAccumulationUnitConfig

#: The largest magnitude of a code.
LEVELS = LARGEST // 2


class Status(enum.Enum, shape=4):
    """How a job ended; the last of its statistics."""

    CONVERGED = 0  #: the loss changed by less than eps
    CAP = 1  #: it did not in as many pairings as allowed
    TOKENS = 2  #: error: fewer than 2 tokens, or more than max_tokens
    CHANNELS = 3  #: error: no channel, or more than max_channels
    SLOTS = 4  #: error: no dst, as many as tokens, or more than max_slots
    PAIRS = 5  #: error: more pairs to keep than there are src
    ITERATIONS = 6  #: error: no pairing allowed
    WEIGHTS = 7  #: error: more or fewer weights than channels
    LIST = 8  #: error: a given dst is out of range or repeated, or there are more or fewer than said
    NOT_FINITE = 9  #: error, before the DATM engine: a token has a NaN or an infinity
    CHANGED = 10  #: error, before the DATM engine: a token of the second pass is beyond the largest of the first


class Statistic(enum.Enum, shape=4):
    """What a word of the statistics is."""

    LOSS = 0  #: of each pairing, in order, as soon as it is known
    CHOOSE = 1  #: cycles: flags cleared, dst chosen or read
    LOAD = 2  #: cycles: dst tokens to the local memory
    PAIR = 3  #: cycles: src against dst
    SUM = 4  #: cycles: sums of groups
    UPDATE = 5  #: cycles: members nearest to the means, dst exchanged
    TOP_K = 6  #: cycles: least pairs selected and sent
    ITERATIONS = 7  #: pairings
    STATUS = 8  #: a ``Status``; the last word


#: Stages whose cycles are counted, in the order in which the counts come.
STAGES = (Statistic.CHOOSE, Statistic.LOAD, Statistic.PAIR, Statistic.SUM, Statistic.UPDATE, Statistic.TOP_K)


@dataclass(frozen=True)
class DatmConfig:
    max_tokens: int = field(default=64, metadata={"doc": "M at most"})
    max_slots: int = field(default=63, metadata={"doc": "K at most; below max_tokens"})
    max_channels: int = field(default=20, metadata={"doc": "d at most"})
    dst_lanes: int = field(default=4, metadata={"doc": "dst tokens that a src is compared with at once"})
    channel_lanes: int = field(default=8, metadata={"doc": "channels a cycle, and codes of a word of memory"})
    tile_groups: int = field(default=4, metadata={"doc": "dst in the local memory, in units of dst_lanes"})
    weight_bits: int = field(default=8, metadata={"doc": "of a channel's weight, unsigned"})
    form: str = field(
        default="table",
        metadata={"doc": "of a lane: table, multiplier, or word, where a word has the weight of its first channel"},
    )
    max_iterations: int = field(default=255, metadata={"doc": "pairings at most"})
    outstanding: int = field(default=16, metadata={"doc": "tokens asked of memory and not yet used"})
    sort_lanes: int = field(default=8, metadata={"doc": "pairs that the top-k unit sorts at once; a power of two"})
    flag_bits: int = field(default=16, metadata={"doc": "tokens looked through for src at once; a power of two"})

    def __post_init__(self):
        checks.at_least(self, 2, "max_tokens", "outstanding")
        checks.at_least(self, 1, "max_channels", "dst_lanes", "channel_lanes", "tile_groups", "max_iterations")
        checks.between(self, 1, self.max_tokens - 1, "max_slots")
        checks.power_of_two(self, "flag_bits", "sort_lanes")
        _ = self.distance

    @property
    def distance(self):
        """Of the distance accumulation unit."""
        return DistanceAccumulationUnitConfig(
            dst_lanes=self.dst_lanes,
            channel_lanes=self.channel_lanes,
            max_channels=self.max_channels,
            weight_bits=self.weight_bits,
            form=self.form,
        )

    @property
    def words(self):
        """Words of the longest token."""
        return self.distance.words

    @property
    def word_stride(self):
        """Words between the sums of one slot and those of the next."""
        return 1 << ceil_log2(self.words)

    @property
    def tile(self):
        """Slots in the local memory."""
        return self.tile_groups * self.dst_lanes

    @property
    def token_bits(self):
        return bits_for(self.max_tokens - 1)

    @property
    def slot_bits(self):
        return bits_for(max(1, self.max_slots - 1))

    @property
    def count_bits(self):
        """Of a number of tokens, up to max_tokens."""
        return bits_for(self.max_tokens)

    @property
    def word_bits(self):
        return bits_for(max(1, self.words - 1))

    @property
    def distance_bits(self):
        return self.distance.distance_bits

    @property
    def loss_bits(self):
        return (self._weights * LARGEST**2 * self.max_channels * (self.max_tokens - 1)).bit_length()

    @property
    def sum_bits(self):
        """Of the signed sum of w * q over a group."""
        return bits_for(self._weights * LEVELS * self.max_tokens) + 1

    @property
    def key_bits(self):
        """Of n * sum w q^2 - 2 * sum q S, signed; neither exceeds n * sum w * 49, twice for the second."""
        return bits_for(3 * self._weights * LEVELS**2 * self.max_channels * self.max_tokens) + 1

    @property
    def _weights(self):
        return (1 << self.weight_bits) - 1

    @property
    def value_bits(self):
        """Of a statistic: a loss, or 32 bits of cycles."""
        return max(32, self.loss_bits)

    @property
    def iteration_bits(self):
        return bits_for(self.max_iterations)

    @property
    def word_layout(self):
        return self.distance.token_layout

    @property
    def assignment_layout(self):
        """What is kept of a src: its nearest dst so far."""
        return data.StructLayout({"slot": self.slot_bits, "distance": self.distance_bits})

    @property
    def visit_layout(self):
        """A token on its way through a pass."""
        return data.StructLayout(
            {"token": self.token_bits, "slot": self.slot_bits, "distance": self.distance_bits, "is_dst": 1}
        )

    @property
    def read_layout(self):
        return data.StructLayout({"token": self.token_bits, "word": self.word_bits})

    @property
    def best_layout(self):
        return data.StructLayout({"token": self.token_bits, "key": signed(self.key_bits)})

    @property
    def job_layout(self):
        return data.StructLayout(
            {
                "tokens": self.count_bits,
                "channels": bits_for(self.max_channels),
                "slots": self.count_bits,
                "pairs": self.count_bits,
                "eps": self.loss_bits,
                "cap": self.iteration_bits,
                "seed": 32,
                "given": 1,
                "weights": 1,
            }
        )

    @property
    def weights_layout(self):
        return data.StructLayout({"weight": self.weight_bits, "last": 1})

    @property
    def token_layout(self):
        return data.StructLayout({"token": self.token_bits, "last": 1})

    @property
    def pair_layout(self):
        return data.StructLayout(
            {"src": self.token_bits, "slot": self.slot_bits, "distance": self.distance_bits, "last": 1}
        )

    @property
    def statistic_layout(self):
        return data.StructLayout({"value": self.value_bits, "kind": Shape.cast(Statistic), "last": 1})
