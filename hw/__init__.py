# SPDX-License-Identifier: Apache-2.0
"""How each block is built: Amaranth components, one block a file, a frozen config beside each component."""
