# SPDX-License-Identifier: Apache-2.0
"""The figures of the documentation: how a head flows, the rooms, and the papers' figures drawn anew from their text.

Each is a function of ``FIGURES`` that returns a ``Drawing``. A box leads to its block of the catalogue, or to the part of a
page that says what stands in its place.
"""

from zoetrope.command.site.drawing import Drawing

SIMCORE = "machines/simcore.md"
ORBIS = "machines/orbis.md"


def head():
    """From Q, K and V to A."""
    d = Drawing("How a head of attention flows through SIMCORE", 780, 800)
    q, k, v = (
        d.box(60 + 245 * n, 14, 170, 44, f"{name}\n(tokens, channels), FP16", to="formats.md#fp16", kind="number")
        for n, name in enumerate("QKV")
    )
    d.frame(20, 80, 740, 130, "1  prologue: what is known before any score is computed", to="prologue")
    sparse = d.box(
        40,
        112,
        210,
        80,
        "sparsification unit\nwhich tokens of Q repeat another:\nthe index table",
        to="sparsification_unit",
    )
    predict = d.box(285, 112, 210, 80, "prediction unit\nwhich tiles of P matter:\nthe map of P", to="prediction_unit")
    quantize = d.box(
        530, 112, 210, 80, "quantization unit\nK and V as INT8,\na scale for each channel", to="quantization_unit"
    )
    d.arrow(q.bottom(), (145, 112))
    d.arrow(q.bottom(0.9), predict.top(0.2), bend="vv", at=0.32)
    d.arrow(k.bottom(), (390, 112))
    d.arrow(k.bottom(0.9), quantize.top(0.2), bend="vv", at=0.32)
    d.arrow(v.bottom(0.5), (635, 112))
    fetch = d.box(40, 238, 210, 56, "row fetcher\nkept rows of Q, in slices", to="row_fetcher")
    schedule = d.box(
        285,
        238,
        455,
        56,
        "tile schedule\na slice of Q meets one tile of keys after the other",
        to="tile_schedule",
    )
    d.arrow(sparse.bottom(), fetch.top())
    d.arrow(predict.bottom(), (390, 238))
    d.arrow(quantize.bottom(), (635, 238))
    d.arrow(fetch.right(), schedule.left())
    d.frame(20, 320, 740, 118, "2  S = Q Kᵀ, both arrays at once", to="computing_engine")
    fp16 = d.box(80, 352, 280, 66, "FP16 array\nimportant tiles: FP16 x FP16", to="fp16_pe")
    lut = d.box(420, 352, 280, 66, "LUT array\nthe other tiles: FP16 x INT8 by look-up", to="lut_pe")
    d.arrow((390, 294), fp16.top(), bend="vv", at=0.35)
    d.arrow((390, 294), lut.top(), bend="vv", at=0.35)
    sfu = d.box(180, 462, 420, 56, "special function unit\nsoftmax of the scores of this tile of keys", to="sfu")
    d.arrow(fp16.bottom(), sfu.top(0.15), bend="vv")
    d.arrow(lut.bottom(), sfu.top(0.85), bend="vv")
    columns = d.box(
        180, 540, 420, 46, "column importance\nwhich columns of A matter in this slice", to="column_importance"
    )
    d.arrow(sfu.bottom(), columns.top(), "P", side="right")
    d.frame(20, 608, 740, 108, "3  A = P V, both arrays at once", to="computing_engine")
    fp16 = d.box(80, 638, 280, 60, "FP16 array\nimportant columns", to="fp16_pe")
    lut = d.box(420, 638, 280, 60, "LUT array\nthe other columns", to="lut_pe")
    d.arrow(columns.bottom(0.25), fp16.top(0.7), bend="vv")
    d.arrow(columns.bottom(0.75), lut.top(0.3), bend="vv")
    merge = d.box(
        60, 738, 300, 50, "column merge, tile merge\nsums of all tiles of keys, divided", to="tile_merge_unit"
    )
    recovery = d.box(400, 738, 190, 50, "recovery\nrows that repeat others", to="recovery")
    a = d.box(630, 738, 130, 50, "A\nin memory", to="formats.md#fp16", kind="number")
    d.arrow(fp16.bottom(), merge.top(0.53))
    d.arrow(lut.bottom(), merge.top(0.8), bend="vv", at=0.62)
    d.arrow(merge.right(), recovery.left())
    d.arrow(recovery.right(), a.left())
    return d


