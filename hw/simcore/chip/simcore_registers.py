# SPDX-License-Identifier: Apache-2.0
"""SIMCORE's registers: the one description of which hardware, documentation and driver are made, and the causes of errors.

``zoetrope registers > docs/registers.md`` renders the page.

Rejected: geometry packed into as few words as it fits, eight bytes saved of an address space of 4 KiB, for a driver that
reads before it writes. Counters of 64 bits: at 400 MHz those of 32 last for ten seconds of one head.
"""

import enum

from zoetrope.hw.axi.registers import Field, Register, markdown, register

#: Of this register map; it changes when something in it moves or means something else.
VERSION = 2

#: Fraction bits of ``p_p`` and ``p_a``.
P_BITS = 12


class Cause(enum.IntEnum):
    """Why a head ended with an error; ``status.cause`` of the last one."""

    NONE = 0, "it ended well, or none ran yet"
    GEOMETRY = 1, "a size is zero or above this machine's largest: refused before anything is read"
    ADDRESS = 2, "an address is no multiple of a word, or a matrix ends beyond the address space: refused"
    PROPORTION = 3, "p_p or p_a above 1: refused"
    THRESHOLD = 4, "tau_squared negative or NaN: refused"
    SCALE = 5, "score_scale or frame_inverse no positive finite number: refused"
    READ = 6, "SLVERR or DECERR to a read"
    WRITE = 7, "SLVERR or DECERR to a write"
    NOT_FINITE_Q = 8, "NaN or infinity in Q"
    NOT_FINITE_K = 9, "NaN or infinity in K"
    NOT_FINITE_V = 10, "NaN or infinity in V"
    FOLD = 11, "a value of Q times K's scale is beyond FP16"
    INTERNAL = 12, "the map of P overflowed, as scales that are not those of the head can make it, or a part failed"
    ABORTED = 13, "control.abort was written"
    WATCHDOG = 14, "the head took as many cycles as watchdog allows"

    def __new__(cls, value, doc):
        member = int.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


_CONTROL = Register(
    "control",
    0x000,
    (
        Field("start", 1, "pulse", doc="begins a head with what the other registers hold"),
        Field("abort", 1, "pulse", doc="ends the head that is being computed with an error, see below; else nothing"),
        Field("sparsify", 1, "rw", 1, doc="rows of similar tokens of Q are skipped", bit=8),
        Field("speculate_p", 1, "rw", 1, doc="unimportant tiles of P are FP-INT"),
        Field("speculate_a", 1, "rw", 1, doc="unimportant columns of A are FP-INT"),
        Field("quantize", 1, "rw", 1, doc="K and V have INT8 codes; 0: everything is FP16, whatever speculates"),
        Field("text_first", 1, "rw", 1, doc="text tokens stand before the video tokens, else after"),
        Field(
            "compact",
            1,
            "rw",
            1,
            doc="kept rows stand side by side; 0: skipped ones leave their places empty",
        ),
        Field("interrupt_enable", 1, "rw", doc="the pin irq is high while done, error or stuck of status is", bit=16),
    ),
)

_STATUS = Register(
    "status",
    0x004,
    (
        Field(
            "busy",
            1,
            "ro",
            doc="a head is being computed; what is written to the registers meanwhile is the next one's",
        ),
        Field("done", 1, "w1c", doc="a head ended without error: A is in memory"),
        Field("error", 1, "w1c", doc="a head ended with an error: what A holds is undefined, see cause"),
        Field("refused", 1, "w1c", doc="start was written while busy; nothing else came of it"),
        Field("stuck", 1, "w1c", doc="a head that has failed cannot end: twice watchdog passed, the bus owes answers"),
        Field("reads_pending", 1, "ro", doc="the bus owes words to bursts that were read, now"),
        Field("writes_pending", 1, "ro", doc="a write was begun and is not answered, now"),
        Field("cause", 8, "ro", doc="of the last head, see below", bit=8, values=Cause),
    ),
)

_MACHINE = (
    Register(
        "build",
        0x010,
        (
            Field("version", 8, "ro", doc="of this register map"),
            Field("rows", 8, "ro", doc="most rows of a slice, t"),
            Field("data_bits", 16, "ro", doc="of the memory bus; a word of B = data_bits / 16 elements"),
        ),
    ),
    Register(
        "limits",
        0x014,
        (
            Field("max_channels", 16, "ro", doc="most channels d"),
            Field("max_frames", 16, "ro", doc="most frames F"),
        ),
    ),
    register("max_tokens", 0x018, access="ro", doc="most video tokens, F H W"),
    register("key_tile", 0x01C, access="ro", doc="most tokens of a key tile; larger frames are cut"),
)

_GEOMETRY = (
    register("frames", 0x020, 16, doc="frames F"),
    register("height", 0x024, 16, doc="rows of tokens in a frame, H"),
    register("width", 0x028, 16, doc="tokens in a row of a frame, W"),
    register("text", 0x02C, 16, doc="text tokens C"),
    register("channels", 0x030, 16, doc="channels d"),
    register("window", 0x034, 8, doc="side of the window in the frame before, in tokens"),
    register("group", 0x038, 16, doc="tokens of a group within a row of a frame"),
)

