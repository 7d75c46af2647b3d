"""Products of the sizes of a head, made once by one adder: no part of SIMCORE multiplies sizes for itself."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for


class HeadSizes(wiring.Component):
    """Numbers of tokens and words of a head, by one adder: products of the sizes in a job.

    Members
    -------
    start : In(1), the sizes below stand from the next cycle on
    height, width, frames, text, words : In, ``words`` of a token
    frame_tokens, video_tokens : Out
    frame_words, video_words, text_words : Out
    done : Out(1), for a cycle: all are there, and stay until the next ``start``

    Latency: 1 from ``start``, and for each product 2 and the bits of its second factor (``sim.model.simcore.setup_cycles``).
    """

    def __init__(self, *, config):
        self.config = config
        job = config.job_layout
        fields = {name: job[name].width for name in ("height", "width", "frames", "text")}
        fields["words"] = bits_for(config.max_words)
        frame = fields["height"] + fields["width"]
        video = frame + fields["frames"]
        results = {"frame_tokens": frame, "video_tokens": video}
        for name, bits in (("frame", frame), ("video", video), ("text", fields["text"])):
            results[f"{name}_words"] = bits + fields["words"]
        super().__init__(
            {
                "start": In(1),
                **{name: In(bits) for name, bits in fields.items()},
                **{name: Out(bits) for name, bits in results.items()},
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        products = (
            (self.height, self.width, self.frame_tokens),
            (self.frame_tokens, self.frames, self.video_tokens),
            (self.video_tokens, self.words, self.video_words),
            (self.frame_tokens, self.words, self.frame_words),
            (self.text, self.words, self.text_words),
        )
        widest = max(len(result) for _, _, result in products)
        step = Signal(range(len(products)))
        shifted = Signal(widest)
        total = Signal(widest)
        factor = Signal(max(len(each) for _, each, _ in products))
        with m.FSM():
            with m.State("WAIT"):
                m.d.sync += step.eq(0)
                with m.If(self.start):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += total.eq(0)
                with m.Switch(step):
                    for k, (left, right, _) in enumerate(products):
                        with m.Case(k):
                            m.d.sync += [shifted.eq(left), factor.eq(right)]
                m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += [shifted.eq(shifted << 1), factor.eq(factor >> 1)]
                with m.If(factor[0]):
                    m.d.sync += total.eq(total + shifted)
                with m.If(~factor.any()):
                    with m.Switch(step):
                        for k, (_, _, result) in enumerate(products):
                            with m.Case(k):
                                m.d.sync += result.eq(total)
                    m.d.sync += step.eq(step + 1)
                    m.next = "LOAD"
                    with m.If(step == len(products) - 1):
                        m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "WAIT"
        return m
