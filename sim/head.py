"""One head of attention through the whole flow of SIMCORE: error, what goes FP-INT, rows skipped, and modelled cycles.

``python -m sim.head [--clip PATH | --tensors NPZ] [--frames N] [--rows T] [--keys N] [--p P] [--tau TAU] [--out SVG]``
computes a head bit for bit as the hardware does (``golden.simcore``) with each of the paper's ablations, compares it with
dense attention in float64, and draws the importance map of P and the tokens that are skipped. Cycles are a model
(``sim.cycles``).
"""

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from golden.reference import attention
from golden.simcore import Geometry, Result, Settings, simcore
from golden.sparsification_unit import KEPT, SPATIAL, TEMPORAL
from hw.errors import UserError, command_line
from sim import clips, cycles
from sim.harness import RESULTS, relative

ABLATIONS = {
    "FP16 only": {"sparsify": False, "quantize": False},
    "+ rows skipped": {"quantize": False},
    "+ speculation": {"sparsify": False},
    "all": {},
}
"""The switches of each configuration that differ from ``Settings``."""

UNGROUPED = "all, not grouped"
"""A model alone: rows are neither compacted nor computed in another order."""

ROWS = 32
"""t unless asked for: the frames of the sample clip have 99 tokens, of which 27 are computed."""


def machines(t: int) -> dict[str, cycles.Machine]:
    """How the PEs are put to work, in the order of the tables."""
    return {"split": cycles.SPLIT, "no tables": cycles.of_rows(t, copy=0), "tables": cycles.of_rows(t, copy=1)}


#: What SIMPICKER says (VI-E), and which of our configurations come nearest to the two that it compares.
PAPER = (
    ("all features", 2.01, "FP16 only", "all"),
    ("LUT array", 1.45, "+ rows skipped", "all"),
    ("adaptive grouping", 1.10, UNGROUPED, "all"),
)

#: Scores that the error is taken over at most: of longer heads evenly spaced rows stand for all.
SCORES = 1 << 24


class Head(NamedTuple):
    """What was found. ``results`` and ``errors``, the rms of A's error over the rms of A, by configuration."""

    geometry: Geometry
    results: dict[str, Result]
    errors: dict[str, float]
    work: dict[str, cycles.Work]
    rows: int
    """Tokens whose error was taken."""
    t: int
    """Most rows of a slice."""
    keys: int | None
    """Most tokens of a key tile."""


