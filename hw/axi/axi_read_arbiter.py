# SPDX-License-Identifier: Apache-2.0
"""Several AXI4 readers on one bus: their bursts in turn, the words back to whose burst they belong.

::

    i_ar[0] --+                        +--> register --> o_ar
    i_ar[1] --+--> round robin --------+
      ...                              +--> whose, beats (queue) --+
                                                                   |
    i_r -----------------------------------------------------------+--> o_r[0], o_r[1], ...

All bursts have the same ID, so words come in the order of the bursts, and a queue of who asked is all that is needed.

Rejected:

* An ID for each reader: a slave may then answer out of order, and does so where it costs a reader its turn; wider pins; and
  a slave that has one ID inside keeps the same queue.
* The end of a burst by RLAST instead of its beats, 8 bits less a place of the queue. Nothing else here looks at RLAST: of a
  slave that sets it wrongly each reader would still count its own beats, but get another's words.
* Fixed priority: a reader whose buffer drains fast would keep the others waiting for as long as it runs.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from zoetrope.hw import checks
from zoetrope.hw.axi.axi_bursts import DATA_BITS
from zoetrope.hw.axi.channels import address_layout, r_layout
from zoetrope.hw.stream import register


@dataclass(frozen=True)
class AxiReadArbiterConfig:
    readers: int = field(default=4, metadata={"doc": "that share the bus"})
    outstanding: int = field(default=16, metadata={"doc": "bursts begun and not yet ended, of all readers together"})
    data_bits: int = field(default=128, metadata={"doc": "of the bus: 32, 64, 128, 256 or 512"})
    address_bits: int = field(default=32, metadata={"doc": "of the bus; addresses are of bytes"})

    def __post_init__(self):
        checks.at_least(self, 1, "readers", "outstanding")
        checks.one_of(self, DATA_BITS, "data_bits")
        checks.between(self, 13, 64, "address_bits")

    @property
    def place_layout(self):
        """What is kept of a burst: ``reader``, one-hot, and ``len``, its beats - 1."""
        return data.StructLayout({"reader": self.readers, "len": 8})


class AxiReadArbiter(wiring.Component):
    """Lets ``readers`` masters of AXI4's read channels share one pair of them.

    A burst of the next reader, round robin, that has one goes out: whoever waits is passed over by each other reader at most
    once. Words go to whose burst they are of, by the beats of each burst; RLAST goes along and is not looked at. A reader
    that takes no words holds up those behind it: ``AxiReader`` always takes them, since it begins a burst only when it has
    room for it (but for the one cycle in which it answers a command that it refuses).

    Parameters
    ----------
    config : AxiReadArbiterConfig

    Members
    -------
    i_ar : In(streams of ``addr`` and ``len``, one a reader), as ``o_ar`` of ``AxiReader``
    o_r : Out(streams of ``data``, ``resp`` and ``last``, one a reader), as its ``i_r``
    o_ar, i_r : Out, In(streams), the channels, as ``hw.axi.channels`` has them

    Latency: 1 cycle from ``i_ar`` to ``o_ar``, none from ``i_r`` to ``o_r``. Initiation interval: 1 cycle a burst, 1 cycle
    a word, without gaps between bursts of whomever, where ``outstanding`` bursts hide the memory: with B words each and L
    cycles from AR to its first word, where (outstanding - 1) * B >= L + 1. With the sum of what its readers have outstanding
    it never holds them up. Backpressure: yes.
    Errors: none of its own; responses go to the reader. A word on R that no burst asked for is never taken.
    Golden: ``golden.axi.axi_read_arbiter.grants``, ``golden.axi.axi_read_arbiter.owners``.
    """

    def __init__(self, *, config):
        self.config = config
        ar = stream.Signature(address_layout(config.address_bits))
        r = stream.Signature(r_layout(config.data_bits))
        super().__init__(
            {
                "i_ar": In(ar).array(config.readers),
                "o_r": Out(r).array(config.readers),
                "o_ar": Out(ar),
                "i_r": In(r),
            }
        )

    @property
    def latency(self):
        """From ``i_ar`` to ``o_ar``."""
        return 1

    @property
    def initiation_interval(self):
        """Of bursts, and of words."""
        return 1

    def elaborate(self, platform):
        m = Module()
        c = self.config
        m.submodules.begun = begun = SyncFIFO(width=c.place_layout.size, depth=c.outstanding)
        self._grant(m, begun)
        self._return(m, begun)
        return m

    def _grant(self, m, begun):
        """AR of the lowest reader behind the last one that waits, else of the lowest that waits, into a register."""
        c = self.config
        waiting = Signal(c.readers)
        behind = Signal(c.readers)  # readers above the last one that was granted
        later = Signal(c.readers)
        pool = Signal(c.readers)
        grant = Signal(c.readers)
        ready = Signal(name="ar_ready")
        taken = Signal(name="ar_taken")
        payload = Signal(self.o_ar.payload.shape(), name="ar_next")
        m.d.comb += [
            waiting.eq(Cat(ar.valid for ar in self.i_ar)),
            later.eq(waiting & behind),
            pool.eq(Mux(later.any(), later, waiting)),
            grant.eq(pool & (~pool + 1)[: c.readers]),
            taken.eq(ready & begun.w_rdy & waiting.any()),
            begun.w_en.eq(taken),
            begun.w_data.eq(Cat(grant, payload.len)),
        ]
        for k, ar in enumerate(self.i_ar):
            m.d.comb += ar.ready.eq(grant[k] & ready & begun.w_rdy)
        with m.Switch(grant):
            for k, ar in enumerate(self.i_ar):
                with m.Case("-" * (c.readers - 1 - k) + "1" + "-" * k):
                    m.d.comb += payload.eq(ar.payload)
        with m.If(taken):
            m.d.sync += behind.eq(~(grant | (grant - 1)))
        ar = register(m, payload.shape(), payload, waiting.any() & begun.w_rdy, ready, "ar")
        m.d.comb += [self.o_ar.payload.eq(ar.payload), self.o_ar.valid.eq(ar.valid), ar.ready.eq(self.o_ar.ready)]

    def _return(self, m, begun):
        """Each word to the reader at the head of the queue, which leaves it with its last beat."""
        c = self.config
        head = Signal(c.place_layout)
        beat = Signal(8)
        open_to = Signal(c.readers)  # the reader at the head, if it takes the word
        moved = Signal(name="r_moved")
        final = Signal(name="r_final")
        m.d.comb += [
            head.eq(begun.r_data),
            open_to.eq(head.reader & Cat(r.ready for r in self.o_r)),
            self.i_r.ready.eq(begun.r_rdy & open_to.any()),
            moved.eq(self.i_r.valid & self.i_r.ready),
            final.eq(beat == head.len),
            begun.r_en.eq(moved & final),
        ]
        for k, r in enumerate(self.o_r):
            m.d.comb += [r.payload.eq(self.i_r.payload), r.valid.eq(self.i_r.valid & begun.r_rdy & head.reader[k])]
        with m.If(moved):
            m.d.sync += beat.eq(Mux(final, 0, beat + 1))


#: Config of each preset; the first is the default.
PRESETS = {
    "default": AxiReadArbiterConfig(),
    "three": AxiReadArbiterConfig(readers=3, outstanding=2, data_bits=32, address_bits=64),
    "single": AxiReadArbiterConfig(readers=1, outstanding=1),
}
