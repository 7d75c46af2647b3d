"""Bench of the split PE and its arrays: every sum equal to ``golden.lut_pe``."""

from sim.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
