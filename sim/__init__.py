# SPDX-License-Identifier: Apache-2.0
"""Benches of the blocks (cocotb), the harness that runs them, and a fast driver of the same Verilog from NumPy."""
