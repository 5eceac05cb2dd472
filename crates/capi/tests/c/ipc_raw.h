// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file ipc_raw.h
 * @brief Protocol 1.0 by hand: bytes in packets, without the library. C11 and C++17 at once.
 *
 * What is sent is written byte by byte as the protocol says, and what comes is compared byte by
 * byte, so that neither side's codec can hide the other's mistake.
 */
#ifndef IPC_RAW_H
#define IPC_RAW_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "expect.h"

enum { RAW_BYTES = 66560 };

/** A payload that is being written, or one that came. */
typedef struct {
    uint8_t at[RAW_BYTES];
    size_t len;
} raw_t;

static inline void raw_byte(raw_t *raw, uint32_t byte) {
    EXPECT(raw->len < RAW_BYTES);
    raw->at[raw->len++] = (uint8_t)(byte & 0xffu);
}

static inline void raw_u16(raw_t *raw, uint32_t v) {
    raw_byte(raw, v >> 8);
    raw_byte(raw, v);
}

static inline void raw_u32(raw_t *raw, uint32_t v) {
    raw_u16(raw, v >> 16);
    raw_u16(raw, v);
}

/** Attributes. */
static inline void put_bytes(raw_t *raw, uint32_t type, const void *bytes, size_t len) {
    raw_u16(raw, type);
    raw_u16(raw, (uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        raw_byte(raw, ((const uint8_t *)bytes)[i]);
    }
}

static inline void put_u32(raw_t *raw, uint32_t type, uint32_t v) {
    raw_u16(raw, type);
    raw_u16(raw, 4);
    raw_u32(raw, v);
}

static inline void put_i32(raw_t *raw, uint32_t type, int v) {
    put_u32(raw, type, (uint32_t)v);
}

static inline void put_u64(raw_t *raw, uint32_t type, uint64_t v) {
    raw_u16(raw, type);
    raw_u16(raw, 8);
    raw_u32(raw, (uint32_t)(v >> 32));
    raw_u32(raw, (uint32_t)v);
}

static inline int raw_connect(const char *path) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    EXPECT(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        abort();
    }
    // An answer that never comes ends the test, and is not waited for in any other way.
    struct timeval patience = {60, 0};
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static inline void raw_packet(int fd, const void *bytes, size_t len) {
    EXPECT_EQ(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

/** A frame in two packets, with whatever its head is to say. */
static inline void raw_send_head(int fd, uint32_t command, uint32_t zero, uint32_t says,
                                 const raw_t *payload) {
    static __thread raw_t head;
    head.len = 0;
    raw_u16(&head, command);
    raw_u16(&head, zero);
    raw_u32(&head, says);
    raw_packet(fd, head.at, head.len);
    if (payload->len > 0) {
        raw_packet(fd, payload->at, payload->len);
    }
}

static inline void raw_send_two(int fd, uint32_t command, const raw_t *payload) {
    raw_send_head(fd, command, 0, (uint32_t)payload->len, payload);
}

static inline void raw_send_one(int fd, uint32_t command, const raw_t *payload) {
    static __thread uint8_t packet[8 + RAW_BYTES];
    uint8_t head[8] = {(uint8_t)(command >> 8),       (uint8_t)command,
                       0,                             0,
                       (uint8_t)(payload->len >> 24), (uint8_t)(payload->len >> 16),
                       (uint8_t)(payload->len >> 8),  (uint8_t)payload->len};
    memcpy(packet, head, 8);
    memcpy(packet + 8, payload->at, payload->len);
    raw_packet(fd, packet, 8 + payload->len);
}

/** Receives a frame, in one packet or in two; its command. */
static inline uint32_t raw_recv(int fd, raw_t *payload) {
    static __thread uint8_t packet[8 + RAW_BYTES];
    ssize_t got = recv(fd, packet, sizeof packet, 0);
    EXPECT(got >= 8);
    uint32_t says = (uint32_t)packet[4] << 24 | (uint32_t)packet[5] << 16 |
                    (uint32_t)packet[6] << 8 | (uint32_t)packet[7];
    EXPECT_EQ(packet[2], 0);
    EXPECT_EQ(packet[3], 0);
    EXPECT(says <= RAW_BYTES);
    payload->len = says;
    if (got == 8 && says > 0) {
        EXPECT_EQ(recv(fd, payload->at, RAW_BYTES, 0), says);
    } else {
        EXPECT_EQ(got - 8, says);
        memcpy(payload->at, packet + 8, says);
    }
    return (uint32_t)packet[0] << 8 | (uint32_t)packet[1];
}

/** The next frame is this one, to the byte. */
static inline void expect_frame(int fd, uint32_t command, const raw_t *payload) {
    static __thread raw_t came;
    EXPECT_EQ(raw_recv(fd, &came), command);
    EXPECT_EQ(came.len, payload->len);
    for (size_t i = 0; i < came.len; i++) {
        if (came.at[i] != payload->at[i]) {
            fprintf(stderr, "command %u: byte %zu is %u, not %u\n", (unsigned)command, i,
                    (unsigned)came.at[i], (unsigned)payload->at[i]);
            abort();
        }
    }
}

/** An attribute of a payload; NULL if it has none of this type. */
static inline const uint8_t *raw_find(const raw_t *payload, uint32_t type, size_t *len) {
    const uint8_t *found = NULL;
    size_t at = 0;
    while (at < payload->len) {
        EXPECT(payload->len - at >= 4);
        uint32_t here = (uint32_t)payload->at[at] << 8 | (uint32_t)payload->at[at + 1];
        size_t bytes = (size_t)payload->at[at + 2] << 8 | (size_t)payload->at[at + 3];
        at += 4;
        EXPECT(payload->len - at >= bytes);
        if (here == type && found == NULL) {
            found = payload->at + at;
            *len = bytes;
        }
        at += bytes;
    }
    return found;
}

static inline uint64_t raw_number(const raw_t *payload, uint32_t type) {
    size_t len = 0;
    const uint8_t *at = raw_find(payload, type, &len);
    EXPECT(at != NULL && (len == 4 || len == 8));
    uint64_t number = 0;
    for (size_t i = 0; i < len; i++) {
        number = number << 8 | at[i];
    }
    return number;
}

/** The connection is over. */
static inline void expect_end(int fd) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    EXPECT(got == 0 || (got < 0 && errno == ECONNRESET));
    close(fd);
}

/** Commands and attributes, as the protocol numbers them. */
enum {
    HELLO = 1,
    GET_INFO = 2,
    GET_STATS = 3,
    SET_CONFIG = 4,
    RESET_STATS = 5,
    LIST = 6,
    CHAN_MAKE = 10,
    CHAN_SEND = 11,
    CHAN_TRY_SEND = 12,
    CHAN_RECV = 13,
    CHAN_TRY_RECV = 14,
    CHAN_CLOSE = 15,
    CHAN_DESTROY = 16,
    ACTOR_START = 20,
    ACTOR_STOP = 21,
    SELECT_SEND = 30,
    SELECT_RECV = 31,
    SELECT_REGISTER = 32,
    SELECT_CANCEL = 33,
    SELECT_NOTIFY = 34,
    SELECT_CLAIM = 35
};

enum {
    ABI_MAJOR = 1,
    ABI_MINOR = 2,
    ID = 4,
    KIND = 5,
    ELEM_SIZE = 6,
    CAPACITY = 7,
    TIMEOUT_MS = 8,
    SEND_OPS = 9,
    RECV_OPS = 10,
    WAITERS_S = 11,
    WAITERS_R = 12,
    CHAN_ID = 20,
    ELEMENT = 21,
    RESULT = 22,
    SELECT_MASK = 25,
    REQ_ID = 26
};

/** Sends a HELLO and receives one. */
static inline int raw_client(const char *path) {
    static __thread raw_t payload;
    int fd = raw_connect(path);
    payload.len = 0;
    put_u32(&payload, ABI_MAJOR, 1);
    put_u32(&payload, ABI_MINOR, 0);
    raw_send_two(fd, HELLO, &payload);
    expect_frame(fd, HELLO, &payload);
    return fd;
}

/** The next frame is {[REQ_ID], RESULT}; req 0: without. */
static inline void expect_result(int fd, uint32_t command, uint32_t req, int result) {
    static __thread raw_t payload;
    payload.len = 0;
    if (req != 0) {
        put_u32(&payload, REQ_ID, req);
    }
    put_i32(&payload, RESULT, result);
    expect_frame(fd, command, &payload);
}

/** Makes a channel; its number. */
static inline uint32_t raw_make(int fd, int kind, uint32_t elem_size, uint32_t capacity) {
    static __thread raw_t payload;
    payload.len = 0;
    put_i32(&payload, KIND, kind);
    put_u32(&payload, ELEM_SIZE, elem_size);
    put_u32(&payload, CAPACITY, capacity);
    raw_send_two(fd, CHAN_MAKE, &payload);
    EXPECT_EQ(raw_recv(fd, &payload), CHAN_MAKE);
    EXPECT_EQ(payload.len, 8);
    return (uint32_t)raw_number(&payload, CHAN_ID);
}

static inline void ask_send(int fd, uint32_t req, uint32_t chan, int timeout_ms, const void *bytes,
                            size_t len) {
    static __thread raw_t payload;
    payload.len = 0;
    if (req != 0) {
        put_u32(&payload, REQ_ID, req);
    }
    put_u32(&payload, CHAN_ID, chan);
    put_i32(&payload, TIMEOUT_MS, timeout_ms);
    put_bytes(&payload, ELEMENT, bytes, len);
    raw_send_two(fd, CHAN_SEND, &payload);
}

static inline void ask_recv(int fd, uint32_t req, uint32_t chan, int timeout_ms) {
    static __thread raw_t payload;
    payload.len = 0;
    if (req != 0) {
        put_u32(&payload, REQ_ID, req);
    }
    put_u32(&payload, CHAN_ID, chan);
    put_i32(&payload, TIMEOUT_MS, timeout_ms);
    raw_send_two(fd, CHAN_RECV, &payload);
}

/** A command with nothing but a channel. */
static inline void ask(int fd, uint32_t command, uint32_t req, uint32_t chan) {
    static __thread raw_t payload;
    payload.len = 0;
    if (req != 0) {
        put_u32(&payload, REQ_ID, req);
    }
    put_u32(&payload, CHAN_ID, chan);
    raw_send_two(fd, command, &payload);
}

static inline void expect_element(int fd, uint32_t req, const void *bytes, size_t len) {
    static __thread raw_t payload;
    payload.len = 0;
    if (req != 0) {
        put_u32(&payload, REQ_ID, req);
    }
    put_i32(&payload, RESULT, 0);
    put_bytes(&payload, ELEMENT, bytes, len);
    expect_frame(fd, CHAN_RECV, &payload);
}

/** A channel that has counted so many operations. */
static inline void expect_stats(int fd, uint32_t chan, uint64_t sends, uint64_t receives) {
    static raw_t payload;
    ask(fd, GET_STATS, 1, chan);
    EXPECT_EQ(raw_recv(fd, &payload), GET_STATS);
    EXPECT_EQ(raw_number(&payload, REQ_ID), 1);
    EXPECT_EQ(raw_number(&payload, RESULT), 0);
    EXPECT_EQ(raw_number(&payload, CHAN_ID), chan);
    EXPECT_EQ(raw_number(&payload, SEND_OPS), sends);
    EXPECT_EQ(raw_number(&payload, RECV_OPS), receives);
    EXPECT_EQ(raw_number(&payload, WAITERS_S), 0);
    EXPECT_EQ(raw_number(&payload, WAITERS_R), 0);
}

#endif
