// SPDX-License-Identifier: Apache-2.0
// What Verilator's writer of FST traces calls of zlib, so that traces need no package of the system: streams that are
// stored, not compressed. The writer takes its own bytes where a stream is not smaller, and lists of signals are small.
#ifndef ZOETROPE_ZLIB_H
#define ZOETROPE_ZLIB_H

#include <cstdint>
#include <cstring>

typedef unsigned char Bytef;
typedef unsigned long uLong;
typedef unsigned long uLongf;

enum { Z_OK = 0, Z_BUF_ERROR = -5 };

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef *target, uLongf *capacity, const Bytef *source, uLong size, int) {
    if (*capacity < compressBound(size)) return Z_BUF_ERROR;
    Bytef *out = target;
    *out++ = 0x78;
    *out++ = 0x01;
    uLong at = 0;
    do {
        const uLong left = size - at, part = left < 65535 ? left : 65535;
        *out++ = part == left;  // the last block
        for (unsigned word : {static_cast<unsigned>(part), ~static_cast<unsigned>(part)}) {
            *out++ = word & 255;
            *out++ = word >> 8 & 255;
        }
        if (part) std::memcpy(out, source + at, part);
        out += part;
        at += part;
    } while (at < size);
    std::uint32_t a = 1, b = 0;  // Adler-32
    for (uLong k = 0; k < size; ++k) b = (b + (a = (a + source[k]) % 65521)) % 65521;
    const std::uint32_t sum = b << 16 | a;
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = sum >> shift & 255;
    *capacity = static_cast<uLongf>(out - target);
    return Z_OK;
}

#endif
