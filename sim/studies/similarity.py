# SPDX-License-Identifier: Apache-2.0
"""What skipping similar tokens saves and costs: rows removed and error of the attention output over thresholds tau.

``zoetrope study similarity [--clip PATH | --tensors FILE] [--tau T ...] [--window W] [--group G] [--out SVG]``
prints a
table and draws it. The error is that of giving a removed token its root's row of A, against dense attention in float64.
SIMPICKER's threshold, 2.5, is always among the rows, and marked.
"""

import numpy as np
from rich.markup import escape
from rich.table import Table

from zoetrope.golden.method.token_similarity import PAPER_TAU, sweep
from zoetrope.hw.arguments import Parser, answer, folder, picture
from zoetrope.hw.errors import command_line, finite, whole
from zoetrope.sim.input import clips
from zoetrope.sim.run.console import console_of
from zoetrope.sim.run.harness import RESULTS, relative
from zoetrope.sim.studies.shares import shown

TAUS = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0)

#: Scores that the error is taken over at most: of longer clips evenly spaced tokens stand for all.
SCORES = 1 << 24


def qualities(tensors, taus, window=3, group=4):
    """(``SkipQuality`` of each tau, number of tokens whose error was taken). Text is never skipped: its rows of Q are not
    among the tokens, and its keys are among those that every row meets."""
    frames, tokens = tensors.q.shape[:2]
    count = frames * tokens
    chosen = np.unique(np.linspace(0, count - 1, max(1, min(count, SCORES // count))).astype(int))
    _, k, v = tensors.matrices()
    points = sweep(tensors.q, k, v, tensors.grid, taus, window=window, group=group, tokens=chosen)
    return points, len(chosen)


def summary(tensors):
    """One line for ``make sim``: what the paper's threshold does to these tensors."""
    ((point,), *_) = qualities(tensors, [PAPER_TAU])
    removed = point.temporal + point.spatial
    return (
        f"similar tokens at tau = {PAPER_TAU:g}: {removed:,} of {point.tokens:,} rows of Q removed "
        f"({point.removed:.1%}), attention output off by {shown(point.error, '.1%')} rms"
    )


def table(points, source):
    page = Table(title=escape(f"similar tokens: {source}"))
    heads = ("tau", "temporal", "spatial", "rows removed", "rows kept", "rms error of A", "worst row", "")
    for head in heads:
        page.add_column(head, justify="right", no_wrap=True)
    for p in points:
        paper = p.tau == PAPER_TAU
        page.add_row(
            f"{p.tau:g}",
            f"{p.temporal:,}",
            f"{p.spatial:,}",
            f"{p.removed:.1%}",
            f"{p.tokens - p.temporal - p.spatial:,}",
            shown(p.error, ".2%"),
            shown(p.worst, ".1%"),
            "the paper's" if paper else "",
            style="bold" if paper else None,
        )
    return page


def plot(points, path):
    """Rows removed and rms error over tau, as an SVG or PNG by the name of ``path``."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "zoetrope"
    from matplotlib import pyplot

    figure, (rows, errors) = pyplot.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    taus = [p.tau for p in points]
    rows.plot(taus, [100 * p.removed for p in points], "o-", color="tab:blue")
    errors.plot(taus, [100 * p.error for p in points], "o-", color="tab:orange")
    rows.set(ylabel="rows of Q removed, %", ylim=(0, 100))
    errors.set(ylabel="rms error of A, %", xlabel="tau, L2 distance of two tokens of Q", ylim=(0, None))
    for axes in (rows, errors):
        axes.axvline(PAPER_TAU, linestyle=":", color="tab:red")
        axes.grid(alpha=0.3)
    rows.annotate("the paper's tau", (PAPER_TAU, 4), xytext=(4, 0), textcoords="offset points", color="tab:red")
    figure.savefig(path, metadata={"Date": None} if str(path).endswith(".svg") else None)
    pyplot.close(figure)


@command_line
def main(argv=None):
    parser = Parser(
        "study similarity",
        "What skipping similar tokens saves and costs: rows removed and error of the attention output over thresholds tau.",
        "zoetrope study similarity --tau 1.5 2.5",
        "zoetrope study similarity --tensors qkv.npz --grid 30x45 -o skipped.svg",
    )
    clips.add_options(parser)
    parser.add_argument(
        "--tau", metavar="T", type=finite(0), nargs="+", default=TAUS, help="thresholds (default: 0.5 to 8)"
    )
    parser.add_argument(
        "--window", metavar="N", type=whole(1), default=3, help="side of the window in the frame before (default 3)"
    )
    parser.add_argument(
        "--group", metavar="N", type=whole(1), default=4, help="tokens of a group within a frame (default 4)"
    )
    parser.out(RESULTS / "similarity.svg", "plot, .svg or .png")
    parser.json()
    options = parser.parse_args(argv)
    out = picture(options.out)
    with answer(options) as tell:
        tensors = clips.chosen(options)
        points, chosen = qualities(tensors, sorted({*options.tau, PAPER_TAU}), options.window, options.group)
        tell({"input": tensors.source, "points": points, "error_rows": chosen})
        console = console_of(110)
        console.print(table(points, tensors.source))
        if chosen < points[0].tokens:
            console.print(f"error of A: at {chosen:,} tokens, evenly spaced", highlight=False)
        if tensors.text:
            console.print(f"text: {tensors.text_tokens:,} rows, never skipped and not counted here", highlight=False)
        folder(out.parent)
        plot(points, out)
        console.print(f"plot: {relative(out)}", highlight=False)
