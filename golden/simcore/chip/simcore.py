# SPDX-License-Identifier: Apache-2.0
"""One head of attention as SIMCORE computes it, from Q, K, V to A, in hardware order (SIMPICKER III, IV, V-A).

Tokens are F frames of H x W (N = H W of each, row by row) and C text tokens before or after them: T in all, d channels. A
*query tile* is the kept tokens of a frame, or the text. A *key tile* is up to ``keys`` tokens of a frame, or of the text:
each of these is cut into key tiles of ``keys`` tokens, the last one of what is left. In order::

    1  codes, scales of K and V                                         quantization_unit
    2  map_p[f, h]: is frame h of K (or the text) important to f of Q   prediction_unit.importance_of_p
    3  table: each token's root; Q_c = the kept rows of Q               sparsification_unit, reorder_recover_unit
       Qf = float16(Q_c * scale_K)                                      scale_unit
       a *slice* is up to t rows of Q_c, of one query tile; the last one of a tile may be shorter
       for each slice, for each key tile g, of frame h, in the order below:
    4  S = sum over k of Q[r, k] K[j, k] on the FP16 array              array_product.fp_fp      where map_p[f, h]
         = sum over k of Qf[r, k] codes_K[j, k] on the LUT array        array_product.fp_int     elsewhere
    5  m_g, l_g, e = softmax of S / sqrt(d) over the tile               sfu.tile
    6  map_a[slice, g, c]: is column c of A important                   prediction_unit.importance_of_a
    7  A_g = sum over j of e[r, j] V[j, c] on the FP16 array                                     where map_a[slice, g, c]
           = scale_V[c] * sum over j of e[r, j] codes_V[j, c]           scale_unit               elsewhere
    8  m, l, A merged with m_g, l_g, A_g                                tile_merge_unit.merge
    9  A_c = float16(A * (1 / l));  A = the row of each token's root    tile_merge_unit.finish, reorder_recover_unit

**Key tiles** are smaller than frames because an operand memory of the arrays holds two, one that is loaded while the other
is multiplied: frames of 1,350 tokens and 64 channels are 338 KiB in FP16, tiles of 64 tokens 16 KiB. Steps 5 to 8 see the
cuts: maxima and column sums are those of a key tile. Its bit of the map is that of its frame.

**Their order** alternates between the two kinds, so that both arrays have scores to make at any time. With J key tiles of
which I are important, step by step::

    acc = acc + I
    if acc >= J:  acc = acc - J;  the next important tile, in the order of the tokens
    else:         the next one of the others, in the order of the tokens

from acc = 0: of the first k tiles floor(k I / J) are important. It is the order of the tokens where all or none are, and
the same for all slices of a query tile.

What the parts leave open:

* K's and V's scales are those of all T tokens. Text tokens are always kept and never another token's root: only video tokens
  are compared with each other, and averaged in step 2. Text is important as query and as key of P. It is one query tile of C
  tokens, whatever C is. Columns of A are chosen there too.
* ``map_p`` is found from all tokens of Q, not from Q_c: it is made while sparsification runs (V-A).
* Step 6 sums the columns of e (not normalised; each row's largest is 1) over the slice's rows, exactly, times the FP32
  number 1/t, t of the settings also where a slice is shorter. A sum is then at most 1, and a score overflows FP16 only
  where n times the mean of e V is about 65,504 or more, n tokens of a tile; its columns are then all important, as those
  of a slice that scores 0 throughout. Neither is an error of the head.
* Qf is made of all rows of Q_c, those of text too, and of no others, where tiles may be unimportant (``quantize`` and
  ``speculate_p``): a value of a kept token of Q whose product with K's scale is beyond FP16 is an error.
* Nothing of the machine but what ``Settings`` has decides an order. Means of frames and column sums are exact in any; the
  sums of the arrays and of step 6 are in the order of k, one addition a product, whatever the lanes. The LUT array is that
  of ``golden.pe.lut_pe`` with products read as ``odd16`` and sums in FP32.
* An element of A can be infinite only where V comes within a share of 2^-10 + (3 n + 8 J) 2^-24 of 65,504, J key tiles of
  at most n tokens: the FP16 of e, the rounded products of the LUT array, the order of the sums.

A head of 2,970 tokens and d = 64 takes 2 to 4 s of one core, three times as long in key tiles of 16 tokens; the time goes
with the square of the tokens.

The switches: ``sparsify`` off keeps every token; ``speculate_p`` off makes every key tile important, ``speculate_a`` off
every column; ``quantize`` off does both and is the FP16-only machine, in which K and V have no codes. ``compact`` off cuts
slices of t consecutive tokens, kept or not, so that the places of skipped rows are idle: without the adaptive grouping of
V-B. A slice of which no token is kept is not computed.

Error against float64 attention, ``golden.reference.attention``, with all off, where A is finite: for row r and channel c,
p the softmax of the scores, at most::

    (1 + 2^-9) (2^-11 + e^b - 1) sum_j p[j] |V[j, c]| + 2^-11 |A| + T 2^-24 max_j |V[j, c]| + 2^-25
    b = 2 (d + 3) 2^-24 max_j sum_k |Q[r, k] K[j, k]| / sqrt(d) + J 2^-19 + n 2^-23        J key tiles of at most n tokens

for the FP16 of e; the FP32 of everything else with the exponentials of each merge; the FP16 of A; e below the normal
numbers; A below the normal numbers. Where b is 1 or more, scores are so large that their own rounding can choose another
key: then the two may be as far apart as values of V are. ``golden.reference.attention_bound`` is this formula. On the sample
clip, 2,970 tokens, the rms of the error is 0.02 % of A's. Speculation's and sparsification's own errors are measured:
``golden.method.quality``, ``golden.method.token_similarity``.

Rejected: an importance of A's columns of a whole row of P, found before P V begins: A waits for a row that no buffer holds.
P_c recovered for it: sums of rows that lie far apart, which the paper's adaptive grouping avoids (V-B). Slices across
frames, which would fill the last slice of each: rows of different maps at one time. Key tiles in the order of the tokens:
up to 17 frames in a row are of one kind on the sample clip (in turn 2 at most), and the other array would wait, or the
results of as many tiles would have to be kept. All important ones first: the same, always. A map of key tiles in place of
frames: in step 2 as many times the products, and longer rows to sort, as there are key tiles to a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zoetrope.golden.arith.float_convert import float_convert
from zoetrope.golden.formats import FP16, FP32, fp32, is_finite
from zoetrope.golden.pe.array_product import fp_fp, fp_int
from zoetrope.golden.simcore.chip.tile_schedule import order_of
from zoetrope.golden.simcore.computing_engine.scale_unit import fold_key_scales, scale_unit
from zoetrope.golden.simcore.geometry import Geometry, key_tiles, whole
from zoetrope.golden.simcore.quantization_engine.prediction_unit import importance_of_p
from zoetrope.golden.simcore.quantization_engine.quantization_unit import quantize
from zoetrope.golden.simcore.quantization_engine.reduction_tree import as_codes, inverse, reduction_tree
from zoetrope.golden.simcore.quantization_engine.sort_select import P_BITS, proportion, sort_select
from zoetrope.golden.simcore.sparsification_engine.reorder_recover_unit import recover
from zoetrope.golden.simcore.sparsification_engine.sparsification_unit import KEPT, sparsify
from zoetrope.golden.softmax.sfu import tile as tile_softmax
from zoetrope.golden.softmax.tile_merge_unit import finish, merge, start


@dataclass(frozen=True)
class Settings:
    """Feature switches, thresholds, and what of the machine decides an order. ``ValueError`` for what a part refuses."""

    sparsify: bool = field(default=True, metadata={"doc": "rows of similar tokens of Q are skipped"})
    speculate_p: bool = field(default=True, metadata={"doc": "unimportant tiles of P are FP-INT"})
    speculate_a: bool = field(default=True, metadata={"doc": "unimportant columns of A are FP-INT"})
    compact: bool = field(default=True, metadata={"doc": "kept rows of a frame stand side by side in slices"})
    quantize: bool = field(default=True, metadata={"doc": "K and V have INT8 codes; off: everything is FP16"})
    p_p: float = field(default=0.65, metadata={"doc": "proportion of a row's sum that P's important tiles exceed"})
    p_a: float = field(default=0.65, metadata={"doc": "the same of A's important columns"})
    tau: float = field(default=2.5, metadata={"doc": "threshold on the L2 distance of two tokens of Q"})
    window: int = field(default=3, metadata={"doc": "side of the window in the frame before"})
    group: int = field(default=4, metadata={"doc": "tokens of a group within a row of a frame"})
    rows: int = field(default=16, metadata={"doc": "most rows of a slice, t"})
    keys: int | None = field(default=None, metadata={"doc": "most tokens of a key tile; None: a whole frame, or text"})
    lanes: int = field(default=4, metadata={"doc": "lanes of the SFU"})
    running: int = field(default=3, metadata={"doc": "running sums of the SFU"})
    distance_lanes: int = field(default=4, metadata={"doc": "channels a word of the sparsification unit"})
    p_bits: int = field(default=P_BITS, metadata={"doc": "fraction bits of p_p and p_a"})

    def __post_init__(self):
        for name in ("window", "group", "rows", "running", *(["keys"] if self.keys is not None else [])):
            whole(name, getattr(self, name), 1)
        for name in ("lanes", "distance_lanes"):
            whole(name, getattr(self, name), 1)
            if getattr(self, name) & (getattr(self, name) - 1):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        for name in ("p_p", "p_a"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        if not self.tau >= 0:
            raise ValueError(f"tau must be at least 0, not {self.tau}")
        if not 1 <= self.p_bits <= 16:
            raise ValueError(f"p_bits must be 1 to 16, not {self.p_bits}")

    @property
    def codes_of_k(self) -> bool:
        """Tiles of P may be FP-INT."""
        return self.quantize and self.speculate_p

    @property
    def codes_of_v(self) -> bool:
        """Columns of A may be FP-INT."""
        return self.quantize and self.speculate_a


FP16_ONLY = Settings(sparsify=False, speculate_p=False, speculate_a=False, quantize=False)
"""Dense attention on the FP16 array alone."""


class Prepared(NamedTuple):
    """What is known of a head before S. Codes and scales are None where the switches make no use of them."""

    q: np.ndarray
    """FP16 codes (T, d), as ``k`` and ``v``."""
    k: np.ndarray
    v: np.ndarray
    q_folded: np.ndarray | None
    """FP16 codes (T, d): Q times K's scales, finite in the kept rows."""
    k_codes: np.ndarray | None
    """INT8 codes (T, d)."""
    v_codes: np.ndarray | None
    v_scales: np.ndarray | None
    """FP32 codes (d,)."""
    map_p: np.ndarray
    """Boolean (tiles, tiles): of the queries, of the keys, both of ``Geometry.tiles``; true where important."""
    table: np.ndarray
    """The index table, ``int64`` (T,): each token's root."""
    kind: np.ndarray
    """``uint8`` (T,): ``KEPT``, ``TEMPORAL`` or ``SPATIAL`` of
    ``golden.simcore.sparsification_engine.sparsification_unit``.
    """


