# SPDX-License-Identifier: Apache-2.0
"""Keeps q, k, v and o of chosen attention heads while a model of diffusers runs::

    from zoetrope.sim.capture.hook import capturing
    from zoetrope.sim.input.captured import write

    with capturing(pipeline, steps=[10, 25], layers=[0, 14], heads=[0, 1]) as kept:
        pipeline(prompt, num_inference_steps=50)
    write("heads.npz", kept.captured)

How it works: hooks on the model count the steps; hooks on its attention modules say which layer is running; and while
the block runs, ``torch.nn.functional.scaled_dot_product_attention`` is a function that calls the real one and looks
at what went in and what came out. That is after normalisation and rotary position, whatever module did these. Nothing
that the model computes changes.

**Steps and samples.** A step is all calls of the model in a row with one timestep. Pipelines that put both halves of
classifier-free guidance in one batch (CogVideoX, Latte: the unguided half first) and pipelines that call the model
twice (Wan, HunyuanVideo: the guided one first) both give samples 0 and 1. Of Latte's spatial attention a sample is
one frame, ``half * frames + frame``; of its temporal attention one place, ``half * height * width + place``. A
scheduler that evaluates one timestep twice in a row gives more samples in place of steps.

**Text.** Where text stands in the sequence it is kept, counted and its side noted. Keys that a mask switches off
(HunyuanVideo pads its text) are dropped from q, k, v and o alike.

Only PyTorch is needed here, and only when ``capturing`` is called. Rejected: replacing the attention processors, of
which each family has several, and each would have to be written again.
"""

from __future__ import annotations

import functools
import inspect
import math

import numpy as np

from zoetrope.hw.errors import UserError
from zoetrope.sim.capture.families import entry_grid, family_of, models_of, rows
from zoetrope.sim.input.captured import DTYPES, PLACE, Captured, CaptureError, ranges

INSTALL = "pip install 'zoetrope-rtl[capture]'"

#: A mask that is added to the scores switches a key off from here on: exp of it is 0 beside any score.
_OFF = -1000.0

#: The largest number that FP16 has.
_LARGEST = 65504.0


def needed(module="torch"):
    """A module that only capturing needs. ``UserError`` with what to install, if it is not there."""
    try:
        return __import__(module)
    except ImportError as error:
        what = error.name or module
        told = f"{what} is not installed" if isinstance(error, ModuleNotFoundError) else f"{module} fails: {error}"
        raise UserError(f"capturing needs PyTorch and diffusers, and {told}: {INSTALL}") from error


def capturing(subject, *, steps=(0,), layers=(0,), heads=(0,), samples=None, kind=None, stop=False) -> Capture:
    """A ``with`` block that keeps attention of ``subject``, a pipeline of diffusers or its transformer.

    ``steps``, ``layers``, ``heads``, ``samples``: numbers from 0, or None for all of them. ``kind``: of attention,
    for models that have several: "spatial" (the default) or "temporal" of Latte. ``stop``: end the block when the
    last of the steps is over, as the rest of the run adds nothing; what stands behind the call inside the block is
    then not run.

    ``CaptureError``, at once, for a model that is not known or compiled, and for layers, heads or a kind that it does
    not have; while it runs, for attention of another form (grouped queries, a bias, a causal mask), for one that
    bypasses PyTorch's function, for values beyond FP16, and for samples that do not exist; at the end, for steps that
    were not reached.
    """
    return Capture(subject, steps, layers, heads, samples, kind, stop)


class _Enough(Exception):
    """Ends the block: everything that was asked for is kept."""


