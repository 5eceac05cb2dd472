/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An adapter in C11, without a library: a queue of bytes for each flow. The lab
 * talks to it on stdin and stdout; docs/src/lab/exec.md has the protocol.
 *
 *     cc -std=c11 -O2 adapter.c -o adapter
 *     becket check local-adapter --adapter exec:./adapter
 *
 * It assumes a little-endian machine: the protocol is little-endian.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELLO, OPEN, GIVE, HALF_CLOSE, RESET, CLOSE, POLL };
enum { DONE, UNSUPPORTED, TOO_MANY_FLOWS, UNKNOWN_FLOW, FLOW_IN_USE, CLOSED, MALFORMED, FAILED };
enum { WANTS_POLL = 1, HAS_MORE = 2 };
enum { FLOWS_MAX = 4096, REQUEST_MAX = 1 << 20, OUT_MAX = 1 << 16 };

static const char name[] = "c";
static const char capabilities[] =
    "adapter_egress adapter_ingress flow_backpressure flow_half_close flow_lifecycle "
    "flow_metadata_only flow_priority flow_reset runtime_stream_mapping "
    "trace_safe_adapter_summary";

/* The adapter. */

typedef struct Flow {
    uint32_t number; /* 0: there is none here */
    uint32_t urgency;
    uint8_t *kept; /* `room` bytes; those from `gone` to `end` are held */
    uint64_t gone, end, room;
    uint64_t taken, sequence, offset;
    int ended, said, turned_away;
    int broken; /* 0 no, 1 reset, 2 by an error */
} Flow;

typedef struct Side {
    uint32_t flows_max;
    uint64_t buffered_max, flow_buffered_max, buffered;
    Flow flows[FLOWS_MAX];
} Side;

static Side sides[2];

/* The answer. */
static struct {
    uint8_t result, flags;
    uint32_t value;
    uint16_t rooms_count;
    uint32_t rooms[FLOWS_MAX];
    uint32_t body_len;
    uint8_t body[OUT_MAX + 1024];
} out;

static void put(const void *bytes, size_t count) {
    memcpy(out.body + out.body_len, bytes, count);
    out.body_len += (uint32_t)count;
}

static void put_u16(uint16_t number) { put(&number, sizeof number); }
static void put_u32(uint32_t number) { put(&number, sizeof number); }
static void put_u64(uint64_t number) { put(&number, sizeof number); }

