# SPDX-License-Identifier: Apache-2.0
"""What each block computes: plain NumPy functions of arrays, equal to the RTL in every bit.

A golden takes and returns *codes* (``uint16`` for binary16, ``uint32`` for binary32, ``uint8`` for sign-magnitude INT8)
wherever the hardware moves codes; ``formats`` turns them into numbers and back. ``reference`` holds the float64 ideals
that the documented error bounds are measured against.
"""
