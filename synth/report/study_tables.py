# SPDX-License-Identifier: Apache-2.0
"""Tables of what the studies measure on the sample clip, as Markdown for the README and the pages of ``docs``."""

from zoetrope.golden.method.token_similarity import PAPER_TAU
from zoetrope.golden.simcore.quantization_engine.prediction_unit import overhead
from zoetrope.sim.studies import accuracy, head, matching, similarity, softmax_accuracy, speculation
from zoetrope.synth.report.markdown import markdown

#: Frames of the clip whose rows speculation is measured on, and frames that are matched: all of them take many seconds.
QUERIES, MATCHED = 3, 8


def accuracy_rows(tensors):
    """Errors of the readings of the product table, on seeded data and on the sample clip."""
    rows = accuracy.table(tensors)
    ways = list(next(iter(rows.values())))
    cells = [(name, *(f"{figures[way]:.5f}" for way in ways)) for name, figures in rows.items()]
    return markdown(("data", *ways), cells) + "\n\n`zoetrope study accuracy` makes this table."


def softmax_rows(tensors):
    """Errors of the special function unit."""
    header = ("data", "p max", "p mean", "p subnormal or 0", "e max", "e mean")
    keys = ("max", "mean", "small", "e max", "e mean")
    cells = [
        (name, *(f"{found[key]:.1%}" if key == "small" else f"{found[key]:.3f}" for key in keys))
        for name, found in softmax_accuracy.table(tensors).items()
    ]
    return markdown(header, cells) + "\n\n`zoetrope study softmax` makes this table."


def head_rows(found):
    """A head through SIMCORE's RTL, as ``sim.studies.head.document`` has it, and its speed-ups beside SIMPICKER's."""
    header = ("configuration", *head.RUN_HEADS[:5], "FP16 array busy", "LUT array busy")
    cells = [
        (*row[:6], *(f"{found['runs'][row[0]]['activity'][array]['busy']:.1%}" for array in head.ARRAYS))
        for row in head.run_cells(found)
    ]
    return (
        markdown(header, cells)
        + "\n\n"
        + markdown(("ablation", *head.paper_heads(found)), head.paper_cells(found))
        + f"\n\n{head.title(found)[0].upper()}{head.title(found)[1:]}; memory of {found['latency']} cycles. "
        + "`zoetrope head` makes these tables, and longer ones."
    )


def speculation_rows(tensors):
    """What goes FP-INT at several p, beside what SIMPICKER claims; P's overhead as published and as counted."""
    header = ("p", "tiles FP-INT", "QK^T FP-INT", "PV FP-INT", "all products FP-INT", "softmax held", "output error")
    cells = []
    for found in speculation.measured(tensors, (0.9, speculation.PAPERS_P, 0.5, None), QUERIES):
        shares = (found.tiles, found.p_products, found.a_products, found.products, found.mass)
        name = "nothing important" if found.p is None else f"{found.p:g}"
        cells.append((name, *(f"{share:.1%}" for share in shares), f"{found.error:.3%}"))
    claim = (f"SIMPICKER, {speculation.PAPERS_P:g}", "-", "-", "-", speculation.CLAIM_PRODUCTS, "-")
    cells.append((*claim, f'"{speculation.CLAIM_ERROR}"'))
    cost = overhead(*speculation.CLAIM_SIZES)
    return (
        markdown(header, cells)
        + "\n\nOverhead at the paper's sizes, published and counted: "
        + f"{cost.p_published:.2%} and {cost.p:.4%} for P, {cost.a_published:.2%} and {cost.a:.2%} for A. "
        + f"Error over {QUERIES} frames of rows; `zoetrope study speculation` makes this table over all."
    )


def similarity_rows(tensors):
    """Rows of Q that are skipped at several thresholds, and what it does to the output."""
    header = ("tau", "temporal", "spatial", "rows removed", "rms error of A", "worst row")
    points, *_ = similarity.qualities(tensors, (1.0, 1.5, 2.0, PAPER_TAU, 4.0))
    cells = []
    for point in points:
        tau = f"{point.tau:g}" + (", the paper's" if point.tau == PAPER_TAU else "")
        counts = (f"{point.temporal:,}", f"{point.spatial:,}", f"{point.removed:.1%}")
        cells.append((tau, *counts, f"{point.error:.1%}", f"{point.worst:.0%}"))
    return markdown(header, cells) + "\n\n`zoetrope study similarity` makes this table, a longer one, and its plot."


def matching_rows(tensors):
    """DATM against Bipartite Soft Matching, matched by the output of the step before and by V."""
    header = ("matched by", "matching", "pair loss", "of pairs kept", "output error", "with Q alone")
    found, _, slots = matching.table(tensors, frames=MATCHED)
    cells = [
        (guide, name, *(f"{figure:.3f}" for figure in each))
        for (guide, name), each in found.items()
        if guide in ("V", "output before")
    ]
    return (
        markdown(header, cells)
        + f"\n\n{MATCHED} frames of the clip, {slots} dst tokens, {matching.RATIO:.0%} of the tokens reduced. "
        + f"`zoetrope study matching --frames {MATCHED}` makes this table; without the limit, one of the whole clip."
    )
