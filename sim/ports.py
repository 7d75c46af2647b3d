# SPDX-License-Identifier: Apache-2.0
"""The streams and plain ports of a component, found in its signature, under the names they have in the Verilog."""

import itertools
from dataclasses import dataclass, field

from amaranth import Shape
from amaranth.lib import stream, wiring


@dataclass(frozen=True)
class Stream:
    """One ``amaranth.lib.stream`` at a component's boundary.

    ``name`` is the path joined with ``__``; the Verilog ports are ``<name>__payload``, ``__valid`` and ``__ready``.
    ``width`` is the payload's in bits, ``shape`` its shape. ``into`` is true if the component consumes the stream.
    """

    name: str
    width: int
    into: bool
    shape: object = field(default=None, compare=False)

    @property
    def row_bytes(self):
        """Bytes of one payload, packed little-endian."""
        return (self.width + 7) // 8

    def port(self, member):
        return f"{self.name}__{member}"


@dataclass(frozen=True)
class Port:
    """One port that belongs to no stream; ``into`` is true for an input."""

    name: str
    width: int
    into: bool
    shape: object = field(default=None, compare=False)


def interface(component):
    """``(streams, ports)`` of ``component``: two dicts by name, in the order of its signature, without clock and reset."""
    streams, ports = {}, {}
    _walk(component.signature, (), streams, ports)
    return streams, ports


def _walk(signature, path, streams, ports):
    # `member.signature` of an input member is already flipped, so directions need no bookkeeping here.
    for name, member in signature.members.items():
        for indices in itertools.product(*map(range, member.dimensions)):
            full = (*path, name, *map(str, indices))
            joined = "__".join(full)
            if not member.is_signature:
                ports[joined] = Port(joined, Shape.cast(member.shape).width, member.flow == wiring.In, member.shape)
                continue
            inner = member.signature
            consumed = isinstance(inner, wiring.FlippedSignature)
            if isinstance(inner.flip() if consumed else inner, stream.Signature):
                payload = inner.members["payload"].shape
                streams[joined] = Stream(joined, Shape.cast(payload).width, consumed, payload)
            else:
                _walk(inner, full, streams, ports)
