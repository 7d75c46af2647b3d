# SPDX-License-Identifier: Apache-2.0
"""The words of a matrix on their way from a reader to the units: their places in it, and several takers of each word."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from zoetrope.hw.arith.tail import mask_tail
from zoetrope.hw.stream import register


class MatrixWords(wiring.Component):
    """The words of a matrix as a reader delivers them, one register later: elements behind d are +0, and places are known.

    Members
    -------
    i : In(stream of the reader's ``data_layout``); its ``last`` is not looked at
    o : Out(stream of ``word_layout``)
    counts : In, at ``start``; a ``total`` of 0 is no matrix
    start : In(1), a matrix begins; the one before has left
    busy : Out(1), words are still to leave
    not_finite : Out(1), since reset a word with a NaN or an infinity has left

    Latency: 1 cycle. Initiation interval: 1. Backpressure: yes.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.data_layout)),
                "o": Out(stream.Signature(config.word_layout)),
                "counts": In(config.counts_layout),
                "start": In(1),
                "busy": Out(1),
                "not_finite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        c = self.config
        held = register(m, c.data_layout, self.i.payload, self.i.valid, self.i.ready, "word")
        words = range(c.max_matrix_words + 1)
        before = Signal(words, name="words_before")  # the video tokens
        video = Signal(words, name="words_of_video")  # left
        left = Signal(words, name="words_left")
        in_token = Signal(range(c.max_words + 1), name="words_in_token")  # left
        take = Signal()
        last = Signal(name="last_of_token")
        o = self.o.payload
        m.d.comb += [
            self.busy.eq(left.any()),
            self.o.valid.eq(held.valid & self.busy),
            held.ready.eq(self.o.ready & self.busy),
            take.eq(self.o.valid & self.o.ready),
            last.eq(in_token == 1),
            o.last.eq(last),
            o.video.eq(~before.any() & video.any()),
            o.video_token.eq(o.video & (video == self.counts.token)),
            o.video_end.eq(o.video & (video == 1)),
            o.end.eq(left == 1),
        ]
        values, wrong = mask_tail(m, held.payload.data, self.counts.tail, last, c.lanes, "word")
        m.d.comb += o["values"].eq(values)
        with m.If(take):
            m.d.sync += [left.eq(left - 1), in_token.eq(Mux(last, self.counts.token, in_token - 1))]
            with m.If(before.any()):
                m.d.sync += before.eq(before - 1)
            with m.Elif(o.video):
                m.d.sync += video.eq(video - 1)
            with m.If(wrong):
                m.d.sync += self.not_finite.eq(1)
        with m.If(self.start):
            m.d.sync += [
                before.eq(self.counts.before),
                video.eq(self.counts.video),
                left.eq(self.counts.total),
                in_token.eq(self.counts.token),
            ]
        return m


def fork(m, source, branches, name):
    """Hand each payload of ``source`` to every one of ``branches`` that wants it: (wanted, valid, ready) signals.

    None waits for another with the payload at hand, and none gets the next one before all have had this.
    """
    had = []
    for k, (wanted, valid, ready) in enumerate(branches):
        done = Signal(name=f"{name}_{k}_done")
        m.d.comb += valid.eq(source.valid & wanted & ~done)
        had.append(done | ~wanted | ready)
        with m.If(source.valid & source.ready):
            m.d.sync += done.eq(0)
        with m.Elif(valid & ready):
            m.d.sync += done.eq(1)
    m.d.comb += source.ready.eq(Cat(*had).all())
