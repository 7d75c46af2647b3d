# SPDX-License-Identifier: Apache-2.0
"""Minimum tree: the least of ``leaves`` keys and its index, in ``log2 leaves`` levels of two-way comparisons.

The comparison tree of SIMPICKER's sparsification engine (IV-C) and the min tree of ORBIS's matcher (3.3) are this one::

    key 0 ---+
             +-- least, 0..1 --+
    key 1 ---+                 +-- least, 0..3 ---+
    key 2 ---+-- least, 2..3 --+                  +-- key, index
    key 3 ---+                                    |
    key 4 ----------------------------------------+

Neighbours meet; a node without one passes. A node's index has a bit for each level below it: which side won.
"""

from dataclasses import dataclass, field

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from zoetrope.hw import checks
from zoetrope.hw.stream import Operator, StreamOperator


@dataclass(frozen=True)
class MinTreeConfig:
    leaves: int = field(default=16, metadata={"doc": "keys; any number"})
    width: int = field(default=32, metadata={"doc": "bits of a key, an unsigned integer"})
    stages: int = field(default=1, metadata={"doc": "register stages, from 0 to one a level"})

    def __post_init__(self):
        checks.at_least(self, 1, "leaves")
        checks.between(self, 1, 64, "width")
        checks.between(self, 0, self.levels, "stages", why=f"the tree has {self.levels} levels")

    @property
    def levels(self):
        return ceil_log2(self.leaves)

    @property
    def index_bits(self):
        return max(1, self.levels)

    @property
    def i_layout(self):
        return data.ArrayLayout(unsigned(self.width), self.leaves)

    @property
    def o_layout(self):
        return data.StructLayout({"key": self.width, "index": self.index_bits})

    def registered(self, level):
        """Whether a register stands behind ``level``, 1 to ``levels``: spread evenly, the last level first."""
        return level * self.stages // self.levels > (level - 1) * self.stages // self.levels


class MinTree(Operator):
    """``key = min(i)``, ``index`` the lowest at which it stands.

    Keys are unsigned integers. FP32 codes without a sign, such as distances, are in the order of their numbers as they
    are, infinity above all of them and NaN above infinity. A leaf that is to lose has the greatest key, all ones; if
    every leaf has it the answer is that key and index 0.

    Rejected: (key, index) as one long key, which needs no rule for ties: comparators half as wide again, and an index to
    every leaf; one-hot "less than all others", one level deep: leaves * (leaves - 1) / 2 comparators.

    Parameters
    ----------
    config : MinTreeConfig

    Members
    -------
    en : In(1), the pipeline moves
    i : In(leaves keys)
    o : Out, struct of ``key`` and ``index``, ``latency`` advances later

    Latency: ``stages`` advances. Initiation interval: 1.
    Golden: ``golden.tree.min_tree.min_tree``.
    """

    def elaborate(self, platform):
        m = Module()
        c = self.config
        nodes = [(self.i[k], Const(0, 0)) for k in range(c.leaves)]
        for level in range(1, c.levels + 1):
            merged = [
                self._node(m, level, k, nodes[2 * k], nodes[2 * k + 1] if 2 * k + 1 < len(nodes) else None)
                for k in range((len(nodes) + 1) // 2)
            ]
            nodes = merged
        key, index = nodes[0]
        m.d.comb += [self.o.key.eq(key), self.o.index.eq(index)]
        return m

    def _node(self, m, level, k, left, right):
        """(key, index) of the lesser of two nodes, the left one of equals, behind a register if the level has one."""
        key = Signal(self.config.width, name=f"l{level}_key_{k}")
        index = Signal(level, name=f"l{level}_index_{k}")
        if right is None:
            m.d.comb += [key.eq(left[0]), index.eq(left[1])]
        else:
            less = Signal(name=f"l{level}_less_{k}")
            m.d.comb += [
                less.eq(right[0] < left[0]),
                key.eq(Mux(less, right[0], left[0])),
                index.eq(Cat(Mux(less, right[1], left[1])[: level - 1], less)),
            ]
        if not self.config.registered(level):
            return key, index
        key_held = Signal(self.config.width, name=f"s{level}_key_{k}", reset_less=True)
        index_held = Signal(level, name=f"s{level}_index_{k}", reset_less=True)
        with m.If(self.en):
            m.d.sync += [key_held.eq(key), index_held.eq(index)]
        return key_held, index_held


class MinTreeStream(StreamOperator):
    """``MinTree`` between streams: ``i`` of the keys, ``o`` of ``{key, index}``."""

    operator = MinTree


#: Config of each preset; the first is the default.
PRESETS = {
    "default": MinTreeConfig(),
    "combinational": MinTreeConfig(leaves=5, stages=0),
    "deep": MinTreeConfig(leaves=13, width=20, stages=4),
    "single": MinTreeConfig(leaves=1, stages=0),
}
