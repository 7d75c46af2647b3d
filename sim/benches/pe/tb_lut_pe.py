# SPDX-License-Identifier: Apache-2.0
"""Bench of the LUT PE and its arrays: every sum equal to ``golden.pe.lut_pe``, every stall where the schedule says."""

from zoetrope.sim.benches.pe.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
