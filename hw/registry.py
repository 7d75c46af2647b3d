"""Every block of Zoetrope: its name, its component, its presets. `make sim`, `make synth` and `make verilog` read this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw.errors import UnknownName


@dataclass(frozen=True)
class Block:
    """One entry of the registry.

    Parameters
    ----------
    name : the name that the golden, the component's file, the bench and the tests share
    component : ``wiring.Component`` subclass, built as ``component(config=...)``
    presets : config of each preset; the first is the default
    paper : where it is described
    """

    name: str
    component: type
    presets: Mapping[str, Any]
    paper: str

    def config(self, preset=None):
        """The config of ``preset``, or of the default one. ``UnknownName`` lists the presets."""
        if preset is None:
            preset = next(iter(self.presets))
        if preset not in self.presets:
            raise UnknownName(f"block {self.name} has no preset {preset!r}; it has: {', '.join(self.presets)}")
        return self.presets[preset]

    def build(self, preset=None):
        """A new component of ``preset``."""
        return self.component(config=self.config(preset))


BLOCKS = {}


def find(name):
    """The block called ``name``. ``UnknownName`` lists the blocks."""
    if name not in BLOCKS:
        raise UnknownName(f"there is no block {name!r}; the blocks are: {', '.join(BLOCKS)}")
    return BLOCKS[name]
