# SPDX-License-Identifier: Apache-2.0
"""Whether a machine takes a head, and what would be right where it does not."""

from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.sim.input import clips

#: Tokens of a head unless ``frames`` is given: half a minute of one core for all configurations.
TOKENS = 400


class HeadRefused(UserError):
    """A head that the machine does not take: the message says why, and what it would take."""


def geometry_of(tensors: clips.Tensors, preset, config, frames=None) -> Geometry:
    """Of the first ``frames`` and all text. ``HeadRefused`` names every size above the machine's, and what fits."""
    tokens, d = tensors.q.shape[1:]
    most, height, width = tensors.grid
    text = tensors.text_tokens
    fit = min(most, config.max_frames, (config.max_tokens - text) // tokens)
    count = min(frames, most) if frames else max(1, min(fit, TOKENS // tokens))
    limits = (
        ("channels", d, config.max_channels),
        ("text tokens", text, config.max_text),
        ("rows of tokens in a frame", height, config.max_height),
        ("tokens in a row of a frame", width, config.max_width),
        ("frames", count, config.max_frames),
        ("tokens", count * tokens + text, config.max_tokens),
    )
    wrong = [f"{value:,} {name} (at most {limit:,})" for name, value, limit in limits if value > limit]
    if not wrong:
        return Geometry(count, height, width, text, tensors.text_first)
    advice = ""
    if d > config.max_channels:
        advice += _wider(d)
    if text > config.max_text:
        advice += _more_text(text)
    if height > config.max_height or width > config.max_width:
        advice += _smaller(tensors, min(height, config.max_height), min(width, config.max_width))
    raise HeadRefused(f"{name_of(tensors)}: simcore {preset} does not take {', '.join(wrong)}{advice}")


def name_of(tensors: clips.Tensors) -> str:
    """The name of the clip or file, without what else its source says."""
    return tensors.source.partition(": ")[0]


def _wider(d: int) -> str:
    """Which presets take ``d`` channels, or how many each takes where none does."""
    if fitting := _presets("max_channels", d):
        return f"; d = {d} fits --preset {' or '.join(fitting)}"
    block = catalogue.find("simcore")
    sizes = ", ".join(f"{name} {block.config(name).max_channels}" for name in block.small_presets)
    return f"; d at most: {sizes}. The studies and the goldens take every d"


def _more_text(text: int) -> str:
    fitting = _presets("max_text", text)
    return f"; {text:,} of text fit --preset {' or '.join(fitting)}" if fitting else ""


def _presets(limit: str, least: int) -> list[str]:
    """The presets that are simulated and take ``least``."""
    block = catalogue.find("simcore")
    return [name for name in block.small_presets if getattr(block.config(name), limit) >= least]


def _smaller(tensors: clips.Tensors, rows: int, columns: int) -> str:
    """How to come to frames of ``rows`` x ``columns`` tokens of the same clip or file."""
    if tensors.guessed:
        return "; the height and width of its frames were guessed: GRID=HxW, or --grid HxW, gives them"
    return f"; CROP={rows}x{columns}, or --crop {rows}x{columns}, keeps the middle of its frames"