def rooms():
    """The five rooms and what each may see."""
    d = Drawing("The rooms of the repository and which imports which", 780, 330)
    golden = d.box(20, 250, 200, 62, "golden/\nwhat it computes: NumPy", to="goldens.md", kind="number")
    hw = d.box(300, 250, 200, 62, "hw/\nhow it is built: Amaranth", to="architecture.md#the-rooms")
    sim = d.box(170, 150, 220, 62, "sim/\nbenches, drivers, studies", to="architecture.md#the-rooms")
    synth = d.box(410, 150, 220, 62, "synth/\ncosts, report, boards", to="costs.md")
    command = d.box(250, 20, 280, 62, "command/\nthe one command, zoetrope", to="commands.md")
    tests = d.box(600, 20, 150, 62, "tests/\nsee everything", to="contributing.md")
    d.arrow(command.bottom(0.35), sim.top(0.7), bend="vv")
    d.arrow(command.bottom(0.65), synth.top(0.35), bend="vv")
    d.arrow(sim.bottom(0.2), golden.top(0.6), bend="vv")
    d.arrow(sim.bottom(0.8), hw.top(0.2), bend="vv")
    d.arrow(synth.left(), sim.right())
    d.arrow(synth.bottom(0.4), hw.top(0.82), bend="vv")
    d.arrow(tests.left(), command.right())
    d.note(260, 285, "never", "middle")
    told = (
        "An arrow points to what is imported;",
        "none runs upward. Golden and hw never",
        "see each other: a bench compares them,",
        "bit by bit.",
    )
    d.note(525, 258, "\n".join(told))
    return d


def simcore():
    """SIMPICKER, Fig. 4(a)."""
    d = Drawing("SIMCORE, after SIMPICKER Fig. 4(a)", 780, 420)
    d.box(20, 20, 740, 44, "memory outside: Q, K, V and A, over AXI4", to="axi_master", kind="memory")
    host = d.box(20, 92, 150, 66, "registers\nAXI4-Lite, interrupt", to="registers.md")
    buffers = d.box(
        200,
        92,
        560,
        66,
        "readers, arbiter, writer, on-chip buffers\nin place of the paper's global buffer",
        to="axi_read_arbiter",
        kind="memory",
    )
    control = d.box(20, 188, 150, 212, "control\nprologue,\ntile schedule,\nrow fetcher", to="simcore_core")
    ce = d.box(
        200,
        188,
        250,
        212,
        "(c) LUT-based computing engine\nFP16 engine and mixed engine",
        to=f"{SIMCORE}#fig-4c-computing-engine",
    )
    qe = d.box(
        480,
        188,
        280,
        60,
        "(b) quantization engine\nprediction unit, quantization unit",
        to=f"{SIMCORE}#fig-4b-quantization-engine",
    )
    se = d.box(
        480,
        264,
        280,
        60,
        "(d) sparsification engine\nsimilar tokens, index buffer",
        to=f"{SIMCORE}#fig-4d-sparsification-engine",
    )
    sfu = d.box(480, 340, 280, 60, "special function unit\nsoftmax, and its merge over tiles", to="sfu")
    d.arrow((480, 64), buffers.top(), "words of the bus", side="right")
    d.arrow(host.bottom(), control.top())
    d.arrow((325, 158), (325, 188))
    d.arrow((620, 158), (620, 188))
    d.arrow(control.right(0.5), ce.left(0.5))
    for part in (qe, se, sfu):
        y = part.y + 30
        d.arrow((480, y), (450, y))
    return d


def quantization_engine():
    """SIMPICKER, Fig. 4(b)."""
    d = Drawing("The quantization engine, after SIMPICKER Fig. 4(b)", 780, 340)
    d.frame(20, 16, 500, 308, "prediction unit (PU)", to="prediction_unit")
    tree = d.box(44, 56, 200, 60, "reduction tree\nsums over the tokens of a frame", to="reduction_tree")
    product = d.box(296, 56, 200, 60, "reduced product\nmeans of Q times means of K", to="prediction_unit")
    sort = d.box(296, 156, 200, 60, "sort & select unit (S&SU)\nlargest until the sum exceeds p", to="sort_select")
    score = d.box(44, 156, 200, 60, "score buffer\nthe map, a bit a tile", to="score_buffer", kind="memory")
    columns = d.box(
        44,
        246,
        452,
        60,
        "column importance\nthe same for the columns of A, from rows of P in flight",
        to="column_importance",
    )
    d.arrow((144, 6), tree.top())
    d.note(152, 14, "Q, K")
    d.arrow(tree.right(), product.left())
    d.arrow(product.bottom(), sort.top(), "Z, through the SFU", side="left")
    d.arrow(sort.left(), score.right())
    d.arrow(columns.top(0.779), sort.bottom(0.5))
    d.frame(546, 16, 214, 308, "quantization unit (QU)", to="quantization_unit")
    amax = d.box(562, 56, 182, 70, "largest of each channel\nfirst pass over K, V", to="quantization_unit")
    scale = d.box(562, 146, 182, 60, "scale = largest / 127\ndivided exactly", to="reciprocal")
    code = d.box(562, 226, 182, 80, "INT8 code\nsecond pass: x / scale,\nsign and 7 bits", to="formats.md#int8")
    d.arrow((653, 6), amax.top())
    d.note(661, 14, "K, V")
    d.arrow(amax.bottom(), scale.top())
    d.arrow(scale.bottom(), code.top())
    return d