static uint32_t u32_at(const uint8_t *bytes) {
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static uint64_t u64_at(const uint8_t *bytes) {
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static uint64_t kept(const Flow *flow) { return flow->end - flow->gone; }

static Flow *find(Side *side, uint32_t number) {
    for (size_t i = 0; i < side->flows_max; i++) {
        if (side->flows[i].number == number) {
            return &side->flows[i];
        }
    }
    return NULL;
}

static void forget(Side *side, Flow *flow) {
    side->buffered -= kept(flow);
    free(flow->kept);
    memset(flow, 0, sizeof *flow);
}

/* Reports room for flows whose offers found too little. */
static void tell(Side *side) {
    for (size_t i = 0; i < side->flows_max && side->buffered < side->buffered_max; i++) {
        Flow *flow = &side->flows[i];
        if (flow->turned_away && kept(flow) < side->flow_buffered_max) {
            flow->turned_away = 0;
            out.rooms[out.rooms_count++] = flow->number;
        }
    }
}

static int open_flow(Side *side, uint32_t number, uint32_t urgency) {
    if (find(side, number) != NULL) {
        return FLOW_IN_USE;
    }
    Flow *flow = find(side, 0);
    if (flow == NULL) {
        out.value = side->flows_max;
        return TOO_MANY_FLOWS;
    }
    flow->number = number;
    flow->urgency = urgency;
    flow->sequence = 1;
    return DONE;
}

/* The flow, if it takes more; otherwise why not. */
static int taking(Side *side, uint32_t number, Flow **flow) {
    *flow = find(side, number);
    if (*flow == NULL) {
        return UNKNOWN_FLOW;
    }
    return (*flow)->ended || (*flow)->broken ? CLOSED : DONE;
}

static int give(Side *side, uint32_t number, uint32_t budget, const uint8_t *rest, size_t len) {
    uint64_t offset = u64_at(rest + 8), bytes = u64_at(rest + 16);
    uint32_t final = u32_at(rest + 24);
    Flow *flow;
    int refused = taking(side, number, &flow);
    if (refused != DONE) {
        return refused;
    }
    if (bytes != len - 28 || offset != flow->taken) {
        return MALFORMED;
    }
    uint64_t own = side->flow_buffered_max - kept(flow);
    uint64_t all = side->buffered_max - side->buffered;
    uint64_t part = least(least(bytes, budget), least(own, all));
    if (part > flow->room - flow->end) {
        memmove(flow->kept, flow->kept + flow->gone, kept(flow));
        flow->end -= flow->gone;
        flow->gone = 0;
    }
    if (part > flow->room - flow->end) {
        uint64_t room = (flow->end + part) * 2;
        uint8_t *larger = realloc(flow->kept, room);
        if (larger == NULL) {
            return FAILED;
        }
        flow->kept = larger;
        flow->room = room;
    }
    if (part > 0) {
        memcpy(flow->kept + flow->end, rest + 28, part);
    }
    flow->end += part;
    flow->taken += part;
    side->buffered += part;
    flow->ended = final && part == bytes;
    flow->turned_away = part < bytes;
    out.flags |= WANTS_POLL;
    out.value = (uint32_t)part;
    return DONE;
}

static int half_close(Side *side, uint32_t number) {
    Flow *flow;
    int refused = taking(side, number, &flow);
    if (refused == DONE) {
        flow->ended = 1;
        out.flags |= WANTS_POLL;
    }
    return refused;
}

static void reset(Side *side, uint32_t number, uint32_t cause) {
    Flow *flow = find(side, number);
    if (flow != NULL && !flow->broken) {
        side->buffered -= kept(flow);
        flow->gone = flow->end = 0;
        flow->broken = (int)cause + 1;
        out.flags |= WANTS_POLL;
    }
    tell(side);
}

/* Puts out a chunk or the end of the most urgent flow that has one. */
static void poll(Side *side, uint32_t budget, const uint8_t *rest) {
    uint32_t count = u32_at(rest);
    Flow *first = NULL;
    uint64_t first_room = 0;
    for (uint32_t i = 0; i < count; i++) {
        Flow *flow = find(side, u32_at(rest + 4 + 8 * i));
        uint64_t room = least(least(u32_at(rest + 8 + 8 * i), budget), OUT_MAX);
        if (flow == NULL || (first != NULL && first->urgency <= flow->urgency)) {
            continue;
        }
        int ready = kept(flow) > 0 ? room > 0 : flow->ended && !flow->said;
        if (ready || flow->broken) {
            first = flow;
            first_room = room;
        }
    }
    if (first == NULL) {
        out.flags |= budget == 0 ? WANTS_POLL : 0;
        tell(side);
        return;
    }
    out.flags |= HAS_MORE;
    if (first->broken) {
        put((uint8_t[]){2, (uint8_t)(first->broken - 1), 0, 0}, 4);
        put_u32(first->number);
        forget(side, first);
    } else if (kept(first) == 0) {
        first->said = 1;
        put((uint8_t[]){1, 0, 0, 0}, 4);
        put_u32(first->number);
    } else {
        uint64_t part = least(kept(first), first_room);
        first->said = first->ended && part == kept(first);
        put((uint8_t[]){0, (uint8_t)first->said, 0, 0}, 4);
        put_u32(first->number);
        put_u64(first->sequence++);
        put_u64(first->offset);
        put_u32((uint32_t)part);
        put(first->kept + first->gone, part);
        first->gone += part;
        first->offset += part;
        side->buffered -= part;
    }
    tell(side);
}

/* The protocol. */

static void hello(const uint8_t *rest) {
    uint32_t flows_max = u32_at(rest + 8);
    put_u16(1); /* the version */
    put_u16(1); /* another hello begins anew */
    for (Side *side = sides; side < sides + 2; side++) {
        for (size_t i = 0; i < FLOWS_MAX; i++) {
            forget(side, &side->flows[i]);
        }
        side->flows_max = flows_max < FLOWS_MAX ? flows_max : FLOWS_MAX;
        side->buffered_max = u64_at(rest + 16);
        side->flow_buffered_max = u64_at(rest + 24);
        put_u32(side->flows_max);
        put_u64(side->buffered_max);
        put_u64(side->flow_buffered_max);
        put_u16(sizeof name - 1);
        put_u16(sizeof capabilities - 1);
        put(name, sizeof name - 1);
        put(capabilities, sizeof capabilities - 1);
    }
}

static int dispatch(uint8_t op, Side *side, const uint8_t *request, size_t len) {
    uint32_t flow = u32_at(request + 4), budget = u32_at(request + 16);
    const uint8_t *rest = request + 24;
    switch (op) {
    case HELLO: hello(rest); return DONE;
    case OPEN: return open_flow(side, flow, u32_at(rest));
    case GIVE: return give(side, flow, budget, rest, len - 24);
    case HALF_CLOSE: return half_close(side, flow);
    case RESET: reset(side, flow, u32_at(rest)); return DONE;
    case CLOSE: {
        Flow *closed = find(side, flow);
        if (closed != NULL) {
            forget(side, closed);
            tell(side);
        }
        return DONE;
    }
    case POLL: poll(side, budget, rest); return DONE;
    default: return UNSUPPORTED;
    }
}

static void answer(uint8_t op, const Side *side) {
    static uint8_t head[44];
    uint32_t flows = 0;
    char summary[32];
    for (size_t i = 0; i < side->flows_max; i++) {
        flows += side->flows[i].number != 0;
    }
    uint16_t summary_len = (uint16_t)snprintf(summary, sizeof summary, "%u flows", flows);
    uint32_t rooms_len = out.rooms_count * 4u;
    uint32_t len = 40 + rooms_len + summary_len + out.body_len;
    uint64_t never = UINT64_MAX;
    memset(head, 0, sizeof head);
    memcpy(head, &len, 4);
    head[4] = op;
    head[5] = out.result;
    head[6] = out.flags;
    memcpy(head + 8, &out.value, 4);
    memcpy(head + 12, &side->buffered, 8);
    memcpy(head + 20, &never, 8);
    memcpy(head + 28, &out.rooms_count, 2);
    memcpy(head + 30, &summary_len, 2);
    memcpy(head + 36, &out.body_len, 4);
    fwrite(head, 1, sizeof head, stdout);
    fwrite(out.rooms, 1, rooms_len, stdout);
    fwrite(summary, 1, summary_len, stdout);
    fwrite(out.body, 1, out.body_len, stdout);
    fflush(stdout);
}

int main(void) {
    static uint8_t request[REQUEST_MAX];
    uint32_t len;
    while (fread(&len, 1, 4, stdin) == 4) {
        if (len < 24 || len > REQUEST_MAX || fread(request, 1, len, stdin) != len) {
            return 1;
        }
        Side *side = &sides[request[1] & 1];
        out.result = out.flags = 0;
        out.value = out.body_len = 0;
        out.rooms_count = 0;
        out.result = (uint8_t)dispatch(request[0], side, request, len);
        answer(request[0], side);
    }
    return 0;
}
