# SPDX-License-Identifier: Apache-2.0
"""Bench of the split PE and its arrays: every sum equal to ``golden.pe.lut_pe``."""

from zoetrope.sim.benches.pe.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
