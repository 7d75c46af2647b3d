# SPDX-License-Identifier: Apache-2.0
"""What comes of a clip: its tokens into the token stores, those of the frame before into the banks of the line store."""

from types import SimpleNamespace
from typing import NamedTuple

from amaranth import Cat, Mux, Signal
from amaranth.utils import ceil_log2

from zoetrope.hw.emit import emit_once
from zoetrope.hw.memory.sram import Sram, SramConfig


class Tokens(NamedTuple):
    """The tokens between arrival and decision: the store of each token of a beat and that of references, and two counts.

    ``arrived``: whole tokens that have come; ``decided``: driven by the last stage, tokens whose place is free again.
    """

    stores: list[Sram]
    references: Sram
    arrived: Signal
    decided: Signal


class Lines(NamedTuple):
    """The line store: its banks, the slot that is ``filled`` next, and the first that is still needed.

    ``freed``: driven by the last stage.
    """

    banks: list[Sram]
    filled: Signal
    freed: Signal


def store_tokens(m, c, clip, i, error_tokens):
    """``i`` into the token stores, one for each token of a beat; the first of each group into the reference store."""
    token_bits = ceil_log2(c.in_flight)
    config = SramConfig(depth=c.in_flight * c.max_words, width=c.word_bits)
    token_stores = [Sram(config=config) for _ in range(2)]
    reference_store = Sram(config=config)
    for k, store in enumerate(token_stores):
        m.submodules[f"token_store_{k}"] = emit_once(store)
    m.submodules.reference_store = emit_once(reference_store)

    arrived = Signal(token_bits + 1, name="arrived")  # tokens, whole ones
    decided = Signal(token_bits + 1, name="decided")
    word = Signal(range(c.max_words))
    count = Signal(range(c.tokens + 1))
    place = token_place(m, c, clip, "arriving")
    reference = Signal(token_bits, name="arriving_reference")
    waiting = Signal(token_bits + 1)
    take = Signal(name="take_word")
    last_word = Signal()
    bad = Signal()
    m.d.comb += [
        waiting.eq(arrived - decided),
        take.eq(i.valid & clip.running & ~clip.failed & ~place.over & ~waiting[-1]),
        i.ready.eq(clip.failed | (clip.running & ~place.over & ~waiting[-1])),
        last_word.eq(word == clip.given.words - 1),
        bad.eq((i.payload.last != (place.last & last_word)) | (last_word & (count == c.tokens))),
        place.step.eq(take & last_word),
        place.clear.eq(clip.start),
    ]
    stores = [(store, arrived[:token_bits], take) for store in token_stores]
    stores.append((reference_store, reference, take & place.first_of_group))
    for store, token, write in stores:
        m.d.comb += [
            store.w_en.eq(write),
            store.w_addr.eq(word_address(c, token, word)),
            store.w_data.eq(Cat(*i.payload.channels)),
        ]
    with m.If(take):
        m.d.sync += word.eq(Mux(last_word, 0, word + 1))
        with m.If(bad):
            m.d.sync += [clip.failed.eq(1), error_tokens.eq(1)]
        with m.Elif(last_word):
            m.d.sync += [arrived.eq(arrived + 1), count.eq(count + 1)]
            with m.If(place.last_of_group):
                m.d.sync += reference.eq(reference + 1)
    with m.If(clip.start):
        m.d.sync += [word.eq(0), count.eq(0), arrived.eq(0), reference.eq(0)]
    return Tokens(token_stores, reference_store, arrived, decided)


def store_lines(m, c, clip, i):
    """``i_previous`` into the banks of the line store."""
    bank_bits = ceil_log2(c.banks)
    config = SramConfig(depth=c.slots // c.banks * c.max_words, width=c.word_bits)
    banks = [Sram(config=config) for _ in range(c.banks)]
    filled = Signal(c.slot_bits, name="filled")  # the slot that is written next
    freed = Signal(c.slot_bits, name="freed")  # the first that is still needed
    used = Signal(c.slot_bits)
    word = Signal(range(c.max_words), name="line_word")
    place = token_place(m, c, clip, "line")
    room = Signal(name="line_room")
    take = Signal(name="take_line_word")
    last_word = Signal(name="line_last_word")
    m.d.comb += [
        used.eq(filled - freed),
        # The skip from the end of a line to the next may go beyond what is free.
        room.eq(clip.running & ~clip.failed & (used < c.slots) & (place.frame != clip.given.frames - 1)),
        take.eq(i.valid & room),
        i.ready.eq(clip.failed | room),
        last_word.eq(word == clip.given.words - 1),
        place.step.eq(take & last_word),
        place.clear.eq(clip.start),
    ]
    for k, bank in enumerate(banks):
        m.submodules[f"bank_{k}"] = emit_once(bank)
        m.d.comb += [
            bank.w_en.eq(take & (filled[:bank_bits] == k)),
            bank.w_addr.eq(word_address(c, filled[bank_bits:-1], word)),
            bank.w_data.eq(Cat(*i.payload)),
        ]
    with m.If(take):
        m.d.sync += word.eq(Mux(last_word, 0, word + 1))
        with m.If(last_word):
            m.d.sync += filled.eq(filled + Mux(place.last_column, clip.pitch - clip.given.width + 1, 1))
    with m.If(clip.start):
        m.d.sync += [word.eq(0), filled.eq(0)]
    return Lines(banks, filled, freed)


def word_address(c, token, word):
    """Of a word of a token: tokens take ``max_words`` each, so that no multiplier is needed."""
    bits = ceil_log2(c.max_words)
    return Cat(word[:bits], token) if bits else token


def token_place(m, c, clip, name):
    """Frame, row and column of a token, counted with ``step`` from ``clear`` on; ``over`` behind the last."""
    p = SimpleNamespace(
        frame=Signal(range(c.tokens + 1), name=f"{name}_frame"),
        y=Signal(range(c.max_height + 1), name=f"{name}_y"),
        x=Signal(range(c.max_width + 1), name=f"{name}_x"),
        in_group=Signal(range(c.max_width + 1), name=f"{name}_in_group"),
        over=Signal(name=f"{name}_over"),
        step=Signal(name=f"{name}_step"),
        clear=Signal(name=f"{name}_clear"),
        last_column=Signal(name=f"{name}_last_column"),
        last_row=Signal(name=f"{name}_last_row"),
        last=Signal(name=f"{name}_last"),
        first_of_group=Signal(name=f"{name}_first_of_group"),
        last_of_group=Signal(name=f"{name}_last_of_group"),
    )
    m.d.comb += [
        p.last_column.eq(p.x == clip.given.width - 1),
        p.last_row.eq(p.y == clip.given.height - 1),
        p.last.eq(p.last_column & p.last_row & (p.frame == clip.given.frames - 1)),
        p.first_of_group.eq(p.in_group == 0),
        p.last_of_group.eq(p.last_column | (p.in_group == clip.given.group - 1)),
    ]
    with m.If(p.step):
        m.d.sync += [p.x.eq(p.x + 1), p.in_group.eq(Mux(p.last_of_group, 0, p.in_group + 1)), p.over.eq(p.last)]
        with m.If(p.last_column):
            m.d.sync += [p.x.eq(0), p.y.eq(p.y + 1)]
            with m.If(p.last_row):
                m.d.sync += [p.y.eq(0), p.frame.eq(p.frame + 1)]
    with m.If(p.clear):
        m.d.sync += [p.x.eq(0), p.y.eq(0), p.frame.eq(0), p.in_group.eq(0), p.over.eq(0)]
    return p
