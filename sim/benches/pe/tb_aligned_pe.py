"""Bench of the aligned PE and its arrays: every sum equal to ``golden.aligned_pe``, rows too long among them."""

from sim.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
