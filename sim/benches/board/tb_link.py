# SPDX-License-Identifier: Apache-2.0
"""Bench of the link: requests, damaged ones and noise, each burst answered as ``golden.board.link`` says."""

import numpy as np

from zoetrope.golden.board import link
from zoetrope.golden.board.link import ANSWER, Frame
from zoetrope.sim.inside.bench import bench_test
from zoetrope.sim.packing import pack


@bench_test()
async def requests(bench):
    """Payloads of every kind of length, each answered with bytes of its own."""
    c = bench.config
    lengths = [0, 1, 2, *bench.rng.integers(3, 40, 4), min(300, c.max_payload)]
    for k, length in enumerate(lengths):
        payload = _random(bench, length)
        burst = bytes([0x5A] * (k % 3)) + link.encode(Frame(k + 1, 16 + k, payload))
        await _exchange(bench, burst, answer=_random(bench, min(int(length) * 2 % 61, c.max_answer)))
    if bench.stall == "none":
        first = len(link.encode(Frame(1, 16, b"")))
        bench.measure(latency=("i_rx", first - 1, "o_command", 0), interval=("i_rx", 0, first - 1))


@bench_test(stalls=("none", "both"))
async def repeated_tags(bench):
    """The same tag again is answered again and not obeyed again, whatever came between; ``HELLO`` is obeyed each time."""
    request = link.encode(Frame(7, 20, _random(bench, 5)))
    first = await _exchange(bench, request, answer=b"first")
    await _exchange(bench, _damaged(bench, request), obeyed=False)
    await _exchange(bench, request, expected=first)
    await _exchange(bench, request, expected=first)
    await _exchange(bench, link.encode(Frame(8, 20, b"")), answer=b"next")
    await _exchange(bench, request, answer=b"", status=link.BUSY)
    await _exchange(bench, request, answer=b"now")
    await _exchange(bench, link.encode(Frame(7, link.HELLO, b"")), answer=b"hello")
    await _exchange(bench, link.encode(Frame(7, link.HELLO, b"")), answer=b"again")


@bench_test(stalls=("none", "both"))
async def damage(bench):
    """Frames cut anywhere, bytes lost, added and changed, lengths that lie, noise: answered by status, then as ever."""
    c = bench.config
    request = link.encode(Frame(3, 17, _random(bench, 6)))
    too_long = bytearray(link.encode(Frame(4, 17, b"")))
    too_long[4:6] = (c.max_payload + 1).to_bytes(2, "little")
    bursts = [request[:k] for k in range(1, len(request))]
    bursts += [request[:k] + request[k + 1 :] for k in range(len(request))]
    bursts += [request[:k] + b"\x5a" + request[k:] for k in range(len(request))]
    bursts += [_damaged(bench, request) for _ in range(12)]
    bursts += [bytes(too_long), bytes(too_long) + request, request[:5] + request]
    bursts += [_random(bench, 20) for _ in range(4)]
    first = None
    for burst in bursts:
        found = link.receive(burst, c.max_payload)
        whole = found == (link.OK, Frame(3, 17, request[6:-2]))
        got = await _exchange(bench, burst, answer=b"\x01", expected=first if whole else None)
        first = got if whole else first
    await _exchange(bench, link.encode(Frame(99, 17, b"good")), answer=b"good")


@bench_test(stalls=("none",))
async def long_answer(bench):
    """An answer that just fits, and one that does not."""
    c = bench.config
    await _exchange(bench, link.encode(Frame(1, 18, b"")), answer=_random(bench, c.max_answer))
    await _exchange(bench, link.encode(Frame(2, 18, b"")), answer=_random(bench, c.max_answer + 1))


def _random(bench, length):
    return bench.rng.integers(0, 256, int(length), dtype=np.uint8).tobytes()


def _damaged(bench, request):
    """One bit flipped, behind the sync and not in the length."""
    place = int(bench.rng.choice([2, 3, *range(6, len(request))]))
    return request[:place] + bytes([request[place] ^ (1 << int(bench.rng.integers(8)))]) + request[place + 1 :]


async def _exchange(bench, burst, *, answer=b"", status=link.OK, expected=None, obeyed=True):
    """Send a burst, obey what comes of it, and compare command, payload and the answer on the line, which is returned."""
    c = bench.config
    found = link.receive(burst, c.max_payload)
    bench.send("i_rx", np.frombuffer(burst, np.uint8))
    if found is None:
        await bench.cycles(8 * len(burst) + c.timeout + 64)
        return None
    fault, request = found
    if expected is None and fault == link.OK:
        if not obeyed:
            raise ValueError("the burst is a request")
        await _obey(bench, request, answer, status)
        if len(answer) > c.max_answer:
            status = link.OVERFLOW
        fault, answer = status, answer if status == link.OK else b""
    elif expected is None:
        answer = b""
    wanted = expected or link.encode(Frame(request.tag, ANSWER + fault, answer))
    got = await bench.collect("o_tx", len(wanted), timeout=4 * c.timeout + 2000)
    bench.compare(got, np.frombuffer(wanted, np.uint8), unit="bytes", describe=lambda i: f"answer to {burst.hex()}")
    return wanted


async def _obey(bench, request, answer, status):
    command = await bench.collect("o_command", 1, more=True, timeout=2000)
    bench.compare(command, pack([request.code], [len(request.payload)], widths=[8, 16]), unit="commands")
    if request.payload:
        payload = await bench.collect("o_payload", len(request.payload), more=True)
        bench.compare(payload, np.frombuffer(request.payload, np.uint8), unit="bytes")
    if answer:
        bench.send("i_answer", np.frombuffer(answer, np.uint8))
        await bench.cycles(12 * len(answer) + 80)
    bench.send("i_done", [status])
