// SPDX-License-Identifier: Apache-2.0
// Drives any verilated design from arrays. `ports.inc` has one PORT(member) for each port; nothing else is per design.
//
// All functions act on the design between two clock edges: inputs are set, the logic settles, outputs are read, then the
// rising edge comes. Rows are packed little-endian, `row_bytes` each; a port's own storage may be wider.

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

struct Port {
    const char* name;
    uint8_t* data;
    uint32_t bytes;
};

struct Design {
    VerilatedContext context;
    Vtop* top;
    std::vector<Port> ports;
    uint8_t* clock = nullptr;
};

void edge(Design* design) {
    if (design->clock) *design->clock = 1;
    design->top->eval();
    if (design->clock) *design->clock = 0;
}

bool chosen(const uint8_t* pattern, uint64_t length, uint64_t cycle) { return length && pattern[cycle % length]; }

}  // namespace

extern "C" {

// One stream; the layout is mirrored in native.py. `pattern` holds a gap (source) or a stall (sink) for each cycle.
struct Stream {
    uint8_t* valid;
    uint8_t* ready;
    uint8_t* payload;
    uint64_t row_bytes;
    uint8_t* rows;
    uint64_t* cycles;
    uint64_t length;
    uint64_t done;
    const uint8_t* pattern;
    uint64_t pattern_length;
    uint8_t* held;  // payload of a sink while it stalls
    uint64_t waiting;
};

enum Outcome { FILLED, TIMEOUT, FELL, CHANGED, EXTRA };

Design* design_new() {
    Design* design = new Design;
    design->context.threads(1);
    design->top = new Vtop(&design->context, "top");
#define PORT(member) \
    design->ports.push_back({#member, reinterpret_cast<uint8_t*>(&design->top->member), sizeof(design->top->member)});
#include "ports.inc"
#undef PORT
    for (const Port& port : design->ports)
        if (!strcmp(port.name, "clk")) design->clock = port.data;
    design->top->eval();
    return design;
}

void design_delete(Design* design) {
    design->top->final();
    delete design->top;
    delete design;
}

int design_ports(Design* design) { return static_cast<int>(design->ports.size()); }
const Port* design_port(Design* design, int index) { return &design->ports[index]; }
void design_settle(Design* design) { design->top->eval(); }

void design_tick(Design* design, uint64_t cycles) {
    for (uint64_t i = 0; i < cycles; i++) {
        design->top->eval();
        edge(design);
    }
    design->top->eval();
}

// Row i of each input is on its port in cycle i; row i of each output is what its port shows before the edge of cycle i.
void design_play(Design* design, uint64_t cycles, int inputs, uint8_t* const* in_data, const uint64_t* in_bytes,
                 const uint8_t* const* in_rows, int outputs, uint8_t* const* out_data, const uint64_t* out_bytes,
                 uint8_t* const* out_rows) {
    for (uint64_t i = 0; i < cycles; i++) {
        for (int k = 0; k < inputs; k++) memcpy(in_data[k], in_rows[k] + i * in_bytes[k], in_bytes[k]);
        design->top->eval();
        for (int k = 0; k < outputs; k++) memcpy(out_rows[k] + i * out_bytes[k], out_data[k], out_bytes[k]);
        edge(design);
    }
    design->top->eval();
}

// Runs until every sink is full and then `quiet` cycles more, in which an output is EXTRA. `culprit` is the index of the
// sink that broke the protocol. Returns an Outcome; `elapsed` counts the cycles.
int design_streams(Design* design, Stream* const* sources, int source_count, Stream* const* sinks, int sink_count, uint64_t limit,
                   uint64_t quiet, uint64_t* elapsed, int* culprit) {
    uint64_t remaining = quiet;
    int outcome = TIMEOUT;
    uint64_t cycle = 0;
    for (; cycle < limit; cycle++) {
        bool full = true;
        for (int k = 0; k < sink_count; k++) full &= sinks[k]->done == sinks[k]->length;
        if (full && !remaining--) {
            outcome = FILLED;
            break;
        }
        for (int k = 0; k < source_count; k++) {
            Stream& s = *sources[k];
            if (!s.waiting && s.done < s.length && !chosen(s.pattern, s.pattern_length, cycle)) {
                memcpy(s.payload, s.rows + s.done * s.row_bytes, s.row_bytes);
                s.waiting = 1;
            }
            *s.valid = s.waiting;
        }
        for (int k = 0; k < sink_count; k++) {
            Stream& s = *sinks[k];
            *s.ready = s.done < s.length && !chosen(s.pattern, s.pattern_length, cycle);
        }
        design->top->eval();
        for (int k = 0; k < source_count; k++) {
            Stream& s = *sources[k];
            if (s.waiting && *s.ready) {
                s.cycles[s.done++] = cycle;
                s.waiting = 0;
            }
        }
        for (int k = 0; k < sink_count; k++) {
            Stream& s = *sinks[k];
            *culprit = k;
            if (s.waiting && !*s.valid) outcome = FELL;
            else if (s.waiting && memcmp(s.held, s.payload, s.row_bytes)) outcome = CHANGED;
            else if (*s.valid && s.done == s.length) outcome = EXTRA;
            if (outcome != TIMEOUT) {
                *elapsed = cycle;
                return outcome;
            }
            s.waiting = *s.valid && !*s.ready;
            if (s.waiting) memcpy(s.held, s.payload, s.row_bytes);
            if (*s.valid && *s.ready) {
                memcpy(s.rows + s.done * s.row_bytes, s.payload, s.row_bytes);
                s.cycles[s.done++] = cycle;
            }
        }
        edge(design);
    }
    for (int k = 0; k < source_count; k++) *sources[k]->valid = 0;
    for (int k = 0; k < sink_count; k++) *sinks[k]->ready = 0;
    design->top->eval();
    *elapsed = cycle;
    return outcome;
}

}  // extern "C"
