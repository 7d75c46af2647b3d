# SPDX-License-Identifier: Apache-2.0
"""The geometry of a head, computed once: tokens, words of memory and key tiles of all that it is cut into (SIMPICKER V-A).

::

    start, sizes --+--> one adder, product after product --> tokens and words --+--> done
                   +--> one subtractor, tile after tile --> key tiles ----------+

Rejected: multipliers. Sizes are those of a head, and there is time before the first word of memory comes; five products
of 16 bits by 16 would be 10 kGE.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from zoetrope.hw import checks


@dataclass(frozen=True)
class HeadGeometryConfig:
    lanes: int = field(default=8, metadata={"doc": "B, elements of a word of memory; a power of two"})
    max_channels: int = field(default=64, metadata={"doc": "most channels, d"})
    keys: int = field(default=128, metadata={"doc": "most tokens of a key tile"})
    max_frames: int = field(default=32, metadata={"doc": "most frames of a clip"})
    max_height: int = field(default=16, metadata={"doc": "rows of tokens of the largest frame"})
    max_width: int = field(default=16, metadata={"doc": "tokens of its rows"})
    max_text: int = field(default=256, metadata={"doc": "most text tokens"})

    def __post_init__(self):
        checks.power_of_two(self, "lanes")
        checks.at_least(self, 1, "max_channels", "keys", "max_frames", "max_height", "max_width", "max_text")

    @property
    def max_words(self):
        """Words of memory of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def max_frame_tokens(self):
        return self.max_height * self.max_width

    @property
    def i_layout(self):
        names = ("frames", "height", "width", "text", "channels")
        return data.StructLayout({name: range(getattr(self, f"max_{name}") + 1) for name in names})

    @property
    def o_layout(self):
        """``words`` of a token; tokens, words and key tiles of a frame and of the text, of all video tokens, and words of a
        whole key tile and of a matrix."""
        frame, text, words = self.max_frame_tokens, self.max_text, self.max_words
        video = self.max_frames * frame
        most = {
            "words": words,
            "frame_tokens": frame,
            "video_tokens": video,
            "frame_words": frame * words,
            "text_words": text * words,
            "tile_words": self.keys * words,
            "video_words": video * words,
            "matrix_words": (video + text) * words,
            "frame_tiles": -(-frame // self.keys),
            "text_tiles": -(-text // self.keys),
        }
        return data.StructLayout({name: range(value + 1) for name, value in most.items()})


class HeadGeometry(wiring.Component):
    """Tokens, words and key tiles of a head, by one adder and one subtractor.

    Parameters
    ----------
    config : HeadGeometryConfig

    Members
    -------
    start : In(1), the sizes stand from this cycle on until ``done``; not while it computes
    i : In, ``frames``, ``height``, ``width``, ``text``, ``channels``
    o : Out, what follows from them; it stays until the next ``start``
    done : Out(1), for a cycle: all is there

    Cycles: ``sim.model.simcore.geometry_cycles`` from ``start`` to ``done``, for sizes that are not above the largest.
    Golden: ``golden.simcore.chip.head_geometry.head_geometry``.
    """

    def __init__(self, *, config):
        self.config = config
        super().__init__({"start": In(1), "i": In(config.i_layout), "o": Out(config.o_layout), "done": Out(1)})

    def elaborate(self, platform):
        m = Module()
        c, i = self.config, self.i
        r = SimpleNamespace(**{name: Signal(shape, name=name) for name, shape in c.o_layout.members.items()})
        m.d.comb += [
            r.words.eq((i.channels + (c.lanes - 1)) >> exact_log2(c.lanes)),
            r.matrix_words.eq(r.video_words + r.text_words),
            *(self.o[name].eq(result) for name, result in vars(r).items()),
        ]
        products = (
            (i.height, i.width, r.frame_tokens),
            (r.frame_tokens, i.frames, r.video_tokens),
            (r.video_tokens, r.words, r.video_words),
            (r.frame_tokens, r.words, r.frame_words),
            (i.text, r.words, r.text_words),
            (Const(c.keys), r.words, r.tile_words),
        )
        known = Signal(name="frame_known")
        ended = self._divide(m, ((self.start, i.text, r.text_tiles), (known, r.frame_tokens, r.frame_tiles)))
        with m.FSM():
            with m.State("WAIT"):
                with m.If(self.start):
                    m.d.sync += known.eq(0)
                    m.next = "LOAD"
            self._multiply(m, products, known, "TILES")
            with m.State("TILES"):
                m.d.comb += self.done.eq(ended)
                with m.If(ended):
                    m.next = "WAIT"
        return m

    def _multiply(self, m, products, known, following):
        """States LOAD and ADD: of each product a bit of the right factor a cycle. The first one is ``known`` then."""
        step = Signal(range(len(products)))
        shifted = Signal(max(len(result) for _, _, result in products))
        total = Signal(len(shifted))
        added = Signal(len(shifted))
        factor = Signal(max(len(right) for _, right, _ in products))
        m.d.comb += added.eq(total + (shifted & factor[0].replicate(len(shifted))))
        with m.State("LOAD"):
            m.d.sync += total.eq(0)
            with m.Switch(step):
                for k, (left, right, _) in enumerate(products):
                    with m.Case(k):
                        m.d.sync += [shifted.eq(left), factor.eq(right)]
            m.next = "ADD"
        with m.State("ADD"):
            m.d.sync += [shifted.eq(shifted << 1), factor.eq(factor >> 1), total.eq(added)]
            with m.If(~factor[1:].any()):
                with m.Switch(step):
                    for k, (_, _, result) in enumerate(products):
                        with m.Case(k):
                            m.d.sync += result.eq(added)
                m.d.sync += [step.eq(step + 1), known.eq(1)]
                m.next = "LOAD"
                with m.If(step == len(products) - 1):
                    m.d.sync += step.eq(0)
                    m.next = following

    def _divide(self, m, parts):
        """Beside it the key tiles of each part, one a cycle, once its tokens are known. Returns when all are there."""
        keys = self.config.keys
        left = Signal(max(len(tokens) for _, tokens, _ in parts))
        tiles = Signal(max(len(result) for _, _, result in parts))
        ended = Signal(name="tiles_ended")
        with m.FSM(name="tiles"):
            for k, (known, tokens, result) in enumerate(parts):
                with m.State(f"LOAD {k}"):
                    m.d.sync += [left.eq(tokens), tiles.eq(0)]
                    with m.If(known):
                        m.next = f"COUNT {k}"
                with m.State(f"COUNT {k}"):
                    m.d.sync += [left.eq(Mux(left > keys, left - keys, 0)), tiles.eq(tiles + 1)]
                    with m.If(~left.any()):
                        m.d.sync += result.eq(tiles)
                        m.next = f"LOAD {k + 1}" if k + 1 < len(parts) else "ENDED"
            with m.State("ENDED"):
                m.d.comb += ended.eq(1)
                with m.If(self.done):
                    m.next = "LOAD 0"
        return ended


#: Config of each preset; the first is the default.
PRESETS = {
    "default": HeadGeometryConfig(),
    "odd": HeadGeometryConfig(lanes=4, max_channels=21, keys=6, max_frames=5, max_height=3, max_width=7, max_text=13),
}
