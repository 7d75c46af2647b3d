// SPDX-License-Identifier: Apache-2.0
// A netlist of gates and flip-flops behind DPI calls, and how often each of its nets changes.
//
// The design (``synth.switching``) is a shell: its inputs and what its memories read come in, its outputs and what the
// memories are asked go out. The folder in ZOETROPE_SWITCHING has the netlist as 32-bit words in `gates`; when the
// simulation ends `counts` is written there: the cycles, then for each net its toggles, then for each in how many cycles it
// was 1, as 64-bit words.
//
// Nets 0 and 1 are constant. Gates are in an order in which none reads what a later one drives: those of which an input
// changed are evaluated in one sweep.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "svdpi.h"

namespace {

struct Gate {
    uint32_t inputs[6], output;
    uint64_t table;  // bit i is the output for inputs that form the number i, the first the lowest bit
};

struct Flop {
    uint32_t state, next;
};

std::string path(const char* name) {
    const char* folder = getenv("ZOETROPE_SWITCHING");
    if (!folder) abort();
    return std::string(folder) + "/" + name;
}

// Reads `gates`.
struct Words {
    FILE* file = fopen(path("gates").c_str(), "rb");

    uint32_t word() {
        uint32_t value;
        if (!file || fread(&value, sizeof value, 1, file) != 1) abort();
        return value;
    }

    std::vector<uint32_t> list(size_t count) {
        std::vector<uint32_t> found(count);
        for (uint32_t& value : found) value = word();
        return found;
    }

    ~Words() { fclose(file); }
};

struct Netlist {
    std::vector<uint32_t> in, out;
    std::vector<Gate> gates;
    std::vector<Flop> flops;
    std::vector<uint8_t> value, before;  // `before`: at the last edge; empty at the first
    std::vector<uint64_t> changed;       // a bit for each gate
    std::vector<uint32_t> readers, first;  // those of net i are readers[first[i]] to readers[first[i + 1]]
    std::vector<uint32_t> toggles, ones;
    uint64_t cycles = 0;

    Netlist() {
        Words words;
        uint32_t nets = words.word();
        in = words.list(words.word());
        out = words.list(words.word());
        for (uint32_t count = words.word(); count--;) {
            uint32_t state = words.word();
            flops.push_back({state, words.word()});
        }
        for (uint32_t count = words.word(); count--;) {
            Gate gate;
            for (uint32_t& input : gate.inputs) input = words.word();
            gate.output = words.word();
            gate.table = words.word();
            gate.table |= (uint64_t)words.word() << 32;
            gates.push_back(gate);
        }
        value.resize(nets);
        toggles.resize(nets);
        ones.resize(nets);
        changed.assign(gates.size() / 64 + 1, 0);
        for (size_t g = 0; g < gates.size(); g++) changed[g / 64] |= 1ull << (g % 64);
        find_readers(nets);
        value[1] = 1;
        // Registers without reset hold anything: something that looks random, and is the same everywhere.
        uint32_t random = 1;
        for (const Flop& flop : flops) value[flop.state] = (random = random * 1664525 + 1013904223) >> 31;
    }

    void find_readers(uint32_t nets) {
        std::vector<std::vector<uint32_t>> found(nets);
        for (size_t g = 0; g < gates.size(); g++)
            for (uint32_t input : gates[g].inputs)
                if (input > 1) found[input].push_back(g);
        for (const std::vector<uint32_t>& list : found) {
            first.push_back(readers.size());
            readers.insert(readers.end(), list.begin(), list.end());
        }
        first.push_back(readers.size());
    }

    void set(uint32_t net, uint8_t to) {
        if (value[net] == to) return;
        value[net] = to;
        for (uint32_t k = first[net]; k < first[net + 1]; k++) changed[readers[k] / 64] |= 1ull << (readers[k] % 64);
    }

    void settle() {
        for (size_t w = 0; w < changed.size(); w++)
            while (uint64_t bits = changed[w]) {
                changed[w] = bits & (bits - 1);
                const Gate& gate = gates[64 * w + __builtin_ctzll(bits)];
                uint32_t row = 0;
                for (int k = 0; k < 6; k++) row |= (uint32_t)value[gate.inputs[k]] << k;
                set(gate.output, gate.table >> row & 1);
            }
    }

    void edge(bool counted) {
        settle();  // before the first edge nobody may have asked for outputs
        if (counted && !before.empty()) {
            cycles++;
            for (size_t i = 0; i < value.size(); i++) {
                toggles[i] += value[i] ^ before[i];
                ones[i] += value[i];
            }
        }
        before = value;
        for (const Flop& flop : flops) set(flop.state, before[flop.next]);
    }

    void write() const {
        FILE* file = fopen(path("counts").c_str(), "wb");
        if (!file) abort();
        fwrite(&cycles, sizeof cycles, 1, file);
        for (const std::vector<uint32_t>* counts : {&toggles, &ones})
            for (uint64_t count : *counts) fwrite(&count, sizeof count, 1, file);
        fclose(file);
    }
};

Netlist& netlist() {
    static Netlist only;
    return only;
}

}  // namespace

extern "C" {

// Outputs that belong to `in` and to the registers as they are.
void netlist_settle(const svBitVecVal* in, svBitVecVal* out) {
    Netlist& n = netlist();
    for (size_t k = 0; k < n.in.size(); k++) n.set(n.in[k], in[k / 32] >> (k % 32) & 1);
    n.settle();
    for (size_t k = 0; k < (n.out.size() + 31) / 32; k++) out[k] = 0;
    for (size_t k = 0; k < n.out.size(); k++) out[k / 32] |= (svBitVecVal)n.value[n.out[k]] << (k % 32);
}

// The rising edge: nets are counted as it finds them, in a cycle that is `counted` or only goes before one that is.
void netlist_edge(svBit counted) { netlist().edge(counted); }

void netlist_write() { netlist().write(); }

}  // extern "C"
