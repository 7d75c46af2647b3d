"""Every block of Zoetrope: its name, its component, its presets. `make sim`, `make synth` and `make verilog` read this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw.arith.exp import ExpConfig, ExpStream
from hw.arith.float_add import FloatAddConfig, FloatAddStream
from hw.arith.float_compare import FloatCompareConfig, FloatCompareStream
from hw.arith.float_convert import FloatConvertConfig, FloatConvertStream, Integer
from hw.arith.float_multiply import FloatMultiplyConfig, FloatMultiplyStream
from hw.arith.reciprocal import ReciprocalConfig, ReciprocalStream
from hw.axi.axi_bursts import AxiBursts, AxiConfig
from hw.axi.axi_master import AxiMaster
from hw.axi.axi_ram import AxiRam, AxiRamConfig
from hw.axi.axi_read_arbiter import AxiReadArbiter, AxiReadArbiterConfig
from hw.axi.axi_reader import AxiReader
from hw.axi.axi_writer import AxiWriter
from hw.axi.registers import EXAMPLE, Registers, RegistersConfig, register
from hw.board.bus_adapter import BusAdapter, BusAdapterConfig
from hw.board.demonstrator import Demonstrator, DemonstratorConfig
from hw.board.link import Link, LinkConfig
from hw.board.machine import MachineConfig
from hw.board.uart import Uart, UartConfig
from hw.errors import UnknownName
from hw.formats import FP16, FP17, FP29, FP32
from hw.memory.index_buffer import IndexBuffer, IndexBufferConfig
from hw.memory.transpose_buffer import TransposeBuffer, TransposeBufferConfig
from hw.orbis.datm import Datm
from hw.orbis.datm_config import DatmConfig
from hw.orbis.distance_accumulation_unit import DistanceAccumulationUnit, DistanceAccumulationUnitConfig
from hw.orbis.dst_chooser import DstChooser, DstChooserConfig
from hw.orbis.matching_engine import MatchingEngine, MatchingEngineConfig
from hw.orbis.quantization_engine import QuantizationEngine, QuantizationEngineConfig
from hw.orbis.top_k import TopK, TopKConfig
from hw.simcore.aligned_pe import AlignedPE, AlignedPEConfig
from hw.simcore.column_importance import ColumnImportance, ColumnImportanceConfig
from hw.simcore.column_merge import ColumnMerge, ColumnMergeConfig
from hw.simcore.computing_engine import ComputingEngine, ComputingEngineConfig
from hw.simcore.ewu import Ewu, EwuConfig
from hw.simcore.fp16_pe import FP16PE, FP16PEConfig
from hw.simcore.local_table import LocalTable, LocalTableConfig
from hw.simcore.lut_buffer import LutBuffer, LutBufferConfig
from hw.simcore.lut_multiplier import LutMultiplier, LutMultiplierConfig
from hw.simcore.lut_pe import LutPE, LutPEConfig
from hw.simcore.plain_pe import PlainPE, PlainPEConfig
from hw.simcore.prediction_unit import PredictionUnit, PredictionUnitConfig
from hw.simcore.prologue import Prologue, PrologueConfig
from hw.simcore.quantization_unit import QuantizationUnit, QuantizationUnitConfig
from hw.simcore.recovery import Recovery, RecoveryConfig
from hw.simcore.reduction_tree import ReductionTree, ReductionTreeConfig
from hw.simcore.reorder_recover_unit import ReorderRecoverUnit, ReorderRecoverUnitConfig
from hw.simcore.row_writer import RowWriter, RowWriterConfig
from hw.simcore.scale_unit import ScaleUnit, ScaleUnitConfig
from hw.simcore.score_buffer import ScoreBuffer, ScoreBufferConfig
from hw.simcore.sfu import Sfu, SfuConfig
from hw.simcore.simcore import Simcore, SimcoreConfig
from hw.simcore.slice_generator import SliceGenerator, SliceGeneratorConfig
from hw.simcore.sort_select import SortSelect, SortSelectConfig
from hw.simcore.sparsification_unit import SparsificationUnit, SparsificationUnitConfig
from hw.simcore.split_pe import SplitPE, SplitPEConfig
from hw.simcore.tile_merge_unit import TileMergeUnit, TileMergeUnitConfig
from hw.tree.bitonic_sorter import BitonicSorterConfig, BitonicSorterStream
from hw.tree.min_tree import MinTreeConfig, MinTreeStream


@dataclass(frozen=True)
class Block:
    """One entry of the registry.

    Parameters
    ----------
    name : the name that the golden, the component's file, the bench and the tests share
    component : ``wiring.Component`` subclass, built as ``component(config=...)``
    presets : config of each preset; the first is the default
    paper : where it is described
    summary : what it does, in a few words
    """

    name: str
    component: type
    presets: Mapping[str, Any]
    paper: str
    summary: str = ""

    #: The preset of the size that the paper builds: generated and linted; too large to be simulated or synthesised whole.
    PAPER_SIZE = "paper"

    @property
    def small_presets(self):
        """Names of the presets that a bench runs in seconds."""
        return [name for name in self.presets if name != self.PAPER_SIZE]

    def config(self, preset=None):
        """The config of ``preset``, or of the default one. ``UnknownName`` lists the presets."""
        if preset is None:
            preset = next(iter(self.presets))
        if preset not in self.presets:
            raise UnknownName(f"block {self.name} has no preset {preset!r}; it has: {', '.join(self.presets)}")
        return self.presets[preset]

    def build(self, preset=None):
        """A new component of ``preset``."""
        return self.component(config=self.config(preset))


#: The SIMCORE that fits an ECP5 85F beside the link: words of two elements, one lane in most units.
_SIMCORE_BOARD = SimcoreConfig(
    engine=ComputingEngineConfig(
        fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=4, ragged=True),
        lut=LutPEConfig(rows=2, columns=1, lanes=2, words=4, copy_width=8, slices="generator", ragged=True),
        max_channels=8,
        max_tokens=6,
        load_lanes=2,
    ),
    slices=2,
    tiles=2,
    max_frames=4,
    max_height=4,
    max_width=4,
    max_tokens=64,
    max_text=8,
    data_bits=32,
    address_bits=16,
    burst=4,
    outstanding=2,
    sfu_lanes=1,
    merge_lanes=1,
    importance_lanes=2,
    candidates=1,
    slots=64,
)

_AXI = {
    "default": AxiConfig(),
    "narrow": AxiConfig(data_bits=32, granularity=4, burst=4, outstanding=3, address_bits=64, length_bits=16),
    "single": AxiConfig(data_bits=64, granularity=1, burst=1, outstanding=2),
    "wide": AxiConfig(data_bits=512, granularity=2, burst=64, outstanding=2),
}

_ENTRIES = (
    Block(
        "ewu",
        Ewu,
        {
            "default": EwuConfig(),
            "combinational": EwuConfig(stages=0),
            "deep": EwuConfig(stages=7),
            "single": EwuConfig(lanes=1),
        },
        "SIMPICKER IV-B",
        "a + b, a - b, a * b, a * scalar, max and magnitude of FP16 vectors",
    ),
    Block(
        "float_add",
        FloatAddStream,
        {
            "default": FloatAddConfig(),
            "combinational": FloatAddConfig(stages=0),
            "deep": FloatAddConfig(stages=6),
            "fp16": FloatAddConfig(a=FP16, b=FP16),
            "accumulate": FloatAddConfig(b=FP17, subnormals=False),
            "accumulate_fp16": FloatAddConfig(b=FP29, subnormals=False),
        },
        "SIMPICKER IV-B",
        "a + b, IEEE, rounded once",
    ),
    Block(
        "float_multiply",
        FloatMultiplyStream,
        {
            "default": FloatMultiplyConfig(),
            "combinational": FloatMultiplyConfig(stages=0),
            "deep": FloatMultiplyConfig(stages=3),
            "fp16": FloatMultiplyConfig(product=FP16, stages=5),
            "fp32": FloatMultiplyConfig(operand=FP32, product=FP32, stages=6),
            "scale": FloatMultiplyConfig(product=FP16, factor=FP32, stages=6),
        },
        "SIMPICKER IV-B",
        "a x b, exact or rounded once, IEEE",
    ),
    Block(
        "float_convert",
        FloatConvertStream,
        {
            "default": FloatConvertConfig(),
            "combinational": FloatConvertConfig(stages=0),
            "deep": FloatConvertConfig(stages=3),
            "widen": FloatConvertConfig(source=FP16, target=FP32),
            "int8": FloatConvertConfig(source=Integer(8, sign_magnitude=True)),
            "int32": FloatConvertConfig(source=Integer(32), target=FP32, stages=4),
        },
        "SIMPICKER IV-B",
        "FP32, FP16 or integer to FP16 or FP32",
    ),
    Block(
        "float_compare",
        FloatCompareStream,
        {
            "default": FloatCompareConfig(),
            "combinational": FloatCompareConfig(stages=0),
            "deep": FloatCompareConfig(stages=2),
            "fp16": FloatCompareConfig(fmt=FP16),
        },
        "SIMPICKER IV-C",
        "less, equal, min and max in a total order",
    ),
    Block(
        "reciprocal",
        ReciprocalStream,
        {
            "default": ReciprocalConfig(),
            "deep": ReciprocalConfig(stages=8),
            "fp16": ReciprocalConfig(fmt=FP16, stages=5),
            "combinational": ReciprocalConfig(fmt=FP16, stages=0),
        },
        "SIMPICKER IV, V-A",
        "1 / x, correctly rounded",
    ),
    Block(
        "exp",
        ExpStream,
        {
            "default": ExpConfig(),
            "combinational": ExpConfig(stages=0),
            "deep": ExpConfig(stages=8),
            "fp16": ExpConfig(source=FP16),
            "fp32": ExpConfig(target=FP32, stages=10),
        },
        "SIMPICKER IV, V-A",
        "e to the x, monotone, within 0.6 ulp of FP16",
    ),
    Block(
        "min_tree",
        MinTreeStream,
        {
            "default": MinTreeConfig(),
            "combinational": MinTreeConfig(leaves=5, stages=0),
            "deep": MinTreeConfig(leaves=13, width=20, stages=4),
            "single": MinTreeConfig(leaves=1, stages=0),
        },
        "SIMPICKER IV-C, ORBIS 3.3",
        "least key and its index: comparison tree, min tree",
    ),
    Block(
        "index_buffer",
        IndexBuffer,
        {
            "default": IndexBufferConfig(),
            "small": IndexBufferConfig(depth=37, tag_bits=5),
            "single": IndexBufferConfig(depth=1),
        },
        "SIMPICKER IV-C",
        "one entry a token: kept, or the root of what it repeats",
    ),
    Block(
        "axi_bursts",
        AxiBursts,
        _AXI,
        "no paper",
        "a command of address and length to AXI4 bursts within 4 KiB",
    ),
    Block(
        "axi_reader",
        AxiReader,
        _AXI,
        "no paper",
        "AXI4 master, a command to a stream of words",
    ),
    Block(
        "axi_writer",
        AxiWriter,
        _AXI,
        "no paper",
        "AXI4 master, a command and a stream of words to memory",
    ),
    Block(
        "axi_master",
        AxiMaster,
        _AXI,
        "no paper",
        "reader and writer under the standard pin names",
    ),
    Block(
        "axi_read_arbiter",
        AxiReadArbiter,
        {
            "default": AxiReadArbiterConfig(),
            "three": AxiReadArbiterConfig(readers=3, outstanding=2, data_bits=32, address_bits=64),
            "single": AxiReadArbiterConfig(readers=1, outstanding=1),
        },
        "no paper",
        "AXI4 readers that share a bus, in turn",
    ),
    Block(
        "registers",
        Registers,
        {"default": RegistersConfig(EXAMPLE), "one": RegistersConfig((register("value", 0, 5, reset=9),), 3)},
        "no paper",
        "AXI4-Lite register file from a description",
    ),
    Block(
        "axi_ram",
        AxiRam,
        {
            "default": AxiRamConfig(),
            "odd": AxiRamConfig(data_bits=32, address_bits=20, depth=1300),
            "wide": AxiRamConfig(data_bits=512, depth=100, address_bits=64),
            "single": AxiRamConfig(data_bits=64, depth=1),
        },
        "no paper",
        "on-chip memory as an AXI4 slave, with a side for a host that moves bytes",
    ),
    Block(
        "uart",
        Uart,
        {"default": UartConfig(), "slow": UartConfig(divisor=87)},
        "no paper",
        "8N1 receiver and transmitter, bytes as streams",
    ),
    Block(
        "link",
        Link,
        {
            "default": LinkConfig(timeout=400),
            "small": LinkConfig(max_payload=37, max_answer=16, timeout=150),
        },
        "no paper",
        "framed commands with checksum and time-out, each obeyed once and answered",
    ),
    Block(
        "bus_adapter",
        BusAdapter,
        {"default": BusAdapterConfig(), "narrow": BusAdapterConfig(register_bits=5, memory_bits=9)},
        "no paper",
        "a machine's registers and memory behind the link: bytes to AXI4-Lite",
    ),
    Block(
        "demonstrator",
        Demonstrator,
        {
            "default": DemonstratorConfig(divisor=8, timeout=4000),
            "smallest": DemonstratorConfig(
                units=("min_tree",), min_tree=MinTreeConfig(stages=4), divisor=8, timeout=4000
            ),
            "simcore": DemonstratorConfig(
                units=("min_tree",), machine=MachineConfig(Simcore, _SIMCORE_BOARD, depth=4096), divisor=8, timeout=4000
            ),
        },
        "no paper",
        "what goes on a board: a LUT PE, a plain PE and a min tree behind a UART",
    ),
    Block(
        "local_table",
        LocalTable,
        {
            "default": LocalTableConfig(),
            "narrow": LocalTableConfig(copy_width=1),
            "whole": LocalTableConfig(copy_width=64),
            "shared": LocalTableConfig(read_ports=8),
            "byte128": LocalTableConfig(reading="byte128", copy_width=16),
        },
        "SIMPICKER IV-B, Fig. 5",
        "one slice read while the next is copied in",
    ),
    Block(
        "lut_buffer",
        LutBuffer,
        {
            "default": LutBufferConfig(),
            "narrow": LutBufferConfig(copy_width=1),
            "whole": LutBufferConfig(copy_width=64),
            "byte128": LutBufferConfig(reading="byte128", copy_width=16),
        },
        "SIMPICKER IV-B",
        "the 128 KiB product table, written after reset, read by slices",
    ),
    Block(
        "simcore",
        Simcore,
        {
            "tiny": SimcoreConfig(
                engine=ComputingEngineConfig(
                    fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=8, ragged=True),
                    lut=LutPEConfig(
                        rows=2, columns=1, lanes=2, words=8, copy_width=64, slices="generator", ragged=True
                    ),
                    max_channels=16,
                    max_tokens=6,
                    load_lanes=8,
                ),
                slices=2,
                tiles=2,
                max_frames=4,
                max_height=4,
                max_width=4,
                max_tokens=64,
                max_text=8,
                data_bits=64,
                burst=4,
                sfu_lanes=2,
                merge_lanes=2,
                importance_lanes=4,
                slots=64,
            ),
            "board": _SIMCORE_BOARD,
            "small": SimcoreConfig(),
            "paper": SimcoreConfig(
                engine=ComputingEngineConfig(
                    fp16=FP16PEConfig(rows=16, columns=4, words=4, ragged=True),
                    lut=LutPEConfig(rows=16, columns=8, words=2, copy_width=64, ragged=True),
                    max_channels=64,
                    max_tokens=128,
                    load_lanes=32,
                ),
                max_frames=26,
                max_height=32,
                max_width=48,
                max_tokens=35100,
                max_text=512,
                data_bits=512,
                sfu_lanes=16,
                merge_lanes=16,
                importance_lanes=32,
            ),
        },
        "SIMPICKER IV, V",
        "one head of attention, from Q, K and V in memory to A in memory, behind AXI4 and AXI4-Lite",
    ),
    Block(
        "slice_generator",
        SliceGenerator,
        {
            "default": SliceGeneratorConfig(),
            "narrow": SliceGeneratorConfig(copy_width=1),
            "whole": SliceGeneratorConfig(copy_width=64),
            "byte128": SliceGeneratorConfig(reading="byte128", copy_width=16),
        },
        "an alternative to SIMPICKER IV-B",
        "the same slices from W adders, without the table",
    ),
    Block(
        "lut_multiplier",
        LutMultiplier,
        {
            "default": LutMultiplierConfig(),
            "deep": LutMultiplierConfig(stages=2),
            "byte128": LutMultiplierConfig(reading="byte128", copy_width=16),
        },
        "SIMPICKER IV-B, Fig. 5",
        "FP16 x INT8 by one look-up and one exponent add",
    ),
    Block(
        "lut_pe",
        LutPE,
        {
            "default": LutPEConfig(),
            "deep": LutPEConfig(product_stages=2, add_stages=6),
            "combinational": LutPEConfig(add_stages=0),
            "stalling": LutPEConfig(words=4, copy_width=4),
            "shared": LutPEConfig(tables="pe"),
            "byte128": LutPEConfig(reading="byte128", copy_width=16),
            "generated": LutPEConfig(slices="generator"),
            "fixed": LutPEConfig(slices="generator", accumulator="fixed"),
            "array": LutPEConfig(rows=3, columns=2, lanes=4, words=16, copy_width=32),
            "paper": LutPEConfig(rows=16, columns=8, words=32, copy_width=32),
        },
        "SIMPICKER IV-B, Fig. 5",
        "outer products on LUT multipliers, FP32 sums; arrays of rows x columns",
    ),
    Block(
        "fp16_pe",
        FP16PE,
        {
            "default": FP16PEConfig(),
            "deep": FP16PEConfig(product_stages=3, add_stages=6),
            "combinational": FP16PEConfig(add_stages=0),
            "array": FP16PEConfig(rows=2, columns=2, lanes=4, words=8),
            "paper": FP16PEConfig(rows=8, columns=8, words=32),
        },
        "SIMPICKER IV-B",
        "outer products of FP16 and FP16, exact products, FP32 sums; arrays of rows x columns",
    ),
    Block(
        "plain_pe",
        PlainPE,
        {
            "default": PlainPEConfig(),
            "deep": PlainPEConfig(product_stages=2, add_stages=6),
            "combinational": PlainPEConfig(add_stages=0),
            "exact": PlainPEConfig(exact=True),
            "fixed": PlainPEConfig(exact=True, accumulator="fixed"),
        },
        "the control of SIMPICKER IV-B",
        "the same on 11 x 7 multipliers",
    ),
    Block(
        "aligned_pe",
        AlignedPE,
        {
            "default": AlignedPEConfig(),
            "small": AlignedPEConfig(bits=12, max_operands=5, product_stages=2, digits=()),
            "wide": AlignedPEConfig(bits=41, add_stages=2),
        },
        "an alternative to SIMPICKER IV-B",
        "the same on integers aligned to a row's largest exponent, bounded error",
    ),
    Block(
        "split_pe",
        SplitPE,
        {
            "default": SplitPEConfig(),
            "exact": SplitPEConfig(exact=True, product_stages=2),
            "fixed": SplitPEConfig(exact=True, accumulator="fixed"),
            "two": SplitPEConfig(digits=(4, 3)),
        },
        "an alternative to SIMPICKER IV-B",
        "the same on multiples picked by digits of the weight",
    ),
    Block(
        "sfu",
        Sfu,
        {
            "default": SfuConfig(),
            "deep": SfuConfig(
                lanes=1,
                max_row=53,
                memory_stages=2,
                multiply_stages=6,
                add_stages=6,
                exp_stages=10,
                reciprocal_stages=8,
                convert_stages=3,
            ),
            "tiles": SfuConfig(lanes=2, max_row=130, tiles=True),
            "fp16": SfuConfig(lanes=2, max_row=130, scores=FP16, scaled=False),
        },
        "SIMPICKER IV-A, V-A",
        "softmax of rows: max, exp(x - max), sum, 1 / sum",
    ),
    Block(
        "sparsification_unit",
        SparsificationUnit,
        {
            "default": SparsificationUnitConfig(),
            "two": SparsificationUnitConfig(candidates=2, banks=4, lanes=8, max_words=16),
            "wide": SparsificationUnitConfig(lanes=8, max_words=16, add_stages=3, tree_stages=2),
            "narrow": SparsificationUnitConfig(
                candidates=1,
                banks=1,
                lanes=4,
                max_words=2,
                max_height=5,
                max_width=7,
                max_window=5,
                slots=32,
                tokens=200,
                in_flight=4,
                difference_stages=0,
                square_stages=0,
                add_stages=1,
                tree_stages=0,
            ),
        },
        "SIMPICKER III-C, IV-C",
        "similar tokens in time and space: distances, comparison trees, index buffer",
    ),
    Block(
        "prologue",
        Prologue,
        {
            "default": PrologueConfig(),
            "narrow": PrologueConfig(
                lanes=2,
                max_channels=9,
                max_tokens=300,
                prediction=PredictionUnitConfig(
                    lanes=2, max_channels=9, max_rows=24, max_tiles=7, sfu=SfuConfig(lanes=2, max_row=7)
                ),
                sparsification=SparsificationUnitConfig(
                    candidates=2,
                    banks=4,
                    lanes=2,
                    max_words=8,
                    max_height=6,
                    max_width=7,
                    max_window=5,
                    slots=64,
                    tokens=200,
                ),
                length_bits=12,
            ),
        },
        "SIMPICKER V-A",
        "channel maxima of K and V, map of P and index table of a head, read side by side",
    ),
    Block(
        "quantization_unit",
        QuantizationUnit,
        {
            "default": QuantizationUnitConfig(),
            "deep": QuantizationUnitConfig(lanes=3, max_channels=7, digits=1),
            "single": QuantizationUnitConfig(lanes=1, max_channels=5, digits=8),
        },
        "SIMPICKER III-B, IV-C",
        "K and V to INT8, a scale a channel",
    ),
    Block(
        "scale_unit",
        ScaleUnit,
        {
            "default": ScaleUnitConfig(),
            "sums": ScaleUnitConfig(lanes=3, max_channels=7, values=FP32, stages=0),
        },
        "SIMPICKER III-B",
        "scales of K into Q, scales of V to the sums",
    ),
    Block(
        "tile_merge_unit",
        TileMergeUnit,
        {
            "default": TileMergeUnitConfig(),
            "odd": TileMergeUnitConfig(
                lanes=3,
                rows=5,
                max_channels=7,
                ahead=3,
                multiply_stages=1,
                add_stages=2,
                exp_stages=5,
                reciprocal_stages=3,
                convert_stages=0,
            ),
            "single": TileMergeUnitConfig(
                lanes=1, rows=1, max_channels=2, ahead=9, multiply_stages=0, add_stages=0, convert_stages=3
            ),
        },
        "SIMPICKER V-A",
        "softmax over key tiles: running maximum, sum and output rescaled, then divided",
    ),
    Block(
        "column_merge",
        ColumnMerge,
        {
            "default": ColumnMergeConfig(),
            "odd": ColumnMergeConfig(fp16_outputs=6, lut_outputs=3, lanes=3, max_channels=7, multiply_stages=0),
            "single": ColumnMergeConfig(fp16_outputs=1, lut_outputs=2, lanes=1, max_channels=1, multiply_stages=1),
            "paper": ColumnMergeConfig(fp16_outputs=64, lut_outputs=64, lanes=8),
        },
        "SIMPICKER V-A",
        "columns of a row of A from both arrays side by side, V's scales on those of the LUT array",
    ),
    Block(
        "row_writer",
        RowWriter,
        {
            "default": RowWriterConfig(),
            "odd": RowWriterConfig(
                lanes=3, elements=6, rows=5, max_channels=20, queue_rows=3, address_bits=33, length_bits=5
            ),
            "single": RowWriterConfig(lanes=1, elements=1, rows=1, max_channels=2, address_bits=12, length_bits=2),
        },
        "SIMPICKER V-A",
        "rows of A packed into words of a bus, each written by a command when it is whole",
    ),
    Block(
        "bitonic_sorter",
        BitonicSorterStream,
        {
            "default": BitonicSorterConfig(),
            "descending": BitonicSorterConfig(lanes=13, payload_bits=5, descending=True, columns_per_stage=3),
            "combinational": BitonicSorterConfig(lanes=5, columns_per_stage=0),
            "bitonic": BitonicSorterConfig(lanes=16, payload_bits=3, bitonic=True),
        },
        "ORBIS 3.3, SIMPICKER IV-C",
        "a row of entries by (key, index), a row a cycle",
    ),
    Block(
        "transpose_buffer",
        TransposeBuffer,
        {
            "default": TransposeBufferConfig(lanes=8, max_rows=16, max_channels=16),
            "rows": TransposeBufferConfig(columns=3, lanes=4, max_operands=21, max_outputs=3),
            "single": TransposeBufferConfig(
                columns=1, lanes=3, max_operands=7, max_outputs=5, max_rows=5, max_channels=7, width=8, tag_bits=2
            ),
        },
        "SIMPICKER IV, V-A",
        "operands of an array, read by k from matrices that arrive by rows or columns, ping-pong",
    ),
    Block(
        "recovery",
        Recovery,
        {
            "default": RecoveryConfig(),
            "narrow": RecoveryConfig(
                lanes=2, max_channels=5, tokens=70, rows_in_flight=1, address_bits=20, length_bits=4
            ),
            "single": RecoveryConfig(lanes=8, max_channels=8, tokens=64, rows_in_flight=3),
        },
        "SIMPICKER IV-C, V-A",
        "rows of A of similar tokens copied in memory from the row of each token's root",
    ),
    Block(
        "reduction_tree",
        ReductionTree,
        {
            "default": ReductionTreeConfig(),
            "scaled": ReductionTreeConfig(lanes=1, max_channels=3, max_rows=26, scaled=True),
            "serial": ReductionTreeConfig(
                lanes=4, max_channels=11, max_rows=5, scaled=True, outputs=1, multiply_stages=0, convert_stages=0
            ),
        },
        "SIMPICKER III-B, IV-C",
        "exact column sums or means of every N rows of a matrix",
    ),
    Block(
        "sort_select",
        SortSelect,
        {
            "default": SortSelectConfig(),
            "bitonic": SortSelectConfig(build="bitonic", max_scores=26, lanes=26),
            "words": SortSelectConfig(build="bitonic", max_scores=11, lanes=4, p_bits=8, columns_per_stage=3),
            "channels": SortSelectConfig(max_scores=128, lanes=1, p_bits=16),
        },
        "SIMPICKER III-B, IV-C",
        "the largest scores of a row until their sum exceeds p of its sum",
    ),
    Block(
        "score_buffer",
        ScoreBuffer,
        {
            "default": ScoreBufferConfig(),
            "oblong": ScoreBufferConfig(rows=3, columns=130),
        },
        "SIMPICKER IV-C, VI-A",
        "the importance map, a bit a tile, written by rows, read by tile or row",
    ),
    Block(
        "prediction_unit",
        PredictionUnit,
        {
            "default": PredictionUnitConfig(),
            "whole": PredictionUnitConfig(max_channels=64, sfu_inside=True),
            "bitonic": PredictionUnitConfig(
                lanes=2,
                max_channels=5,
                max_rows=9,
                max_tiles=7,
                select="bitonic",
                sfu=SfuConfig(lanes=2, max_row=7),
                product_stages=2,
                add_stages=1,
            ),
        },
        "SIMPICKER III-B, IV-C",
        "which tiles of P are important, before any is computed",
    ),
    Block(
        "column_importance",
        ColumnImportance,
        {
            "default": ColumnImportanceConfig(),
            "small": ColumnImportanceConfig(
                lanes=2, max_columns=31, max_rows=5, v_lanes=1, max_channels=5, product_stages=3, add_stages=0
            ),
        },
        "SIMPICKER III-B, V-A, V-B",
        "which columns of A are important, from rows of P in flight",
    ),
    Block(
        "computing_engine",
        ComputingEngine,
        {
            "default": ComputingEngineConfig(),
            "tiny": ComputingEngineConfig(
                fp16=FP16PEConfig(rows=2, columns=1, lanes=2, words=5, ragged=True),
                lut=LutPEConfig(rows=2, columns=1, lanes=2, words=6, copy_width=16, slices="generator", ragged=True),
                max_channels=7,
                max_tokens=10,
                load_lanes=3,
            ),
            "paper": ComputingEngineConfig(
                fp16=FP16PEConfig(rows=8, columns=8, words=22, ragged=True),
                lut=LutPEConfig(rows=16, columns=8, words=22, copy_width=64, ragged=True),
                max_tokens=1350,
                load_lanes=8,
            ),
        },
        "SIMPICKER IV-A, IV-B, V-A",
        "the FP16 and the LUT array at work on different tiles, with operand memories and job queues",
    ),
    Block(
        "dst_chooser",
        DstChooser,
        {
            "default": DstChooserConfig(),
            "least": DstChooserConfig(max_tokens=2, mark_bits=1),
            "odd": DstChooserConfig(max_tokens=301, mark_bits=8),
        },
        "ORBIS 3.2",
        "K distinct tokens of M, drawn from a seed, or a given list checked",
    ),
    Block(
        "quantization_engine",
        QuantizationEngine,
        {
            "default": QuantizationEngineConfig(),
            "single": QuantizationEngineConfig(lanes=1, max_channels=5, weight_bits=16),
            "wide": QuantizationEngineConfig(lanes=16, max_tokens=300, max_channels=40, weight_bits=3),
        },
        "ORBIS 3.2, 3.3",
        "FP16 tokens to 4-bit codes, channel-wise, with scales and weights",
    ),
    Block(
        "top_k",
        TopK,
        {
            "default": TopKConfig(),
            "single": TopKConfig(lanes=1, max_entries=50, index_bits=6),
            "small": TopKConfig(lanes=4, max_entries=61, key_bits=5, index_bits=6, payload_bits=0, columns_per_stage=0),
        },
        "ORBIS 3.2, 3.3",
        "the k least of n entries in order, by chunks and merge passes",
    ),
    Block(
        "distance_accumulation_unit",
        DistanceAccumulationUnit,
        {
            "default": DistanceAccumulationUnitConfig(),
            "multiplier": DistanceAccumulationUnitConfig(form="multiplier"),
            "word": DistanceAccumulationUnitConfig(form="word"),
            "small": DistanceAccumulationUnitConfig(
                src_lanes=2, dst_lanes=3, channel_lanes=5, max_channels=13, weight_bits=3
            ),
        },
        "ORBIS 3.3",
        "weighted squared distances of 4-bit tokens, exact",
    ),
    Block(
        "datm",
        Datm,
        {
            "default": DatmConfig(),
            "small": DatmConfig(
                max_tokens=23,
                max_slots=9,
                max_channels=3,
                dst_lanes=1,
                channel_lanes=1,
                tile_groups=3,
                weight_bits=2,
                max_iterations=5,
                sort_lanes=2,
                flag_bits=1,
                form="multiplier",
            ),
            "paper": DatmConfig(
                max_tokens=17_550,
                max_slots=1_755,
                max_channels=64,
                dst_lanes=48,
                channel_lanes=16,
                outstanding=64,
                flag_bits=64,
            ),
        },
        "ORBIS 3.2, 3.3",
        "token matching: pair, check, update until converged, top-k; tokens in memory to index pairs",
    ),
    Block(
        "matching_engine",
        MatchingEngine,
        {
            "default": MatchingEngineConfig(),
            "odd": MatchingEngineConfig(
                datm=DatmConfig(
                    max_tokens=37,
                    max_slots=21,
                    max_channels=5,
                    dst_lanes=3,
                    channel_lanes=2,
                    tile_groups=2,
                    weight_bits=5,
                    form="word",
                    max_iterations=9,
                    sort_lanes=1,
                    flag_bits=4,
                ),
                outstanding=3,
            ),
        },
        "ORBIS 3.2, 3.3",
        "an SDPA output in memory to index pairs in memory: quantization, codes kept, matching",
    ),
    Block(
        "reorder_recover_unit",
        ReorderRecoverUnit,
        {
            "default": ReorderRecoverUnitConfig(),
            "odd": ReorderRecoverUnitConfig(max_rows=37, max_words=5, width=13, rank_block=8, rows_in_flight=3),
            "direct": ReorderRecoverUnitConfig(max_rows=64, max_words=1, width=16, rank_block=1),
            "paper": ReorderRecoverUnitConfig(max_rows=35_100, max_words=22, width=1024, rank_block=64),
        },
        "SIMPICKER IV-C",
        "rows compacted, recovered and permuted by index tables",
    ),
)

BLOCKS = {block.name: block for block in _ENTRIES}


def find(name):
    """The block called ``name``. ``UnknownName`` lists the blocks."""
    if name not in BLOCKS:
        raise UnknownName(f"there is no block {name!r}; the blocks are: {', '.join(BLOCKS)}")
    return BLOCKS[name]