class Slices(NamedTuple):
    """The slices of a head in their order, each ``int64`` (slices,): query tile, first row in Q_c, number of rows."""

    tile: np.ndarray
    first: np.ndarray
    rows: np.ndarray


class Statistics(NamedTuple):
    """Of one head. A product is one multiplication and its addition.

    ``tokens`` T, of them ``temporal`` and ``spatial`` skipped; ``tiles``: of S, one a slice and key tile, of them
    ``important``; products of Q K^T and P V on the FP16 and on the LUT array; ``dense``: products of either without any
    skipped; ``predicted``: products of the scores of A's columns, in the prediction unit.
    """

    tokens: int
    temporal: int
    spatial: int
    slices: int
    tiles: int
    important: int
    qk_fp16: int
    qk_lut: int
    pv_fp16: int
    pv_lut: int
    dense: int
    predicted: int

    @property
    def skipped(self) -> float:
        """Share of the rows of Q that are skipped."""
        return (self.temporal + self.spatial) / self.tokens

    @property
    def fp16(self) -> int:
        """Products of the FP16 array."""
        return self.qk_fp16 + self.pv_fp16

    @property
    def lut(self) -> int:
        """Products of the LUT array."""
        return self.qk_lut + self.pv_lut

    @property
    def qk_share(self) -> float:
        """Share of the products of Q K^T that are FP-INT."""
        return self.qk_lut / (self.qk_fp16 + self.qk_lut)

    @property
    def pv_share(self) -> float:
        """Share of the products of P V that are FP-INT."""
        return self.pv_lut / (self.pv_fp16 + self.pv_lut)

    @property
    def share(self) -> float:
        """Share of all products that are FP-INT."""
        return self.lut / (self.fp16 + self.lut)


