# SPDX-License-Identifier: Apache-2.0
"""Configs of one's own, written as text: paths, types, and what is said of what cannot be."""

import enum
from dataclasses import dataclass, field

import pytest
from amaranth.lib import wiring

from zoetrope.hw import catalogue
from zoetrope.hw.catalogue import Block
from zoetrope.hw.errors import UnknownName, UserError
from zoetrope.hw.formats import FP16, FP32, Float
from zoetrope.hw.parameters import parameters_of, variant


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Inner:
    rows: int = 4
    lanes: int = 2

    def __post_init__(self):
        if self.rows % self.lanes:
            raise ValueError(f"rows must be a multiple of lanes, {self.lanes}, not {self.rows}")


@dataclass(frozen=True)
class Outer:
    fp16: Inner = Inner()
    lut: Inner = Inner()
    depth: int | None = None
    fast: bool = field(default=False, metadata={"doc": "skip the wait"})
    scale: float = 1.0
    mode: str = "serial"
    fmt: Float = FP16
    colour: Colour = Colour.RED
    steps: tuple[int, ...] = (1, 2)
    names: tuple = ("a",)


class Thing(wiring.Component):
    pass


THING = Block("thing", Thing, configs={"default": Outer(), "small": Outer(depth=3)})


def changed(*changes, preset=None):
    block, name = variant(THING, preset, changes)
    return block.config(name)


def test_every_type_is_read():
    config = changed(
        *("fp16.rows=8", "lut.lanes=1", "depth=0x10", "fast=yes", "scale=2.5", "mode=table", "fmt=fp32"),
        *("colour=blue", "steps=3,4,5", "names=b, c"),
    )
    assert config == Outer(Inner(8, 2), Inner(4, 1), 16, True, 2.5, "table", FP32, Colour.BLUE, (3, 4, 5), ("b", "c"))
    assert changed("depth=none", preset="small").depth is None
    assert changed("steps=()").steps == ()


def test_parameters_of_one_config_change_together():
    assert changed("fp16.rows=9", "fp16.lanes=3").fp16 == Inner(9, 3)


def test_the_name_is_readable_or_given():
    block, name = variant(THING, "small", ["fp16.rows=8", "fast=on"])
    assert name == "small_fp16_rows_8_fast_on" and block.stem(name) == f"thing.{name}"
    assert block.room == THING.room and block.config("default") == Outer()
    assert variant(THING, None, ["fast=on"], "quick")[1] == "quick"
    assert variant(THING, None, []) == (THING, "default")


@pytest.mark.parametrize(
    "changes, message",
    [
        (["fp16.rows"], "--set must be PARAMETER=VALUE, as in --set fp16.rows=4, not 'fp16.rows'"),
        (["fp16.rows=5"], "block thing, fp16.rows=5: rows must be a multiple of lanes, 2, not 5"),
        (["fp16.row=8"], "block thing has no parameter 'fp16.row'; did you mean fp16.rows"),
        (["dept=8"], "block thing has no parameter 'dept'; did you mean depth?"),
        (["rows=8"], "block thing has several parameters 'rows': fp16.rows, lut.rows"),
        (["lut=8"], "lut of block thing is a config: give a parameter in it: lut.rows, lut.lanes"),
        (["depth=deep"], "--set depth=deep: depth must be a whole number, not 'deep'"),
        (["fast=2"], "--set fast=2: fast must be true or false, not '2'"),
        (["fmt=FP8"], "--set fmt=FP8: fmt must be one of FP16, FP32, FP17, FP24, FP29, not 'FP8'"),
        (["colour=green"], "--set colour=green: colour must be one of RED, BLUE, not 'green'"),
        (["scale=much"], "--set scale=much: scale must be a number, not 'much'"),
    ],
)
def test_what_cannot_be_is_one_line(changes, message):
    with pytest.raises(UserError) as error:
        variant(THING, None, changes)
    assert str(error.value).startswith(message)


def test_names_that_cannot_be():
    for name, message in (("small", "has a preset 'small'"), ("8x", "begin with a letter"), ("a b", "letters, digits")):
        with pytest.raises(UserError, match=message):
            variant(THING, None, ["fast=on"], name)
    with pytest.raises(UserError, match="there is no --set"):
        variant(THING, None, [], "quick")
    with pytest.raises(UnknownName, match="no preset 'smal'; did you mean small"):
        variant(THING, "smal", ["fast=on"])


def test_the_end_of_a_path_is_enough():
    block, name = variant("simcore", "small", ["fp16.accumulator=fp32"])
    assert block.config(name) == catalogue.find("simcore").config("small")


@pytest.mark.parametrize("block", catalogue.BLOCKS.values(), ids=lambda block: block.id)
def test_parameters_of_every_block_are_found(block):
    """Every number, switch, format and name of every default config can be written as it is, and changes nothing."""
    config = block.config()
    for parameter in parameters_of(config):
        if isinstance(parameter.value, (bool, int, str, Float, type(None))):
            text = str(getattr(parameter.value, "name", parameter.value))
            again, name = variant(block, None, [f"{parameter.name}={text}"], "again")
            assert again.config(name) == config


@pytest.mark.parametrize(
    "changes, message",
    [
        (["lanes=4", "lanes=5"], "--set gives lanes twice: lanes=4, lanes=5"),
        (["lanes=100000000000"], "lanes must be at most .*, not 100,000,000,000: nothing larger can be built"),
        (["max_operands=-1"], "max_operands must be at least 1, not -1"),
    ],
)
def test_values_that_cannot_be_built(changes, message):
    with pytest.raises(UserError, match=message):
        variant("lut_pe", None, changes)


def test_the_hint_is_what_can_be_given():
    with pytest.raises(UserError, match="as in --set source=FP32, not ''"):
        variant("exp", None, [""])
