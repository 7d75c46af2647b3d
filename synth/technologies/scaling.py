# SPDX-License-Identifier: Apache-2.0
"""Factors between technology nodes, from two published sets that are always shown together: they do not agree.

*DeepScaleTool* (S. Sarangi and B. Baas, ISCAS 2021, arXiv:2102.10195) has one number a node and quantity, from published
foundry data; a factor is the quotient of two of them. *Stillmaker and Baas* (Integration 58, 2017,
doi:10.1016/j.vlsi.2017.02.002) have a factor for each pair of nodes, in two digits, from ITRS data and circuit simulation.
From 45 to 32 nm they say 0.49 and 0.46 for an area, from 45 to 7 nm 0.011 and 0.059. So a figure of another node is a range
at best; gate equivalents and ratios need no factor and are what this project compares by.

These are factors of logic. SRAM is not scaled by them: ``synth.technologies.sram`` has it at 32 nm.
"""

import dataclasses
import math

_NODES = (130, 90, 65, 45, 40, 32, 28, 22, 14, 10, 7)

#: DeepScaleTool's values: area relative to 45 nm, the others to 65 nm.
_DEEPSCALE = {
    "area": (8.3, 3.94, 2.04, 1.0, 0.75, 0.49, 0.35, 0.22, 0.08, 0.03, 0.011),
    "delay": (1.96, 1.31, 1.0, 0.81, 0.76, 0.70, 0.67, 0.62, 0.60, 0.57, 0.53),
    "energy": (2.52, 1.51, 1.0, 0.63, 0.55, 0.44, 0.37, 0.30, 0.19, 0.15, 0.11),
    "power": (1.28, 1.15, 1.0, 0.78, 0.73, 0.63, 0.56, 0.48, 0.32, 0.26, 0.21),
}
QUANTITIES = tuple(_DEEPSCALE)

_PAIR_NODES = (180, 130, 90, 65, 45, 32, 20, 16, 14, 10, 7)
#: Stillmaker and Baas: what an area at the node of the row is multiplied by for the node of the column.
_PAIRS = (
    (1, 0.34, 0.15, 0.08, 0.053, 0.025, 0.011, 0.01, 0.0093, 0.0055, 0.0032),
    (2.9, 1, 0.44, 0.23, 0.16, 0.072, 0.033, 0.03, 0.027, 0.016, 0.0092),
    (6.6, 2.3, 1, 0.53, 0.35, 0.16, 0.075, 0.067, 0.061, 0.036, 0.021),
    (12, 4.3, 1.9, 1, 0.66, 0.31, 0.14, 0.13, 0.12, 0.068, 0.039),
    (19, 6.4, 2.8, 1.5, 1, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059),
    (40, 14, 6.1, 3.3, 2.2, 1, 0.46, 0.41, 0.38, 0.22, 0.13),
    (88, 30, 13, 7.1, 4.7, 2.2, 1, 0.89, 0.82, 0.48, 0.28),
    (99, 34, 15, 7.9, 5.3, 2.4, 1.1, 1, 0.91, 0.54, 0.31),
    (110, 37, 16, 8.7, 5.8, 2.7, 1.2, 1.1, 1, 0.59, 0.34),
    (180, 63, 28, 15, 9.8, 4.5, 2.1, 1.9, 1.7, 1, 0.58),
    (320, 110, 48, 25, 17, 7.8, 3.6, 3.2, 2.9, 1.7, 1),
)


@dataclasses.dataclass(frozen=True)
class Factor:
    """What a figure of one node is multiplied by for another.

    ``source`` is a short name of the set; ``value`` None where the set has no such node or quantity; ``interpolated`` where
    a node lies between two of the set's.
    """

    source: str
    value: float | None
    interpolated: bool = False


#: Short name of each set to its citation.
SOURCES = {
    "DeepScaleTool": "S. Sarangi, B. Baas: DeepScaleTool, ISCAS 2021, arXiv:2102.10195",
    "Stillmaker": "A. Stillmaker, B. Baas: Scaling equations, Integration 58 (2017) 74-81, doi:10.1016/j.vlsi.2017.02.002",
}


def factors(quantity, source, target):
    """The ``Factor`` of both sets, DeepScaleTool's first, for ``quantity`` from node ``source`` to ``target`` (nm).

    ``quantity`` is one of ``QUANTITIES``. Of Stillmaker and Baas only areas are here: the rest are polynomials of two supply
    voltages, which the papers set beside do not state. A node between two of a set is interpolated in log(node), log(value).
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, not {quantity!r}")
    for node in (source, target):
        if not node > 0:
            raise ValueError(f"a node must be a positive number of nm, not {node}")
    values = dict(zip(_NODES, _DEEPSCALE[quantity]))
    begin, end = _between(values, source), _between(values, target)
    ratio = None if None in (begin, end) else end / begin
    return (
        Factor("DeepScaleTool", ratio, not {source, target} <= set(_NODES)),
        Factor(
            "Stillmaker",
            _pair(source, target) if quantity == "area" else None,
            not {source, target} <= set(_PAIR_NODES),
        ),
    )


def _pair(source, target):
    if source == target and _PAIR_NODES[-1] <= source <= _PAIR_NODES[0]:
        return 1.0
    rows = {node: _between(dict(zip(_PAIR_NODES, row)), target) for node, row in zip(_PAIR_NODES, _PAIRS)}
    return None if None in rows.values() else _between(rows, source)


def _between(values, node):
    """The value at ``node``, between those of the two nodes around it; None outside of them all."""
    if node in values:
        return values[node]
    above, below = [n for n in values if n > node], [n for n in values if n < node]
    if not above or not below:
        return None
    high, low = min(above), max(below)
    t = math.log(node / low) / math.log(high / low)
    return values[low] * (values[high] / values[low]) ** t
