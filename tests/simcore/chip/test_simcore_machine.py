# SPDX-License-Identifier: Apache-2.0
"""SIMCORE whole: random heads, right and wrong ones, on its Verilog; its bench; configs that are refused.

``zoetrope heads`` runs thousands of the same heads.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from zoetrope.hw import catalogue
from zoetrope.hw.pe.fp16_pe import FP16PEConfig
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.simcore.chip.simcore import Simcore, SimcoreConfig
from zoetrope.hw.simcore.chip.simcore_registers import Cause
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.sim.host.simcore import SimcoreError, on_native
from zoetrope.sim.run.native import Native
from zoetrope.sim.studies.simcore_heads import REFUSALS, campaign, heads, main, registers_that_are_wrong, run_head

TINY = catalogue.find("simcore").config("tiny")

#: No size is that of the presets: tiles and slices of four, rows of four, arrays of other widths, words of operands as wide
#: as the bus, 40 bits of address, odd sizes wherever a size need be no power of two.
OTHER = SimcoreConfig(
    engine=ComputingEngineConfig(
        fp16=FP16PEConfig(rows=4, columns=2, lanes=4, words=2, ragged=True),
        lut=LutPEConfig(rows=4, columns=1, lanes=4, words=3, copy_width=64, slices="generator", ragged=True),
        max_channels=12,
        max_tokens=9,
        load_lanes=4,
    ),
    slices=4,
    tiles=4,
    max_frames=3,
    max_height=3,
    max_width=5,
    max_window=4,
    max_tokens=40,
    max_text=11,
    data_bits=64,
    address_bits=40,
    burst=2,
    outstanding=2,
    sfu_lanes=4,
    merge_lanes=1,
    importance_lanes=2,
    candidates=2,
    slots=64,
)


@pytest.fixture(scope="module")
def tiny():
    return Native.build(Simcore(config=TINY), "simcore")


def test_random_heads(tiny):
    causes, cycles = campaign(tiny, TINY, 60, seed=0)
    assert cycles > 100_000 and causes["NONE"] > 50


def test_random_faults_and_the_head_after_each(tiny):
    causes, _ = campaign(tiny, TINY, 120, seed=1, faults=True)
    assert causes["NONE"] >= 50 and {"READ", "WRITE", "NOT_FINITE_Q", "NOT_FINITE_K", "NOT_FINITE_V"} <= set(causes)


def test_scales_of_another_head_end_it_somehow(tiny):
    """A is then of no use, or the map overflows; and the next head is right."""
    causes = set()
    for number, head in itertools.islice(heads(TINY, seed=4), 20):
        machine = on_native(tiny, head.size, base=head.base, seed=head.pauses, limit=300_000)
        codes = np.random.default_rng(number).choice([0x7F7FFFFF, 1, 0x00800000, 0x50000000], 2)
        changes = dict(zip(("score_scale", "frame_inverse"), codes.tolist()))
        try:
            machine.run(head.q, head.k, head.v, head.geometry, head.settings, places=head.places, changes=changes)
            causes.add(Cause.NONE)
        except SimcoreError as error:
            causes.add(error.cause)
        run_head(tiny, TINY, head)
    assert causes <= {Cause.NONE, Cause.INTERNAL, Cause.FOLD}


def test_the_command(tiny, capsys):
    main(["--heads", "3", "--faults"])
    assert capsys.readouterr().out.startswith("PASS: 3 heads right in ")
    with pytest.raises(SystemExit):
        main(["--heads", "0"])
    assert capsys.readouterr().err == "error: --heads must be a whole number of at least 1, not 0\n"


def test_every_register_is_checked(tiny):
    """And behind each refusal the same head is right."""
    _, head = next(heads(TINY, seed=2, first=4))
    head = replace(head, meddle=False)
    cases = registers_that_are_wrong(TINY, head.geometry, head.channels, head.places)
    for changes, cause in cases:
        run_head(tiny, TINY, replace(head, changes=changes, cause=cause, fault=str(changes)))
    assert len(cases) > 60 and {cause for _, cause in cases} == set(REFUSALS)
    run_head(tiny, TINY, head)


@pytest.mark.campaign
def test_the_machine_of_a_board():
    """Words of two elements, one lane a unit, words of operands no wider than the arrays."""
    config = catalogue.find("simcore").config("board")
    native = Native.build(Simcore(config=config), "simcore")
    causes, _ = campaign(native, config, 40, seed=4, faults=True)
    assert causes["NONE"] >= 15 and len(causes) >= 5


@pytest.mark.campaign
def test_another_machine():
    """Of every size another one than the presets: random heads and faults."""
    native = Native.build(Simcore(config=OTHER), "simcore")
    causes, _ = campaign(native, OTHER, 60, seed=3, faults=True)
    assert causes["NONE"] >= 25 and len(causes) >= 6


def array(name, **changes):
    return {"engine": replace(TINY.engine, **{name: replace(getattr(TINY.engine, name), **changes)})}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"slices": 3}, "slices must be a power of two of at least 2, not 3"),
        ({"tiles": 1}, "tiles must be a power of two of at least 2, not 1"),
        ({"max_frames": 0}, "max_frames must be 1 to 65535, not 0"),
        ({"max_window": 256}, "max_window must be 1 to 255, not 256"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, not 0"),
        (
            array("fp16", rows=4),
            "both arrays of engine must have the same rows, a power of two from 2 to 128, not 4 and 2",
        ),
        (array("lut", reading="byte128"), "reading of the LUT array must be odd16, not byte128"),
        (
            array("lut", accumulator="fixed", add_stages=2),
            "accumulator of the LUT array must be fp32, as the FP16 array's, not fixed",
        ),
        ({"data_bits": 48}, "axi: data_bits must be one of"),
        ({"data_bits": 256}, "load_lanes of engine must be a power of two and at least 16, .* not 8"),
        ({"sfu_lanes": 3}, "sfu_lanes must divide load_lanes of engine, 8, not 3"),
        ({"merge_lanes": 0}, "merge_lanes must divide load_lanes of engine, 8, not 0"),
        ({"merge_lanes": 8}, "merge_lanes must divide the 4 elements of an AXI word, not 8"),
        ({"sfu_lanes": 4}, "sfu_lanes must divide the outputs of both arrays, 2 and 2, not 4"),
        ({"importance_lanes": 16}, "importance_lanes must divide load_lanes of engine, 8, not 16"),
        ({"slots": 32}, "slots must be at least 44 for frames of 4 x 4 and a window of 3, not 32"),
        ({"candidates": 3}, "sparsification: candidates must be a power of two, not 3"),
        ({"address_bits": 65}, "axi: address_bits must be 16 to 64, not 65"),
        (
            {"engine": replace(TINY.engine, tile_bits=1), "tiles": 4},
            "tile_bits of engine must be at least 2 for 4, not 1",
        ),
    ],
)
def test_configs_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_arrays_are_refused_by_the_engine():
    with pytest.raises(ValueError, match="fp16: the array must be ragged"):
        array("fp16", ragged=False)
    for rows in (1, 3):
        arrays = {name: replace(getattr(TINY.engine, name), rows=rows, columns=2) for name in ("fp16", "lut")}
        with pytest.raises(ValueError, match=f"the same rows, a power of two from 2 to 128, not {rows} and {rows}"):
            replace(TINY, engine=replace(TINY.engine, **arrays))


def test_causes_of_the_campaign_are_those_of_the_registers():
    assert set(REFUSALS) < set(Cause)
