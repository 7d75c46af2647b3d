"""Bench of the FP16 PE and its arrays: every sum equal to ``golden.fp16_pe``, weights in FP16."""

from sim.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
