# SPDX-License-Identifier: Apache-2.0
"""How the parts of a SIMCORE name to each other what a head is cut into (SIMPICKER V-A).

Kept rows of a query tile stand in *slices* of t rows, and G of these are a *block*; two blocks are on chip, in two *banks*.
A *key tile* stands in one of W *places*. A block and a key tile that meet are a *task*.

These are functions of plain numbers, so that a part's config holds nothing but its own sizes.
"""

from amaranth.lib import data
from amaranth.utils import ceil_log2

from zoetrope.hw.formats import FP16, FP32, INT8


def up_to(number):
    """Shape of an index below ``number``, of one bit at least."""
    return range(max(2, number))


def row_layout(rows, slices):
    """The number of a row of Q on chip, and in the tile merge unit."""
    return data.StructLayout({"row": up_to(rows), "slice": up_to(slices), "bank": 1})


def slice_layout(slices, tiles):
    """A slice that meets a key tile."""
    return data.StructLayout({"slice": up_to(slices), "place": range(tiles)})


def q_address(words, rows, slices):
    """Of a word of a row of Q, of ``words``."""
    return data.StructLayout({"word": up_to(words), "row": row_layout(rows, slices)})


def v_address(words, tokens, tiles):
    """Of a word of a token of V, of ``words``, in a tile of ``tokens``."""
    return data.StructLayout({"word": up_to(words), "token": up_to(tokens), "place": range(tiles)})


def e_address(words, rows, slices, tiles):
    """Of a word of a row of e = exp(s - m), of ``words``."""
    return data.StructLayout({"word": up_to(words), "row": up_to(rows), "slice": slice_layout(slices, tiles)})


def rows_of_slices(rows, slices):
    """Number of rows in each slice of a block."""
    return data.ArrayLayout(range(rows + 1), slices)


def tile_fields(tiles, tokens, matrix_words):
    """A key tile: its ``tokens``, from word ``offset`` of K and V on, in ``place`` on chip."""
    return {"place": range(tiles), "tokens": range(tokens + 1), "offset": range(matrix_words + 1)}


def command_layout(address_bits, length_bits):
    """To a reader of the bus: ``address`` of the first byte, ``length`` in elements."""
    return data.StructLayout({"address": address_bits, "length": length_bits})


def word_layout(lanes):
    """From a reader of the bus: a word of ``lanes`` elements, the first one lowest."""
    return data.StructLayout({"data": lanes * FP16.width, "last": 1})


def encode_layout(lanes):
    """To the quantization unit: a word of a token; ``count`` of its lanes count in the token's ``last`` word."""
    fields = {"x": data.ArrayLayout(FP16.layout, lanes), "count": ceil_log2(lanes + 1)}
    return data.StructLayout(fields | {"last": 1, "end": 1, "encode": 1})


def codes_layout(lanes):
    """From the quantization unit: a word of a token's codes."""
    fields = {"codes": data.ArrayLayout(INT8, lanes), "count": ceil_log2(lanes + 1)}
    return data.StructLayout(fields | {"last": 1, "end": 1})


def block_layout(frames, rows, slices):
    """Kept rows of one query tile, of frame ``tile`` or of the text, ``rows`` in each slice. ``end``: no more."""
    fields = {"tile": up_to(frames), "text": 1, "bank": 1, "slices": range(slices + 1)}
    return data.StructLayout(fields | {"rows": rows_of_slices(rows, slices), "end": 1})


def place_layout(rows, slices, address_bits):
    """Where the results of a row of Q go: to the row writer."""
    return data.StructLayout({"row": row_layout(rows, slices).size, "address": address_bits})


def scale_layout():
    """From the quantization unit: a channel's scale, the last one of a head marked."""
    return data.StructLayout({"scale": FP32.layout, "last": 1})


def scores_task(tiles, tokens, matrix_words, rows, slices):
    """A task for an array's scores; ``important``: they are the FP16 array's."""
    fields = tile_fields(tiles, tokens, matrix_words) | {"important": 1, "bank": 1}
    return data.StructLayout(fields | {"slices": range(slices + 1), "rows": rows_of_slices(rows, slices)})


def products_task(tiles, tokens, rows, slices):
    """A task for an array's products."""
    fields = {"place": range(tiles), "tokens": range(tokens + 1)}
    return data.StructLayout(fields | {"slices": range(slices + 1), "rows": rows_of_slices(rows, slices)})


def tile_and_rows(tokens, rows, slices):
    """Of a task, how many ``tokens`` its key tile has, and how many ``rows`` each slice of its block."""
    return data.StructLayout({"tokens": range(tokens + 1), "rows": rows_of_slices(rows, slices)})
