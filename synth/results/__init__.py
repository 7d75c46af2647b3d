# SPDX-License-Identifier: Apache-2.0
"""Costs as measured and committed: ``rows`` of blocks and machines, and ``table``, what is looked up instead of measured."""
