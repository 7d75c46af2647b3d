# SPDX-License-Identifier: Apache-2.0
"""What the stages of the DATM engine share: the job in work, where it is, and what it asks of the memories."""

from amaranth import Array, Signal

from zoetrope.hw.orbis.matching.datm_config import STAGES
from zoetrope.hw.orbis.matching.group_update import GroupUpdate


class Control:
    """Signals of one engine of ``config``."""

    def __init__(self, config):
        c = config
        self.job = Signal(c.job_layout, name="job", reset_less=True)
        self.status = Signal(4, name="status")
        self.failed = Signal(name="failed")
        self.sources = Signal(c.count_bits, name="sources", reset_less=True)  # src tokens
        self.last_word = Signal(c.word_bits, name="last_word", reset_less=True)  # of a token, counted from 0
        self.tail = Signal(range(c.max_channels + 1), name="tail", reset_less=True)  # channels of the last word
        self.word = Signal(c.word_bits, name="word")
        self.channel = Signal(range(c.max_channels + 1), name="channel", reset_less=True)
        self.left = Signal(c.count_bits, name="left")  # tokens, dst or pairs that a stage still waits for
        self.place = Signal(c.count_bits, name="place")  # in the dst list, or of a word of flags
        self.base = Signal(c.count_bits, name="base")  # the first slot of the tile
        self.end = Signal(c.count_bits, name="end")  # the one behind its last
        self.loss = Signal(c.loss_bits, name="loss")
        self.loss_before = Signal(c.loss_bits, name="loss_before")
        self.iterations = Signal(c.iteration_bits, name="iterations")
        self.summing = Signal(name="summing")  # the first of the two passes over the groups
        self.wait = Signal(range(GroupUpdate.latency + 1), name="wait")  # cycles until the last sum is written
        self.pace = Signal(range(GroupUpdate.spacing), name="pace")  # cycles to wait before the next token
        self.cycles = Array(Signal(32, name=f"cycles_{stage.name.lower()}") for stage in STAGES)
        self.stage = Signal(range(len(STAGES)), name="stage")
        self.counting = Signal(name="counting")

        # Flags by token: one is read or written, or a whole word is written. The dst list is read at ``place``.
        self.flag_token = Signal(c.token_bits, name="flag_token")
        self.flag_write = Signal(name="flag_write")
        self.flag_value = Signal(name="flag_value")
        self.flag_read = Signal(name="flag_read")
        self.flag = Signal(name="flag")
        self.word_write = Signal(name="flag_word_write")
        self.word_value = Signal(c.flag_bits, name="flag_word_value")
        self.list_read = Signal(name="list_read")

        # The word of a token as it comes, whether it is the token's last, was asked for, and is taken.
        self.codes = Signal(c.word_layout, name="codes")
        self.over = Signal(name="word_over")
        self.asked = Signal(name="asked")
        self.moved = Signal(name="moved")

    def count(self, m, stage):
        """This cycle is one of ``stage``."""
        m.d.comb += [self.counting.eq(1), self.stage.eq(STAGES.index(stage))]

    def fail(self, m, status):
        """The job ends as ``status``."""
        m.d.sync += [self.failed.eq(1), self.status.eq(status.value)]
