# SPDX-License-Identifier: Apache-2.0
"""Tiny models of each known class with random weights, run as their pipelines run them: to try capturing offline.

What they compute means nothing. Their attention is sharp rather than flat, so that a wrong query, key or order of
tokens shows in the output: the random queries are scaled up. ``build`` makes one, ``run`` denoises noise with it.

=============================== ============ =========
==================================================================== class                           grid         text
a step is =============================== ============ =========
==================================================================== CogVideoXTransformer3DModel     3 x 4 x 5    7,
first  one call with both halves of the guidance HunyuanVideoTransformer3DModel  3 x 4 x 5    7, last   one call; 4
further text tokens are padding, switched off by a mask WanTransformer3DModel           3 x 4 x 5    none      two
calls, guided and not LatteTransformer3DModel         3 x 4 x 5    none      one call with both halves of the guidance
=============================== ============ =========
====================================================================
"""

from __future__ import annotations

import contextlib

from zoetrope.hw.errors import UserError
from zoetrope.sim.capture.families import FAMILIES
from zoetrope.sim.capture.hook import needed

HEADS, D, LAYERS = 2, 16, 2
FRAMES, HEIGHT, WIDTH, PATCH = 3, 4, 5, 2
CHANNELS, TEXT, PADDING, CONTEXT = 4, 7, 4, 12

#: What the weights of q are multiplied by, or those of its normalisation where there is one.
SHARP = 4.0

_CONFIGS = {
    "CogVideoXTransformer3DModel": {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "time_embed_dim": 8,
        "text_embed_dim": CONTEXT,
        "num_layers": LAYERS,
        "sample_width": WIDTH * PATCH,
        "sample_height": HEIGHT * PATCH,
        "sample_frames": 9,
        "patch_size": PATCH,
        "max_text_seq_length": TEXT,
        "use_rotary_positional_embeddings": True,
    },
    "HunyuanVideoTransformer3DModel": {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "num_layers": LAYERS - 1,
        "num_single_layers": 1,
        "num_refiner_layers": 1,
        "mlp_ratio": 2.0,
        "patch_size": PATCH,
        "text_embed_dim": CONTEXT,
        "pooled_projection_dim": 8,
        "rope_axes_dim": (4, 6, 6),
    },
    "WanTransformer3DModel": {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "text_dim": CONTEXT,
        "freq_dim": 16,
        "ffn_dim": 32,
        "num_layers": LAYERS,
        "rope_max_seq_len": 32,
    },
    "LatteTransformer3DModel": {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "num_layers": LAYERS,
        "cross_attention_dim": HEADS * D,
        "sample_size": HEIGHT * PATCH,
        "patch_size": PATCH,
        "activation_fn": "gelu-approximate",
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "caption_channels": CONTEXT,
        "video_length": FRAMES,
    },
}


def build(name, seed=0, dtype="float32"):
    """A model of the class ``name`` with random weights. ``UserError`` for a class that is not known."""
    if name not in _CONFIGS:
        raise UserError(f"--random must be one of {', '.join(FAMILIES)}, not {name}")
    torch, diffusers = needed("torch"), needed("diffusers")
    torch.manual_seed(seed)
    model = getattr(diffusers, name)(num_attention_heads=HEADS, attention_head_dim=D, **_CONFIGS[name])
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "to_q"):
                scaled = getattr(module, "norm_q", None)
                scaled = scaled if getattr(scaled, "weight", None) is not None else module.to_q
                scaled.weight *= SHARP
    return model.eval().to(getattr(torch, dtype))


def run(model, steps=4, seed=0):
    """Denoise noise with it, in so many steps, each at its own timestep; nothing is returned."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).to(model.dtype)

    name = type(model).__name__
    size = (HEIGHT * PATCH, WIDTH * PATCH)
    x = noise(1, FRAMES, CHANNELS, *size) if name.startswith("CogVideoX") else noise(1, CHANNELS, FRAMES, *size)
    text = noise(2, TEXT, CONTEXT)
    calls = {
        "CogVideoXTransformer3DModel": _cogvideox,
        "HunyuanVideoTransformer3DModel": _hunyuan,
        "WanTransformer3DModel": _wan,
        "LatteTransformer3DModel": _latte,
    }
    with torch.no_grad():
        for n in range(steps):
            x = x - calls[name](model, x, 1000 - 1000 * n // steps, text, noise) / steps


def _cogvideox(model, x, time, text, noise):
    import torch
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    turn = get_3d_rotary_pos_embed(D, ((0, 0), (HEIGHT, WIDTH)), (HEIGHT, WIDTH), FRAMES)
    times = torch.tensor([time, time])
    free, guided = model(torch.cat([x, x]), text, times, image_rotary_emb=turn, return_dict=False)[0].chunk(2)
    return free + 6 * (guided - free)


def _hunyuan(model, x, time, text, noise):
    import torch

    padded = torch.cat([text[:1], noise(1, PADDING, CONTEXT)], 1)
    mask = torch.arange(TEXT + PADDING)[None] < TEXT
    pooled, guidance = torch.ones(1, 8, dtype=x.dtype), torch.tensor([6000.0], dtype=x.dtype)
    return model(x, torch.tensor([time]), padded, mask, pooled, guidance, return_dict=False)[0]


def _wan(model, x, time, text, noise):
    import torch

    guided, free = (
        model(x, torch.tensor([time]), encoder_hidden_states=half[None], return_dict=False)[0] for half in text
    )
    return free + 5 * (guided - free)


def _latte(model, x, time, text, noise):
    import torch

    both = model(torch.cat([x, x]), torch.tensor([time, time]), text, return_dict=False)[0]
    free, guided = both.chunk(2)
    return free + 7.5 * (guided - free)


@contextlib.contextmanager
def quiet():
    """What diffusers logs on the way is not for the user of a command."""
    needed("torch")
    logging = needed("diffusers").utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
