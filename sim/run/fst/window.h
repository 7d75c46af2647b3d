// SPDX-License-Identifier: Apache-2.0
// A part of a run as waves: times from ZOETROPE_WAVES, "from to bytes steps", in the simulator's unit. A file that has
// grown to so many bytes grows no more; its size is looked at every so many steps.
#ifndef ZOETROPE_WINDOW_H
#define ZOETROPE_WINDOW_H

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

template <class Trace>
void zoetrope_dump(Trace *trace, std::uint64_t time, const char *path) {
    static unsigned long long from = 0, to = ~0ULL, most = ~0ULL, steps = 4096;
    static unsigned long dumps = 0;
    static bool known = false, full = false;
    if (!known) {
        known = true;
        const char *given = std::getenv("ZOETROPE_WAVES");
        if (given) std::sscanf(given, "%llu %llu %llu %llu", &from, &to, &most, &steps);
    }
    if (full || time < from || time >= to) return;
    trace->dump(time);
    if (++dumps % steps) return;
    trace->flush();
    struct stat found;
    full = stat(path, &found) == 0 && static_cast<unsigned long long>(found.st_size) > most;
    if (full) std::fprintf(stderr, "ZOETROPE_WAVES_END %llu\n", static_cast<unsigned long long>(time));
}

#endif
