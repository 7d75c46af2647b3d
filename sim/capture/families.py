# SPDX-License-Identifier: Apache-2.0
"""The models of diffusers whose attention can be captured: where it is, how tokens lie in it, where the text stands.

A family is found by the name of the model's class, of its own or of one that it derives from. ``Family.layers`` lists
the modules of self-attention over video tokens in the order in which they run; cross-attention, and the attention of
a text encoder inside the model, are none of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from zoetrope.sim.input.captured import CaptureError

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Family:
    """``kinds``: kind of attention to a pattern of the modules' names, the default first. ``grid`` gives (frames,
    height, width) in tokens for the model's config and the shape of the latents that it is called with. ``side``: of
    the text.
    """

    model: str
    kinds: dict[str, str]
    side: str
    grid: Callable[[object, tuple[int, ...]], Grid]

    def layers(self, model, kind) -> dict[str, object]:
        """Names and modules of the attention of one kind, in the order in which they run."""
        pattern = re.compile(self.kinds[kind])
        return {name: module for name, module in model.named_modules() if pattern.fullmatch(name)}


def entry_grid(kind: str, grid: Grid) -> Grid:
    """The grid of the tokens that see each other, of a clip of ``grid`` tokens."""
    frames, height, width = grid
    return {"full": grid, "spatial": (1, height, width), "temporal": (frames, 1, 1)}[kind]


def rows(kind: str, grid: Grid, batch: int) -> int:
    """Rows of the batch that attention of a kind sees: of ``spatial`` each frame is one, of ``temporal`` each
    place."""
    frames, height, width = grid
    return batch * {"full": 1, "spatial": frames, "temporal": height * width}[kind]


def _cogvideox(config, shape):
    _, frames, _, height, width = shape
    deep = config.patch_size_t or 1
    return -(-frames // deep), height // config.patch_size, width // config.patch_size


def _hunyuan(config, shape):
    *_, frames, height, width = shape
    return frames // config.patch_size_t, height // config.patch_size, width // config.patch_size


def _wan(config, shape):
    *_, frames, height, width = shape
    deep, high, wide = config.patch_size
    return frames // deep, height // high, width // wide


def _latte(config, shape):
    *_, frames, height, width = shape
    return frames, height // config.patch_size, width // config.patch_size


FAMILIES = {
    family.model: family
    for family in (
        Family("CogVideoXTransformer3DModel", {"full": r"transformer_blocks\.\d+\.attn1"}, "first", _cogvideox),
        Family(
            "HunyuanVideoTransformer3DModel", {"full": r"(single_)?transformer_blocks\.\d+\.attn"}, "last", _hunyuan
        ),
        Family("WanTransformer3DModel", {"full": r"blocks\.\d+\.attn1"}, "none", _wan),
        Family(
            "LatteTransformer3DModel",
            {
                "spatial": r"transformer_blocks\.\d+\.attn1",
                "temporal": r"temporal_transformer_blocks\.\d+\.attn1",
            },
            "none",
            _latte,
        ),
    )
}


def family_of(model) -> Family:
    """The family of a model. ``CaptureError`` for a compiled one, and for one that is of none."""
    name = type(model).__name__
    if name == "OptimizedModule":
        raise CaptureError("this model is compiled, which hides its attention: capture before torch.compile")
    for kind in type(model).__mro__:
        if kind.__name__ in FAMILIES:
            return FAMILIES[kind.__name__]
    raise CaptureError(f"the attention of {name} cannot be captured; that of {', '.join(FAMILIES)} can")


def models_of(subject) -> list:
    """The transformers of a pipeline, or ``subject`` itself if it is one: Wan 2.2 has two that share the steps."""
    if hasattr(subject, "named_modules"):
        return [subject]
    found = [getattr(subject, name, None) for name in ("transformer", "transformer_2")]
    found = [model for model in found if model is not None]
    if not found:
        known = ", ".join(FAMILIES)
        raise CaptureError(
            f"{type(subject).__name__} has no transformer; pipelines with one of {known} can be captured"
        )
    return found