def computing_engine():
    """SIMPICKER, Fig. 4(c)."""
    d = Drawing("The computing engine, after SIMPICKER Fig. 4(c)", 780, 430)
    d.frame(20, 16, 350, 320, "FP16 engine")
    fx = d.box(40, 50, 150, 56, "operand memories\nx and w, two banks", to="transpose_buffer", kind="memory")
    fp16 = d.box(40, 140, 310, 82, "FP16 PEs, 8 x 8\neach: 8 exact products FP16 x FP16,\nadded in FP32", to="fp16_pe")
    d.box(40, 252, 310, 64, "element-wise units (EWU), 4 x 8\na ± b, a x b, max, for the other engines", to="ewu")
    d.arrow(fx.bottom(), fp16.top(0.24))
    d.frame(410, 16, 350, 320, "mixed engine")
    lx = d.box(430, 50, 150, 56, "operand memories\nx and w, two banks", to="transpose_buffer", kind="memory")
    buffer = d.box(610, 50, 130, 56, "LUT buffer\n128 KiB of products", to="lut_buffer", kind="memory")
    lut = d.box(430, 140, 310, 82, "LUT PEs, 16 x 8\neach: 8 look-ups FP16 x INT8,\nadded in FP32", to="lut_pe")
    d.box(
        430,
        252,
        310,
        64,
        "built beside it, for comparison\nplain, split and aligned multipliers",
        to="costs.md#five-ways-to-multiply-fp16-by-int8",
    )
    d.arrow(lx.bottom(), lut.top(0.24))
    d.arrow(buffer.bottom(), lut.top(0.79), "slices", side="left")
    scale = d.box(430, 356, 310, 56, "scale unit\nscales of V to the sums", to="scale_unit")
    merge = d.box(40, 356, 310, 56, "column merge\ncolumns of A from both arrays", to="column_merge")
    d.arrow((755, 222), scale.right(), bend="v")
    d.arrow(scale.left(), merge.right())
    d.arrow((30, 222), merge.left(), bend="v")
    d.arrow((390, 28), (390, 46))
    d.note(390, 14, "jobs: tiles of S, tiles of A", "middle")
    return d


def sparsification_engine():
    """SIMPICKER, Fig. 4(d)."""
    d = Drawing("The sparsification engine, after SIMPICKER Fig. 4(d)", 780, 300)
    d.frame(20, 16, 470, 268, "sparsification unit (SU)", to="sparsification_unit")
    distance = d.box(44, 56, 190, 66, "distance\n(x - y)², over the channels", to="sparsification_unit")
    tree = d.box(276, 56, 190, 66, "comparison tree\nnearest of the candidates", to="min_tree")
    tau = d.box(44, 170, 190, 66, "T register\nthe threshold, as tau²", to="registers.md")
    compare = d.box(276, 170, 190, 66, "nearer than tau?\nthen it repeats that token", to="float_compare")
    d.arrow((139, 6), distance.top())
    d.note(147, 14, "Q, frame by frame")
    d.arrow(distance.right(), tree.left())
    d.arrow(tree.bottom(), compare.top())
    d.arrow(tau.right(), compare.left())
    index = d.box(530, 56, 230, 66, "index buffer\neach token's root", to="index_buffer", kind="memory")
    reorder = d.box(530, 170, 230, 66, "reorder & recover unit (R&RU)\nQ to Q_c, A_c to A", to="reorder_recover_unit")
    recovery = d.box(530, 252, 230, 34, "recovery, in memory", to="recovery")
    d.arrow(compare.right(), index.left(), bend="hh")
    d.arrow(index.bottom(), reorder.top())
    d.arrow(reorder.bottom(), recovery.top())
    return d


