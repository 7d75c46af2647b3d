# SPDX-License-Identifier: Apache-2.0
"""The link: frames against another implementation of the CRC, benches, and a million random bytes."""

import binascii
import re

import numpy as np
import pytest
from benches import vectors

from zoetrope.golden.board import link
from zoetrope.golden.board.link import Frame
from zoetrope.hw.board import link as hardware
from zoetrope.hw.board.link import Link, LinkConfig, Status
from zoetrope.hw.catalogue import find
from zoetrope.sim.run.native import Native


def test_checksum_against_another_implementation():
    rng = np.random.default_rng(1)
    assert link.crc16(b"123456789") == 0x29B1
    for length in range(60):
        data = rng.bytes(length)
        assert link.crc16(data) == binascii.crc_hqx(data, 0xFFFF)


def test_a_frame_by_hand():
    assert link.encode(Frame(7, 16, b"ab")) == bytes.fromhex("5aa5 07 10 0200 6162") + binascii.crc_hqx(
        bytes.fromhex("07 10 0200 6162"), 0xFFFF
    ).to_bytes(2, "big")


def test_frames_are_found_wherever_they_are():
    rng = np.random.default_rng(2)
    sent = [Frame(int(t), int(c), rng.bytes(n)) for t, c, n in rng.integers(0, 256, (20, 3))]
    sent.append(Frame(1, 2, link.encode(Frame(3, 4, b"a frame in a frame"))))
    line = b"".join(rng.bytes(3) + b"\x5a" + link.encode(frame) for frame in sent)
    found = list(link.frames(line))
    assert [frame for frame, _ in found] == sent
    assert found[-1][1] == len(line)


def test_every_way_to_damage_a_request():
    request = link.encode(Frame(9, 16, b"abc"))
    assert link.receive(request, 3) == (link.OK, Frame(9, 16, b"abc"))
    assert link.receive(request, 2) == (link.LENGTH, Frame(9, 16, b""))
    assert link.receive(request[1:], 3) is None
    for end in range(2, len(request)):
        status, frame = link.receive(request[:end], 3)
        assert status == link.TIMEOUT and frame.payload == b"" and frame.tag == (9 if end > 2 else 0)
    for bit in range(8 * 6, 8 * len(request)):
        changed = bytearray(request)
        changed[bit // 8] ^= 1 << bit % 8
        assert link.receive(bytes(changed), 3)[0] == link.CHECKSUM


@pytest.mark.parametrize("frame", [Frame(256, 0, b""), Frame(0, -1, b""), Frame(0, 0, bytes(65536))])
def test_frames_that_cannot_be_are_refused(frame):
    with pytest.raises(ValueError, match="must be bytes"):
        link.encode(frame)


def test_both_sides_have_the_same_numbers():
    assert list(Status) == list(link.STATUS)
    assert (bytes(hardware.SYNC), hardware.ANSWER, hardware.HELLO) == (link.SYNC, link.ANSWER, link.HELLO)


@pytest.mark.parametrize("preset", find("link").presets)
def test_rtl(preset):
    assert vectors("link", preset) > 500


def test_no_bytes_stop_it():
    """Random bytes, rich in syncs and short lengths, with random gaps; after a silence the next request is obeyed."""
    rng = np.random.default_rng(3)
    config = LinkConfig(max_payload=37, max_answer=16, timeout=200)
    native = Native.build(Link(config=config), "link")
    noise = rng.choice(np.uint8([0x5A, 0xA5, 0, 1, 2, 30]), 200_000)
    noise[::5] = rng.integers(0, 256, len(noise[::5]), dtype=np.uint8)
    request = np.frombuffer(link.encode(Frame(200, 16, b"still here")), np.uint8)
    quiet = 3 * config.timeout + 200
    line = np.concatenate([noise, np.zeros(quiet, np.uint8), request, np.zeros(200, np.uint8)])
    valid = np.concatenate([rng.random(len(noise)) < 0.5, np.zeros(quiet), np.ones(len(request)), np.zeros(200)])
    always = np.ones(len(line), np.uint8)
    inputs = {"i_rx__payload": line, "i_rx__valid": valid.astype(np.uint8), "i_done__valid": always}
    inputs |= {name: always for name in ("o_tx__ready", "o_command__ready", "o_payload__ready")}
    shown = native.play(inputs, ["o_payload__payload", "o_payload__valid", "o_tx__payload", "o_tx__valid"])
    heard = shown["o_tx__payload"][shown["o_tx__valid"][:, 0] == 1, 0].tobytes()
    answers = [frame for frame, _ in link.frames(heard)]
    assert answers[-1] == Frame(200, link.ANSWER + link.OK, b"")
    assert heard.endswith(link.encode(answers[-1]))


@pytest.mark.parametrize(
    "config, message",
    [
        ({"max_payload": 0}, "max_payload must be 1 to 65535, not 0"),
        ({"max_answer": 65536}, "max_answer must be 1 to 65535, not 65536"),
        ({"timeout": 0}, "timeout must be at least 1, not 0"),
    ],
)
def test_impossible_configs_are_refused_by_name(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        LinkConfig(**config)
