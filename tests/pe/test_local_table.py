# SPDX-License-Identifier: Apache-2.0
"""The local table: RTL against the product table, for narrow and wide copies, one read port and eight."""

import pytest
from benches import vectors

from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.local_table import LocalTableConfig


@pytest.mark.parametrize("preset", find("local_table").presets)
def test_rtl(preset):
    assert vectors("local_table", preset) > 300


def test_impossible_configs_are_refused_by_name():
    with pytest.raises(ValueError, match="read_ports must be at least 1, not 0"):
        LocalTableConfig(read_ports=0)
    with pytest.raises(ValueError, match="copy_width must be a power of two from 1 to 128, not 100"):
        LocalTableConfig(reading="byte128", copy_width=100)