def lut_multiplier():
    """SIMPICKER, Fig. 5."""
    d = Drawing("The LUT multiplier, after SIMPICKER Fig. 5", 780, 350)
    x = d.box(20, 30, 150, 52, "x, FP16\nshared by the PE's lanes", to="formats.md#fp16", kind="number")
    w = d.box(20, 286, 150, 50, "w, INT8\nanother for each lane", to="formats.md#int8", kind="number")
    buffer = d.box(
        230, 20, 200, 72, "LUT buffer\n1,024 fractions x 64 entries\nof 16 bits", to="lut_buffer", kind="memory"
    )
    d.frame(230, 120, 330, 214, "one of 8 lanes")
    bank_a = d.box(250, 152, 130, 62, "bank A\nof the local table: read", to="local_table", kind="memory")
    bank_b = d.box(408, 152, 130, 62, "bank B\nof it: being filled", to="local_table", kind="memory")
    add = d.box(300, 252, 190, 60, "LUT multiplier\nfraction, + exponents, sign", to="lut_multiplier")
    total = d.box(610, 245, 150, 74, "FP32 sum\nof each output", to="float_add")
    out = d.box(610, 150, 150, 52, "sums\nto the SFU, or A", to="lut_pe", kind="number")
    d.arrow(x.right(), buffer.left(), "fraction")
    d.arrow(buffer.right(), bank_b.top(0.5), "the next slice,\nunder cover", bend="h", side="right")
    d.arrow(w.right(), add.left(0.75), "odd part, shift", bend="hh", at=0.7)
    d.arrow(bank_a.bottom(), add.top(0.24), "entry", side="right")
    d.arrow(x.bottom(), add.left(0.25), "exponent", bend="v", side="right")
    d.arrow(add.right(), total.left(), "FP17")
    d.arrow(total.top(), out.bottom())
    return d


def orbis():
    """ORBIS, Fig. 6: what is built of it."""
    d = Drawing("The matching engine, after ORBIS Fig. 6 and Algorithm 1", 780, 520)
    dxe = d.box(
        20,
        20,
        250,
        66,
        "diffusion execution engine\nsystolic array, vector unit: not built",
        to=f"{ORBIS}#what-is-not-built",
        kind="plan",
    )
    memory = d.box(510, 20, 250, 66, "memory\nSDPA outputs in, index pairs out", to="matching_engine", kind="memory")
    d.frame(20, 110, 740, 390, "matching engine", to="matching_engine")
    quantize = d.box(40, 146, 230, 66, "quantization engine\n4 bits, a scale a channel", to="quantization_engine")
    codes = d.box(300, 146, 160, 66, "codes\nkept on the chip", to="matching_engine", kind="memory")
    choose = d.box(490, 146, 250, 66, "dst chooser\nK tokens, drawn from a seed", to="dst_chooser")
    d.frame(40, 240, 700, 244, "DATM engine: until the loss stays the same", to="datm")
    dau = d.box(
        60, 276, 210, 70, "distance accumulation unit\nof each src to each dst", to="distance_accumulation_unit"
    )
    tree = d.box(300, 276, 180, 70, "min tree\nthe nearest dst", to="min_tree")
    check = d.box(510, 276, 210, 70, "convergence check\nmean loss, before and now", to="datm")
    update = d.box(300, 386, 180, 76, "dst update\nthe member nearest\nto its group's mean", to="datm")
    top = d.box(510, 386, 210, 76, "top-k\nthe k pairs of least distance,\nbitonic rows and merges", to="top_k")
    d.arrow(dxe.right(), memory.left())
    d.arrow(memory.bottom(0.1), quantize.top(), bend="vv", at=0.4)
    d.arrow(quantize.right(), codes.left())
    d.arrow(codes.bottom(), dau.top(0.8), bend="vv", at=0.3)
    d.arrow(choose.bottom(), (615, 240))
    d.arrow(dau.right(), tree.left())
    d.arrow(tree.right(), check.left())
    d.arrow(check.bottom(0.2), update.top(0.7), "not yet", bend="vv", side="above")
    d.arrow(update.left(), dau.bottom(), "new dst", bend="h")
    d.arrow(check.bottom(0.7), (657, 386), "converged", side="right")
    d.arrow(top.right(), (750, 86), bend="h")
    return d


FIGURES = {
    "head": head,
    "rooms": rooms,
    "simcore": simcore,
    "quantization_engine": quantization_engine,
    "computing_engine": computing_engine,
    "sparsification_engine": sparsification_engine,
    "lut_multiplier": lut_multiplier,
    "orbis": orbis,
}
