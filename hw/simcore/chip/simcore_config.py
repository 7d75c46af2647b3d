# SPDX-License-Identifier: Apache-2.0
"""The sizes of a SIMCORE, and the configs of its parts that follow from them (SIMPICKER IV, V-A)."""

from dataclasses import dataclass, field, fields
from typing import ClassVar

from amaranth.lib import data
from amaranth.utils import ceil_log2, exact_log2

from zoetrope.hw import checks
from zoetrope.hw.axi.axi_bursts import AxiConfig
from zoetrope.hw.axi.axi_read_arbiter import AxiReadArbiterConfig
from zoetrope.hw.formats import FP16
from zoetrope.hw.simcore.chip.head_geometry import HeadGeometryConfig
from zoetrope.hw.simcore.chip.prologue import PrologueConfig
from zoetrope.hw.simcore.chip.row_writer import RowWriterConfig
from zoetrope.hw.simcore.chip.score_path import ENGINE, ScorePathConfig
from zoetrope.hw.simcore.chip.simcore_registers import P_BITS
from zoetrope.hw.simcore.chip.tile_schedule import TileScheduleConfig
from zoetrope.hw.simcore.computing_engine.array_feeder import ArrayFeederConfig
from zoetrope.hw.simcore.computing_engine.column_merge import ColumnMergeConfig
from zoetrope.hw.simcore.computing_engine.computing_engine import ComputingEngineConfig
from zoetrope.hw.simcore.computing_engine.key_stream import KeyStreamConfig
from zoetrope.hw.simcore.computing_engine.row_fetcher import RowFetcherConfig
from zoetrope.hw.simcore.computing_engine.value_buffer import ValueBufferConfig
from zoetrope.hw.simcore.quantization_engine.prediction_unit import PredictionUnitConfig
from zoetrope.hw.simcore.quantization_engine.quantization_unit import QuantizationUnitConfig
from zoetrope.hw.simcore.sparsification_engine.recovery import RecoveryConfig
from zoetrope.hw.simcore.sparsification_engine.sparsification_unit import SparsificationUnitConfig
from zoetrope.hw.softmax.sfu import SfuConfig
from zoetrope.hw.softmax.tile_merge_unit import TileMergeUnitConfig

#: Readers of the bus.
READERS = ("q", "k_fp16", "k_lut", "v")


