"""Costs as measured and committed. Editing a row acknowledges a change; commands write them."""

from pathlib import Path

FOLDER = Path(__file__).parent
