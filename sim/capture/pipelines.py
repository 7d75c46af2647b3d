# SPDX-License-Identifier: Apache-2.0
"""A pipeline of diffusers, from a folder or by its name on the hub, run for the sake of what its attention
computes."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from zoetrope.hw.errors import UserError
from zoetrope.sim.capture.families import family_of, models_of
from zoetrope.sim.capture.hook import needed

#: What pipelines call the number of frames.
_FRAMES = ("num_frames", "video_length")


def check_name(name):
    """``UserError`` unless ``name`` may be a pipeline: a folder that ``save_pretrained`` wrote, or owner/model."""
    for module in ("torch", "diffusers", "transformers", "accelerate"):  # text encoders; loading some models
        needed(module)
    path = Path(name)
    if path.is_file():
        raise UserError(f"{name}: a file; a pipeline is a folder with a model_index.json, or owner/model of the hub")
    if path.is_dir() and not (path / "model_index.json").is_file():
        alone = (path / "config.json").is_file()
        what = "one model, no pipeline; name the folder above it" if alone else "no model_index.json in this folder"
        raise UserError(f"{name}: {what} (a pipeline's save_pretrained writes one)")
    if not path.is_dir() and not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise UserError(f"{name}: no such folder; a folder of a pipeline, or owner/model of the hub, is needed")


def load(name, dtype=None, device=None):
    """(pipeline, its device). ``dtype``: bfloat16 on a GPU and float32 elsewhere, unless given. ``UserError``, one line, for
    what cannot be loaded.
    """
    check_name(name)
    torch, diffusers = needed("torch"), needed("diffusers")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(name, dtype=getattr(torch, dtype))
        family_of(models_of(pipeline)[0])  # before weights are moved
        return pipeline.to(device), device
    except UserError:
        raise
    except Exception as error:  # of four libraries and a network
        raise UserError(f"{name}: cannot be loaded: {_told(error)}") from error


def steps_of(pipeline, asked=None) -> int:
    """The denoising steps that a run has: those asked for, or the pipeline's own number."""
    return asked or inspect.signature(pipeline.__call__).parameters["num_inference_steps"].default or 50


def run(pipeline, device, prompt, steps, *, frames=None, height=None, width=None, guidance=None, seed=0):
    """Run it up to its latents. ``UserError`` for a size that it does not take, and for whatever it says of its
    input."""
    import torch

    known = inspect.signature(pipeline.__call__).parameters
    asked = {"height": height, "width": width, "guidance_scale": guidance, _frames(known): frames}
    asked = {name: value for name, value in asked.items() if value is not None}
    if unknown := [name for name in asked if name not in known]:
        raise UserError(f"{type(pipeline).__name__} has no option {unknown[0]}")
    generator = torch.Generator(device if device == "cuda" else "cpu").manual_seed(seed)
    asked |= {"prompt": prompt, "num_inference_steps": steps, "generator": generator, "output_type": "latent"}
    try:
        pipeline(**asked)
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the pipeline stopped: {_told(error)}") from error


def _frames(known):
    return next((name for name in _FRAMES if name in known), _FRAMES[0])


def _told(error):
    """What a library said, as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 300 else text[:297] + '...'}"