def measured(tensors: clips.Tensors, settings: Settings | None = None, frames: int | None = None) -> Head:
    """All configurations of the first ``frames`` frames, or of all. A grid that is not known is a single row of tokens."""
    settings = settings or Settings(rows=ROWS)
    most, tokens, d = tensors.q.shape
    count = min(frames or most, most)
    grid = tensors.grid or (most, 1, tokens)
    geometry = Geometry(count, *grid[1:])
    q, k, v = (x[:count].reshape(-1, d) for _, x in tensors.items())
    chosen = np.unique(np.linspace(0, len(q) - 1, max(1, min(len(q), SCORES // len(q)))).astype(int))
    exact = attention(q[chosen], k, v)
    results, errors = {}, {}
    for name, switches in ABLATIONS.items():
        results[name] = _run(q, k, v, geometry, replace(settings, **switches), f"{name}, of {count}")
        errors[name] = _rms(results[name].a[chosen].astype(np.float64) - exact, exact)
    work = {name: cycles.work(result, geometry, settings.keys) for name, result in results.items()}
    work[UNGROUPED] = cycles.ungrouped(results["all"], geometry, settings.rows, settings.keys)
    return Head(geometry, results, errors, work, len(chosen), settings.rows, settings.keys)


def _run(q, k, v, geometry, settings, what):
    progress = clips.Progress(what)
    result = simcore(q, k, v, geometry, settings, lambda done, _: progress.step(done))
    progress.close()
    return result


def _rms(x, of):
    power = (of**2).mean()
    return float(np.sqrt((x**2).mean() / power)) if power else 0.0


def quality_table(head: Head) -> Table:
    """What the features do to the work and to the output."""
    g = head.geometry
    keys = f", key tiles of up to {head.keys:,}" if head.keys else ""
    table = _table(f"one head: {g.tokens:,} tokens, {g.frames} frames of {g.height} x {g.width}{keys}")
    heads = (
        "rows\nskipped",
        "\nslices",
        "QK^T\nFP-INT",
        "PV\nFP-INT",
        "all\nFP-INT",
        "FP16\nproducts",
        "LUT\nproducts",
    )
    table.add_column("")
    for name in (*heads, "error of\nA (rms)"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, result in head.results.items():
        counted = result.statistics
        shares = (f"{share:.1%}" for share in (counted.qk_share, counted.pv_share, counted.share))
        products = (f"{count / 1e6:,.1f} M" for count in (counted.fp16, counted.lut))
        table.add_row(
            name, f"{counted.skipped:.1%}", f"{counted.slices:,}", *shares, *products, f"{head.errors[name]:.3%}"
        )
    return table


def cycle_table(head: Head) -> Table:
    """Modelled cycles and speed-up of each configuration, least possible and with each use of the PEs."""
    table = _table("cycles of the two arrays, thousands (a model, not a machine), and speed-up over FP16 only")
    table.add_column("", no_wrap=True)
    kinds = {"bound": None, **machines(head.t)}
    for name in kinds:
        table.add_column(f"{name}:\nFP16, LUT", justify="right", no_wrap=True)
        table.add_column("\nx", justify="right", no_wrap=True, style="bold")
    for name, work in head.work.items():
        cells = []
        for machine in kinds.values():
            found = cycles.fitted(work, machine) if machine else cycles.bound(work)
            cells.append(f"{found.fp16 / 1e3:,.0f}, {found.lut / 1e3:,.0f}")
            cells.append(f"{speed_up(head, 'FP16 only', name, machine):.2f}")
        table.add_row(name, *cells)
    return table


def speed_up(head: Head, slow: str, fast: str, machine: cycles.Machine | None = None) -> float:
    """Of configuration ``fast`` over ``slow``: of the bound, or as fitted into ``machine``."""
    if machine is None:
        return cycles.bound(head.work[slow]).total / cycles.bound(head.work[fast]).total
    return cycles.fitted(head.work[slow], machine).total / cycles.fitted(head.work[fast], machine).total


def paper_table(head: Head) -> Table:
    """Our speed-ups beside the paper's."""
    table = _table("beside SIMPICKER's ablations (VI-E, averages of end-to-end latency)")
    kinds = machines(head.t)
    for name in ("", "from, to", "bound", *kinds, "paper", "equal at"):
        table.add_column(name, justify="left" if name in ("", "from, to") else "right", no_wrap=True)
    for name, published, slow, fast in PAPER:
        ours = [speed_up(head, slow, fast, machine) for machine in (None, *kinds.values())]
        share = cycles.attention_share(ours[1], published) if ours[1] > published else None
        cells = [f"{each:.2f}" for each in ours]
        table.add_row(name, f"{slow}, {fast}", *cells, f"{published:.2f}", f"{share:.0%}" if share else "-")
    return table


def notes(head: Head) -> str:
    """What the tables mean, and why ours are not the paper's."""
    counted = head.results["all"].statistics
    multipliers = tuple(array.multipliers for array in cycles.PAPER)
    machine = cycles.of_rows(head.t, copy=0)
    return f"""\
bound: products over {multipliers[0]} FP16 and {multipliers[1]} LUT multipliers.
split: {_pair(cycles.SPLIT)} PEs; each part takes 8 columns of A, or 8 keys, at a time.
no tables: {_pair(machine)} PEs, all with one slice, sums that can be added to again after {machine.fp16.turnaround}
cycles. P V has few columns for either array, and PEs wait.
tables: the same with a LUT buffer that copies the table of one FP16 value a cycle. Q K^T hides that where a key
tile is long. P V cannot: a value of P meets at most {head.work["all"].d} columns, then its table is of no more use.
Both arrays work at once, each at its own pace; memory, softmax and prediction are not counted.
Why not the paper's figures: it times whole models, whose other layers the FP16 array computes alone, over its
clips; this is one head's two products (equal at: the share of attention in the time at which ours, split, gives
the paper's). Of the rows {counted.skipped:.0%} are skipped here; the paper finds few similar tokens.
Of the products {counted.share:.0%} are FP-INT here, over 65% there; the arrays finish together at 67%.
From what to what the paper measures is not quite stated: its LUT array is taken here to be added to an FP16
array that skips rows, and without grouping the rows that are skipped leave their PEs idle."""


def _pair(machine):
    return f"{machine.fp16} and {machine.lut}"


def _table(title):
    return Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")


def plot(head: Head, path: Path):
    """The importance map of P and the tokens of each frame, kept or skipped, as an SVG or PNG by the name of ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zoetrope"
    from matplotlib import pyplot
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    result, g = head.results["all"], head.geometry
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    shades = {"FP16 x INT8": "#d9e6f2", "FP16 x FP16": "#1f4e79"}
    left.imshow(result.map_p, cmap=ListedColormap(list(shades.values())), vmin=0, vmax=1, interpolation="nearest")
    left.set(xlabel="frame of K", ylabel="query tile (frame of Q)")
    left.set_title(f"importance map of P: {result.map_p.mean():.0%} of the tiles important")
    colours = {KEPT: "#1f4e79", TEMPORAL: "#f2c48d", SPATIAL: "#c0504d"}
    picture = mosaic(result.kind[g.video], g)
    right.imshow(
        np.ma.masked_less(picture, 0),
        cmap=ListedColormap(list(colours.values())),
        vmin=0,
        vmax=2,
        interpolation="nearest",
    )
    right.set_axis_off()
    right.set_title(f"tokens of Q, frame by frame: {result.statistics.skipped:.0%} skipped")
    names = ("computed", "repeats one of the frame before", "repeats its group's first")
    place = {"loc": "upper center", "ncols": 3, "frameon": False, "fontsize": "small"}
    for axes, marks, below in ((left, shades, -0.12), (right, dict(zip(names, colours.values())), 0)):
        patches = [Patch(color=colour, label=name) for name, colour in marks.items()]
        axes.legend(handles=patches, bbox_to_anchor=(0.5, below), **place)
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    pyplot.close(figure)


def mosaic(kind: np.ndarray, g: Geometry) -> np.ndarray:
    """The kinds of all tokens as one picture, frames in reading order, a line of -1 between them."""
    across = min(g.frames, max(1, round(math.sqrt(g.frames * g.height / g.width))))
    down = -(-g.frames // across)
    picture = np.full((down * (g.height + 1) - 1, across * (g.width + 1) - 1), -1)
    for f, frame in enumerate(kind.reshape(g.frames, g.height, g.width)):
        y, x = f // across * (g.height + 1), f % across * (g.width + 1)
        picture[y : y + g.height, x : x + g.width] = frame
    return picture


def _options(argv):
    parser = argparse.ArgumentParser(prog="python -m sim.head", description=__doc__.partition("\n")[0])
    parser.add_argument("--clip", help="video file in place of the sample clip")
    parser.add_argument("--tensors", help=".npz with q, k, v of shape (frames, tokens, d), and their grid")
    parser.add_argument("--frames", type=int, help="only so many frames of tokens, from the first on")
    parser.add_argument(
        "--rows", type=int, default=ROWS, choices=(1, 2, 4, 8, 16, 32, 64), help="rows of a slice, t (default 32)"
    )
    parser.add_argument("--keys", type=int, help="tokens of a key tile at most (default: a whole frame)")
    parser.add_argument("--p", type=float, default=Settings.p_p, help="proportion for P and A (default 0.65)")
    parser.add_argument("--tau", type=float, default=Settings.tau, help="threshold on the distance (default 2.5)")
    parser.add_argument("--out", type=Path, default=RESULTS / "head.svg", help="picture, .svg or .png")
    options = parser.parse_args(argv)
    if options.frames is not None and options.frames < 1:
        raise UserError(f"--frames must be at least 1, not {options.frames}")
    if options.out.suffix not in (".svg", ".png"):
        raise UserError(f"--out must end in .svg or .png, not {options.out.name}")
    try:
        return options, Settings(rows=options.rows, keys=options.keys, p_p=options.p, p_a=options.p, tau=options.tau)
    except ValueError as error:
        raise UserError(str(error)) from error


@command_line
def main(argv=None):
    options, settings = _options(argv)
    tensors = clips.load(clip=options.clip, tensors=options.tensors)
    try:
        head = measured(tensors, settings, options.frames)
    except ValueError as error:
        raise UserError(f"{tensors.source}: {error}") from error
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print(f"input: {tensors.source}", highlight=False)
    for table in (quality_table(head), cycle_table(head), paper_table(head)):
        console.print(table)
    console.print(notes(head), highlight=False)
    if not tensors.grid:
        console.print(f"grid unknown: a frame is taken as one row of {tensors.q.shape[1]} tokens")
    if head.rows < head.geometry.tokens:
        console.print(f"error of A: at {head.rows:,} tokens, evenly spaced", highlight=False)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    plot(head, options.out)
    console.print(f"picture: {relative(options.out)}", highlight=False)


if __name__ == "__main__":
    main()