class Result(NamedTuple):
    """``a``: ``float16`` (T, d); ``map_a``: boolean (slices, key tiles, d), key tiles in the order of the tokens; the others
    as in ``Prepared``."""

    a: np.ndarray
    map_p: np.ndarray
    map_a: np.ndarray
    table: np.ndarray
    kind: np.ndarray
    slices: Slices
    statistics: Statistics


def simcore(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    geometry: Geometry,
    settings: Settings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """One head of attention.

    ``q``, ``k``, ``v``: (T, d), ``float16`` or binary16 codes, tokens as ``geometry`` has them. ``progress`` is called
    after each query tile with the number done and of all. ``ValueError``, naming the tensor, for another shape or type,
    NaN or infinity, and for values of kept tokens of Q that K's scales bring beyond FP16.
    """
    settings = settings or Settings()
    head = prepare(q, k, v, geometry, settings)
    slices = slices_of(head.kind, geometry, settings)
    kept = np.flatnonzero(head.kind == KEPT)
    compact, maps = [], []
    for tile in range(len(geometry.tiles)):
        here = slices.tile == tile
        if here.any():
            first, counts = slices.first[here][0], slices.rows[here]
            rows = kept[first : first + counts.sum()]
            a, important = attend(head, rows, counts, tile, geometry, settings)
            compact.append(a)
            maps.append(important)
        if progress:
            progress(tile + 1, len(geometry.tiles))
    a = recover(np.concatenate(compact), head.table).view(np.float16)
    map_a = np.concatenate(maps)
    counted = statistics(head, slices, map_a, geometry, settings)
    return Result(a, head.map_p, map_a, head.table, head.kind, slices, counted)


def prepare(q: np.ndarray, k: np.ndarray, v: np.ndarray, geometry: Geometry, settings: Settings) -> Prepared:
    """Steps 1 to 3. Arguments and errors as ``simcore``."""
    if not isinstance(geometry, Geometry):
        raise ValueError(f"geometry must be a Geometry(frames, height, width), not {geometry!r}")
    q, k, v = (_input(name, x, geometry.tokens) for name, x in (("q", q), ("k", k), ("v", v)))
    if not q.shape == k.shape == v.shape:
        raise ValueError(f"q, k and v must have the same channels, not {q.shape[1]}, {k.shape[1]} and {v.shape[1]}")
    table, kind = _roots(q, geometry, settings)
    folded = k_codes = v_codes = v_scales = None
    if settings.codes_of_k:
        k_codes, k_scales = quantize(k)
        folded = fold_key_scales(q, k_scales).view(np.uint16)
        if (wrong := (kind == KEPT)[:, None] & ~is_finite(folded, FP16)).any():
            token, channel = np.argwhere(wrong)[0]
            raise ValueError(f"q times K's scale is beyond FP16, first at ({token}, {channel}): scale q or k")
    if settings.codes_of_v:
        v_codes, v_scales = quantize(v)
        v_scales = v_scales.view(np.uint32)
    map_p = _map_p(q, k, geometry, settings)
    return Prepared(q, k, v, folded, k_codes, v_codes, v_scales, map_p, table, kind)


def _roots(q, geometry, settings):
    table, kind = np.arange(geometry.tokens), np.full(geometry.tokens, KEPT, np.uint8)
    if settings.sparsify:
        grid = (geometry.frames, geometry.height, geometry.width)
        options = {"tau": settings.tau, "window": settings.window, "group": settings.group}
        found = sparsify(q[geometry.video], grid, lanes=settings.distance_lanes, **options)
        table[geometry.video] = found.table + geometry.video.start
        kind[geometry.video] = found.kind
    return table, kind


def _map_p(q, k, geometry, settings):
    tiles = len(geometry.tiles)
    important = np.ones((tiles, tiles), bool)
    if settings.codes_of_k:
        video = geometry.video
        options = {"lanes": settings.lanes, "running": settings.running, "p_bits": settings.p_bits}
        found = importance_of_p(q[video], k[video], geometry.rows, settings.p_p, **options)
        frames = np.array([tile for tile in range(tiles) if tile != geometry.text_tile])
        important[np.ix_(frames, frames)] = found.map
    return important


def slices_of(kind: np.ndarray, geometry: Geometry, settings: Settings) -> Slices:
    """The kept tokens of each tile in slices of up to t: of t kept tokens, or (not ``compact``) those of t tokens."""
    found, first, t = [], 0, settings.rows
    for tile, place in enumerate(geometry.tiles):
        kept = kind[place] == KEPT
        members = kept if not settings.compact else kept[kept]
        for cut in range(0, len(members), t):
            if count := int(np.count_nonzero(members[cut : cut + t])):
                found.append((tile, first, count))
                first += count
    return Slices(*np.array(found, np.int64).T)


def attend(
    head: Prepared, rows: np.ndarray, counts: np.ndarray, tile: int, geometry: Geometry, settings: Settings
) -> tuple[np.ndarray, np.ndarray]:
    """Steps 4 to 9 of the query ``tile``'s kept tokens ``rows``, in slices of ``counts`` rows.

    Returns A_c, FP16 codes (rows, d), and map_a, boolean (slices, key tiles, d), key tiles in the order of the tokens.
    The slices of a tile have no part in each other but that they are computed at one time here: they may come one by one.
    """
    scale = fp32(np.array([1 / np.sqrt(head.q.shape[1])]))[0]
    places, of_p = key_tiles(geometry, settings.keys), importance_of_keys(head.map_p, geometry, settings.keys)[tile]
    state = start(len(rows), head.v.shape[1])
    map_a = np.empty((len(counts), len(places), head.v.shape[1]), bool)
    for g in order_of(of_p):
        place = places[g].place
        s = tile_scores(head, rows, place, of_p[g])
        e, maximum, total = tile_softmax(s, scale, lanes=settings.lanes, running=settings.running)
        map_a[:, g] = important_columns(e, counts, head.v[place], settings)
        state = merge(state, maximum, total, tile_product(head, e, place, map_a[:, g], counts))
    return finish(state), map_a


def importance_of_keys(map_p: np.ndarray, geometry: Geometry, keys: int | None) -> np.ndarray:
    """``map_p`` with a column for each key tile: boolean (query tiles, key tiles)."""
    return map_p[:, [key.tile for key in key_tiles(geometry, keys)]]


def tile_scores(head: Prepared, rows: np.ndarray, place: slice, important: bool) -> np.ndarray:
    """Step 4: FP32 codes (rows, n) of the tokens ``rows`` and those at ``place``."""
    if important:
        return fp_fp(head.q[rows], head.k[place].T)
    return fp_int(head.q_folded[rows], head.k_codes[place].T)


def important_columns(e: np.ndarray, counts: np.ndarray, v: np.ndarray, settings: Settings) -> np.ndarray:
    """Step 6: boolean (slices, d) of the rows ``e``, FP16 codes (rows, n), slices of ``counts``, and the values (n, d)."""
    t = settings.rows
    if not settings.codes_of_v:
        return np.ones((len(counts), v.shape[1]), bool)
    full = np.zeros((len(counts) * t, e.shape[1]), e.dtype)  # rows that a slice lacks add nothing
    full[np.concatenate([k * t + np.arange(count) for k, count in enumerate(counts)])] = e
    sums, _ = reduction_tree(full, t, inverse(t))
    scores = float_convert(fp_fp(sums, v), FP32, FP16)
    taken, _ = sort_select(scores, proportion(settings.p_a, settings.p_bits), p_bits=settings.p_bits, magnitude=True)
    return taken


def tile_product(head: Prepared, e: np.ndarray, place: slice, important: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Step 7: FP32 codes (rows, d) of the rows ``e`` of a key tile, ``important`` (slices, d), slices of ``counts`` rows."""
    of_row = np.repeat(important, counts, axis=0)
    a = np.empty(of_row.shape, np.uint32)
    columns = important.any(axis=0)  # to some slice; what is another's is computed and not used
    a[:, columns] = fp_fp(e, head.v[place][:, columns])
    columns = ~important.all(axis=0)
    if columns.any():
        mixed = scale_unit(fp_int(e, head.v_codes[place][:, columns]), head.v_scales[columns], FP32)
        a[:, columns] = np.where(of_row[:, columns], a[:, columns], mixed)
    return a


def statistics(head: Prepared, slices: Slices, map_a: np.ndarray, geometry: Geometry, settings: Settings) -> Statistics:
    """Counted from the maps and the slices."""
    d = head.q.shape[1]
    columns = np.array([place.stop - place.start for place, _ in key_tiles(geometry, settings.keys)])
    elements = slices.rows[:, None] * columns
    of_slice = importance_of_keys(head.map_p, geometry, settings.keys)[slices.tile]
    kinds = np.bincount(head.kind, minlength=3)
    qk_fp16 = int(elements[of_slice].sum()) * d
    pv_fp16 = int((elements * map_a.sum(axis=2)).sum())
    total = int(elements.sum()) * d
    return Statistics(
        tokens=geometry.tokens,
        temporal=int(kinds[1]),
        spatial=int(kinds[2]),
        slices=len(slices.tile),
        tiles=of_slice.size,
        important=int(of_slice.sum()),
        qk_fp16=qk_fp16,
        qk_lut=total - qk_fp16,
        pv_fp16=pv_fp16,
        pv_lut=total - pv_fp16,
        dense=geometry.tokens**2 * d,
        predicted=len(slices.tile) * geometry.tokens * d * settings.codes_of_v,
    )


def _input(name, x, tokens):
    x = np.asarray(x)
    try:
        codes = as_codes(x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if len(codes) != tokens:
        raise ValueError(f"{name} has {len(codes)} tokens, the geometry {tokens}")
    if not (good := is_finite(codes, FP16)).all():
        token, channel = np.argwhere(~good)[0]
        raise ValueError(f"{name}: {np.count_nonzero(~good)} values are NaN or infinite, first at ({token}, {channel})")
    return codes
