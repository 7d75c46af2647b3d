# SPDX-License-Identifier: Apache-2.0
"""Bench of the aligned PE and its arrays: every sum equal to ``golden.pe.aligned_pe``, rows too long among them."""

from zoetrope.sim.benches.pe.pe_bench import clip, corners, sums

__all__ = ["clip", "corners", "sums"]
