# SPDX-License-Identifier: Apache-2.0
"""What speculation on the tiles of attention saves and costs: products that go FP-INT, softmax mass held, output error.

``zoetrope study speculation [--clip PATH] [--tensors FILE] [--p P ...] [--queries TILES]`` prints it beside
what SIMPICKER
claims. Everything but speculation and quantization is ``float64`` (``golden.method.quality``).
"""

import math

from rich import box
from rich.table import Table

from zoetrope.golden.method.quality import quality
from zoetrope.golden.simcore.quantization_engine.prediction_unit import overhead
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import UserError, command_line, finite, whole
from zoetrope.sim.input import clips
from zoetrope.sim.run.console import console_of
from zoetrope.sim.studies.shares import shown

#: Proportions of the sum in the sweep; SIMPICKER's is 0.65. None: no tile or column is important.
SWEEP = (1.0, 0.9, 0.8, 0.65, 0.5, 0.3, 0.0, None)
PAPERS_P = 0.65

#: What SIMPICKER says of p = 0.65 (abstract, III-B, VI-B), and the sizes that its overheads are computed from.
CLAIM_PRODUCTS, CLAIM_ERROR = ">65%", "no loss"
CLAIM_SIZES = (35_100, 1350, 64)

#: Elements of P that the table under the benches is measured on.
ELEMENTS = 1_000_000


def measured(tensors, ps=SWEEP, queries=None):
    """``golden.method.quality.quality`` of a head; ``queries`` frames of its rows, or all. Text is a tile of its own, always
    important; it is put before the video, where the method wants it, and attention does not ask for an order."""
    q, k, v = tensors.matrices(text_first=True)
    return quality(q, k, v, tensors.q.shape[1], ps, text=tensors.text_tokens, queries=queries)


def summary(tensors):
    """A small table at the paper's p, measured on a few frames of rows."""
    frames, rows, _ = tensors.q.shape
    queries = min(frames, max(1, ELEMENTS // (rows * rows * frames)))
    title = f"speculation: what goes FP-INT, and the output's error (rms; {queries} of {frames} frames of rows)"
    table = Table(title=title)
    for name in ("p", "QK^T products", "PV products", "all products", "softmax held", "output error"):
        table.add_column(name, justify="right", no_wrap=True)
    found = measured(tensors, (PAPERS_P, None), queries)
    for each in found:
        shares = (each.p_products, each.a_products, each.products, each.mass)
        table.add_row(_p(each), *(f"{share:.1%}" for share in shares), _error(each.error))
    table.add_row(f"paper, {PAPERS_P}", "-", "-", CLAIM_PRODUCTS, "-", CLAIM_ERROR)
    table.caption = _unknown(found)
    return table


def sweep_table(found, tensors):
    frames, rows, d = tensors.q.shape
    text = f" and {tensors.text_tokens:,} of text" if tensors.text else ""
    title = f"speculation on {frames} frames of {rows} tokens{text}, d = {d}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    heads = ("\np", "tiles\nFP-INT", "QK^T\nFP-INT", "\nheld", "\nmost", "error\nP", "PV\nFP-INT", "error\nA")
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("all\nFP-INT", "error\nboth"):
        table.add_column(name, justify="right", no_wrap=True, style="bold")
    for each in found:
        shares = (each.tiles, each.p_products, each.mass, each.most_mass)
        cells = [f"{share:.1%}" for share in shares] + [_error(each.p_error)]
        cells += [f"{each.a_products:.1%}", _error(each.a_error), f"{each.products:.1%}", _error(each.error)]
        table.add_row(_p(each), *cells)
    table.add_section()
    table.add_row("paper", *["-"] * 7, CLAIM_PRODUCTS, CLAIM_ERROR)
    table.caption = _unknown(found)
    return table


def _p(found):
    return "none" if found.p is None else f"{found.p:g}"


def _error(error):
    return shown(error, ".3%")


def _unknown(found):
    """Why there are errors of ours that are no numbers, or None."""
    if all(math.isfinite(x) for each in found for x in (each.p_error, each.a_error, each.error)):
        return None
    return "no error: Q times K's scales is beyond FP16, or e to the power of a score beyond float64"


def overhead_table(tensors):
    """Work of speculation over that of what it speculates on, as published and as counted."""
    frames, rows, d = tensors.q.shape
    table = Table(title="overhead of speculation", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    heads = ["M", "N", "d", "P, published\n(M + N^2) / NM", "P, counted\n2/M + 1/N^2", "A, published\n(M + d) / Md"]
    for name in (*heads, "A, counted\n1/d + 1/M"):
        table.add_column(name, justify="right", no_wrap=True)
    for sizes in (CLAIM_SIZES, (frames * rows, rows, d)):
        cost = overhead(*sizes)
        cells = (f"{cost.p_published:.2%}", f"{cost.p:.4%}", f"{cost.a_published:.2%}", f"{cost.a:.2%}")
        table.add_row(*(f"{size:,}" for size in sizes), *cells)
    return table


_NOTES = f"""\
FP-INT: shares of tiles of P, of products of QK^T, of PV, of all.
p: a proportion of a row's sum, not of products. What goes FP-INT at
p = {PAPERS_P} depends on how evenly attention spreads. none: no tile and no column
is important, all is FP-INT. paper: what it says of p = {PAPERS_P}, and that scores of
the videos (CLIPSIM, VBench) lose nothing.
held: softmax of dense attention in important tiles; most: in as many, chosen
by that softmax.
error: of the output, rms over its rms, with FP-INT in QK^T alone (P), in PV
alone (A), in both.
Overhead: the paper's 3.92% for P does not follow from its method: sums of rows
of Q and K and a product of F x d by d x F are 2Md + F^2 d operations on the
M^2 d of QK^T. Its 1.57% for A does."""


@command_line
def main(argv=None):
    parser = Parser(
        "study speculation",
        "What speculation on the tiles of attention saves and costs: products that go FP-INT, softmax mass, output error.",
        "zoetrope study speculation --p 0.65 0.8 --queries 3",
        "zoetrope study speculation --tensors qkv.npz --json",
    )
    clips.add_options(parser)
    parser.add_argument(
        "--p", metavar="P", type=finite(), nargs="+", help="proportions of the sum instead of the sweep, 0 to 1"
    )
    parser.add_argument(
        "--queries", metavar="N", type=whole(1), help="measure on so many frames of rows instead of all"
    )
    parser.json()
    options = parser.parse_args(argv)
    for p in options.p or ():
        if not 0 <= p <= 1:
            raise UserError(f"--p must be between 0 and 1, not {p:g}")
    with answer(options) as tell:
        tensors = clips.chosen(options)
        console = console_of(110)
        console.print(f"input: {tensors.source}", markup=False, highlight=False, soft_wrap=True)
        found = measured(tensors, tuple(options.p or SWEEP), options.queries)
        tell({"input": tensors.source, "sweep": [{**each._asdict(), "products": each.products} for each in found]})
        console.print(sweep_table(found, tensors))
        console.print(overhead_table(tensors))
        console.print(_NOTES, highlight=False)
        if tensors.text:
            console.print("Text is a tile of its own, as rows and as keys, and always important.", highlight=False)
