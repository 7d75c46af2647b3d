"""Costs as measured and committed: ``rows`` of blocks and machines, and ``table``, what is looked up instead of measured."""
