# SPDX-License-Identifier: Apache-2.0
"""What it takes to hide the matching of ORBIS under attention: `zoetrope matching-budget`.

An instance of ORBIS is an array of 64 x 64 FP16 multiply-accumulates with a matching engine beside it; 38 of them equal the
peak of a GPU. While the arrays compute SDPA of a layer, 2 L^2 D multiply-accumulates for L tokens of D channels, the engines
match its output: (M - K) K D weighted squared differences a pairing, one a *lane* and cycle. Both clocks are the same, so

    lanes an instance = pairings * (M - K) K D / (38 * cycles of SDPA),    about pairings * 2048 * (1 - K / M) K / M

for any model, number of instances and clock. That counts pairing only; the engine is built with as many lanes as hide the
whole job of a head, by its own formulas of cycles, and counted by the generic flow. Memories stand apart, the engine's and
the array's. What it is set against is the array, in FP16 lanes of this project and in those that SIMPICKER publishes.
"""

import dataclasses

import numpy as np

from zoetrope.golden.orbis.matching.datm import match, weights
from zoetrope.golden.orbis.matching.dst_chooser import choose
from zoetrope.golden.orbis.matching.quantization_engine import encode, quantize
from zoetrope.golden.simcore.quantization_engine.quantization_unit import channel_amax
from zoetrope.hw import cache, catalogue
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.errors import UserError, command_line, finite, whole
from zoetrope.hw.files import table
from zoetrope.hw.orbis.matching.datm import Datm
from zoetrope.hw.orbis.matching.distance_accumulation_unit import FORMS, DistanceAccumulator
from zoetrope.hw.pe.fp16_pe import FP16PE, FP16PEConfig
from zoetrope.sim.input import clips
from zoetrope.sim.model import matching
from zoetrope.synth.costs import runs
from zoetrope.synth.flows import modules as flows
from zoetrope.synth.papers import orbis, simpicker

INSTANCES, ARRAY = orbis.CHIP.instances, 64 * 64

#: Share of an instance that ORBIS states for its matching engine with the quantization engine.
PAPER_SHARE = orbis.CHIP.share

#: K as a share of M.
RATIO = 0.1

#: The file that `zoetrope matching-budget` leaves for the report.
RESULT = "datm_budget.json"