class Capture:
    """What ``capturing`` gives: ``captured`` has what is kept so far."""

    def __init__(self, subject, steps, layers, heads, samples, kind, stop):
        needed()
        self.models = models_of(subject)
        self.family = family_of(self.models[0])
        self.kind = _kind(self.family, kind)
        found = [self.family.layers(model, self.kind) for model in self.models]
        self.layers = tuple(found[0])
        if not self.layers or any(tuple(other) != self.layers for other in found):
            raise CaptureError(f"this {self.family.model} does not have the attention modules that are known of it")
        self.steps = chosen("steps", steps)
        self.samples = chosen("samples", samples)
        self._layers = chosen("layers", layers, len(self.layers))
        self._heads = chosen("heads", heads, next(iter(found[0].values())).heads)
        self._modules = [(n, m) for modules in found for n, m in enumerate(modules.values()) if n in self._layers]
        self._stop = stop
        self._step, self._time, self._base, self._rows = -1, None, 0, 0
        self._active, self._calls, self._grid = None, 0, None
        self._kept, self._text, self._facts = {}, None, None
        self._undo = []

    # --- the block -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Capture:
        import torch.nn.functional as functional

        for model in self.models:
            _check_compiled(model)
            called = functools.partial(self._model_called, inspect.signature(type(model).forward))
            self._undo.append(model.register_forward_pre_hook(called, with_kwargs=True).remove)
        for layer, module in self._modules:
            self._undo.append(module.register_forward_pre_hook(functools.partial(self._begins, layer)).remove)
            self._undo.append(module.register_forward_hook(self._ended).remove)
        original = functional.scaled_dot_product_attention

        @functools.wraps(original)
        def looking(*args, **kwargs):
            output = original(*args, **kwargs)
            if self._active is not None:
                self._look(output, *args, **kwargs)
            return output

        functional.scaled_dot_product_attention = looking
        self._undo.append(lambda: setattr(functional, "scaled_dot_product_attention", original))
        return self

    def __exit__(self, kind, error, trace):
        while self._undo:
            self._undo.pop()()
        if kind is None:
            self._check_step()
            self._check_steps()
        return kind is _Enough

    def _model_called(self, signature, model, args, kwargs):
        given = signature.bind_partial(model, *args, **kwargs).arguments
        shape, time = tuple(given["hidden_states"].shape), given.get("timestep")
        time = float(time.max()) if hasattr(time, "max") else time
        if time != self._time or time is None:
            self._check_step()
            self._step, self._time, self._base = self._step + 1, time, 0
            if self._stop and self.steps is not None and self._step > max(self.steps):
                raise _Enough
        else:
            self._base += self._rows
        self._active, self._grid = None, self.family.grid(model.config, shape)
        self._rows = rows(self.kind, self._grid, shape[0])

    def _begins(self, layer, module, args):
        if self._step >= 0 and (self.steps is None or self._step in self.steps):
            self._active, self._calls = layer, 0

    def _ended(self, module, args, output):
        layer, self._active = self._active, None
        if layer is not None and not self._calls:
            backend = getattr(getattr(module, "processor", None), "_attention_backend", None)
            backend = f"backend {getattr(backend, 'value', backend)}" if backend else type(module.processor).__name__
            raise CaptureError(
                f"{self.layers[layer]} ran without PyTorch's scaled_dot_product_attention ({backend} bypasses it): call "
                'set_attention_backend("native") of the transformer before, and unset DIFFUSERS_ATTN_BACKEND'
            )

    # --- what was seen ---------------------------------------------------------------------------------------------

    def _look(self, o, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        """Keep what was asked for of one call of scaled_dot_product_attention."""
        where = f"{self.layers[self._active]} in step {self._step}"
        self._calls += 1
        if self._calls > 1:
            raise CaptureError(f"{where} calls scaled_dot_product_attention more than once, which is not known of it")
        video, text = self._form(where, query, key, value, dropout_p, is_causal)
        keep = _switched_on(where, attn_mask, query, video, self.family.side)
        facts = (str(o.dtype).removeprefix("torch."), float(scale or 1 / math.sqrt(query.shape[-1])), self._grid)
        if self._facts is None and facts[0] not in DTYPES:
            raise CaptureError(f"{where} computes in {facts[0]}; one of {', '.join(DTYPES)} is needed")
        if facts != (self._facts or facts):
            raise CaptureError(
                f"{where} has dtype, scale and grid {_facts(facts)}, and what was kept before {_facts(self._facts)}: "
                "capture them in two runs"
            )
        self._facts = facts
        for row in range(len(query)):
            sample = self._base + row
            if self.samples is not None and sample not in self.samples:
                continue
            text = (keep[row].sum().item() if keep is not None else query.shape[2]) - video
            if text != (self._text if self._text is not None else text):
                raise CaptureError(
                    f"sample {sample} has {text} text tokens, and what was kept before {self._text}, as prompts differ in "
                    f"length: capture each sample in a run of its own, this one with samples {sample}"
                )
            self._text = text
            for head in self._heads:
                place = (self._step, self._active, head, sample)
                kept = []
                for name, x in zip("qkvo", (query, key, value, o)):
                    x = x[row, head].detach().to(o.dtype)  # under autocast the kernel rounds them to this
                    kept.append(_half(f"{name} of {where}", x if keep is None else x[keep[row]]))
                self._kept[place] = kept

    def _form(self, where, query, key, value, dropout_p, is_causal):
        """(video tokens, text tokens) of a call. ``CaptureError`` for one that is no plain self-attention of this
        model."""
        shapes = [tuple(x.shape) for x in (query, key, value)]
        if query.ndim == key.ndim == 4 and query.shape[1] != key.shape[1]:
            raise CaptureError(
                f"{where} is grouped-query attention, {query.shape[1]} heads of q on {key.shape[1]} of k: not supported"
            )
        if query.ndim != 4 or len(set(shapes)) != 1:
            raise CaptureError(
                f"{where} has q, k, v of shapes {', '.join(map(str, shapes))}; self-attention with one shape (batch, heads, "
                "tokens, d) is needed"
            )
        if is_causal or dropout_p:
            what = "a causal mask" if is_causal else "dropout (call eval() of the model)"
            raise CaptureError(f"{where} has {what}, with which o cannot be recomputed")
        video = math.prod(entry_grid(self.kind, self._grid))
        batch, _, tokens, _ = query.shape
        if batch != self._rows or tokens < video or (self.family.side == "none" and tokens != video):
            raise CaptureError(
                f"{where} has {tokens} tokens in {batch} rows; a grid of {_by(self._grid)} tokens has {video} in "
                f"{self._rows}. Is the model run in parallel parts, or changed?"
            )
        return video, tokens - video

    def _check_step(self):
        """``CaptureError`` if something was asked for that the step that is over did not have."""
        step = self._step
        if step < 0 or (self.steps is not None and step not in self.steps):
            return
        for layer in self._layers:
            there = [place[3] for place in self._kept if place[:2] == (step, layer)]
            if not there and not any(place[0] == step for place in self._kept) and self.samples is not None:
                self._no_sample(min(self.samples))
            if not there:
                raise CaptureError(
                    f"{self.layers[layer]} did not run in step {step}: is a cache switched on that skips attention?"
                )
            if missing := sorted(set(self.samples or there) - set(there)):
                self._no_sample(missing[0])

    def _no_sample(self, sample):
        there = self._base + self._rows
        raise CaptureError(f"there is no sample {sample} in step {self._step}; it has sample {ranges(range(there))}")

    def _check_steps(self):
        ran = self._step + 1
        if not ran:
            raise CaptureError(f"the {self.family.model} was not called in the block, so nothing was captured")
        if missing := [step for step in self.steps or () if step >= ran]:
            raise CaptureError(f"there is no step {missing[0]}: the model ran {ran} step{'s' * (ran > 1)}, from 0")

    @property
    def captured(self) -> Captured:
        """What is kept so far, in order of step, layer, head and sample. ``CaptureError`` if that is nothing."""
        if not self._kept:
            raise CaptureError("nothing was captured: the model did not run, or not as far as the first of the steps")
        places = sorted(self._kept)
        dtype, scale, grid = self._facts
        return Captured(
            *(np.stack([self._kept[place][n] for place in places]) for n in range(4)),
            place=np.array(places, dtype=np.int64).reshape(-1, len(PLACE)),
            layers=self.layers,
            grid=entry_grid(self.kind, grid),
            text=self._text,
            text_side=self.family.side if self._text else "none",
            model=self.family.model,
            dtype=dtype,
            scale=scale,
            kind=self.kind,
        )


# --- checks --------------------------------------------------------------------------------------------------------


def chosen(what, numbers, count=None):
    """The numbers that a user chose, sorted; None for all, of ``count`` if that is known. ``CaptureError`` for
    others."""
    if numbers is None:
        return None if count is None else tuple(range(count))
    numbers = [numbers] if isinstance(numbers, int) else list(numbers)
    if not numbers or any(isinstance(n, bool) or not hasattr(n, "__index__") or n < 0 for n in numbers):
        raise CaptureError(f"{what} must be whole numbers from 0, or None for all, not {numbers}")
    numbers = sorted({int(n) for n in numbers})
    if count is not None and numbers[-1] >= count:
        raise CaptureError(f"there is no {what[:-1]} {numbers[-1]}; this model has {what} 0 to {count - 1}")
    return tuple(numbers)


def _kind(family, kind):
    if kind is not None and kind not in family.kinds:
        raise CaptureError(f"{family.model} has no {kind} attention; its kind is {' or '.join(family.kinds)}")
    return kind or next(iter(family.kinds))


def _check_compiled(model):
    for name, module in model.named_modules():
        if getattr(module, "_compiled_call_impl", None) is not None or type(module).__name__ == "OptimizedModule":
            where = f"{name} of this model" if name else "this model"
            raise CaptureError(f"{where} is compiled, which hides its attention: capture before it is")


def _switched_on(where, mask, query, video, side):
    """Of each row of the batch, which tokens a mask leaves on; None without a mask."""
    if mask is None:
        return None
    import torch

    batch, _, tokens, _ = query.shape
    mask = mask.reshape((1,) * (4 - mask.ndim) + tuple(mask.shape))
    first = mask[:, :1, :1]
    if not torch.equal(first.expand_as(mask), mask):
        raise CaptureError(f"{where} has a mask that differs from query to query, or from head to head: not supported")
    keep = first[:, 0, 0].expand(batch, tokens)
    if keep.dtype != torch.bool:
        if not ((keep == 0) | (keep <= _OFF)).all():
            raise CaptureError(f"{where} adds a bias to its scores: not supported")
        keep = keep == 0
    of_video = keep[:, tokens - video :] if side == "first" else keep[:, :video]
    if not of_video.all():
        raise CaptureError(f"{where} has a mask that switches video tokens off: not supported")
    return keep


def _half(where, x):
    """An array of FP16. ``CaptureError`` for what FP16 does not hold."""
    x = x.double().cpu().numpy()
    if bad := np.count_nonzero(~np.isfinite(x)):
        raise CaptureError(f"{where} has {bad} of {x.size} values that are NaN or infinite")
    with np.errstate(over="ignore", under="ignore"):
        half = x.astype(np.float16)
    if over := np.count_nonzero(np.isinf(half)):
        raise CaptureError(
            f"{where} has {over} of {x.size} values beyond FP16's {_LARGEST:g} (largest {np.abs(x).max():g}): "
            "leave this layer out"
        )
    return half


def _by(grid):
    return " x ".join(map(str, grid))


def _facts(facts):
    return f"{facts[0]}, {facts[1]:g}, {_by(facts[2])}"
