# SPDX-License-Identifier: Apache-2.0
"""A video made by the trained model with each machine's attention in the loop, and how much of it is still there.

``zoetrope generate`` (`make generate`) denoises one video several times from the same noise, once with dense attention and
once by each method, and writes frames, moving pictures, a page with all of them side by side, and ``results.json``.
``--rtl`` takes heads of that video through SIMCORE's RTL.
"""

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
from rich.table import Table

from zoetrope.golden import video_dit
from zoetrope.hw.arguments import Parser, answer, folder, plain
from zoetrope.hw.catalogue import unknown
from zoetrope.hw.errors import UserError, command_line, finite, whole
from zoetrope.sim.run.console import console_of
from zoetrope.sim.video import methods, page, rtl
from zoetrope.sim.video.loop import Made, Request, fidelity, make, plan_of

#: Frames, rows and columns of tokens of the video that the model was trained on.
GRID = (8, 10, 12)

STEPS, SHIFT, GUIDANCE = 40, 1.0, 1.0


@command_line
def main(arguments=None):
    options = _parser().parse_args(arguments)
    with answer(options) as tell:
        tell(generate(options))


def _parser():
    parser = Parser(
        "generate",
        "Denoise a video with the trained model, attention by each method, and show them side by side.",
        "zoetrope generate",
        "zoetrope generate --methods simcore --tau 1.5 --label bikes --seed 3",
        "zoetrope generate --steps 30 --rtl 10,2,0 --rtl 29,5,3",
    )
    names = [name for name in methods.METHODS if name != "dense"]

    def option(name, meaning, **more):
        parser.add_argument(f"--{name}", help=f"{meaning} (default: %(default)s)", **more)

    option("methods", f"beside dense: {', '.join(names)}", nargs="+", metavar="NAME", default=names)
    option("label", "class of the video, or none", metavar="NAME", default="carphone")
    parser.seed("of the noise (default: %(default)s)", 0)
    option("steps", "of denoising", metavar="N", type=whole(1), default=STEPS)
    option("frames", "of the video", metavar="N", type=whole(1), default=GRID[0])
    option("shift", "above 1: more steps where noise is strong", metavar="S", type=finite(0), default=SHIFT)
    guided = "what the class changes, times this; 1: one pass a step"
    option("guidance", guided, metavar="G", type=finite(0), default=GUIDANCE)
    option("preset", "of SIMCORE", metavar="NAME", default="small")
    option("p", "SIMCORE: proportion of what is important", metavar="P", type=finite(0), default=methods.P)
    option("tau", "SIMCORE: distance of similar tokens", metavar="T", type=finite(0), default=methods.TAU)
    option("ratio", "ORBIS: share of tokens left out", metavar="R", type=finite(0), default=methods.RATIO)
    option("every", "ORBIS: a full step in so many", metavar="N", type=whole(1), default=methods.EVERY)
    option("reduced", "ORBIS: what they are left out of", choices=("q", "qkv"), default="qkv")
    taken = "take this head through SIMCORE's RTL; may be repeated"
    parser.add_argument("--rtl", metavar="STEP,LAYER,HEAD", action="append", default=[], help=taken)
    parser.add_argument("--weights", metavar="NPZ", help="of another model of this kind")
    parser.jobs("heads at a time (default: one a core)")
    parser.out("build/generate")
    parser.json()
    return parser


def generate(options):
    """What ``results.json`` holds."""
    if not options.shift > 0:
        raise UserError(f"--shift must be above 0, not {options.shift:g}")
    model = _model(options.weights)
    grid = (options.frames, *GRID[1:])
    label = _label(model, options.label)
    request = Request(options.seed, options.steps, label, grid, options.shift, options.guidance)
    plan, chosen = plan_of(model, request), _methods(options)
    kept, out = rtl.Kept(rtl.places(options.rtl, plan, chosen)), folder(options.out)
    made, compared = {}, []
    for method in chosen:
        seen = kept if method.name == "simcore" else None
        now = make(model, method, request, options.jobs, _told(method.name, request.steps), seen)
        _say(f"{method.name}: {now.seconds:.0f} s")
        page.pictures(now, grid, out / method.name)
        made[method.name] = now
        if seen:
            compared = rtl.run(kept, method, grid, _say)
    rows = [_row(each, made["dense"], plan) for each in made.values()]
    about = {"label": options.label, "seed": options.seed, "steps": options.steps, "grid": grid}
    about |= {"layers": plan.layers, "heads": plan.heads, "guidance": options.guidance}
    page.strip([each.video for each in made.values()], out / "frames.png")
    page.write(out / "index.html", rows, about)
    results = plain({"about": about, "methods": rows, "rtl": compared})
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    _print(rows, out)
    return results


def _model(path):
    try:
        return video_dit.load(path or video_dit.WEIGHTS)
    except ValueError as error:
        raise UserError(str(error)) from None


def _label(model, name):
    if name == "none":
        return len(model.classes)
    if name not in model.classes:
        raise unknown("there is no class", name, [*model.classes, "none"], "the classes are")
    return model.classes.index(name)


def _methods(options):
    for name in options.methods:
        if name not in methods.METHODS:
            raise unknown("there is no method", name, list(methods.METHODS), "there is")
    made = {
        "dense": lambda: methods.Dense(),
        "simcore": lambda: methods.Simcore(options.preset, options.p, options.tau),
        "orbis": lambda: methods.Orbis(options.ratio, options.every, options.reduced),
    }
    return [made[name]() for name in dict.fromkeys(["dense", *options.methods])]


def _told(name, steps):
    last = [time.monotonic()]

    def told(step):
        if time.monotonic() - last[0] >= 2 or step == steps:
            last[0] = time.monotonic()
            _say(f"{name}: step {step}/{steps}")

    return told


def _say(line):
    print(line, file=sys.stderr, flush=True)


def _row(made: Made, dense: Made, plan):
    psnr, ssim = fidelity(made.video, dense.video)
    cycles, dense_cycles = made.cycles
    return {
        "method": made.method,
        "thresholds": made.thresholds,
        "thresholds_shown": ", ".join(f"{name} {value}" for name, value in made.thresholds.items()) or "-",
        "psnr": psnr,
        "psnr_shown": f"{psnr:.1f}" if math.isfinite(psnr) else "equal",
        "ssim": ssim,
        "left": made.left(plan),
        "mixed": made.mixed,
        "cycles": cycles,
        "dense_cycles": dense_cycles,
        "skipped": float(np.mean(made.skipped())),
        "by_layer": page.by_place(made, plan).T.tolist(),
        "seconds": made.seconds,
    }


def _print(rows, out: Path):
    table = Table("method", "thresholds", "PSNR", "SSIM", "products left", "FP-INT", "rows skipped", "speed-up")
    for row in rows:
        share = [f"{100 * row[name]:.1f}%" for name in ("left", "mixed", "skipped")]
        speed = row["dense_cycles"] / row["cycles"]
        told = [row["method"], row["thresholds_shown"], row["psnr_shown"], f"{row['ssim']:.3f}"]
        table.add_row(*told, *share, f"{speed:.2f}")
    console = console_of(110)
    console.print(table)
    console.print(f"frames, moving pictures and the page: {out / 'index.html'}", soft_wrap=True)
