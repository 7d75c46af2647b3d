// SPDX-License-Identifier: Apache-2.0
// What Verilator's writer of FST traces calls of LZ4, so that traces need no package of the system: a greedy compressor
// to LZ4's block format. A block is a run of sequences: a token, literals, and a copy of at least 4 earlier bytes.
#ifndef ZOETROPE_LZ4_H
#define ZOETROPE_LZ4_H

#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

namespace zoetrope_lz4 {

inline std::uint32_t word(const char *at) {
    std::uint32_t value;
    std::memcpy(&value, at, 4);
    return value;
}

inline char *length(char *out, int rest) {
    for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
    *out++ = static_cast<char>(rest);
    return out;
}

inline char *sequence(char *out, const char *literals, int count, int offset, int match) {
    const int high = count < 15 ? count : 15, low = offset ? (match - 4 < 15 ? match - 4 : 15) : 0;
    *out++ = static_cast<char>(high << 4 | low);
    if (high == 15) out = length(out, count - 15);
    if (count) std::memcpy(out, literals, count);
    out += count;
    if (!offset) return out;  // the last sequence has literals only
    *out++ = static_cast<char>(offset & 255);
    *out++ = static_cast<char>(offset >> 8);
    return low == 15 ? length(out, match - 19) : out;
}

}  // namespace zoetrope_lz4

inline int LZ4_compress_default(const char *source, char *target, int size, int capacity) {
    using namespace zoetrope_lz4;
    if (capacity < LZ4_compressBound(size)) return 0;
    std::vector<int> last(1 << 13, -1);  // of four bytes with this hash
    char *out = target;
    int begin = 0, at = 0;
    // The format wants the last five bytes as literals, and no copy to begin in the last twelve.
    while (at < size - 12) {
        int &known = last[word(source + at) * 2654435761u >> 19];
        const int before = known;
        known = at;
        if (before < 0 || at - before > 65535 || word(source + before) != word(source + at)) {
            ++at;
            continue;
        }
        int match = 4;
        while (at + match < size - 5 && source[before + match] == source[at + match]) ++match;
        out = sequence(out, source + begin, at - begin, at - before, match);
        begin = at += match;
    }
    out = sequence(out, source + begin, size - begin, 0, 0);
    return static_cast<int>(out - target);
}

#endif
