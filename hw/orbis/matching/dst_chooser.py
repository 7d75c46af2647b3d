# SPDX-License-Identifier: Apache-2.0
"""Dst chooser (ORBIS 3.2, Dst-Src Init.): K distinct tokens of M, drawn from a seed in hardware, or a given list, checked.

Drawn by selection sampling (D. Knuth, TAOCP 2, algorithm S): token after token is chosen with probability needed over
remaining, by comparing a number that is uniform below ``remaining`` with ``needed``. No memory, no division, nothing twice,
and every set of K tokens is as likely as any other.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks
from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig

#: What seed 0 stands for: the state 0 of a xorshift never changes.
ZERO_SEED = 0x6D2B79F5


@dataclass(frozen=True)
class DstChooserConfig:
    max_tokens: int = field(default=2048, metadata={"doc": "M at most"})
    mark_bits: int = field(default=32, metadata={"doc": "tokens whose marks are a word of memory; a power of two"})

    #: States passed over after a seed, so that seeds that differ in one bit give unrelated choices.
    warm_up = 32

    def __post_init__(self):
        checks.at_least(self, 2, "max_tokens")
        checks.power_of_two(self, "mark_bits")

    @property
    def count_bits(self):
        """Of M, K and a given token: one more than the greatest needs, so that what is too great can be said."""
        return self.max_tokens.bit_length() + 1

    @property
    def token_bits(self):
        return (self.max_tokens - 1).bit_length()

    @property
    def command(self):
        return data.StructLayout({"tokens": self.count_bits, "count": self.count_bits, "given": 1, "seed": 32})

    @property
    def status(self):
        return data.StructLayout({"too_many_tokens": 1, "bad_count": 1, "out_of_range": 1, "repeated": 1})

    @property
    def marks(self):
        return SramConfig(depth=-(-self.max_tokens // self.mark_bits), width=self.mark_bits)


class DstChooser(wiring.Component):
    """``count`` distinct tokens of 0 .. ``tokens`` - 1, one by one, and a status.

    Drawn (``given`` = 0): in ascending order, the same for the same seed, size and count. Each cycle draws the low bits of a
    32-bit xorshift state, as many as ``remaining`` - 1 has; a number that is not below ``remaining`` is drawn again, which
    happens less than every other time.

    Given (``given`` = 1): ``count`` tokens are taken from ``i`` and passed on in their order, each marked in a memory of a
    bit a token. From the first that is out of range or marked already nothing more is sent; the rest is taken all the same.

    ===============  ===========================================================
    status           meaning
    ===============  ===========================================================
    too_many_tokens  ``tokens`` > ``max_tokens``: nothing is taken, nothing sent
    bad_count        not 0 < count < tokens: nothing is taken, nothing sent
    out_of_range     a given token is not below ``tokens``
    repeated         a token is given twice
    ===============  ===========================================================

    Parameters
    ----------
    config : DstChooserConfig

    Members
    -------
    i_command : In(stream of ``tokens``, ``count``, ``given``, ``seed``: 32)
    i : In(stream of a token), the given list
    o : Out(stream of a token)
    o_status : Out(stream of the flags above), one a command, after all of ``o``

    Cycles, from command to status, without stalls (``sim.model.matching.chooser_cycles``): 34 and one for each draw, 1.4 a
    token on average; of a given list, ceil(tokens / ``mark_bits``) to wipe the marks, 2 a token, and 2. Backpressure: yes.
    Memory: a bit a token, for given lists only. Area: 2.0 kGE beside it, for 2,048 tokens.
    Golden: ``golden.orbis.matching.dst_chooser.choose_and_count`` and ``check``.

    Rejected:

    * ``(r * remaining) >> 32`` in place of drawing again: constant rate, not quite uniform, a 32 x 17 multiplier.
    * Fisher-Yates: a memory of M indices and two accesses a token.
    * An LFSR or a Feistel network as a permutation of the tokens: no comparison with ``needed``, but it reaches as many sets
      as it has seeds and neighbours in its sequence are related.
    * Comparing each given token with all before it: K comparators, or K / 2 cycles a token.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i_command": In(stream.Signature(config.command)),
                "i": In(stream.Signature(config.count_bits)),
                "o": Out(stream.Signature(config.token_bits)),
                "o_status": Out(stream.Signature(config.status)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        memory = Sram(config=c.marks)
        m.submodules.memory = emit_once(memory)
        r = _Run(c)

        # What leaves waits here, and all else waits for it.
        out_valid = Signal()
        out_token = Signal(c.token_bits, reset_less=True)
        m.d.comb += [
            r.advance.eq(~out_valid | self.o.ready),
            self.o.valid.eq(out_valid),
            self.o.payload.eq(out_token),
            self.o_status.payload.eq(r.status),
        ]
        with m.If(r.advance):
            m.d.sync += [out_valid.eq(r.chosen), out_token.eq(r.chosen_token)]

        with m.FSM():
            self._take_command(m, r)
            self._draw(m, r)
            self._check(m, r, memory)
            with m.State("LEAVE"):
                with m.If(r.advance):
                    m.next = "STATUS"

            with m.State("STATUS"):
                m.d.comb += self.o_status.valid.eq(1)
                with m.If(self.o_status.ready):
                    m.next = "IDLE"
        return m

    def _take_command(self, m, r):
        c = self.config
        with m.State("IDLE"):
            command = self.i_command.payload
            too_many = Signal()
            bad_count = Signal()
            m.d.comb += [
                self.i_command.ready.eq(1),
                too_many.eq(command.tokens > c.max_tokens),
                bad_count.eq(~command.count.any() | (command.count >= command.tokens)),
            ]
            m.d.sync += [
                r.tokens.eq(command.tokens),
                r.needed.eq(command.count),
                r.token.eq(0),
                r.state.eq(Mux(command.seed.any(), command.seed, ZERO_SEED)),
                r.status.eq(0),
                r.status.too_many_tokens.eq(too_many),
                r.status.bad_count.eq(bad_count),
                r.address.eq(0),
            ]
            with m.If(self.i_command.valid):
                m.next = "WARM"
                with m.If(too_many | bad_count):
                    m.next = "STATUS"
                with m.Elif(command.given):
                    m.next = "WIPE"

    def _draw(self, m, r):
        """Token after token, chosen where a number below ``remaining`` is below ``needed``."""
        c = self.config
        # A number below 2**bits, where ``above`` = remaining - 1 has so many bits.
        warm = Signal(range(c.warm_up))
        above = Signal(c.count_bits)
        mask = Signal(c.count_bits)
        number = Signal(c.count_bits)
        m.d.comb += [
            above.eq(r.tokens - r.token - 1),
            mask.eq(Cat(above[k:].any() for k in range(c.count_bits))),
            number.eq(r.state & mask),
        ]
        after = self._after(m, r.state)

        with m.State("WARM"):
            m.d.sync += [r.state.eq(after), warm.eq(warm + 1)]
            with m.If(warm == c.warm_up - 1):
                m.d.sync += warm.eq(0)
                m.next = "DRAW"

        with m.State("DRAW"):
            m.d.comb += r.chosen_token.eq(r.token)
            with m.If(r.advance):
                m.d.sync += r.state.eq(after)
                with m.If(number <= above):
                    m.d.sync += r.token.eq(r.token + 1)
                    with m.If(number < r.needed):
                        m.d.comb += r.chosen.eq(1)
                        m.d.sync += r.needed.eq(r.needed - 1)
                        with m.If(r.needed == 1):
                            m.next = "LEAVE"

    def _check(self, m, r, memory):
        """A given list: each token is marked, and passed on where it is in range and had no mark."""
        c = self.config
        shift = exact_log2(c.mark_bits)
        place = Signal(range(max(2, c.mark_bits)))
        own_mark = Signal(c.mark_bits)
        marked = Signal()
        given_token = Signal(c.count_bits, reset_less=True)
        m.d.comb += [
            place.eq(given_token & (c.mark_bits - 1)),
            own_mark.eq(1 << place),
            marked.eq((memory.r_data[0] & own_mark).any()),
        ]

        with m.State("WIPE"):
            m.d.comb += [memory.w_en.eq(1), memory.w_addr.eq(r.address)]
            m.d.sync += r.address.eq(r.address + 1)
            with m.If(r.address == (r.tokens - 1) >> shift):
                m.next = "TAKE"

        with m.State("TAKE"):
            m.d.comb += [
                self.i.ready.eq(1),
                memory.r_addr[0].eq(self.i.payload >> shift),
                memory.r_en[0].eq(self.i.valid & (self.i.payload < r.tokens)),
            ]
            m.d.sync += given_token.eq(self.i.payload)
            with m.If(self.i.valid):
                m.next = "MARK"

        with m.State("MARK"):
            m.d.comb += [
                r.chosen_token.eq(given_token),
                memory.w_addr.eq(given_token >> shift),
                memory.w_data.eq(memory.r_data[0] | own_mark),
            ]
            with m.If(r.advance):
                with m.If(given_token >= r.tokens):
                    m.d.sync += r.status.out_of_range.eq(1)
                with m.Else():
                    m.d.comb += memory.w_en.eq(1)
                    with m.If(marked):
                        m.d.sync += r.status.repeated.eq(1)
                    with m.Else():
                        m.d.comb += r.chosen.eq(~r.status.as_value().any())
                m.d.sync += r.needed.eq(r.needed - 1)
                m.next = "TAKE"
                with m.If(r.needed == 1):
                    m.next = "LEAVE"

    @staticmethod
    def _after(m, state):
        """The state that follows: xorshift by 13, 17, 5 (G. Marsaglia, 2003)."""
        left = Signal(32, name="shifted_left")
        right = Signal(32, name="shifted_right")
        after = Signal(32, name="after")
        m.d.comb += [left.eq(state ^ (state << 13)), right.eq(left ^ (left >> 17)), after.eq(right ^ (right << 5))]
        return after


class _Run:
    """The command in work, and the token that is chosen for it."""

    def __init__(self, config):
        c = config
        self.tokens = Signal(c.count_bits)
        self.needed = Signal(c.count_bits)  # tokens still to be chosen
        self.token = Signal(c.count_bits)  # the next that is drawn for
        self.status = Signal(c.status)
        self.chosen = Signal()
        self.chosen_token = Signal(c.token_bits)
        self.advance = Signal()  # a token that is chosen can leave
        self.state = Signal(32)  # of the xorshift
        self.address = Signal(range(max(2, c.marks.depth)))  # of the marks to be wiped


#: Config of each preset; the first is the default.
PRESETS = {
    "default": DstChooserConfig(),
    "least": DstChooserConfig(max_tokens=2, mark_bits=1),
    "odd": DstChooserConfig(max_tokens=301, mark_bits=8),
}
