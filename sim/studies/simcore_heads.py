# SPDX-License-Identifier: Apache-2.0
"""Random heads, right and wrong ones, on a native SIMCORE: each against the golden, all of memory looked at.

``zoetrope heads [--preset tiny] [--heads 1000] [--seed 0] [--faults]`` goes on until a head is
wrong, and says
which: ``--first N`` begins with that one. A head's sizes, switches, numbers, matrices, and the memory's latency and pauses
follow from the seed and its number; with ``--faults`` every other head must end with an error.
"""

import sys
import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from zoetrope.golden.formats import FP16, is_finite
from zoetrope.golden.simcore.chip.simcore import Settings, simcore
from zoetrope.golden.simcore.geometry import Geometry
from zoetrope.hw import catalogue
from zoetrope.hw.arguments import Parser, answer
from zoetrope.hw.axi.registers import describe
from zoetrope.hw.errors import UserError, command_line, whole
from zoetrope.hw.simcore.chip.simcore_registers import REGISTERS, Cause
from zoetrope.sim.host.simcore import SWITCHES, Addresses, SimcoreError, on_native, settings_of, token_bytes
from zoetrope.sim.run.native import Native, NativeError

_NAN, _INFINITY, _NEGATIVE, _ONE = 0x7FC00000, 0x7F800000, 0xBF800000, 0x3F800000

#: How the elements of a matrix are made: see ``matrix``.
KINDS = ("normal", "normal", "cancelling", "equal", "wide", "tiny", "codes")


@dataclass
class Head:
    """A head, where it stands in memory, what the memory does, and what must come of it: ``cause`` or the golden's A.

    ``changes`` of registers; words of ``reads`` and ``writes`` fail; ``meddle``: registers are written and a second start is
    asked for while it runs.
    """

    geometry: Geometry
    settings: Settings
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    places: Addresses
    base: int
    size: int
    latency: int = 2
    pauses: int | None = None
    behind: int = 0
    cause: Cause = Cause.NONE
    fault: str = ""
    changes: dict = field(default_factory=dict)
    reads: range = range(0)
    writes: range = range(0)
    meddle: bool = False

    @property
    def channels(self):
        return self.q.shape[1]

    def __str__(self):
        g, s = self.geometry, self.settings
        off = [name for name in SWITCHES if not getattr(s, name)]
        return (
            f"{g.frames} frames of {g.height} x {g.width}, text {g.text} {'before' if g.text_first else 'after'}, "
            f"{self.channels} channels, tau {s.tau}, window {s.window}, group {s.group}, p {s.p_p} {s.p_a}, "
            f"without {', '.join(off) or 'nothing'}, latency {self.latency}, pauses {self.pauses}"
            + (f", {self.fault}" if self.fault else "")
        )


