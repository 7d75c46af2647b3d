// SPDX-License-Identifier: Apache-2.0
// Compiled behind `native.cpp`, into the same unit, where the design has AXI pins: a memory that answers an AXI4 master, and
// an AXI4-Lite master with one access at a time. Both act once a cycle, between two clock edges, as all of `native.cpp`.

#include <deque>

namespace {

// Spells of 1 to 16 cycles with and without a pause; without a seed there is none.
struct Pauses {
    uint64_t state = 0;
    int left = 0;
    bool paused = false;

    uint64_t random() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    bool step() {
        if (!state) return false;
        if (!left) {
            left = 1 + random() % 16;
            paused = !paused;
        }
        left--;
        return paused;
    }
};

uint64_t number(const uint8_t* data, uint64_t bytes) {
    uint64_t value = 0;
    memcpy(&value, data, bytes);
    return value;
}

// What a master offers on a channel: it must stay until it is taken.
struct Offer {
    const uint8_t* valid;
    const uint8_t* ready;
    std::vector<std::pair<const uint8_t*, uint64_t>> fields;
    std::vector<uint8_t> held;
    bool waiting = false;

    std::vector<uint8_t> now() const {
        std::vector<uint8_t> bytes;
        for (auto& [data, size] : fields) bytes.insert(bytes.end(), data, data + size);
        return bytes;
    }
};

struct Burst {
    uint64_t address, beats, beat, due;
    uint8_t response;
};

struct Beat {
    std::vector<uint8_t> data;
    uint64_t strobes;
    bool last;
};

enum Response { OKAY = 0, SLVERR = 2, DECERR = 3 };
enum Violation { NONE, DROPPED, UNSTABLE, BOUNDARY, SHAPE, MISALIGNED, LAST };
enum Channel { AW, W, B, AR, R, CHANNELS };

}  // namespace

