# SPDX-License-Identifier: Apache-2.0
"""The demonstrator on its pins: the host's own code, what goes wrong on the line between, and what a user sees of it."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.board import link
from zoetrope.golden.formats import fp16
from zoetrope.golden.pe.lut_pe import lut_pe
from zoetrope.golden.tree.min_tree import min_tree
from zoetrope.hw.board.byte_adapter import ByteAdapterConfig
from zoetrope.hw.board.demonstrator import Demonstrator, DemonstratorConfig, version_of
from zoetrope.hw.catalogue import find
from zoetrope.hw.pe.lut_pe import LutPEConfig
from zoetrope.hw.pe.plain_pe import PlainPEConfig
from zoetrope.hw.tree.min_tree import MinTreeConfig, MinTreeStream
from zoetrope.sim.host import board as host
from zoetrope.sim.host.board import Board, BoardError
from zoetrope.sim.host.command import main
from zoetrope.sim.host.line import Decoder, sampled
from zoetrope.sim.host.pins import Pins
from zoetrope.sim.host.selftest import selftest, table
from zoetrope.sim.input import clips
from zoetrope.sim.stimulus.outer_product import clip_tiles

serial = pytest.importorskip("serial")


def connected(preset, **options):
    """A board on simulated pins that was reset a moment ago."""
    config = find("demonstrator").config(preset)
    pins = Pins(config, **options)
    return Board(pins, versions={config.version: (preset, config)}), pins


@pytest.fixture
def smallest():
    """A board that has answered already: the next request is the one that a test damages."""
    board, pins = connected("smallest")
    board.min_tree(keys(1))
    return board, pins


def keys(rows=3, seed=1):
    return np.random.default_rng(seed).integers(0, 1 << 32, (rows, 16), np.uint32)


def assert_right(board, rows=3, seed=1):
    for got, expected in zip(board.min_tree(keys(rows, seed)), min_tree(keys(rows, seed))):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("preset", [name for name, c in find("demonstrator").presets.items() if c.machine is None])
def test_rtl(preset):
    assert vectors("demonstrator", preset) > 5


def test_levels_are_decoded_piece_by_piece():
    values = np.random.default_rng(1).integers(0, 256, 100, dtype=np.uint8)
    levels = np.array([1] * 30 + sampled(values, 8.2, 0.4) + [1] * 30, np.uint8)
    for size in (1, 7, 100, 10_000):
        decoder = Decoder(8)
        got = b"".join(decoder.feed(levels[k : k + size]) for k in range(0, len(levels), size))
        assert got == values.tobytes()
    assert Decoder(8).feed(np.zeros(500, np.uint8)) == b""


def test_a_tile_of_the_clip_and_back():
    """A whole tile of Q K^T: 64 channels, 128 keys, through the pins, the LUT PE and the plain PE."""
    board, _ = connected("default")
    tensors = dict(clips.load(frames=9, crop=(4, 8)).items())
    x, w = clip_tiles(tensors, board.config.lut_pe, queries=1)
    expected = lut_pe(x[:, 0], w)
    np.testing.assert_array_equal(board.lut_pe(x[:, 0].view(np.float16), w), expected)
    np.testing.assert_array_equal(board.plain_pe(x[:, 0], w), expected)
    assert board.repeated == 0


def test_shapes_and_numbers_of_a_users_own():
    """More outputs than a tile has, a tile shared by rows, signed weights, one key, short rows; and what cannot be."""
    board, pins = connected("default")
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((2, 3)).astype(np.float16), rng.integers(-127, 128, (3, 130))
    codes = np.where(w < 0, 0x80 - w, w).astype(np.uint8)
    np.testing.assert_array_equal(board.plain_pe(x, w), lut_pe(x.view(np.uint16), np.stack([codes] * 2)))
    assert [part.tolist() for part in board.min_tree(np.uint8([7]))] == [7, 0]
    with pytest.raises(ValueError, match="keys must be unsigned"):
        board.min_tree(np.zeros(17, np.uint8))
    with pytest.raises(ValueError, match="keys must fit 32 bits"):
        board.min_tree(np.uint64([1 << 32]))

    # A sum is not begun twice when the answer to its first half is lost, and the board says so if it is not ready.
    heard = pins.read
    pins.read = lambda size: (setattr(pins, "read", heard), heard(size), pins.reset_input_buffer(), b"")[-1]
    x, w = fp16(rng.standard_normal(20)), rng.integers(0, 256, (20, 128), dtype=np.uint8)
    np.testing.assert_array_equal(board.plain_pe(x, w), lut_pe(x, w))
    assert board.repeated == 1
    board.reset()
    with pytest.raises(BoardError, match="refuses command 16: not ready yet"):
        board._request(16, bytes(131), 0)
    with pytest.raises(BoardError, match="refuses command 17: payload is no whole number of records"):
        board._request(17, bytes(100), 0)
    board.reset()
    np.testing.assert_array_equal(board.plain_pe(x[:1], w[:1]), lut_pe(x[:1], w[:1]))


@pytest.mark.parametrize("leaves, width, lanes, words", [(1, 3, 1, 1), (5, 13, 3, 5)])
@pytest.mark.campaign
def test_units_of_other_sizes(leaves, width, lanes, words):
    """Words of one byte, of bits that fill no byte, records of one word."""
    pe, tree = PlainPEConfig(lanes=lanes, words=words, add_stages=1), MinTreeConfig(leaves, width, stages=0)
    config = DemonstratorConfig(("min_tree", "plain_pe"), plain_pe=pe, min_tree=tree, divisor=8, timeout=2000)
    board = Board(Pins(config), versions={0: ("odd", config)})
    rng = np.random.default_rng(4)
    x, w = rng.integers(0, 0x7C00, (3, 2), np.uint16), rng.integers(0, 256, (3, 2, 7), dtype=np.uint8)
    np.testing.assert_array_equal(board.plain_pe(x, w), lut_pe(x, w))
    rows = rng.integers(0, 1 << width, (50, leaves), np.uint16)
    for got, expected in zip(board.min_tree(rows), min_tree(rows)):
        np.testing.assert_array_equal(got, expected)


def test_requests_that_the_board_refuses(smallest):
    board, _ = smallest
    for command, payload, message in [
        (16, bytes(4), "no such command"),
        (99, b"", "no such command"),
        (18, b"", "payload is no whole number of records"),
        (18, bytes(65), "payload is no whole number of records"),
    ]:
        with pytest.raises(BoardError, match=message):
            board._request(command, payload, 0)
    with pytest.raises(BoardError, match="too bad: 5 requests failed, payload longer than the buffer"):
        board._request(18, bytes(4096), 0)
    board.reset()
    assert_right(board)
    with pytest.raises(BoardError, match="has no lut_pe: its demonstrator, smallest, has min_tree"):
        board.lut_pe(np.zeros(1, np.uint16), np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize("drift", [-0.02, 0.02])
def test_baud_error(drift):
    board, _ = connected("smallest", drift=drift)
    assert_right(board, rows=6)
    assert board.repeated == 0


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 5, 6, 40, 69, 70, 71])
def test_a_lost_byte(smallest, place):
    board, pins = smallest
    pins.disturb = once(pins, lambda levels: levels[: 80 * place] + levels[80 * (place + 1) :])
    assert_right(board, rows=1)
    assert board.repeated == 1


def test_a_lost_byte_of_the_answer(smallest):
    board, pins = smallest
    heard = pins.read
    pins.read = lambda size: (setattr(pins, "read", heard), heard(size))[1][1:]
    assert_right(board, rows=1)
    assert board.repeated == 1


def test_breaks_before_within_and_after_a_frame(smallest):
    board, pins = smallest
    for place in (0, 80 * 3 + 20, 80 * 50, 80 * 72):
        pins.disturb = once(pins, lambda levels, at=place: levels[:at] + [0] * 700 + [1] * 80 + levels[at:])
        assert_right(board, rows=1)
    assert board.repeated == 1  # between bytes a break is not one of them


def test_noise(smallest):
    """A flipped level in a hundred, and bursts of anything: requests are repeated, answers are right."""
    board, pins = smallest
    rng = np.random.default_rng(3)

    def flip(levels):
        return (np.array(levels) ^ (rng.random(len(levels)) < 0.01)).tolist()

    pins.disturb = flip
    for seed in range(4):
        assert_right(board, rows=4, seed=seed)
    for seed in range(4):
        pins.disturb = once(pins, lambda levels: rng.integers(0, 2, 3000).tolist() + [1] * 5000 + levels)
        assert_right(board, rows=1, seed=seed)


def test_reset_in_mid_frame(smallest):
    board, pins = smallest
    for place in (1, 100, 500, 3000, 5700):

        def reset(levels, at=place):
            pins._drive(levels[:at])
            pins.native.reset()
            return levels[at:]

        pins.disturb = once(pins, reset)
        assert_right(board, rows=1)
    assert board.repeated >= 4


def once(pins, disturb):
    """``disturb`` for the next write alone."""

    def first(levels):
        pins.disturb = None
        return disturb(levels)

    return first


# -- what a user sees


class Silent:
    def write(self, data):
        pass

    def read(self, size):
        return b""

    def reset_input_buffer(self):
        pass

    def close(self):
        pass


def test_a_board_that_does_not_answer():
    with pytest.raises(BoardError, match="no answer from the board to 5 requests: is the demonstrator loaded"):
        Board(Silent(), versions={0: ("none", None)})


def test_a_board_that_is_unplugged(smallest, monkeypatch):
    board, pins = smallest

    def gone(*arguments):
        raise OSError("[Errno 5] Input/output error")

    monkeypatch.setattr(pins, "write", gone)
    with pytest.raises(BoardError, match=r"the board is gone: .*Input/output error"):
        assert_right(board)


def test_another_version():
    config = find("demonstrator").config("smallest")
    versions = {0xABCD: ("mine", config)}
    with pytest.raises(BoardError, match="bitstream of version 00000000, and this tree makes mine 0000abcd"):
        Board(Pins(config), versions=versions)


def test_the_version_is_of_the_content_and_not_of_the_board():
    config = find("demonstrator").config("smallest")
    version = version_of(config)
    same = replace(config, divisor=100, timeout=7, version=5)
    assert version_of(same) == version
    assert version_of(replace(config, min_tree=MinTreeConfig(leaves=15))) != version


def test_ports_that_cannot_be_opened(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stop:
        main(["--port", str(tmp_path / "none"), "selftest"])
    assert stop.value.code == 2
    assert (
        capsys.readouterr().err
        == f"error: cannot open {tmp_path}/none: there is no such port; is the board plugged in?\n"
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(BoardError, match="file: "):
        host.open_port(str(tmp_path / "file"))

    def forbidden(*arguments, **options):
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "Serial", forbidden)
    with pytest.raises(BoardError, match="cannot open x: no permission; on most systems its group"):
        host.open_port("x")


def test_a_port_without_a_board(monkeypatch):
    monkeypatch.setattr(host, "SILENCE", 0.01)
    ends = os.openpty()
    with pytest.raises(BoardError, match="no answer from /dev/"):
        Board(os.ttyname(ends[1]), versions={0: ("none", None)})
    for end in ends:
        os.close(end)


def test_the_table(smallest):
    board, _ = smallest
    tensors = {name: np.ones((1, 4, 8), np.float16) for name in "qkv"}
    results = list(selftest(board, tensors, tests=("clip", "few values")))
    text = table(results)
    assert re.search(r"^min_tree +clip +8 +0 +\d+ +[\d.]+ s +[\d.]+ kB/s +pass$", text, re.M), text
    assert link.OVERHEAD == 8 and all(r.bytes > 0 for r in results)


def test_the_command_on_a_simulated_board(tmp_path, capsys):
    np.savez(tmp_path / "qkv.npz", **{name: np.ones((2, 4, 8), np.float16) for name in "qkv"})
    assert not main(["--simulate", "smallest", "--tensors", str(tmp_path / "qkv.npz"), "--queries", "1", "selftest"])
    told = capsys.readouterr().out
    assert re.match(r"simulated: demonstrator smallest, version [0-9a-f]{8}, min_tree\n", told)
    assert " 0 mismatches, 0 requests repeated" in told
    with pytest.raises(SystemExit):
        main(["--simulate", "huge", "version"])
    assert "no preset 'huge'; it has: default, smallest, simcore" in capsys.readouterr().err


@pytest.mark.parametrize(
    "config, message",
    [
        (
            {"units": ()},
            "units must be different ones of lut_pe, plain_pe, min_tree, at least one where there is no",
        ),
        ({"units": ("sfu",)}, "units must be different ones"),
        ({"units": ("min_tree", "min_tree")}, "units must be different ones"),
        ({"version": 1 << 32}, "version must be 0 to 4294967295"),
        ({"divisor": 3}, "divisor must be at least 8, not 3"),
        ({"max_payload": 130}, "max_payload must be at least 131 for lut_pe, not 130"),
        ({"max_answer": 511}, "max_answer must be at least 512 for lut_pe, not 511"),
        ({"lut_pe": LutPEConfig(rows=2)}, "lut_pe must be a single PE, not 2"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DemonstratorConfig(**config)


def test_an_adapter_of_streams_that_are_not_there():
    with pytest.raises(ValueError, match="MinTreeStream has no stream 'i_x'"):
        ByteAdapterConfig(MinTreeStream, MinTreeConfig(), (("i_x", 1),))


def test_pins_are_all_that_a_board_sees():
    component = Demonstrator(config=find("demonstrator").config())
    assert list(component.signature.members) == ["rx", "tx"]
