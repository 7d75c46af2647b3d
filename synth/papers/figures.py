# SPDX-License-Identifier: Apache-2.0
"""The papers' figures beside our blocks: which one a block stands beside is in its entry of the catalogue.

A new paper is a module of this folder with ``FIGURES``, and a line in ``PAPERS``.
"""

from zoetrope.hw import catalogue
from zoetrope.synth.papers import orbis, simpicker
from zoetrope.synth.papers.printed import Row

PAPERS = {"simpicker": simpicker, "orbis": orbis}

#: ``<paper>.<name>`` to a ``Row``, ``Total`` or ``Share``, as ``beside`` of a block names it.
FIGURES = {f"{paper}.{name}": figure for paper, module in PAPERS.items() for name, figure in module.FIGURES.items()}


def figure(block):
    """The figure that the block called ``block`` is set beside, or None."""
    found = catalogue.BLOCKS.get(block)
    return FIGURES[found.beside] if found and found.beside else None


def row(block):
    """The row of a table of areas that the block called ``block`` is set beside, or None."""
    found = figure(block)
    return found if isinstance(found, Row) else None


def blocks(name):
    """Names of the blocks beside the figure ``name``: those that do together what it does, then the alternatives."""
    found = [key for key, block in catalogue.BLOCKS.items() if block.beside == name]
    return sorted(found, key=lambda key: not catalogue.BLOCKS[key].counted)


def counted(name):
    """Names of the blocks that together do what the figure ``name`` is of."""
    return [key for key in blocks(name) if catalogue.BLOCKS[key].counted]


def beside(block, ge, lanes=None):
    """The paper's figure for ``block`` and ours in the same unit, as a dict, or None if no table of areas has one.

    Keys: ``component``, ``unit``, ``paper_ge``, ``ge`` (of one unit of ours) and ``ratio`` = ``ge / paper_ge``.
    """
    found = row(block)
    if found is None:
        return None
    ours = ge / (lanes or 1) if found.unit == "lane" else ge
    return {
        "component": found.component,
        "unit": found.unit,
        "paper_ge": round(found.ge, 1),
        "ge": round(ours, 1),
        "ratio": round(ours / found.ge, 3),
    }