@dataclasses.dataclass(frozen=True)
class Model:
    """A layer of a video diffusion transformer: ``video`` tokens M are matched, ``text`` tokens are not."""

    name: str
    video: int
    text: int
    heads: int
    channels: int

    @property
    def hidden(self):
        return self.heads * self.channels

    @property
    def sdpa_cycles(self):
        """Of one layer on all instances, their arrays full: queries by keys, weights by values."""
        return 2 * (self.video + self.text) ** 2 * self.hidden / (INSTANCES * ARRAY)

    def lanes(self, ratio, pairings):
        """Of one instance, so that ``pairings`` of a layer take as long as its SDPA; K is ``ratio`` of the video tokens."""
        slots = int(self.video * ratio)
        return pairings * (self.video - slots) * slots * self.hidden / (INSTANCES * self.sdpa_cycles)

    def busy(self, config, ratio, pairings):
        """Cycles of an engine for all heads that fall to it, over those of SDPA: loads, sums, updates and top-k (as many
        pairs as half of the tokens) included."""
        engine, slots = matching.datm_of(Datm(config=config)), int(self.video * ratio)
        sizes = self.video, slots, self.channels
        pair = matching.pair_cycles(*sizes, engine) + matching.load_cycles(slots, self.channels, engine)
        update = matching.sum_cycles(self.video, self.channels, engine) + matching.update_cycles(*sizes, engine)
        select = matching.select_cycles(self.video, slots, min(self.video // 2, self.video - slots), engine)
        return (pairings * pair + (pairings - 1) * update + select) * self.heads / INSTANCES / self.sdpa_cycles


MODELS = (
    Model("CogVideoX-5B, 49 frames of 480 x 720", 13 * 30 * 45, 226, 48, 64),
    Model("HunyuanVideo, 129 frames of 544 x 960", 33 * 34 * 60, 256, 24, 128),
)


def engine_config(lanes, form="table", weight_bits=8):
    """The ``paper`` preset with at least ``lanes`` lanes."""
    config = catalogue.find("datm").config("paper")
    dst_lanes = max(1, -(-int(np.ceil(lanes)) // config.channel_lanes))
    return dataclasses.replace(config, dst_lanes=dst_lanes, form=form, weight_bits=weight_bits)


def hiding_config(model, ratio, pairings, form="table", weight_bits=8):
    """The ``paper`` preset with the least lanes that hide the whole job of ``model``."""
    lanes = model.lanes(ratio, pairings)
    while True:
        config = engine_config(lanes, form, weight_bits)
        if model.busy(config, ratio, pairings) <= 1:
            return config
        lanes = config.distance.lanes + 1


def cost(component, name):
    """``flows.generic`` of a component."""
    return flows.generic(cache.rtlil(component, name), name)


def lane(form="table", weight_bits=8):
    """GE of a lane in a distance accumulator of the ``paper`` preset's size: ``lane`` alone, ``shared``, and their sum."""
    config = engine_config(48 * 16, form, weight_bits).distance
    found = cost(DistanceAccumulator(config=config), "accumulator")
    own = sum(
        part["count"] * part["ge"] for name, part in found["modules"].items() if name.startswith("distance_lanes")
    )
    return {
        "form": form,
        "weight_bits": weight_bits,
        "lane": own / config.lanes,
        "shared": (found["ge"] - own) / config.lanes,
        "sum": found["ge"] / config.lanes,
    }


def engines(configs, jobs=None, progress=None):
    """Whole engines, ``jobs`` tools at a time: of each config ``lanes``, ``ge``, ``control`` (what is no lane), ``bits`` of
    memory."""
    designs = runs.keep_modules((_engine_text(config) for config in configs), jobs=jobs, progress=progress)
    return [_engine(config, flows.generic(design.text, design.top)) for config, design in zip(configs, designs)]


def _engine_text(config):
    label = f"datm of {config.distance.lanes} lanes, {config.form}, {config.weight_bits} bits"
    return runs.Text(label, "datm", cache.rtlil(Datm(config=config), "datm"))


def _engine(config, found):
    distance = sum(
        part["count"] * part["ge"]
        for name, part in found["modules"].items()
        if name.startswith(("distance_lanes", "weight_table")) or name.endswith(".accumulator")
    )
    return {
        "lanes": config.distance.lanes,
        "ge": found["ge"],
        "control": found["ge"] - distance,
        "bits": found["memory_bits"],
    }


def array_ge():
    """Of 4,096 FP16 lanes of this project: multiplier, accumulator and their part of what a row shares."""
    config = FP16PEConfig()
    return cost(FP16PE(config=config), "fp16_pe")["ge"] / config.lanes * ARRAY


def shares(ratio, pairings, own, jobs=None, progress=None):
    """The engines that hide ``pairings`` a layer under SDPA, a dict a model and form of weights.

    ``needed`` lanes by the formula, ``lanes`` built, ``busy``, ``ge``, ``control``, ``bits``; ``share`` of engine and array
    by ``own``, GE of an array of this project's lanes, and ``share_published`` by an array of SIMPICKER's.
    """
    published = simpicker.TABLE_II["fp16_pes"].ge * ARRAY
    forms = (("table", 8), ("table", 4), ("word", 8), ("word", 4))
    cases = [(model, *form, hiding_config(model, ratio, pairings, *form)) for model in MODELS for form in forms]
    found = []
    for (model, form, bits, config), cost in zip(cases, engines([case[-1] for case in cases], jobs, progress)):
        row = {"model": model.name, "weights": f"{form}, {bits} bits", "needed": model.lanes(ratio, pairings)}
        row |= {"busy": model.busy(config, ratio, pairings), **cost}
        row["share"] = row["ge"] / (row["ge"] + own)
        row["share_published"] = row["ge"] / (row["ge"] + published)
        found.append(row)
    return found


def budget(ratio=RATIO, pairings=None, jobs=None, progress=None):
    """What the engines take that hide the matching of ``ratio`` of the tokens, as a dict that is JSON.

    ``ratio``; ``pairings`` a job, as many as the clip needs to 1 % if None; ``array_ge``; ``rows``, those of ``shares``.
    ``jobs`` and ``progress`` as in ``runs.measure_all``.
    """
    pairings = pairings or pairings_of(on_the_clip(ratio))
    own = array_ge()
    return {"ratio": ratio, "pairings": pairings, "array_ge": own, "rows": shares(ratio, pairings, own, jobs, progress)}


def pairings_of(quality):
    """Pairings a job, by ``on_the_clip``: with own weights, to 1 %."""
    return int(np.ceil(quality[0]["pairings, 1 %"]))


def on_the_clip(ratio, tokens=2_970, seeds=8):
    """What pairings and forms cost in quality, on V of the default clip: list of dicts, means over ``seeds`` first dst.

    ``pairings`` until the loss changes by less than 1 % of the first, and until nothing changes; ``loss``: mean squared
    distance of a src to its dst in units of the values, unquantized, relative to the first pairing with own weights. One
    seed's loss differs from the next one's by some 4 %, the forms' means by less.
    """
    v = clips.load().v
    x = v.reshape(-1, v.shape[-1])[:tokens]
    slots = max(1, int(len(x) * ratio))
    codes, amax = quantize(x)
    order, shared = shared_scales(x, catalogue.find("datm").config("paper").channel_lanes)
    grouped = encode(x[:, order], shared)
    forms = {
        "own weights, 8 bits": (codes, weights(amax, 8)),
        "own weights, 4 bits": (codes, weights(amax, 4)),
        "one weight a word, 8 bits": (grouped, weights(shared, 8)),
    }
    starts = [choose(len(x), slots, seed) for seed in range(1, seeds + 1)]
    found = {name: np.mean([_runs(x, *form, dst) for dst in starts], axis=0) for name, form in forms.items()}
    first = next(iter(found.values()))[2]
    heads = ("pairings, 1 %", "pairings, all", "loss, first", "loss, 1 %", "loss, all")
    return [
        {"weights": name, **dict(zip(heads, (values / [1, 1, first, first, first]).tolist()))}
        for name, values in found.items()
    ]


def _runs(x, q, w, dst):
    """Pairings to 1 % and to the end, and the losses after the first pairing, at 1 % and at the end."""
    first = match(q, dst, k=0, weights=w, cap=1)
    close = match(q, dst, k=0, weights=w, cap=100, eps=max(1, first.losses[0] // 100))
    full = match(q, dst, k=0, weights=w, cap=100)
    return [close.iterations, full.iterations, *(_mean(x, run) for run in (first, close, full))]


def shared_scales(x, channel_lanes):
    """(order of the channels by amax, amax of each in that order): the largest of a word stands for all channels of it."""
    amax = channel_amax(x)
    order = np.argsort(-amax.astype(np.float64), kind="stable")
    return order, amax[order][np.arange(len(order)) // channel_lanes * channel_lanes]


def _mean(x, run):
    x = x.astype(np.float64)
    return float(((x[run.all_src] - x[run.dst[run.all_slot]]) ** 2).sum(axis=1).mean())


@command_line
def main(arguments=None):
    parser = Parser(
        "matching-budget",
        "What it takes to hide the matching of ORBIS under attention: lanes, gates and their share of the array.",
        "zoetrope matching-budget",
        "zoetrope matching-budget --ratio 0.5 --pairings 4 --json",
    )
    parser.add_argument(
        "--ratio", metavar="R", type=finite(0), default=RATIO, help="K as a share of M (default: %(default)s)"
    )
    parser.add_argument(
        "--pairings", metavar="N", type=whole(1), help="of a job; as many as the clip needs to 1 %% otherwise"
    )
    parser.out("build/synth", f"folder of {RESULT}")
    parser.json()
    options = parser.parse_args(arguments)
    if not 0 < options.ratio < 1:
        raise UserError(f"--ratio must be above 0 and below 1, not {options.ratio}")
    with answer(options) as tell:
        found = _printed(options)
        runs.write_json(RESULT, found, options.out)
        tell(found)


def _printed(options):
    """The budget, printed with what it follows from."""
    quality = on_the_clip(options.ratio)
    pairings = options.pairings or pairings_of(quality)

    print(
        f"On the clip, K = {options.ratio:.0%} of the tokens: pairings until the loss changes by less than 1 % of the"
    )
    print("first, or not at all; mean pair loss relative to that of the first pairing; means of 8 seeds\n")
    print(table(list(quality[0]), [[_shown(value) for value in row.values()] for row in quality]))

    print("\nGE of a lane: its own, its part of what lanes share, both; 48 dst x 16 channels\n")
    lanes = [lane(form, bits) for form, bits in (*((form, 8) for form in FORMS), *((form, 4) for form in FORMS))]
    print(table(list(lanes[0]), [[_shown(value, 0) for value in row.values()] for row in lanes]))

    with runs.progress_bar() as progress:
        found = budget(options.ratio, pairings, progress=progress)
    own = found["array_ge"]
    rows = [
        [
            row["model"].partition(",")[0],
            f"{row['needed'] / pairings:.0f}",
            f"{row['needed']:.0f}",
            row["weights"],
            f"{row['lanes']:,}",
            f"{row['busy']:.1%}",
            f"{row['ge'] / 1e3:,.0f}",
            f"{row['control'] / 1e3:,.0f}",
            f"{row['bits'] / 8192:,.0f}",
            f"{row['share']:.1%}",
            f"{row['share_published']:.1%}",
        ]
        for row in found["rows"]
    ]
    heads = [
        "model",
        "a pairing",
        f"x {pairings}",
        "weights",
        "built",
        "busy",
        "kGE",
        "of it no lanes",
        "KiB",
        "share",
        "(3,470)",
    ]
    print(f"\nLanes an instance that hide {pairings} pairings under SDPA, {INSTANCES} instances of {ARRAY:,} MACs\n")
    print(table(heads, rows))
    preset = engine_config(1)
    print(
        f"\nbusy: cycles of the whole job over those of SDPA. kGE: of the engine, memories apart; KiB: of these, for"
        f"\n{preset.max_tokens:,} tokens of {preset.max_channels} channels, {preset.max_slots:,} dst (a head of CogVideoX)."
        f"\nshare: of engine and array, {own / 1e6:.1f} MGE of this project's FP16 lanes; (3,470): of the lanes that"
        f"\nSIMPICKER publishes, {simpicker.TABLE_II['fp16_pes'].ge * ARRAY / 1e6:.1f} MGE."
        f" ORBIS: {PAPER_SHARE:.1%}, quantization included."
    )
    return found


def _shown(value, digits=3):
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
