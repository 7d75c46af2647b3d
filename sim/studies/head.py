# SPDX-License-Identifier: Apache-2.0
"""One head of attention through SIMCORE's RTL: every bit of A against the golden, its error, cycles, and where they go.

``zoetrope head [--clip PATH | --tensors FILE] [--frames N] [--preset NAME] [--p P] [--tau TAU] [--out SVG]`` runs it with
each of the paper's ablations, natively (``sim.run.native_axi``), and writes ``build/sim/head.json``. The picture has the
importance map of P and the tokens that are skipped. Beside the measured cycles stand those of ``sim.model.cycles``, a model,
of this machine and of the paper's size, which is not simulated. Cycles go with the square of the tokens, so frames are few.
"""

import json
import sys
import time
from concurrent.futures import as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from zoetrope.golden.reference import attention
from zoetrope.golden.simcore.chip.simcore import Result, Settings, simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, answer, folder, picture
from zoetrope.hw.errors import UserError, command_line, finite
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS
from zoetrope.sim.host.simcore import Run, SimcoreError, on_native, settings_of, token_bytes
from zoetrope.sim.input import clips
from zoetrope.sim.model import cycles
from zoetrope.sim.run.console import console_of
from zoetrope.sim.run.harness import RESULTS, relative
from zoetrope.sim.run.native import Native
from zoetrope.sim.run.workers import workers
from zoetrope.sim.studies import head_picture
from zoetrope.sim.studies.head_fit import TOKENS, HeadRefused, geometry_of, name_of

ABLATIONS = {
    "FP16 only": {"sparsify": False, "quantize": False},
    "+ rows skipped": {"quantize": False},
    "+ speculation": {"sparsify": False},
    "all, not grouped": {"compact": False},
    "all": {},
}
"""The switches of each configuration that differ from ``Settings``."""

PRESET = "small"
#: Files, in the folder of results.
RESULTS_FILE, PICTURE = "head.json", "head.svg"

#: Of the memory: cycles from an address to its first word.
LATENCY = 20

#: What SIMPICKER says (VI-E), and which of our configurations come nearest to the two that it compares.
PAPER = (
    ("all features", 2.01, "FP16 only", "all"),
    ("LUT array", 1.45, "+ rows skipped", "all"),
    ("adaptive grouping", 1.10, "all, not grouped", "all"),
)

#: A row of S for each of 16 rows of a slice, in FP32, at the paper's largest clip, and its global buffer: bytes.
ROWS_OF_S, GLOBAL_BUFFER = 16 * 35_100 * 4, 208 << 10

#: Scores that the error is taken over at most: of longer heads evenly spaced rows stand for all.
SCORES = 1 << 24

#: Seconds from one line of progress to the next.
EVERY = 5

ARRAYS = ("fp16", "lut")
ACTIVITIES = ("busy", "waiting", "stalled", "blocked")


class HeadFailed(UserError, AssertionError):
    """The RTL's head is not the golden's."""


class Found(NamedTuple):
    """One configuration whose ``elements`` of A are equal; ``counters``: of the RTL, as its registers have them."""

    result: Result
    counters: dict[str, int]
    elements: int
    seconds: float


class Head(NamedTuple):
    """What was found. ``found``, ``errors``, the rms of A's error over the rms of A, and ``models``, by configuration."""

    source: str
    preset: str
    clip_frames: int
    geometry: Geometry
    settings: Settings
    found: dict[str, Found]
    errors: dict[str, float]
    rows: int
    """Tokens whose error was taken."""
    models: dict[str, dict[str, dict[str, cycles.Cycles]]]
    """Preset to "bound" and "fitted" to configuration to cycles."""


# -- measuring -----------------------------------------------------------------------------------------------------------


