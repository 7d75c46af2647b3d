# SPDX-License-Identifier: Apache-2.0
"""What passes between the harness and the process inside the simulator, and back."""

from dataclasses import dataclass

#: Environment variable that names the pickled ``Context`` of a run.
CONTEXT = "ZOETROPE_BENCH"

#: Of the clock, in ns; only the waves show it.
PERIOD = 10


@dataclass(frozen=True)
class Context:
    """What the harness tells the process inside the simulator. Pickled: the component must be importable by name."""

    component: type
    config: object
    seed: int
    clocked: bool
    rows: str  # JSON lines, one a test, are appended here
    tensors: str | None  # .npz


@dataclass
class Row:
    """The result of one test under one stall pattern. Latency, interval and cycles are in clock cycles.

    ``begin`` is the cycle of the simulation in which the test began.
    """

    test: str
    stall: str
    seed: int
    vectors: int = 0
    mismatches: int = 0
    latency: int | None = None
    interval: float | None = None
    utilisation: float | None = None
    begin: int = 0
    cycles: int = 0
    seconds: float = 0.0
    error: str | None = None
