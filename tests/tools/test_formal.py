# SPDX-License-Identifier: Apache-2.0
"""Streams keep their promise for ever: proofs by induction, at full width, that ``valid`` and payload stay while stalled."""

import pytest
from amaranth import Module, Signal
from amaranth.hdl import Assert
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from formal import holds, stable
from recovery_parts import Recovery, RecoveryConfig

from zoetrope.hw.catalogue import find
from zoetrope.hw.stream import register


class Registered(wiring.Component):
    """``hw.stream.register`` between two streams of 64 bits; ``fault`` breaks it."""

    i: In(stream.Signature(64))
    o: Out(stream.Signature(64))

    def __init__(self, fault=None):
        super().__init__()
        self.fault = fault

    def elaborate(self, platform):
        m = Module()
        held = register(m, 64, self.i.payload, self.i.valid, self.i.ready, "held")
        m.d.comb += [self.o.payload.eq(held.payload), self.o.valid.eq(held.valid), held.ready.eq(self.o.ready)]
        if self.fault == "payload":
            with m.If(self.i.valid):
                m.d.sync += held.payload.eq(self.i.payload)
        elif self.fault == "valid":
            m.d.sync += held.valid.eq(self.i.valid)
        return m


def test_a_register_keeps_what_it_offers():
    assert holds(Registered(), stable("o"))


@pytest.mark.parametrize("fault", ["payload", "valid"])
def test_a_register_that_does_not_is_found(fault):
    assert not holds(Registered(fault), stable("o"))


def test_a_claim_that_asserts_nothing_is_no_proof():
    with pytest.raises(AssertionError, match="the claim asserts nothing"):
        holds(Registered(), lambda m, component: None)


def test_what_a_register_takes_it_gives_and_nothing_else():
    """Words in less words out are one or none, and one exactly while it offers a word: none is lost, none comes twice."""

    def claim(m, component):
        count = Signal(8)
        taken = component.i.valid & component.i.ready
        given = component.o.valid & component.o.ready
        m.d.sync += count.eq(count + taken - given)
        m.d.comb += Assert(count == component.o.valid)

    assert holds(Registered(), claim)


@pytest.mark.parametrize("block", ["float_compare", "float_convert", "slice_generator"])
def test_blocks_keep_what_they_offer(block):
    """The first two are ``StreamOperator`` around a pipeline, as every operator of ``hw.arith`` is."""
    assert holds(find(block).build(), stable("o"))


def test_reorder_recover_unit_keeps_what_it_offers():
    assert holds(find("reorder_recover_unit").build("odd"), stable("o_read", "o_write", "o_status"))


@pytest.mark.parametrize("block, output", [("column_merge", "o"), ("row_writer", "o_data")])
def test_the_way_of_a_row_of_a_keeps_what_it_offers(block, output):
    assert holds(find(block).build("single"), stable(output))


def test_the_way_of_a_table_keeps_what_it_offers():
    """Index buffer, table reader and unit, joined: also the stream between them, whose payload a memory holds."""
    parts = Recovery(config=RecoveryConfig(tokens=6, words=2, width=8))
    assert holds(parts, stable("o_root", "reader.o", "o_read", "o_write", "o_status"))
