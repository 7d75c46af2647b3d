"""The prologue: golden against its parts, benches."""

from sim.harness import simulate
import pytest


@pytest.mark.parametrize("preset", ["default", "narrow"])
def test_rtl(preset):
    assert simulate("prologue", preset).vectors > 1000