_PLACE = "token t stands ceil(d / B) words times t behind it"

_ADDRESSES = tuple(
    register(f"{matrix}_{half}", 0x040 + 8 * k + 4 * high, doc=doc)
    for k, matrix in enumerate("qkva")
    for high, half, doc in (
        (0, "low", f"byte address of {matrix.upper()}, a multiple of a word; {_PLACE}"),
        (1, "high", f"upper 32 bits of {matrix.upper()}'s address"),
    )
)

_NUMBERS = (
    register("p_p", 0x060, P_BITS + 1, doc=f"proportion of a row of P, times 2^{P_BITS}: 0 to 2^{P_BITS}"),
    register("p_a", 0x064, P_BITS + 1, doc=f"proportion of the columns of A, times 2^{P_BITS}: 0 to 2^{P_BITS}"),
    register("tau_squared", 0x068, doc="square of the threshold on the distance of two tokens, FP32; at least 0"),
    register("frame_inverse", 0x06C, doc="1 / (H W), FP32"),
    register("score_scale", 0x070, doc="1 / sqrt(d), FP32"),
    register("watchdog", 0x074, doc="most cycles of a head, from its start; 0: any number. Looked at while it runs"),
)

_ACTIVITIES = {
    "busy": "weights were multiplied",
    "waiting": "there was a job, and its operands had not come",
    "stalled": "weights waited for slices, or for sums still in the adder",
    "blocked": "weights waited because results were not taken",
}

#: Names of the counters in the order of their registers, with their meaning.
COUNTERS = {
    "cycles": "cycles from start to the end",
    "prologue_cycles": "of them before the first tile: channel maxima, map of P, index table",
    "recovery_cycles": "of them after the last tile: rows of A that repeat others",
    **{
        f"{array}_{activity}": f"cycles in which the {name} array's {doc}"
        if activity == "busy"
        else f"cycles in which on the {name} array {doc}"
        for array, name in (("fp16", "FP16"), ("lut", "LUT"))
        for activity, doc in _ACTIVITIES.items()
    },
    "sfu_busy": "cycles in which the SFU took or gave a word",
    "sparsification_busy": "cycles in which the sparsification unit had a job",
    "rows_kept": "rows of Q that were computed, text included",
    "slices": "slices of up to t rows",
    "tiles_fp16": "tiles of S on the FP16 array, one a slice and key tile",
    "tiles_lut": "tiles of S on the LUT array",
    "words_read": "words read from memory",
    "words_written": "words written to memory",
}

_COUNTERS = tuple(
    register(name, 0x080 + 4 * k, access="ro", doc=f"{doc}; of the last or current head")
    for k, (name, doc) in enumerate(COUNTERS.items())
)

#: The description, as ``hw.axi.registers`` has it.
REGISTERS = (_CONTROL, _STATUS, *_MACHINE, *_GEOMETRY, *_ADDRESSES, *_NUMBERS, *_COUNTERS)

_PAGE = f"""# SIMCORE's registers

AXI4-Lite, 32 bits wide. Version {VERSION} of the map; rendered by `zoetrope registers`.
`sim/host/simcore.py` is a driver in Python.

1. Write Q, K and V to memory: tokens in the order of the head, FP16, each at the beginning of a word.
2. Write geometry, addresses, proportions, threshold and scales.
3. Write `control` with the switches and `start`. Wait for `status.done` or `status.error`, or for the pin `irq`.
4. Read A and the counters; clear `status.done` or `status.error` by writing it as 1.

After an error the next head needs no reset.

## A head that is to stop

`control.abort`, or `watchdog` cycles after the start, end a head with the cause `ABORTED` or `WATCHDOG`. The core forgets
the head at once. What it has begun on the bus is brought to its end, and `status.error` comes when that is done:

- Reads: a burst that waits on AR stays until it is taken; no other is begun. Words of bursts that AR has taken are taken
  on R and dropped. At most `outstanding` bursts of each of the 4 readers can be owed, of `burst` words each.
- Writes: rows of A that were whole are written, and so are all beats of the bursts of a row that was begun (those that have
  no data have no strobe); each is waited for on B. At most `outstanding` + 1 commands of a row are with the writer, and
  a few rows behind them in its queue.

So it takes as many cycles as the bus takes for these, and 12 or so more. After an error of another cause reads of a command
that was begun go on to its end; `control.abort`, or the watchdog, cut that short too, and leave the cause.

A bus that does not answer cannot be left: whoever answers later would answer the next head. `status.busy` then stays, and
`status.reads_pending` and `status.writes_pending` say what is owed. `status.stuck` is set, with `irq`, when a head that
has failed is not at its end after twice `watchdog` cycles (never with `watchdog` 0). If the bus answers after all, the head
ends with its error, and the next one is right. If it never does, reset the machine and the interconnect together.

{{registers}}
## Causes

`status.cause`, of the last head.

{{causes}}
"""


def document():
    """The page of documentation, Markdown."""
    causes = [f"| {cause.value} | `{cause.name}` | {cause.doc} |" for cause in Cause]
    table = "\n".join(["| cause | name | meaning |", "|---|---|---|", *causes])
    return _PAGE.format(registers=markdown(REGISTERS), causes=table)