def measured(
    tensors: clips.Tensors,
    preset=PRESET,
    frames=None,
    jobs=2,
    told=None,
    configurations=tuple(ABLATIONS),
    **changes,
) -> Head:
    """The first ``frames`` frames, or as many as make up ``TOKENS``, in ``configurations``, ``jobs`` of them at a time.

    "all" is one of ``configurations``. ``told(line)`` is called with progress; ``changes`` of ``Settings``.
    ``HeadRefused`` for a head that the machine of ``preset`` does not take; ``HeadFailed`` if the RTL's A, or what it
    counted, is not the golden's.
    """
    block = catalogue.find("simcore")
    block.config(preset)
    if preset not in block.small_presets:
        raise UserError(
            f"preset {preset!r} of simcore is not simulated; those that are: {', '.join(block.small_presets)}"
        )
    config, told = block.config(preset), told or (lambda line: None)
    geometry = geometry_of(tensors, preset, config, frames)
    matrices = tensors.matrices(geometry.frames)
    settings = {each: settings_of(block.config(each), **changes) for each in (preset, block.PAPER_SIZE)}
    told(f"head: {geometry.tokens:,} tokens through simcore {preset}, {len(configurations)} configurations ...")
    try:
        results = {each: goldens(matrices, geometry, own, configurations) for each, own in settings.items()}
    except ValueError as error:
        raise HeadRefused(f"{name_of(tensors)}: {error}") from error
    models = {each: modelled(results[each], geometry, own, each) for each, own in settings.items()}
    Native.build(block.component(config=config), block.name)
    found = _run_all(preset, matrices, geometry, settings[preset], results[preset], jobs, told)
    q, k, v = matrices
    chosen = np.unique(np.linspace(0, len(q) - 1, max(1, min(len(q), SCORES // len(q)))).astype(int))
    exact = attention(q[chosen], k, v)
    errors = {name: _rms(each.result.a[chosen].astype(np.float64) - exact, exact) for name, each in found.items()}
    return Head(
        tensors.source,
        preset,
        len(tensors.q),
        geometry,
        settings[preset],
        found,
        errors,
        len(chosen),
        models,
    )


def goldens(matrices, geometry: Geometry, settings: Settings, configurations) -> dict[str, Result]:
    """The golden's result of each configuration."""
    found = {}
    for name in configurations:
        progress = clips.Progress(f"golden, {name}")
        own = replace(settings, **ABLATIONS[name])
        found[name] = simcore(*matrices, geometry, own, lambda done, _, to=progress: to.step(done))
        progress.close()
    return found


def modelled(results, geometry: Geometry, settings: Settings, preset) -> dict[str, dict[str, cycles.Cycles]]:
    """Modelled cycles, bound and fitted, of each configuration, in slices and key tiles as ``preset`` has them."""
    arrays = cycles.machine(_config(preset).engine)
    work = {name: cycles.work(result, geometry, settings.keys) for name, result in results.items()}
    p_bits = {name: P_BITS if replace(settings, **ABLATIONS[name]).quantize else None for name in work}
    return {
        "bound": {name: cycles.bound(each, arrays) for name, each in work.items()},
        "fitted": {name: cycles.fitted(each, arrays, p_bits[name]) for name, each in work.items()},
    }


def _run_all(preset, matrices, geometry, settings, results, jobs, told):
    """Configuration to ``Found``."""
    found = {}
    given = [(name, preset, matrices, geometry, replace(settings, **ABLATIONS[name])) for name in results]
    for name, rtl, seconds in _runs(given, jobs):
        found[name] = compared(name, rtl, results[name], seconds)
        told(
            f"head {len(found)}/{len(results)} {name}: {rtl.counters['cycles']:,} cycles, "
            f"{found[name].elements:,} elements of A equal to the golden's, {seconds:.1f} s"
        )
    return {name: found[name] for name in results}


def _runs(given, jobs):
    """Yield name, ``Run`` and seconds of each configuration as it ends, those with the most to do first."""
    if len(given) == 1:
        yield given[0][0], *run(*given[0])
        return
    order = ("FP16 only", "+ speculation", "+ rows skipped", "all, not grouped", "all")
    with workers(jobs, "a process of the head") as pool:
        futures = {pool.submit(run, *each): each[0] for each in sorted(given, key=lambda each: order.index(each[0]))}
        for future in as_completed(futures):
            yield futures[future], *future.result()


def run(name, preset, matrices, geometry, settings) -> tuple[Run, float]:
    """One configuration in the RTL, and the seconds it took. ``HeadFailed`` if it ends with an error."""
    begin = time.perf_counter()
    config = _config(preset)
    word_bytes = config.data_bits // 8
    size = geometry.tokens * token_bytes(matrices[0].shape[1], word_bytes)
    native = Native.build(catalogue.find("simcore").component(config=config), "simcore")
    progress = _Progress(name)
    machine = on_native(native, 4 * size, limit=_patience(geometry, config), told=progress, latency=LATENCY)
    machine.memory.data[:] = 0xFF  # a NaN wherever A is not written
    progress.memory, progress.words = machine.memory, size // word_bytes
    try:
        return machine.run(*matrices, geometry, settings), time.perf_counter() - begin
    except SimcoreError as error:  # which another process cannot be given
        raise HeadFailed(f"head, {name}: {error}") from None


def _patience(geometry, config):
    """Cycles of a head that is taken to hang. A small slice and key tile take some 1,700 cycles, however few products."""
    products = 2 * geometry.tokens**2 * config.max_channels
    slices, tiles = (geometry.frames * -(-geometry.rows // size) for size in (config.engine.fp16.rows, config.keys))
    return 1_000_000 + 5 * products // (config.engine.fp16.rows * config.engine.fp16.outputs) + 10_000 * slices * tiles


def compared(name, rtl: Run, result: Result, seconds=0.0) -> Found:
    """``HeadFailed`` unless every element of A, and what the golden knows of the counters, are equal; or if none were."""
    counted = result.statistics
    expected = {
        "rows_kept": counted.tokens - counted.temporal - counted.spatial,
        "slices": counted.slices,
        "tiles_fp16": counted.important,
        "tiles_lut": counted.tiles - counted.important,
    }
    if rtl.a.shape != result.a.shape or not rtl.a.size:
        raise HeadFailed(
            f"head, {name}: nothing to compare: A is of shape {rtl.a.shape}, the golden's {result.a.shape}"
        )
    if differ := int(np.count_nonzero(rtl.a.view(np.uint16) != result.a.view(np.uint16))):
        raise HeadFailed(f"head, {name}: {differ:,} of {rtl.a.size:,} elements of A differ from the golden's")
    if wrong := {key: rtl.counters[key] for key in expected if rtl.counters[key] != expected[key]}:
        raise HeadFailed(f"head, {name}: counters: got {wrong}, expected { {key: expected[key] for key in wrong} }")
    return Found(result, rtl.counters, rtl.a.size, seconds)


class _Progress:
    """A line every few seconds: cycles, and how much of A is in memory."""

    def __init__(self, name):
        self.name, self.last, self.memory, self.words = name, time.monotonic(), None, 1

    def __call__(self, count):
        if (now := time.monotonic()) - self.last >= EVERY:
            self.last = now
            share = min(1.0, self.memory.counts["words_written"] / self.words)
            print(f"head, {self.name}: {count:,} cycles, {share:.0%} of A", file=sys.stderr, flush=True)


def _config(preset):
    return catalogue.find("simcore").config(preset)


def _rms(x, of):
    power = (of**2).mean()
    return float(np.sqrt((x**2).mean() / power)) if power else 0.0


# -- telling -------------------------------------------------------------------------------------------------------------


def document(head: Head) -> dict:
    """All numbers, as ``build/sim/head.json`` has them and the tables show them."""
    g = head.geometry
    runs = {}
    for name, each in head.found.items():
        counted, counters = each.result.statistics, each.counters
        tiles = counters["cycles"] - counters["prologue_cycles"] - counters["recovery_cycles"]
        runs[name] = {
            "elements": each.elements,
            "error": head.errors[name],
            "skipped": counted.skipped,
            "fp_int": counted.share,
            "important": counted.important / counted.tiles,
            "tile_cycles": tiles,
            "speed_up": _speed_ups(head, "FP16 only", name)["measured"] if "FP16 only" in head.found else None,
            "counters": counters,
            "activity": {array: _activity(array, counters, tiles) for array in ARRAYS},
            "sfu": counters["sfu_busy"] / counters["cycles"],
            "seconds": each.seconds,
        }
    return {
        "input": {"source": head.source, "frames": head.clip_frames},
        "preset": head.preset,
        "latency": LATENCY,
        "geometry": {"frames": g.frames, "height": g.height, "width": g.width, "tokens": g.tokens}
        | ({"text": g.text, "text_first": g.text_first} if g.text else {}),
        "channels": head.found["all"].result.a.shape[1],
        "settings": asdict(head.settings),
        "error_rows": head.rows,
        "runs": runs,
        "machines": {name: str(cycles.machine(_config(name).engine)) for name in head.models},
        "models": {
            preset: {kind: {name: each._asdict() for name, each in of.items()} for kind, of in kinds.items()}
            for preset, kinds in head.models.items()
        },
        "beside_paper": [
            {"name": name, "paper": published, "from": slow, "to": fast, **_speed_ups(head, slow, fast)}
            for name, published, slow, fast in PAPER
            if slow in head.found and fast in head.found
        ],
    }


def _activity(array, counters, tiles):
    """Shares of the cycles between prologue and recovery; ``no job`` is what is left of them."""
    shares = {name: counters[f"{array}_{name}"] / tiles for name in ACTIVITIES}
    return shares | {"no job": 1 - sum(shares.values())}


def _speed_ups(head, slow, fast):
    """Measured, and of each model."""
    found = {"measured": head.found[slow].counters["cycles"] / head.found[fast].counters["cycles"]}
    for preset, kinds in head.models.items():
        found |= {f"{preset} {kind}": of[slow].total / of[fast].total for kind, of in kinds.items()}
    return found


def title(found: dict) -> str:
    """What was run."""
    g, of = found["geometry"], found["input"]["frames"]
    frames = f"all {of}" if g["frames"] == of else f"first {g['frames']} of {of}"
    text = f"{g['text']:,} of them text, " if "text" in g else ""
    return (
        f"one head in RTL, simcore {found['preset']}: {frames} frames of {g['height']} x {g['width']}, "
        f"{g['tokens']:,} tokens, {text}d = {found['channels']}"
    )


RUN_HEADS = (
    *("rows skipped", "FP-INT products", "error of A", "cycles", "speed-up", "prologue", "tiles", "tiles fitted"),
    *("recovery", "SFU busy"),
)


def _configurations(found: dict):
    """Those of ``ABLATIONS`` that were run, in their order."""
    return [name for name in ABLATIONS if name in found["runs"]]


def run_cells(found: dict):
    """Of each configuration, what was measured: cells below ``RUN_HEADS``."""
    for name in _configurations(found):
        each = found["runs"][name]
        counters = each["counters"]
        yield (
            name,
            f"{each['skipped']:.1%}",
            f"{each['fp_int']:.1%}",
            f"{each['error']:.3%}",
            f"{counters['cycles']:,}",
            "-" if each["speed_up"] is None else f"{each['speed_up']:.2f}",
            f"{counters['prologue_cycles']:,}",
            f"{each['tile_cycles']:,}",
            f"{found['models'][found['preset']]['fitted'][name]['total']:,}",
            f"{counters['recovery_cycles']:,}",
            f"{each['sfu']:.1%}",
        )


ACTIVITY_HEADS = tuple(f"{array.upper()} {name}" for array in ARRAYS for name in (*ACTIVITIES, "no job"))


def activity_cells(found: dict):
    """Where the cycles of tiles go: cells below ``ACTIVITY_HEADS``."""
    for name in _configurations(found):
        activity = found["runs"][name]["activity"]
        yield name, *(f"{activity[array][what]:.1%}" for array in ARRAYS for what in (*ACTIVITIES, "no job"))


def paper_heads(found: dict):
    presets = (
        (preset, kind) for preset in (found["preset"], catalogue.Block.PAPER_SIZE) for kind in ("bound", "fitted")
    )
    return ("from, to", "measured", *(f"{preset} {kind}" for preset, kind in presets), "SIMPICKER")


def paper_cells(found: dict):
    """Speed-ups measured, modelled and published: cells below ``paper_heads``."""
    for each in found["beside_paper"]:
        models = (f"{each[key]:.2f}" for key in paper_heads(found)[2:-1])
        yield each["name"], f"{each['from']}, {each['to']}", f"{each['measured']:.2f}", *models, f"{each['paper']:.2f}"


def tables(found: dict):
    """What was measured, where the cycles go, and the paper's ablations beside it."""
    yield _table(title(found), RUN_HEADS, run_cells(found))
    yield _table("shares of the cycles of tiles in which an array was so", ACTIVITY_HEADS, activity_cells(found))
    if found["beside_paper"]:
        yield _table("speed-ups beside SIMPICKER's ablations (VI-E)", paper_heads(found), paper_cells(found), text=1)


def _table(title, heads, rows, text=0):
    """The first word of each of ``heads`` stands above the others; the first ``text`` columns are no numbers."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    shown.add_column("", no_wrap=True)
    for count, name in enumerate(heads):
        first, _, rest = name.partition(" ")
        name = name if count < text else f"{first}\n{rest}" if rest else f"\n{first}"
        shown.add_column(name, justify="left" if count < text else "right", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    return shown


_SMALL = f"Frames of fewer than {cycles.LEAST} tokens: what is around the arrays is not hidden, and fitted is too low."


def notes(found: dict) -> str:
    """What the tables mean, and why ours are not the paper's."""
    preset, paper, arrays = found["preset"], catalogue.Block.PAPER_SIZE, found["machines"]
    elements = sum(each["elements"] for each in found["runs"].values())
    few = f"at {found['error_rows']:,} tokens, " if found["error_rows"] < found["geometry"]["tokens"] else ""
    lines = (
        f"{elements:,} elements of A compared, all equal to the golden's. Memory answers after {found['latency']} cycles.",
        f"error of A: {few}rms, against dense attention in float64. tiles: cycles between prologue and recovery.",
        "waiting: operands had not come; stalled: sums or slices were not ready; blocked: results were not taken.",
        "bound, fitted: models, not measurements: products over multipliers; passes of the arrays, and sorts "
        "(sim.model.cycles).",
        *([_SMALL] if found["geometry"]["height"] * found["geometry"]["width"] < cycles.LEAST else []),
        f"Arrays, FP16 and LUT, rows x multipliers: {preset} {arrays[preset]}; {paper} {arrays[paper]}.",
        *(_why_not_the_papers(found) if len(found["runs"]) == len(ABLATIONS) else [_ABLATIONS_TOO]),
        f"16 rows of S at 35,100 tokens are {ROWS_OF_S / (1 << 10):,.0f} KiB in FP32, the paper's buffer "
        f"{GLOBAL_BUFFER >> 10}: softmax is over key tiles, with a running maximum and sum.",
    )
    return "\n".join(lines)


_ABLATIONS_TOO = "`zoetrope head` switches the features on one by one, beside the paper's ablations."


def _why_not_the_papers(found):
    everything, dense = found["runs"]["all"], found["runs"]["FP16 only"]
    preset, paper, counters = found["preset"], catalogue.Block.PAPER_SIZE, everything["counters"]
    outside = (counters["prologue_cycles"] + counters["recovery_cycles"]) / counters["cycles"]
    lut = next(each for each in found["beside_paper"] if each["name"] == "LUT array")
    return (
        "Why not the paper's figures:",
        "- It times whole models, with layers that no feature shortens; this is one head. Its baseline is not slow: "
        f"FP16 only, the array is busy {dense['activity']['fp16']['busy']:.1%} of the cycles of tiles.",
        f"- {everything['skipped']:.0%} of the rows are skipped here; the paper finds few similar tokens. "
        f"{everything['fp_int']:.0%} of the products are FP-INT here, over 65% there; the arrays of {preset} would end "
        f"together at {_even(preset):.0%}, the paper's at {_even(paper):.0%}.",
        f'- Prologue and recovery are {outside:.0%} of "all" here; they grow with the tokens, the rest with their square.',
        f"- {paper} fitted: P V has too few columns for such wide arrays, and copies of slices, one a row, take longer"
        + (": speculation loses more than it saves." if lut[f"{paper} fitted"] < 1 else "."),
        "- From what to what the paper measures is not quite stated: its LUT array is taken to be added to an FP16 array "
        "that skips rows; without grouping the rows that are skipped leave their PEs idle.",
    )


def _even(preset):
    """The share of FP-INT products at which both arrays of a preset have as much to do."""
    fp16, lut = cycles.machine(_config(preset).engine).multipliers
    return lut / (fp16 + lut)


def report(head: Head, console: Console, path: Path = RESULTS / PICTURE) -> dict:
    """Print the tables, write the picture ``path`` and, beside it, the numbers, which are returned."""
    found = document(head)
    numbers = folder(path.parent) / RESULTS_FILE
    numbers.write_text(json.dumps(found, indent=1) + "\n")
    for table in tables(found):
        console.print(table)
    console.print(notes(found), highlight=False)
    head_picture.plot(head.found["all"].result, head.geometry, path)
    console.print(f"numbers: {relative(numbers)}, picture: {relative(path)}", highlight=False)
    return found


def _options(argv):
    parser = Parser(
        "head",
        "One head of attention through SIMCORE's RTL, with each of the paper's ablations: every bit of A against the\n"
        "golden, its error, cycles, and where they go.",
        "zoetrope head --frames 4",
        "zoetrope head --preset tiny --tensors qkv.npz --p 0.8 --tau 1.5 -o head.png",
        "zoetrope head --tensors q.safetensors --grid 9x11 --head 3 --text 32 --text-side first",
    )
    clips.add_options(parser, f"frames, from the first on (default: about {TOKENS} tokens)")
    parser.preset("the machine (default %(default)s)", default=PRESET)
    parser.add_argument(
        "--p", metavar="P", type=finite(), default=Settings.p_p, help="proportion for P and A (default %(default)s)"
    )
    parser.add_argument(
        "--tau",
        metavar="T",
        type=finite(),
        default=Settings.tau,
        help="threshold on the distance (default %(default)s)",
    )
    parser.jobs("configurations run at once (default 2)", 2)
    parser.out(RESULTS / PICTURE, "picture, .svg or .png; the numbers go beside it")
    parser.json()
    options = parser.parse_args(argv)
    options.out = picture(options.out)
    try:
        Settings(p_p=options.p, tau=options.tau)
    except ValueError as error:
        raise UserError(str(error)) from error
    return options


def say(line):
    print(line, flush=True)


@command_line
def main(argv=None):
    options = _options(argv)
    with answer(options) as tell:
        tensors = clips.chosen(options, all_frames=True)
        changes = {"p_p": options.p, "p_a": options.p, "tau": options.tau}
        console = console_of(120)
        console.print(f"input: {tensors.source}", markup=False, highlight=False, soft_wrap=True)
        try:
            head = measured(tensors, options.preset, options.frames, options.jobs, say, **changes)
        except HeadFailed as error:
            tell({"wrong": str(error)})
            print(f"FAIL: {error}", file=sys.stderr)
            return 1
        tell(report(head, console, options.out))
    return 0
