# SPDX-License-Identifier: Apache-2.0
"""Bench of the local table: slices copied into one bank while the other is looked up, every look-up compared."""

import numpy as np

from zoetrope.golden.pe.lut_multiplier import product_table
from zoetrope.sim.inside.bench import bench_test, to_integers

SLICES = 12


@bench_test(stalls=("none",))
async def ping_pong(bench):
    """Slice after slice, each copied under the look-ups of the one before; a port that is not enabled keeps its entry."""
    c, rng = bench.config, bench.rng
    table = product_table(c.reading)
    fractions, entries = rng.integers(0, 1024, SLICES), table.shape[1]
    held = [None] * c.read_ports  # what each port shows now, None before its first look-up
    got, expected = [], []
    for turn in range(SLICES + 1):
        rows = table[fractions[turn]].reshape(c.beats, c.copy_width) if turn < SLICES else np.zeros((0, 1), table.dtype)
        rows = to_integers(rows, c.copy_width * table.itemsize * 8, "copy_data")
        for step in range(max(c.beats, 40)):
            bench.set("copy_en", step < len(rows))
            if step < len(rows):
                bench.set("copy_bank", turn & 1)
                bench.set("copy_beat", step)
                bench.set("copy_data", rows[step])
            looked_up = list(held)
            for port in range(c.read_ports):
                index, enabled = int(rng.integers(entries)), turn > 0 and rng.random() < 0.8
                bench.set(f"en__{port}", enabled)
                bench.set(f"bank__{port}", (turn - 1) & 1)
                bench.set(f"index__{port}", index)
                if enabled:
                    looked_up[port] = table[fractions[turn - 1], index]
            await bench.cycles(1)
            shown = [(bench.get(f"entry__{port}"), entry) for port, entry in enumerate(held) if entry is not None]
            got += [value for value, _ in shown]
            expected += [entry for _, entry in shown]
            held = looked_up
    bench.compare(np.array(got, table.dtype), np.array(expected, table.dtype), unit="entries")
    # An entry was there one cycle after its look-up and not before: each cycle's was compared, and they differ.
    bench.equal("latency", 1, bench.component.latency)
    bench.row.latency, bench.row.interval = 1, 1
