# SPDX-License-Identifier: Apache-2.0
"""Factors between nodes against what their publications print."""

import itertools

import pytest

from zoetrope.synth.technologies.scaling import QUANTITIES, SOURCES, factors


def test_what_orbis_made_of_its_area_and_power():
    """470.9 mm2 and 332.1 W at 28 nm are printed as 14.8 mm2 and 124.5 W at 7 nm, by DeepScaleTool."""
    area, power = factors("area", 28, 7)[0], factors("power", 28, 7)[0]
    assert 470.9 * area.value == pytest.approx(14.8, abs=0.05)
    assert 332.1 * power.value == pytest.approx(124.5, abs=0.05)
    assert not area.interpolated and not power.interpolated


@pytest.mark.parametrize(
    "source, target, deepscale, stillmaker",
    [(45, 32, 0.49, 0.46), (45, 7, 0.011, 0.059), (7, 32, 44.5, 7.8), (32, 32, 1, 1)],
)
def test_areas_of_both_sets(source, target, deepscale, stillmaker):
    first, second = factors("area", source, target)
    assert first.value == pytest.approx(deepscale, rel=1e-2)
    assert second.value == pytest.approx(stillmaker)
    assert (first.source, second.source) == tuple(SOURCES)
    assert not first.interpolated and not second.interpolated


def test_both_sets_shrink_towards_smaller_nodes_and_back():
    nodes = (130, 90, 65, 45, 32, 14, 10, 7)
    for larger, smaller in itertools.pairwise(nodes):
        for there, back in zip(factors("area", larger, smaller), factors("area", smaller, larger)):
            assert there.value < 1 < back.value
            assert there.value * back.value == pytest.approx(1, rel=0.04)  # two digits are printed


def test_a_node_between_two_of_a_set_is_interpolated_and_says_so():
    first, second = factors("area", 28, 7)
    assert not first.interpolated and second.interpolated
    assert 0.13 < second.value < 0.28  # from 32 and from 20 nm
    assert factors("area", 16, 7)[0].interpolated
    for quantity in QUANTITIES:
        inside = factors(quantity, 16, 7)[0].value
        assert factors(quantity, 22, 7)[0].value < inside < factors(quantity, 14, 7)[0].value
    assert factors("area", 28, 28)[1].value == 1


def test_a_node_outside_of_a_set_has_no_factor():
    first, second = factors("area", 180, 32)
    assert first.value is None and second.value == 0.025
    assert [factor.value for factor in factors("area", 250, 5)] == [None, None]
    assert factors("area", 5, 5)[1].value is None


def test_a_set_without_the_quantity_has_no_factor():
    assert factors("power", 45, 32)[1].value is None


def test_unknown_quantities_and_nodes_are_named():
    with pytest.raises(ValueError, match="area, delay, energy, power, not 'volume'"):
        factors("volume", 45, 32)
    with pytest.raises(ValueError, match="-7"):
        factors("area", 45, -7)