def random_head(rng, c):
    """A head that SIMCORE of config ``c`` takes; small ones more often than large ones."""
    size = rng.choice([0.3, 0.6, 1.0])

    def up_to(most):
        return int(rng.integers(1, max(2, int(size * most) + 1)))

    while True:
        text = up_to(c.max_text) if rng.random() < 0.5 else 0
        geometry = Geometry(up_to(c.max_frames), up_to(c.max_height), up_to(c.max_width), text, bool(rng.integers(2)))
        if geometry.frames * geometry.rows <= c.max_tokens:
            break
    d = int(rng.integers(1, c.max_channels + 1)) if rng.random() < 0.7 else c.max_channels
    switches = {name: bool(rng.random() < 0.7) for name in SWITCHES}
    settings = replace(
        settings_of(c),
        **switches,
        p_p=_proportion(rng),
        p_a=_proportion(rng),
        tau=float(rng.choice([0.0, 1.0, 2.5, 4.0, 1e3, np.inf])),
        window=int(rng.integers(1, c.max_window + 1)),
        group=int(rng.integers(1, c.max_width + 3)),
    )
    shape = (geometry.tokens, d)
    kinds = [str(rng.choice(KINDS)) for _ in "qkv"]
    if rng.random() < 0.3:  # every key counts alike, and their sums show the order in which they are made
        kinds = ["tiny", "normal", "cancelling"]
    q, k, v = (matrix(rng, kind, shape) for kind in kinds)
    word = c.data_bits // 8
    pitch = geometry.tokens * token_bytes(d, word)
    space = 1 << c.address_bits
    where, address = {}, 0
    for name in rng.permutation(["q", "k", "v", "a"]):
        address += word * int(rng.integers(0, 40))
        where[str(name)], address = address, address + pitch
    size = address + word * int(rng.integers(0, 3))
    base = int(rng.choice([space // 2, space - size]))
    return Head(
        geometry,
        settings,
        q,
        k,
        v,
        Addresses(**{name: base + address for name, address in where.items()}),
        base,
        size,
        latency=int(rng.choice([1, 2, 10, 60])),
        pauses=int(rng.integers(1 << 20)) if rng.random() < 0.5 else None,
        behind=int(rng.choice([0, 0x7E00, 0x7C00, 0xFC00, 0x3C00])),
        meddle=bool(rng.random() < 0.2),
    )


def _proportion(rng):
    return float(rng.choice([0.0, 0.3, 0.65, 0.9, 1.0, rng.random()]))


def matrix(rng, kind, shape):
    """``float16``: normal numbers; small ones among large ones that cancel; ones that are all alike; of many exponents; next
    to none; any finite code."""
    normal = rng.standard_normal(shape)
    if kind == "cancelling":
        normal = np.where(rng.random(shape) < 0.4, np.sign(normal) * 30_000, normal)
    elif kind == "equal":
        normal = np.round(normal[:1].repeat(shape[0], axis=0)) + (rng.random(shape) < 0.02)
    elif kind == "wide":
        normal = normal * np.exp2(rng.integers(-20, 6, shape))
    elif kind == "tiny":
        normal = normal * 1e-3
    elif kind == "codes":
        codes = rng.integers(0, 1 << 16, shape).astype(np.uint16)
        return np.where(is_finite(codes, FP16), codes, 0).astype(np.uint16).view(np.float16)
    return normal.astype(np.float16)


# -- faults --------------------------------------------------------------------------------------------------------------


def random_fault(rng, c, head):
    """``head`` with something wrong that must end it, and the cause that must be said."""
    _, _, cause = expected(head)
    if cause != Cause.NONE:
        return head
    kind = str(rng.choice(["not finite", "not finite", "register", "read", "read", "write", "recovery", "outside"]))
    if kind == "register":
        cases = registers_that_are_wrong(c, head.geometry, head.channels, head.places)
        changes, cause = cases[int(rng.integers(len(cases)))]
        return replace(head, changes=changes, cause=cause, fault=str(changes))
    if kind == "not finite":
        name = str(rng.choice(list("qkv")))
        x = getattr(head, name).copy()
        token = int(rng.choice([0, len(x) - 1, rng.integers(len(x))]))
        channel = int(rng.choice([0, head.channels - 1, rng.integers(head.channels)]))
        x[token, channel] = rng.choice([np.nan, np.inf, -np.inf])
        causes = {"q": Cause.NOT_FINITE_Q, "k": Cause.NOT_FINITE_K, "v": Cause.NOT_FINITE_V}
        return replace(
            head, **{name: x}, cause=causes[name], fault=f"{x[token, channel]} in {name}[{token}, {channel}]"
        )
    word = c.data_bits // 8
    pitch = token_bytes(head.channels, word)
    if kind == "outside":
        name = str(rng.choice(list("qkva")))
        return replace(head, changes=halves(name, 0), cause=_bus_cause(name), fault=f"no memory where {name} stands")
    name = "a" if kind in ("write", "recovery") else str(rng.choice(list("qkv")))
    token = int(rng.choice([0, head.geometry.tokens - 1, rng.integers(head.geometry.tokens)]))
    start = getattr(head.places, name) + token * pitch
    hole = range(start, start + word)
    if kind == "recovery":
        result = simcore(head.q, head.k, head.v, head.geometry, head.settings)
        roots = np.unique(result.table[result.kind != 0])
        if not len(roots):
            return random_fault(rng, c, head)
        start = head.places.a + int(rng.choice(roots)) * pitch
        hole = range(start, start + word)
        return replace(head, reads=hole, cause=Cause.READ, fault=f"reads of A fail at {start:#x}")
    ways = {"writes": hole} if kind == "write" else {"reads": hole}
    return replace(head, **ways, cause=_bus_cause(name), fault=f"{kind} of {name} fails, token {token}")


def _bus_cause(name):
    return Cause.WRITE if name == "a" else Cause.READ


def registers_that_are_wrong(c, geometry, channels, places):
    """(register to value, cause) of everything that a machine of config ``c`` refuses."""
    cases = [({name: 0}, Cause.GEOMETRY) for name in ("frames", "height", "width", "channels", "window", "group")]
    limits = {"frames": c.max_frames, "height": c.max_height, "width": c.max_width, "channels": c.max_channels}
    limits |= {"text": c.max_text, "window": c.max_window}
    for name, most in limits.items():
        values = {most + 1, 2 * most + 2, _largest(name)}
        cases += [({name: value}, Cause.GEOMETRY) for value in values if most < value <= _largest(name)]
    most = {name: limits[name] for name in ("frames", "height", "width")}
    if np.prod(list(most.values())) > c.max_tokens:
        cases.append((most, Cause.GEOMETRY))
    space, word = 1 << c.address_bits, c.data_bits // 8
    matrix_bytes = geometry.tokens * token_bytes(channels, word)
    for name in "qkva":
        here = getattr(places, name)
        cases += [(halves(name, here + wrong), Cause.ADDRESS) for wrong in {1, word // 2, word - 1}]
        cases += [
            (halves(name, space - matrix_bytes + word), Cause.ADDRESS),
            (halves(name, space - word), Cause.ADDRESS),
        ]
        if matrix_bytes == word:
            cases = cases[:-2]
        if c.address_bits < 64:
            cases += [(halves(name, here + space), Cause.ADDRESS), (halves(name, here + (1 << 63)), Cause.ADDRESS)]
    cases += [({name: p}, Cause.PROPORTION) for name in ("p_p", "p_a") for p in ((1 << 12) + 1, _largest(name))]
    cases += [({"tau_squared": code}, Cause.THRESHOLD) for code in (_NEGATIVE, 1 << 31, _NAN, _NAN | 1 << 31)]
    for name in ("frame_inverse", "score_scale"):
        cases += [({name: code}, Cause.SCALE) for code in (0, 1 << 31, _ONE | 1 << 31, _INFINITY, _NAN)]
    return cases


def _largest(name):
    """All ones in the fields of a register."""
    fields = describe(REGISTERS)[name]["fields"].values()
    return (1 << max(f["bit"] + f["width"] for f in fields)) - 1


def halves(name, address):
    return {f"{name}_low": address & 0xFFFFFFFF, f"{name}_high": address >> 32}


# -- runs ----------------------------------------------------------------------------------------------------------------


class WrongHead(UserError):
    """A head did not become what it must."""


class Done(NamedTuple):
    """``cycles`` of a head; ``cause`` of its end."""

    cycles: int
    cause: Cause


def expected(head):
    """(A or None, counters, cause) by the golden."""
    if head.cause != Cause.NONE:
        return None, {}, head.cause
    try:
        result = simcore(head.q, head.k, head.v, head.geometry, head.settings)
    except ValueError as error:
        if "beyond FP16" not in str(error):
            raise
        return None, {}, Cause.FOLD
    s = result.statistics
    counters = {"rows_kept": s.tokens - s.temporal - s.spatial, "slices": s.slices}
    return result.a, {**counters, "tiles_fp16": s.important, "tiles_lut": s.tiles - s.important}, Cause.NONE


def run_head(native, c, head, *, limit=1_000_000):
    """The head on a machine of config ``c`` that is not reset before it. ``WrongHead`` says what is not as it must be."""
    machine = on_native(
        native, head.size, base=head.base, behind=head.behind, latency=head.latency, seed=head.pauses, limit=limit
    )
    memory = machine.memory
    memory.data[:] = np.random.default_rng(head.size).integers(0, 256, head.size, dtype=np.uint8)
    memory.fail(reads=head.reads, writes=head.writes)
    a, counters, cause = expected(head)
    try:
        started = machine.start(
            head.q, head.k, head.v, head.geometry, head.settings, places=head.places, changes=head.changes
        )
        before = memory.data.copy()
        if head.meddle and cause not in REFUSALS:  # these end at once
            _meddle(machine.registers)
        run = machine.finish(started)
    except SimcoreError as error:
        found, counted = error.cause, error.counters
    except NativeError as error:
        raise WrongHead(f"{head}: {error}") from None
    else:
        found, counted = Cause.NONE, run.counters
    if found != cause:
        raise WrongHead(f"{head}: ended with {found.name}, and should have ended with {cause.name}")
    if head.meddle and cause not in REFUSALS:
        if not machine.registers.read("status.refused"):
            raise WrongHead(f"{head}: the start while it was busy was not said to be refused")
        machine.registers.write("status.refused", 1)
    _look_at(memory.data, before, c, head, kept=cause in REFUSALS)
    if a is None:
        return Done(counted["cycles"], found)
    wrong = np.argwhere(run.a.view(np.uint16) != a.view(np.uint16))
    if len(wrong):
        raise WrongHead(f"{head}: {len(wrong)} of {a.size} elements of A are wrong, the first at {wrong[0].tolist()}")
    if wrong := {name: (counted[name], value) for name, value in counters.items() if counted[name] != value}:
        raise WrongHead(f"{head}: counters (got, expected): {wrong}")
    return Done(counted["cycles"], found)


#: Causes that are found before anything is read.
REFUSALS = (Cause.GEOMETRY, Cause.ADDRESS, Cause.PROPORTION, Cause.THRESHOLD, Cause.SCALE)


def _meddle(registers):
    """A start that is too early, and the next head's registers."""
    registers.write("control", 1 | 1 << 16)  # the interrupt stays enabled
    for name in ("frames", "height", "width", "channels", "text", "p_a", "a_low", "k_high", "window"):
        registers.write(name, 0xF1)


def _look_at(after, before, c, head, kept):
    """Nothing has changed but A's channels, and, if ``kept``, not even these."""
    allowed = np.zeros(head.size, bool)
    if not kept:
        pitch = token_bytes(head.channels, c.data_bits // 8)
        start = head.places.a - head.base
        allowed[start : start + head.geometry.tokens * pitch].reshape(-1, pitch)[:, : 2 * head.channels] = True
    wrong = np.flatnonzero((after != before) & ~allowed)
    if len(wrong):
        raise WrongHead(
            f"{head}: {len(wrong)} bytes outside of A were written, the first at {head.base + int(wrong[0]):#x}"
        )


def heads(c, seed, first=0, faults=False):
    """The heads of ``seed`` in turn, from number ``first`` on; with ``faults`` those of odd numbers are wrong."""
    number = first
    while True:
        rng = np.random.default_rng([seed, number])
        head = random_head(rng, c)
        yield number, random_fault(rng, c, head) if faults and number % 2 else head
        number += 1


def campaign(native, c, count, seed, *, first=0, faults=False, progress=None):
    """Runs ``count`` heads. Returns how many ended with each cause, and their cycles in sum."""
    causes, cycles = {}, 0
    for number, head in heads(c, seed, first, faults):
        if number == first + count:
            return causes, cycles
        try:
            done = run_head(native, c, head)
        except WrongHead as error:
            raise WrongHead(f"head {number} of seed {seed}: {error}") from None
        causes[done.cause.name] = causes.get(done.cause.name, 0) + 1
        cycles += done.cycles
        if progress:
            progress(number + 1 - first)


@command_line
def main(argv=None):
    parser = Parser(
        "heads",
        "Random heads through SIMCORE's RTL by the thousand, each compared with the golden, and all of memory looked at.",
        "zoetrope heads --heads 200 --seed 7",
        "zoetrope heads --preset small --heads 20 --faults",
    )
    parser.preset("of simcore (default %(default)s)", default="tiny")
    parser.add_argument("--heads", metavar="N", type=whole(1), default=1000, help="how many (default %(default)s)")
    parser.add_argument("--seed", metavar="N", type=whole(0), default=0, help="of all of them (default %(default)s)")
    parser.add_argument("--first", metavar="N", type=whole(0), default=0, help="number of the first one (default 0)")
    parser.add_argument("--faults", action="store_true", help="every other one must end with an error")
    parser.json()
    options = parser.parse_args(argv)
    block = catalogue.find("simcore")
    config = block.config(options.preset)
    if options.preset not in block.small_presets:
        raise UserError(f"preset {options.preset!r} is not simulated; those that are: {', '.join(block.small_presets)}")
    with answer(options) as tell:
        native = Native.build(block.build(options.preset), "simcore")
        start = time.perf_counter()

        def progress(done):
            if done % 100 == 0:
                print(f"{done} heads, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)

        which = {"first": options.first, "faults": options.faults}
        try:
            causes, cycles = campaign(native, config, options.heads, options.seed, **which, progress=progress)
        except WrongHead as error:
            tell({"wrong": str(error)})
            print(f"FAIL: {error}", file=sys.stderr)
            return 1
        tell({"heads": options.heads, "cycles": cycles, "ended": causes})
        ended = ", ".join(f"{name} {count}" for name, count in sorted(causes.items()))
        print(f"PASS: {options.heads} heads right in {cycles:,} cycles: {ended}")
    return 0
