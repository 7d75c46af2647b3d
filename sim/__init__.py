"""Benches of the blocks (cocotb), the harness that runs them, and a fast driver of the same Verilog from NumPy."""
