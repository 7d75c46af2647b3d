# SPDX-License-Identifier: Apache-2.0
"""Heads of a video through SIMCORE's RTL: each output against that of the golden, bit for bit."""

import numpy as np

from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.errors import UserError
from zoetrope.sim.host.simcore import on_native, token_bytes
from zoetrope.sim.run.native import Native


def places(words, plan, chosen):
    """(step, layer, head) of each of ``words``. ``UserError`` for one that the video has not."""
    found = []
    for word in words:
        try:
            place = tuple(int(part) for part in word.split(","))
        except ValueError:
            place = ()
        if len(place) != 3:
            raise UserError(f"--rtl takes a step, a layer and a head as in 10,2,0, not {word!r}")
        for name, at, most in zip(("step", "layer", "head"), place, (plan.steps, plan.layers, plan.heads)):
            if not 0 <= at < most:
                raise UserError(f"--rtl {word}: there is no {name} {at}, the last one is {most - 1}")
        found.append(place)
    if found and not any(method.name == "simcore" for method in chosen):
        raise UserError("--rtl takes heads of the video that simcore makes: --methods simcore")
    return found


class Kept(dict):
    """Q, K, V and A of the places that are wanted, each (tokens, d) in FP16."""

    def __init__(self, wanted):
        super().__init__()
        self.wanted = wanted

    def __call__(self, step, layer, q, k, v, out):
        for place in self.wanted:
            if place[:2] == (step, layer):
                self[place] = [x[place[2]].astype(np.float16) for x in (q, k, v, out)]


def run(kept, method, grid, say):
    """One row a head: where, cycles of the RTL, elements compared. ``UserError`` where one differs."""
    if not kept:
        return []
    geometry, rows = Geometry(*grid), []
    native = Native.build(catalogue.find("simcore").component(config=method.config), "simcore")
    size = geometry.tokens * token_bytes(64, method.config.data_bits // 8)
    for place, (*qkv, golden) in kept.items():
        machine = on_native(native, 4 * size)
        done = machine.run(*qkv, geometry, method.settings)
        wrong = int((done.a.view(np.uint16) != golden.view(np.uint16)).sum())
        name = "step {}, layer {}, head {}".format(*place)
        if wrong:
            raise UserError(f"{name}: {wrong} of {golden.size} elements of the RTL differ from the golden's")
        cycles = int(done.counters["cycles"])
        say(f"{name} in RTL: {golden.size:,} elements equal to the golden's, {cycles:,} cycles")
        rows.append({"place": place, "cycles": cycles, "elements": golden.size})
    return rows
