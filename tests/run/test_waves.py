# SPDX-License-Identifier: Apache-2.0
"""Waves: a window of cycles in a small file, fields of payloads as rows, states by name; the file reads back right."""

import ctypes
import re
import subprocess
import zlib

import numpy as np
import pytest
import pywellen
from amaranth import Module, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import Out
from harness_parts import Adder, AdderConfig

from zoetrope.hw.catalogue import Block
from zoetrope.hw.emit import emit_once
from zoetrope.hw.errors import UserError
from zoetrope.hw.verilog.sidecar import layout
from zoetrope.sim.record import PERIOD
from zoetrope.sim.run import build, toolchain, waves
from zoetrope.sim.run.harness import BenchFailed, simulate

ADDER = Block("adder", Adder, configs={bug: AdderConfig(bug) for bug in ("none", "wrong")})


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WAVES", raising=False)


def signals(trace):
    """Signal by full name, of all that an FST file has."""
    wave = pywellen.Waveform(str(trace))
    assert wave.file_format == "FST" and str(wave.timescale).replace(" ", "") == "1ps"
    return {var.full_name: var.signal for var in wave.all_vars()}


def test_a_window_of_cycles_is_read_back(capsys):
    """Sums are those of the operands two cycles before; nothing is there outside the window."""
    report = simulate(ADDER, bench="tb_harness_parts", stall="none", waves="20:60")
    found = signals(report.folder / "dump.fst")
    clock, a, b, total, valid = (
        found[f"adder.{name}"] for name in ("clk", "i__payload.a", "i__payload.b", "o__payload", "o__valid")
    )

    def at(signal, cycle):  # at the end of a cycle
        return signal.value_at((cycle + 1) * PERIOD * 1000 - 1)

    checked = 0
    for cycle in range(22, 58):
        if at(valid, cycle):
            assert at(total, cycle) == (at(a, cycle - 2) + at(b, cycle - 2)) % 65536
            checked += 1
    assert checked > 30
    assert {at(clock, cycle) for cycle in range(60, 90)} == {at(clock, 60)} and at(total, 59) == at(total, 90)
    assert (report.folder / "dump.fst").stat().st_size < 20_000
    assert f"waves: gtkwave {report.folder.name}" in capsys.readouterr().err.replace("build/sim/", "")


def test_the_environment_may_name_the_window(monkeypatch):
    """cocotb's own reading of the variable would refuse it."""
    monkeypatch.setenv("WAVES", "5:9")
    report = simulate(ADDER, bench="tb_harness_parts", stall="none")
    assert (report.folder / "dump.fst").exists()
    monkeypatch.setenv("WAVES", "0")
    assert not (simulate(ADDER, bench="tb_harness_parts", stall="none").folder / "dump.fst").exists()


def test_the_view_names_signals_of_the_trace_and_fields_of_words():
    folder = simulate(ADDER, bench="tb_harness_parts", stall="none", waves=True).folder
    view = (folder / "waves.gtkw").read_text()
    names = set(re.findall(r"^(adder\.[^\s\[]+)", view, re.M)) | set(re.findall(r"\)(adder\.[^\s\[]+)", view))
    assert names and names <= set(signals(folder / "dump.fst"))
    word = "adder.i__payload[31:0]"
    field = " ".join(f"({bit}){word}" for bit in range(16, 32))
    assert f"#{{i__payload.a[15:0]}} {field}\n" in view  # bit 0 of a word is the last of a view


def test_a_failure_says_in_which_cycles():
    with pytest.raises(BenchFailed) as failure:
        simulate(ADDER, "wrong", bench="tb_harness_parts")
    wrong = next(row for row in failure.value.report.rows if row.error)
    assert f" WAVES={wrong.begin}:{wrong.begin + wrong.cycles + 4}\n" in str(failure.value)
    rows = failure.value.report.rows
    assert [row.begin for row in rows] == sorted({row.begin for row in rows}) and rows[1].begin >= rows[0].cycles


def test_a_file_grows_to_a_bound(monkeypatch, capsys):
    monkeypatch.setattr(waves, "MOST_BYTES", 100)
    monkeypatch.setattr(waves, "STEPS", 512)
    report = simulate(ADDER, bench="tb_harness_parts", waves=True)
    assert report.cycles > 2000
    said = re.search(r"waves: the file is full at cycle (\d+): WAVES=from:to has another part", capsys.readouterr().err)
    end = int(said[1])
    assert end < 1000
    clock = signals(report.folder / "dump.fst")["adder.clk"]
    levels = [
        {clock.value_at(half * PERIOD * 500 + 10) for half in range(first, first + 40)} for first in (100, 2 * end + 4)
    ]
    assert list(map(len, levels)) == [2, 1]
    assert waves.stopped_at("x\nZOETROPE_WAVES_END 50000\n") == 5 and waves.stopped_at("") is None