@dataclass(frozen=True)
class SimcoreCoreConfig:
    """Of the core: its sizes, and as properties the configs of its parts."""

    engine: ComputingEngineConfig = field(
        default=ENGINE,
        metadata={"doc": "the two arrays; its max_tokens is the most tokens of a key tile"},
    )
    slices: int = field(
        default=4, metadata={"doc": "G, most slices of a block: rows that meet a key tile while it is there"}
    )
    tiles: int = field(default=4, metadata={"doc": "W, key tiles between the first load and the last sum at one time"})
    max_frames: int = field(default=32, metadata={"doc": "most frames of a clip"})
    max_height: int = field(default=16, metadata={"doc": "rows of tokens of the largest frame"})
    max_width: int = field(default=16, metadata={"doc": "tokens of its rows"})
    max_window: int = field(default=3, metadata={"doc": "the largest window of the sparsification unit"})
    max_tokens: int = field(default=4096, metadata={"doc": "most video tokens of a clip, entries of the index buffer"})
    max_text: int = field(default=256, metadata={"doc": "most text tokens"})
    data_bits: int = field(default=128, metadata={"doc": "of the AXI4 bus"})
    address_bits: int = field(default=32, metadata={"doc": "of the AXI4 bus"})
    sfu_lanes: int = field(default=4, metadata={"doc": "scores a cycle of the SFU; a power of two"})
    merge_lanes: int = field(default=4, metadata={"doc": "channels a cycle of the tile merge unit; a power of two"})
    importance_lanes: int = field(
        default=8, metadata={"doc": "channels of V a cycle in column importance; a power of two"}
    )
    candidates: int = field(default=4, metadata={"doc": "lane groups of the sparsification unit"})
    slots: int = field(default=256, metadata={"doc": "tokens in the line store of the sparsification unit"})

    _PARTS: ClassVar = (
        *("sfu", "merge", "prediction", "sparsification", "quantization", "prologue"),
        *("recovery", "columns", "geometry", "fetcher", "schedule", "values", "scores"),
    )

    def __post_init__(self):
        checks.power_of_two(self, "slices", "tiles", least=2)
        # A size that a register says or takes fits into it.
        checks.between(self, 1, 0xFFFF, "max_frames", "max_height", "max_width", "max_text")
        checks.between(self, 1, 0xFF, "max_window")
        checks.at_least(self, 1, "max_tokens")
        self._check_engine()
        self._check_part("axi")
        engine = self.engine
        if engine.load_lanes % self.lanes or engine.load_lanes & (engine.load_lanes - 1):
            raise ValueError(
                f"load_lanes of engine must be a power of two and at least {self.lanes}, the elements of an AXI word, "
                f"not {engine.load_lanes}"
            )
        for name in ("sfu_lanes", "merge_lanes", "importance_lanes"):
            value = getattr(self, name)
            if value < 1 or engine.load_lanes % value:
                raise ValueError(f"{name} must divide load_lanes of engine, {engine.load_lanes}, not {value!r}")
        if self.lanes % self.merge_lanes:
            raise ValueError(
                f"merge_lanes must divide the {self.lanes} elements of an AXI word, not {self.merge_lanes}"
            )
        outputs = engine.fp16.outputs, engine.lut.outputs
        for name in ("sfu_lanes", "merge_lanes"):
            if any(number % getattr(self, name) for number in outputs):
                value = getattr(self, name)
                raise ValueError(
                    f"{name} must divide the outputs of both arrays, {outputs[0]} and {outputs[1]}, not {value}"
                )
        for name in self._PARTS:
            self._check_part(name)
        if self.slots < self.line_slots:
            raise ValueError(
                f"slots must be at least {self.line_slots} for frames of {self.max_height} x {self.max_width} and a window "
                f"of {self.max_window}, not {self.slots}"
            )

    def _check_engine(self):
        """What the golden says of the arrays: one order of sums, one reading of slices."""
        fp16, lut = self.engine.fp16, self.engine.lut
        if fp16.rows != lut.rows or fp16.rows & (fp16.rows - 1) or not 2 <= fp16.rows <= 128:
            raise ValueError(
                "both arrays of engine must have the same rows, a power of two from 2 to 128, "
                f"not {fp16.rows} and {lut.rows}"
            )
        if lut.reading != "odd16":
            raise ValueError(f"reading of the LUT array must be odd16, not {lut.reading}")
        if lut.accumulator != "fp32":
            raise ValueError(f"accumulator of the LUT array must be fp32, as the FP16 array's, not {lut.accumulator}")
        for name, number in (("slice_bits", self.slices), ("tile_bits", self.tiles)):
            if number > 1 << getattr(self.engine, name):
                raise ValueError(
                    f"{name} of engine must be at least {ceil_log2(number)} for {number}, not {getattr(self.engine, name)}"
                )
        if self.engine.max_channels > 0xFFFF:
            raise ValueError(f"max_channels of engine must be at most {0xFFFF}, not {self.engine.max_channels}")

    def _check_part(self, name):
        try:
            getattr(self, name)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    # Sizes.

    @property
    def rows(self):
        """t, rows of a slice."""
        return self.engine.fp16.rows

    @property
    def lanes(self):
        """B, elements of an AXI word."""
        return self.data_bits // FP16.width

    @property
    def load_lanes(self):
        """L, elements of a word of operands."""
        return self.engine.load_lanes

    @property
    def max_channels(self):
        return self.engine.max_channels

    @property
    def keys(self):
        """Most tokens of a key tile."""
        return self.engine.max_tokens

    @property
    def max_words(self):
        """AXI words of the widest token."""
        return -(-self.max_channels // self.lanes)

    @property
    def max_frame_tokens(self):
        return self.max_height * self.max_width

    @property
    def axi(self):
        """The bus, as far as the core sees it: layouts of commands and words."""
        return AxiConfig(data_bits=self.data_bits, address_bits=self.address_bits)

    @property
    def sfu(self):
        return SfuConfig(lanes=self.sfu_lanes, max_row=max(self.keys, self.max_frames), tiles=True)

    @property
    def merge(self):
        return TileMergeUnitConfig(
            lanes=self.merge_lanes, rows=2 * self.slices * self.rows, max_channels=self.max_channels
        )

    @property
    def prediction(self):
        return PredictionUnitConfig(
            lanes=self.lanes,
            max_channels=self.max_channels,
            max_rows=self.max_frame_tokens,
            max_tiles=self.max_frames,
            p_bits=P_BITS,
            sfu=self.sfu,
        )

    @property
    def sparsification(self):
        return SparsificationUnitConfig(
            candidates=self.candidates,
            banks=max(8, self.candidates),
            lanes=self.lanes,
            max_words=1 << ceil_log2(self.max_words),
            max_height=self.max_height,
            max_width=self.max_width,
            max_window=self.max_window,
            slots=self.slots,
            tokens=self.max_tokens,
            tree_stages=min(1, ceil_log2(self.candidates)),
        )

    @property
    def line_slots(self):
        """Tokens that the sparsification unit's line store must hold for the largest frame and window."""
        banks = self.sparsification.banks
        return max(
            min(self.max_height, window + 1) * (width + (window - width) % banks)
            for window in range(1, self.max_window + 1)
            for width in range(max(1, self.max_width - banks), self.max_width + 1)
        )

    @property
    def quantization(self):
        return QuantizationUnitConfig(lanes=self.lanes, max_channels=self.max_channels)

    @property
    def prologue(self):
        return PrologueConfig(
            lanes=self.lanes,
            max_channels=self.max_channels,
            max_tokens=self.max_tokens + self.max_text,
            prediction=self.prediction,
            sparsification=self.sparsification,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )

    @property
    def recovery(self):
        return RecoveryConfig(
            lanes=self.lanes,
            max_channels=self.max_channels,
            tokens=self.max_tokens,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )

    @property
    def columns(self):
        return ColumnMergeConfig(
            fp16_outputs=self.engine.fp16.outputs,
            lut_outputs=self.engine.lut.outputs,
            lanes=self.merge_lanes,
            max_channels=self.max_channels,
        )

    @property
    def matrix_words(self):
        """Most words of a matrix in memory."""
        return (self.max_tokens + self.max_text) * self.max_words

    @property
    def operands(self):
        """Sizes of words of memory and of operands, and of a key tile."""
        return {
            "lanes": self.lanes,
            "load_lanes": self.load_lanes,
            "max_channels": self.max_channels,
            "max_tokens": self.keys,
        }

    @property
    def values(self):
        return ValueBufferConfig(
            **self.operands,
            tiles=self.tiles,
            matrix_words=self.matrix_words,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )

    @property
    def fetcher(self):
        return RowFetcherConfig(
            lanes=self.lanes,
            load_lanes=self.load_lanes,
            max_channels=self.max_channels,
            rows=self.rows,
            slices=self.slices,
            max_frames=self.max_frames,
            max_frame_tokens=self.max_frame_tokens,
            max_text=self.max_text,
            max_tokens=self.max_tokens,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )

    def feeder(self, array):
        """Of array ``fp16`` or ``lut``."""
        return ArrayFeederConfig(
            array=self.engine.array(array),
            lanes=self.lanes,
            slices=self.slices,
            tiles=self.tiles,
            matrix_words=self.matrix_words,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )

    def key_stream(self, array):
        """Of array ``fp16`` or ``lut``."""
        return KeyStreamConfig(**self.operands, codes=array == "lut")

    @property
    def geometry(self):
        names = ("max_frames", "max_height", "max_width", "max_text", "max_channels", "lanes", "keys")
        return HeadGeometryConfig(**{name: getattr(self, name) for name in names})

    @property
    def schedule(self):
        return TileScheduleConfig(
            keys=self.keys,
            rows=self.rows,
            slices=self.slices,
            tiles=self.tiles,
            max_frames=self.max_frames,
            max_frame_tokens=self.max_frame_tokens,
            max_text=self.max_text,
            matrix_words=self.matrix_words,
        )

    @property
    def scores(self):
        return ScorePathConfig(
            engine=self.engine,
            slices=self.slices,
            tiles=self.tiles,
            sfu=self.sfu,
            v_lanes=self.importance_lanes,
            p_bits=P_BITS,
        )

    @property
    def word_shift(self):
        """Bits of an address within an AXI word."""
        return exact_log2(self.data_bits // 8)

    @property
    def head_layout(self):
        """What stays the same during a head: sizes, switches, addresses, and the geometry that follows from the sizes."""
        return data.StructLayout(
            {
                **self.geometry.i_layout.members,
                **self.geometry.o_layout.members,
                "text_first": 1,
                "sparsify": 1,
                "compact": 1,
                "codes_k": 1,
                "codes_v": 1,
                "window": range(self.max_window + 1),
                "group": range(self.max_width + 1),
                "p_p": P_BITS + 1,
                "p_a": P_BITS + 1,
                "threshold": 32,
                "frame_inverse": 32,
                "score_scale": 32,
                **{name: self.address_bits for name in ("q", "k", "v", "a")},
            }
        )


@dataclass(frozen=True)
class SimcoreConfig(SimcoreCoreConfig):
    """Of the machine: the core's sizes, and what its masters have on the bus at one time."""

    burst: int = field(default=16, metadata={"doc": "words of the longest burst"})
    outstanding: int = field(
        default=4, metadata={"doc": "bursts of each reader, and of the writer, that are not ended"}
    )

    _PARTS: ClassVar = (*SimcoreCoreConfig._PARTS, "writer", "arbiter")

    @classmethod
    def of(cls, core, **bus):
        """The machine around a ``core``."""
        return cls(**{part.name: getattr(core, part.name) for part in fields(SimcoreCoreConfig)}, **bus)

    @property
    def core(self):
        return SimcoreCoreConfig(**{part.name: getattr(self, part.name) for part in fields(SimcoreCoreConfig)})

    @property
    def axi(self):
        return AxiConfig(
            data_bits=self.data_bits, address_bits=self.address_bits, burst=self.burst, outstanding=self.outstanding
        )

    @property
    def arbiter(self):
        return AxiReadArbiterConfig(
            readers=len(READERS),
            outstanding=len(READERS) * self.outstanding,
            data_bits=self.data_bits,
            address_bits=self.address_bits,
        )

    @property
    def writer(self):
        return RowWriterConfig(
            lanes=self.merge_lanes,
            elements=self.lanes,
            rows=2 * self.slices * self.rows,
            max_channels=self.max_channels,
            address_bits=self.address_bits,
            length_bits=self.axi.length_bits,
        )