extern "C" {

// In the order of `_PINS` in native_axi.py.
struct AxiPins {
    uint8_t *awaddr, *awlen, *awsize, *awburst, *awvalid, *awready;
    uint8_t *wdata, *wstrb, *wlast, *wvalid, *wready;
    uint8_t *bresp, *bvalid, *bready;
    uint8_t *araddr, *arlen, *arsize, *arburst, *arvalid, *arready;
    uint8_t *rdata, *rresp, *rlast, *rvalid, *rready;
};

// Mirrored in native_axi.py. Addresses from `low` up to below `high` fail with SLVERR.
struct AxiSettings {
    uint8_t* memory;
    uint64_t base, bytes, word_bytes, address_bytes, strobe_bytes, latency, bursts;
    uint64_t read_low, read_high, write_low, write_high;
    uint64_t held;  // a bit a channel: it does not move
};

struct AxiCounts {
    uint64_t cycles, words_read, words_written, bursts_read, bursts_written, failed;
    uint64_t violation, channel, when;  // the first violation of the protocol
};

struct AxiMemory {
    AxiPins pins;
    AxiSettings settings;
    AxiCounts counts = {};
    Offer offers[CHANNELS];
    Pauses pauses[CHANNELS];
    std::deque<Burst> reads, writes, answers;
    std::deque<Beat> beats;
    bool r_offered = false, b_offered = false;

    void violate(Violation what, Channel channel) {
        if (counts.violation) return;
        counts.violation = what, counts.channel = channel, counts.when = counts.cycles;
    }

    // Whether the word at `address` is there; `low` and `high` bound what fails.
    uint8_t response(uint64_t address, uint64_t low, uint64_t high) {
        uint8_t found = OKAY;
        if (address < settings.base || address - settings.base > settings.bytes - settings.word_bytes) found = DECERR;
        else if (address >= low && address < high) found = SLVERR;
        counts.failed += found != OKAY;
        return found;
    }

    void drive() {
        bool paused[CHANNELS];
        for (int k = 0; k < CHANNELS; k++) paused[k] = pauses[k].step() || (settings.held >> k & 1);
        *pins.arready = !paused[AR] && reads.size() < settings.bursts;
        *pins.awready = !paused[AW] && writes.size() + answers.size() < settings.bursts;
        *pins.wready = !paused[W] && beats.size() < 16;
        if (!r_offered && !paused[R] && !reads.empty() && reads.front().due <= counts.cycles) offer_word();
        if (!b_offered && !paused[B] && !answers.empty() && answers.front().due <= counts.cycles) {
            b_offered = true;
            *pins.bresp = answers.front().response;
        }
        *pins.rvalid = r_offered;
        *pins.bvalid = b_offered;
    }

    void offer_word() {
        const Burst& burst = reads.front();
        uint64_t address = burst.address + burst.beat * settings.word_bytes;
        uint8_t found = response(address, settings.read_low, settings.read_high);
        if (found == OKAY) memcpy(pins.rdata, settings.memory + (address - settings.base), settings.word_bytes);
        else memset(pins.rdata, 0, settings.word_bytes);
        *pins.rresp = found;
        *pins.rlast = burst.beat + 1 == burst.beats;
        r_offered = true;
    }

    void sample() {
        for (Channel channel : {AR, AW, W}) keep(channel);
        if (*pins.arvalid && *pins.arready) {
            reads.push_back(begin(AR, pins.araddr, pins.arlen, pins.arsize, pins.arburst));
            counts.bursts_read++;
        }
        if (*pins.awvalid && *pins.awready) {
            writes.push_back(begin(AW, pins.awaddr, pins.awlen, pins.awsize, pins.awburst));
            counts.bursts_written++;
        }
        if (*pins.wvalid && *pins.wready)
            beats.push_back({{pins.wdata, pins.wdata + settings.word_bytes}, number(pins.wstrb, settings.strobe_bytes), !!*pins.wlast});
        while (!beats.empty() && !writes.empty()) write_word();
        if (r_offered && *pins.rready) {
            r_offered = false;
            counts.words_read++;
            if (++reads.front().beat == reads.front().beats) reads.pop_front();
        }
        if (b_offered && *pins.bready) {
            b_offered = false;
            answers.pop_front();
        }
        counts.cycles++;
    }

    void keep(Channel channel) {
        Offer& offer = offers[channel];
        if (offer.waiting && !*offer.valid) violate(DROPPED, channel);
        else if (offer.waiting && offer.held != offer.now()) violate(UNSTABLE, channel);
        offer.waiting = *offer.valid && !*offer.ready;
        if (offer.waiting) offer.held = offer.now();
    }

    Burst begin(Channel channel, const uint8_t* address, const uint8_t* len, const uint8_t* size, const uint8_t* kind) {
        Burst burst = {number(address, settings.address_bytes), *len + 1ull, 0, counts.cycles + settings.latency, OKAY};
        uint64_t last = burst.address + burst.beats * settings.word_bytes - 1;
        if (burst.address >> 12 != last >> 12) violate(BOUNDARY, channel);
        if (1ull << *size != settings.word_bytes || *kind != 1) violate(SHAPE, channel);
        if (burst.address % settings.word_bytes) violate(MISALIGNED, channel);
        return burst;
    }

    void write_word() {
        Burst& burst = writes.front();
        const Beat& beat = beats.front();
        uint64_t address = burst.address + burst.beat * settings.word_bytes;
        uint8_t found = response(address, settings.write_low, settings.write_high);
        for (uint64_t k = 0; found == OKAY && k < settings.word_bytes; k++)
            if (beat.strobes >> k & 1) settings.memory[address - settings.base + k] = beat.data[k];
        if (burst.response == OKAY) burst.response = found;
        counts.words_written++;
        bool last = ++burst.beat == burst.beats;
        if (beat.last != last) violate(LAST, W);
        beats.pop_front();
        if (!last) return;
        burst.due = counts.cycles + settings.latency;
        answers.push_back(burst);
        writes.pop_front();
    }

    void forget() {
        for (Offer& offer : offers) offer.waiting = false;
        reads.clear(), writes.clear(), answers.clear(), beats.clear();
        r_offered = b_offered = false;
        *pins.rvalid = *pins.bvalid = 0;
    }
};

struct LitePins {
    uint8_t *awaddr, *awvalid, *awready, *wdata, *wstrb, *wvalid, *wready, *bresp, *bvalid, *bready;
    uint8_t *araddr, *arvalid, *arready, *rdata, *rresp, *rvalid, *rready;
};

AxiMemory* axi_new(const AxiPins* pins, const AxiSettings* settings, uint64_t seed) {
    AxiMemory* memory = new AxiMemory;
    memory->pins = *pins;
    memory->settings = *settings;
    const AxiPins& p = memory->pins;
    uint64_t a = settings->address_bytes;
    memory->offers[AW] = {p.awvalid, p.awready, {{p.awaddr, a}, {p.awlen, 1}, {p.awsize, 1}, {p.awburst, 1}}, {}};
    memory->offers[AR] = {p.arvalid, p.arready, {{p.araddr, a}, {p.arlen, 1}, {p.arsize, 1}, {p.arburst, 1}}, {}};
    memory->offers[W] = {p.wvalid, p.wready, {{p.wdata, settings->word_bytes}, {p.wstrb, settings->strobe_bytes}, {p.wlast, 1}}, {}};
    for (int k = 0; seed && k < CHANNELS; k++) memory->pauses[k].state = seed * 0x9E3779B97F4A7C15ull + 0xD1B54A32D192ED03ull * (k + 1) | 1;
    return memory;
}

void axi_delete(AxiMemory* memory) { delete memory; }
void axi_forget(AxiMemory* memory) { memory->forget(); }
AxiCounts* axi_counts(AxiMemory* memory) { return &memory->counts; }
AxiSettings* axi_settings(AxiMemory* memory) { return &memory->settings; }

// Cycles until `stop` is not 0 (null: never), the protocol is broken, or there were `limit`. Returns how many there were.
uint64_t axi_run(Design* design, AxiMemory* memory, const uint8_t* stop, uint64_t limit) {
    uint64_t cycle = 0;
    for (; cycle < limit && !memory->counts.violation; cycle++) {
        memory->drive();
        design->top->eval();
        if (stop && *stop) break;
        memory->sample();
        edge(design);
    }
    design->top->eval();
    return cycle;
}

// One access; `data` is what is written, or was read. Returns the response, or -1 after `limit` cycles without it.
int lite_access(Design* design, AxiMemory* memory, const LitePins* p, int writing, uint64_t address, uint64_t address_bytes,
                uint32_t* data, uint64_t limit) {
    uint8_t* valids[] = {writing ? p->awvalid : p->arvalid, writing ? p->wvalid : nullptr};
    uint8_t* readies[] = {writing ? p->awready : p->arready, p->wready};
    uint8_t* answer = writing ? p->bvalid : p->rvalid;
    uint8_t* taken = writing ? p->bready : p->rready;
    memcpy(writing ? p->awaddr : p->araddr, &address, address_bytes);
    if (writing) {
        memcpy(p->wdata, data, 4);
        *p->wstrb = 0xF;
    }
    for (uint8_t* valid : valids)
        if (valid) *valid = 1;
    *taken = 1;
    int response = -1;
    for (uint64_t cycle = 0; cycle < limit && response < 0; cycle++) {
        if (memory) memory->drive();
        design->top->eval();
        bool moved[2];
        for (int k = 0; k < 2; k++) moved[k] = valids[k] && *valids[k] && *readies[k];
        if (*answer) {
            response = writing ? *p->bresp : *p->rresp;
            if (!writing) memcpy(data, p->rdata, 4);
        }
        if (memory) memory->sample();
        edge(design);
        for (int k = 0; k < 2; k++)
            if (moved[k]) *valids[k] = 0;
    }
    *taken = 0;
    for (uint8_t* valid : valids)
        if (valid) *valid = 0;
    design->top->eval();
    return response;
}

}  // extern "C"