def test_windows_as_text():
    assert waves.window("1") == waves.window("ON") == (0, None)
    assert waves.window("") is waves.window("0") is waves.window(None) is waves.window("no") is None
    assert waves.window("100:200") == (100, 200)
    assert waves.window(":200") == (0, 200) and waves.window("100:") == (100, None)
    for text in ("maybe", "5:5", "a:b", "1-2"):
        with pytest.raises(UserError, match=r"waves must be 1, or cycles from:to as in 1000:2000, not "):
            waves.window(text)


class Kind(enum.Enum, shape=2):
    NONE = 0
    SOME = 1


def test_fields_are_as_fine_as_there_is_room():
    pair = data.StructLayout({"kind": Kind, "value": data.StructLayout({"low": 4, "high": 4}), "nothing": 0})
    rows = [(path, offset, field["width"]) for path, offset, field in waves.fields(layout(pair))]
    assert rows == [(".kind", 0, 2), (".value.low", 2, 4), (".value.high", 6, 4)]
    many = layout(data.ArrayLayout(pair, 30))  # all their parts of parts would be 90 rows
    assert [path for path, *_ in waves.fields(many)][:3] == ["[0].kind", "[0].value", "[1].kind"]
    assert waves.fields(layout(data.ArrayLayout(8, 65))) == [] == waves.fields(layout(16))


class Machine(wiring.Component):
    """Two state machines, one of them in a part that is emitted once."""

    def __init__(self, *, config):
        self.config = config
        super().__init__({"o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        count = Signal(3)
        m.d.sync += count.eq(count + 1)
        with m.FSM():
            with m.State("REST"), m.If(count == 3):
                m.next = "WORK"
            with m.State("WORK"):
                m.d.comb += self.o.eq(1)
                with m.If(count == 7):
                    m.next = "REST"
        if self.config == 0:
            part = Machine(config=1)
            m.submodules.part = emit_once(part)
        return m


def test_states_are_found_by_name_in_all_parts():
    names = ["REST", "WORK"]
    assert waves.states(Machine(config=0), "machine") == [("fsm_state", 1, names), ("part.fsm_state", 1, names)]


def test_compressors_of_traces(tmp_path):
    """What is written in place of LZ4 and zlib is read as theirs."""
    (tmp_path / "glue.cpp").write_text(
        '#include "lz4.h"\n#include "zlib.h"\n#undef compress\nextern "C" int lz(const char *s, char *t, int n, int m)'
        '{ return LZ4_compress_default(s, t, n, m); }\nextern "C" uLong z(const Bytef *s, Bytef *t, uLong n, uLong m)'
        "{ compress2(t, &m, s, n, 9); return m; }\n"
    )
    library = tmp_path / "glue.so"
    command = [*toolchain.compiler(), f"-I{build.FST}", "-shared", "-fPIC", "-O1", "-o", library, tmp_path / "glue.cpp"]
    subprocess.run(command, check=True)
    glue = ctypes.CDLL(str(library))
    glue.z.restype = ctypes.c_ulong
    rng = np.random.default_rng(1)
    texts = [
        rng.integers(0, kinds, size, np.uint8).tobytes() for kinds in (1, 2, 5, 256) for size in (0, 1, 13, 20, 3000)
    ]
    texts += [b"zoetrope " * 20_000, rng.integers(0, 256, 70_000, np.uint8).tobytes() * 2]
    for text in texts:
        target = ctypes.create_string_buffer(2 * len(text) + 100)
        size = glue.lz(text, target, len(text), len(target))
        assert lz4_of(target.raw[:size]) == text
        size = glue.z(text, target, ctypes.c_ulong(len(text)), ctypes.c_ulong(len(target)))
        assert zlib.decompress(target.raw[:size]) == text
    assert glue.lz(texts[-2], target, len(texts[-2]), len(target)) < len(texts[-2]) / 50


def lz4_of(block):
    """LZ4's block format, read as its description says."""
    out, at = bytearray(), 0

    def length(least):
        nonlocal at
        if least < 15:
            return least
        while True:
            at += 1
            least += block[at - 1]
            if block[at - 1] < 255:
                return least

    while at < len(block):
        token, at = block[at], at + 1
        count = length(token >> 4)
        out += block[at : at + count]
        at += count
        if at == len(block):
            return bytes(out)
        offset = block[at] | block[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])
    return bytes(out)
