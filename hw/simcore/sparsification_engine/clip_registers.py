# SPDX-License-Identifier: Apache-2.0
"""The registers of a clip of tokens, and what is checked of them before its first token is taken."""

from typing import NamedTuple

from amaranth import Signal
from amaranth.utils import ceil_log2

from zoetrope.hw.formats import FP32


class Clip(NamedTuple):
    """What all stages of the sparsification unit must know of the clip.

    ``given``: its registers, as the config has them; ``reach``: rows and columns of the window in front of its centre;
    ``pitch``: slots of the line store from one row of tokens to the next; ``start``: a clip begins in this cycle;
    ``running``: it is checked, and tokens are taken; ``failed``: an error was found; ``ended``: driven by the last stage,
    the last entry leaves in this cycle.
    """

    given: Signal
    reach: Signal
    pitch: Signal
    start: Signal
    running: Signal
    failed: Signal
    ended: Signal


def clip_registers(m, c, i, error_geometry, error_threshold):
    """The ``Clip`` that comes on the stream ``i``; the errors are driven."""
    given = Signal(c.config_layout, name="clip")
    clip = Clip(
        given=given,
        reach=Signal(range(c.max_window + 2), name="reach"),
        pitch=Signal(range(c.max_width + c.banks + 1), name="pitch"),
        start=Signal(name="start"),
        running=Signal(name="running"),
        failed=Signal(name="failed"),
        ended=Signal(name="ended"),
    )
    skew = ceil_log2(c.banks)
    new = i.payload
    checking = Signal()
    lines = Signal(range(c.max_window + 3))
    rows = Signal(range(c.max_height + 2))
    room = Signal(range(-c.max_width - c.banks - 1, c.slots + 1))
    wrong = Signal()
    short = Signal()
    checked = Signal()
    m.d.comb += [
        i.ready.eq(~clip.running & ~checking & ~clip.failed),
        clip.start.eq(i.valid & i.ready),
        clip.reach.eq(given.window >> 1),
        clip.pitch.eq(given.width + ((given.window - given.width)[:skew] if skew else 0)),
        wrong.eq(
            (given.frames == 0)
            | (given.frames > c.tokens)
            | (given.height == 0)
            | (given.height > c.max_height)
            | (given.width == 0)
            | (given.width > c.max_width)
            | (given.window == 0)
            | (given.window > c.max_window)
            | (given.group == 0)
            | (given.words == 0)
            | (given.words > c.max_words)
        ),
        short.eq(room < 0),
        checked.eq((lines == 0) | (rows == 0)),
    ]
    with m.If(clip.start):
        m.d.sync += [given.eq(new), checking.eq(1), lines.eq(new.window + 1), rows.eq(new.height), room.eq(c.slots)]
    with m.If(checking):
        # Of as many lines as the window needs, one a cycle: a check is worth no multiplier.
        m.d.sync += [lines.eq(lines - 1), rows.eq(rows - 1), room.eq(room - clip.pitch)]
        with m.If(wrong | short | (given.threshold > FP32.inf)):
            m.d.sync += [
                checking.eq(0),
                clip.failed.eq(1),
                error_geometry.eq(wrong | short),
                error_threshold.eq(given.threshold > FP32.inf),
            ]
        with m.Elif(checked):
            m.d.sync += [checking.eq(0), clip.running.eq(1)]
    with m.If(clip.ended):
        m.d.sync += clip.running.eq(0)
    return clip
