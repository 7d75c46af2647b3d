# SPDX-License-Identifier: Apache-2.0
"""What takes minutes says how far it is."""

from types import SimpleNamespace

import pytest

from zoetrope.hw.errors import ToolError
from zoetrope.synth.costs import lanes


def test_routing_of_lanes_is_told_lane_by_lane(monkeypatch):
    ways = [SimpleNamespace(name=name) for name in ("a", "b", "c")]
    monkeypatch.setattr(lanes, "speed", lambda lane: {"a": 100.4, "b": None, "c": 50.0}[lane.name])
    told = []
    assert lanes.routed(ways, told.append) == [100.4, None, 50.0]
    assert told[0].startswith("3 datapaths: routing")
    assert {line.partition(", ")[2] for line in told[1:]} == {"a: 100 MHz", "b: no path between registers", "c: 50 MHz"}
    assert [line.split()[1].rstrip(",") for line in told[1:]] == ["1/3", "2/3", "3/3"]


def test_a_failure_of_routing_is_an_error(monkeypatch):
    def failing(lane):
        raise ToolError("nextpnr failed")

    monkeypatch.setattr(lanes, "speed", failing)
    with pytest.raises(ToolError, match="nextpnr failed"):
        lanes.routed([SimpleNamespace(name="a")], lambda line: None)
