"""What the hardware costs, in open tools: see ``synth.runs.measure``, and ``python -m synth`` for the tables."""

from synth.runs import measure

__all__ = ["measure"]
