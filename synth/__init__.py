# SPDX-License-Identifier: Apache-2.0
"""What the hardware costs, in open tools: see ``synth.costs.runs.measure``, and ``zoetrope synth`` for the tables."""

from zoetrope.synth.costs.runs import measure

__all__ = ["measure"]
