# SPDX-License-Identifier: Apache-2.0
"""``zoetrope capture``: keep attention heads of a video model, try that on a random one, or check a file of them.

``zoetrope capture MODEL --prompt TEXT [--steps 10,25] [--layers 0,14] [--heads 0,1] [-o FILE]`` runs a pipeline of
diffusers; ``zoetrope capture --random CLASS`` runs a tiny model with random weights, offline; ``zoetrope capture
--check FILE`` needs neither and no PyTorch: it recomputes o of every entry, and ends with status 1 where that is
beyond its bound (``zoetrope.sim.capture.check``).
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from zoetrope.hw.arguments import Parser, answer, folder
from zoetrope.hw.errors import UserError, command_line, finite, whole
from zoetrope.sim.capture.check import compare
from zoetrope.sim.input.captured import Captured, read, write
from zoetrope.sim.run.console import console_of

#: Options that belong to one or two of the three uses, by use.
_RUN = ("steps", "layers", "heads", "samples", "kind", "inference_steps", "seed", "dtype", "out")
_USES = {
    "a model": {*_RUN, "prompt", "frames", "height", "width", "guidance", "device"},
    "--random": {*_RUN},
    "--check": {"all"},
}

OUT = Path("build") / "heads.npz"


def numbers(text):
    """The type of an option that is a list of whole numbers, or ``all``."""
    if text == "all":
        return text
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers with commas between, such as 0,14, or all, not {text!r}"
        )
    return tuple(sorted({int(n) for n in text.split(",")}))


def named(text):
    """The type of an option that is a name or a path: a variable of a shell that was not set is none."""
    if not text:
        raise argparse.ArgumentTypeError("must be a name, not nothing")
    return text


def _options(argv):
    parser = Parser(
        "capture",
        "Keep q, k, v and o of attention heads of a video model while it runs; or check a file of them.",
        "zoetrope capture --random CogVideoXTransformer3DModel -o heads.npz",
        "zoetrope capture --check heads.npz",
        "zoetrope capture THUDM/CogVideoX-2b --prompt 'a cat walks through grass' --steps 10,25 --layers 0,14 -o heads.npz",
        "zoetrope capture ./wan --prompt 'waves' --height 240 --width 416 --frames 17 --inference-steps 20 --heads all",
    )
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        metavar="MODEL",
        type=named,
        help="folder of a diffusers pipeline, or owner/model of the Hugging Face hub",
    )
    add("--random", metavar="CLASS", type=named, help="a tiny random model of this class of diffusers instead, offline")
    add(
        "--check",
        metavar="FILE",
        type=named,
        help="recompute o of each entry of a captured file; needs no PyTorch",
    )
    add(
        "--all",
        action="store_true",
        default=None,
        help="with --check: every query of long entries, not a sample of them",
    )
    add("--prompt", metavar="TEXT", help="what the video is to show")
    add("--steps", metavar="LIST", type=numbers, help="denoising steps, from 0 (default: the middle one)")
    add("--layers", metavar="LIST", type=numbers, help="attention layers, from 0 (default: 0)")
    add("--heads", metavar="LIST", type=numbers, help="heads of each (default: 0)")
    add(
        "--samples",
        metavar="LIST",
        type=numbers,
        help="samples, such as the halves of guidance (default: all)",
    )
    add("--kind", metavar="KIND", type=named, help="spatial or temporal attention of Latte (default: spatial)")
    add(
        "--inference-steps",
        metavar="N",
        type=whole(1),
        help="denoising steps of the run (default: the pipeline's; random: 4)",
    )
    add("--frames", metavar="N", type=whole(1), help="frames of the video")
    add("--height", metavar="N", type=whole(1), help="of the video, in pixels")
    add("--width", metavar="N", type=whole(1), help="of the video, in pixels")
    add("--guidance", metavar="G", type=finite(0), help="scale of classifier-free guidance")
    add(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="of the model (default: bfloat16 on a GPU, else float32)",
    )
    add("--device", metavar="NAME", type=named, help="cpu, cuda or another of PyTorch (default: cuda if there is one)")
    parser.seed("of the noise, and of random weights (default: 0)")
    add("-o", "--out", metavar="FILE", type=named, help=f"the .npz that is written (default: {OUT})")
    parser.json()
    options = parser.parse_args(argv)
    _check_use(options)
    return options


def _check_use(options):
    """``UserError`` unless the options are those of one use."""
    given = {"a model": options.model, "--random": options.random, "--check": options.check}
    uses = [use for use, value in given.items() if value is not None]
    if len(uses) != 1:
        what = "nothing was named" if not uses else f"{' and '.join(uses)} do not go together"
        raise UserError(f"{what}: name a model (a folder or owner/model), or --random CLASS, or --check FILE")
    for name in {*_USES["a model"], "all"} - _USES[uses[0]]:
        if getattr(options, name) is not None:
            others = " or ".join(use for use, names in _USES.items() if name in names)
            raise UserError(f"--{name.replace('_', '-')} does not go with {uses[0]}; it is for {others}")
    if options.model is not None and not options.prompt:
        raise UserError("--prompt is needed: what the video is to show")


@command_line
def main(argv=None):
    options = _options(argv)
    with answer(options) as tell:
        if options.check is not None:
            return _check(options, tell)
        out = _out(options.out or OUT)
        begun = time.monotonic()
        captured = _random(options) if options.random is not None else _model(options)
        write(out, captured)
        tell({"file": str(out), **summary(captured)})
        console = console_of(110)
        console.print(_kept(captured))
        size = out.stat().st_size
        size = f"{size / 1e6:.1f} MB" if size > 1e6 else f"{size / 1e3:.0f} KB"
        console.print(escape(f"{out}: {size}, {time.monotonic() - begun:.0f} s"), highlight=False, soft_wrap=True)
        console.print(escape(f"to check it: zoetrope capture --check {out}"), highlight=False, soft_wrap=True)
    return 0


def _out(name):
    """The path of the file, before a model runs for an hour. ``UserError`` where it cannot be written."""
    path = Path(name)
    if path.suffix != ".npz":
        raise UserError(f"--out must end in .npz, not {path.name}")
    if path.is_dir():
        raise UserError(f"--out is a folder: {path}")
    folder(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"cannot write to {path}: it is read-only")
    return path


def _say(text):
    print(text, file=sys.stderr, flush=True)


def _wanted(options, steps):
    """What ``capturing`` is asked for, of a run of so many steps."""
    asked = {name: getattr(options, name) for name in ("steps", "layers", "heads", "samples")}
    usual = {"steps": (steps // 2,), "layers": (0,), "heads": (0,), "samples": "all"}
    wanted = {name: usual[name] if value is None else value for name, value in asked.items()}
    wanted = {name: None if value == "all" else value for name, value in wanted.items()}
    if wanted["steps"] and (last := max(wanted["steps"])) >= steps:
        raise UserError(f"there is no step {last}: the run has {steps}, from 0; --inference-steps says how many")
    return wanted | {"kind": options.kind, "stop": True}


def _random(options):
    from zoetrope.sim.capture import random_models
    from zoetrope.sim.capture.hook import capturing

    steps, seed = options.inference_steps or 4, options.seed or 0
    wanted = _wanted(options, steps)
    with random_models.quiet():
        model = random_models.build(options.random, seed, options.dtype or "float32")
        with capturing(model, **wanted) as kept:
            random_models.run(model, steps, seed)
    return kept.captured


def _model(options):
    from zoetrope.sim.capture import pipelines
    from zoetrope.sim.capture.hook import capturing

    pipelines.check_name(options.model)
    _say(f"loading {options.model} ...")
    pipeline, device = pipelines.load(options.model, options.dtype, options.device)
    steps = pipelines.steps_of(pipeline, options.inference_steps)
    wanted = _wanted(options, steps)
    last = f", up to step {max(wanted['steps'])}" if wanted["steps"] else ""
    with capturing(pipeline, **wanted) as kept:
        _say(f"running {steps} steps on {device}{last} ...")
        sizes = {name: getattr(options, name) for name in ("frames", "height", "width", "guidance")}
        pipelines.run(pipeline, device, options.prompt, steps, **sizes, seed=options.seed or 0)
    return kept.captured


# --- what is shown -------------------------------------------------------------------------------------------------


def summary(captured: Captured):
    """What is in a file, for a program."""
    names = ("model", "dtype", "kind", "grid", "text", "text_side", "scale", "steps", "heads", "samples")
    shape = {"entries": len(captured.q), "tokens": captured.q.shape[1], "d": captured.q.shape[2]}
    layers = {layer: captured.layers[layer] for layer in captured.kept_layers}
    return shape | {name: getattr(captured, name) for name in names} | {"layers": layers}


def _groups(captured):
    """(step, layer) of a file, each with the numbers of its entries."""
    found = {}
    for number, (step, layer, *_) in enumerate(captured.place.tolist()):
        found.setdefault((step, layer), []).append(number)
    return found


def _title(captured):
    text = f"{captured.text} text tokens {captured.text_side}" if captured.text else "no text"
    grid = " x ".join(map(str, captured.grid))
    kind = "" if captured.kind == "full" else f"{captured.kind} attention, "
    return f"{captured.model}, {captured.dtype}: {kind}{grid} tokens, {text}, d = {captured.q.shape[2]}"


def _table(captured, *heads):
    page = Table(title=escape(_title(captured)))
    for head in ("step", "layer", "module", *heads):
        page.add_column(head, justify="left" if head in ("module", "heads", "samples") else "right", no_wrap=True)
    return page


def _kept(captured):
    page = _table(captured, "heads", "samples", "largest of q, k", "rms of o")
    for (step, layer), entries in _groups(captured).items():
        heads, samples = (_few(captured.place[entries, column]) for column in (2, 3))
        largest = max(
            abs(float(f(x[entries]))) for x in (captured.q, captured.k) for f in (lambda y: y.max(), lambda y: y.min())
        )
        rms = float((captured.o[entries].astype(float) ** 2).mean() ** 0.5)
        page.add_row(
            str(step), str(layer), escape(captured.layers[layer]), heads, samples, f"{largest:.3g}", f"{rms:.3g}"
        )
    return page


def _few(numbers):
    numbers = sorted(set(numbers.tolist()))
    return ", ".join(map(str, numbers)) if len(numbers) <= 6 else f"{numbers[0]} to {numbers[-1]} ({len(numbers)})"


def _check(options, tell):
    captured = read(options.check)
    page = _table(captured, "entries", "largest error", "of rms of o", "share of its bound", "")
    found, begun = [], time.monotonic()
    for (step, layer), entries in _groups(captured).items():
        if time.monotonic() - begun > 5:
            _say(f"step {step}, layer {layer}; {len(found)} of {len(captured.q)} entries done")
        done = [compare(captured, number, bool(options.all)) for number in entries]
        found += [(*captured.place[number].tolist(), *one) for number, one in zip(entries, done)]
        worst, error, rms = max(done, key=lambda c: c.share), max(c.error for c in done), max(c.rms for c in done)
        holds = "" if worst.holds else "beyond"
        share = f"{error / rms:.2%}" if rms else "-"
        row = (str(len(entries)), f"{error:.2e}", share, f"{worst.share:.2f}", holds)
        page.add_row(
            str(step), str(layer), escape(captured.layers[layer]), *row, style=None if worst.holds else "bold red"
        )
    names = ("step", "layer", "head", "sample", "error", "bound", "share", "rms", "queries")
    beyond = [dict(zip(names, row)) for row in found if row[6] > 1]
    tell(
        {
            "file": options.check,
            **summary(captured),
            "beyond": len(beyond),
            "checked": [dict(zip(names, row)) for row in found],
        }
    )
    console = console_of(120)
    console.print(page)
    queries, tokens = min(row[-1] for row in found), captured.q.shape[1]
    some = f", at {queries:,} of {tokens:,} queries (--all takes every one)" if queries < tokens else ""
    if beyond:
        first = ", ".join(f"{name} {beyond[0][name]}" for name in names[:4])
        count = f"{len(beyond)} of {len(found)} entries are beyond the bound of rounding, first {first}"
        told = f"{count}: their o is not the attention of their q, k and v"
    else:
        every = "the one entry" if len(found) == 1 else f"all {len(found)} entries"
        told = f"o is the attention of q, k and v in {every}, within rounding{some}"
    console.print(escape(f"{options.check}: {told}"), highlight=False, soft_wrap=True)
    return 1 if beyond else 0
