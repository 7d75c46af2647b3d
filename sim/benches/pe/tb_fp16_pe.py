# SPDX-License-Identifier: Apache-2.0
"""Bench of the FP16 PE and its arrays: every sum equal to ``golden.pe.fp16_pe``, weights in FP16."""

from zoetrope.sim.benches.pe.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
