// SPDX-License-Identifier: BSD-3-Clause
// Every command of protocol 1.0 against a server, in the protocol's bytes and without the library.
//
//   ipc_raw_client SOCKET
//
// The server is one of kcoro_ipc_server.h (ipc_server.c), or `becket ipc serve`.

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "ipc_raw.h"

static const char *path;
static raw_t payload;

static void hello_in_one_packet_and_in_two(void) {
    raw_t hello;
    hello.len = 0;
    put_u32(&hello, ABI_MAJOR, 1);
    put_u32(&hello, ABI_MINOR, 0);
    int fd = raw_connect(path);
    raw_send_one(fd, HELLO, &hello);
    expect_frame(fd, HELLO, &hello);
    close(fd);
    close(raw_client(path));
    // Unknown attributes are skipped, and a peer may be newer.
    fd = raw_connect(path);
    payload.len = 0;
    put_bytes(&payload, 999, "what", 4);
    put_u32(&payload, ABI_MINOR, 7);
    put_u32(&payload, ABI_MAJOR, 1);
    raw_send_two(fd, HELLO, &payload);
    expect_frame(fd, HELLO, &hello);
    close(fd);
}

static void another_version_is_told_ours(void) {
    int fd = raw_connect(path);
    payload.len = 0;
    put_u32(&payload, ABI_MAJOR, 7);
    put_u32(&payload, ABI_MINOR, 0);
    raw_send_two(fd, HELLO, &payload);
    EXPECT_EQ(raw_recv(fd, &payload), HELLO);
    EXPECT(raw_number(&payload, ABI_MAJOR) != 7);
    close(fd);
}

static void numbers_begin_at_1001_and_are_not_used_again(void) {
    int fd = raw_client(path);
    uint32_t first = raw_make(fd, 1, 4, 2);
    EXPECT(first >= 1001);
    ask(fd, CHAN_DESTROY, 0, first);
    EXPECT(raw_make(fd, 1, 4, 2) > first);
    close(fd);
}

static void a_request_s_number_comes_back(void) {
    int fd = raw_client(path);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 77);
    put_u32(&payload, KIND, 1);
    put_u32(&payload, ELEM_SIZE, 4);
    put_u32(&payload, CAPACITY, 2);
    raw_send_one(fd, CHAN_MAKE, &payload);
    EXPECT_EQ(raw_recv(fd, &payload), CHAN_MAKE);
    uint32_t chan = (uint32_t)raw_number(&payload, CHAN_ID);
    EXPECT_EQ(raw_number(&payload, REQ_ID), 77);
    EXPECT_EQ(payload.len, 16);
    // One of eight bytes comes back as it is.
    payload.len = 0;
    put_u64(&payload, REQ_ID, 0x1122334455667788u);
    put_u32(&payload, CHAN_ID, chan);
    raw_send_two(fd, CHAN_TRY_RECV, &payload);
    payload.len = 0;
    put_u64(&payload, REQ_ID, 0x1122334455667788u);
    put_i32(&payload, RESULT, -11);
    expect_frame(fd, CHAN_RECV, &payload);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void what_cannot_be_made(void) {
    struct {
        int kind;
        uint32_t elem_size, capacity;
        int result;
    } wrong[] = {{1, 0, 2, -22}, {1, 65536, 2, -90}, {1, 0xffffffffu, 2, -90}, {-3, 4, 2, -22}};
    int fd = raw_client(path);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        payload.len = 0;
        put_u32(&payload, REQ_ID, (uint32_t)i + 1);
        put_i32(&payload, KIND, wrong[i].kind);
        put_u32(&payload, ELEM_SIZE, wrong[i].elem_size);
        put_u32(&payload, CAPACITY, wrong[i].capacity);
        raw_send_two(fd, CHAN_MAKE, &payload);
        expect_result(fd, CHAN_MAKE, (uint32_t)i + 1, wrong[i].result);
    }
    close(fd);
}

static void elements_go_through(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 3, 2);
    ask_send(fd, 0, chan, -1, "abc", 3);
    expect_result(fd, CHAN_SEND, 0, 0);
    ask_send(fd, 9, chan, 0, "def", 3);
    expect_result(fd, CHAN_SEND, 9, 0);
    // Full.
    ask_send(fd, 10, chan, 0, "ghi", 3);
    expect_result(fd, CHAN_SEND, 10, -11);
    ask_send(fd, 11, chan, 2, "ghi", 3);
    expect_result(fd, CHAN_SEND, 11, -62);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 12);
    put_u32(&payload, CHAN_ID, chan);
    put_bytes(&payload, ELEMENT, "ghi", 3);
    raw_send_two(fd, CHAN_TRY_SEND, &payload);
    expect_result(fd, CHAN_SEND, 12, -11);
    ask_recv(fd, 0, chan, -1);
    expect_element(fd, 0, "abc", 3);
    raw_send_one(fd, CHAN_TRY_SEND, &payload);
    expect_result(fd, CHAN_SEND, 12, 0);
    ask(fd, CHAN_TRY_RECV, 13, chan);
    expect_element(fd, 13, "def", 3);
    ask_recv(fd, 14, chan, 5);
    expect_element(fd, 14, "ghi", 3);
    // Empty.
    ask(fd, CHAN_TRY_RECV, 15, chan);
    expect_result(fd, CHAN_RECV, 15, -11);
    ask_recv(fd, 16, chan, 0);
    expect_result(fd, CHAN_RECV, 16, -11);
    ask_recv(fd, 17, chan, 2);
    expect_result(fd, CHAN_RECV, 17, -62);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void wrong_elements_and_channels(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 3, 2);
    ask_send(fd, 1, chan, 0, "abcd", 4);
    expect_result(fd, CHAN_SEND, 1, -22);
    ask_send(fd, 2, chan, 0, "", 0);
    expect_result(fd, CHAN_SEND, 2, -22);
    ask_send(fd, 3, 17, 0, "abc", 3);
    expect_result(fd, CHAN_SEND, 3, -2);
    ask_recv(fd, 4, 17, -1);
    expect_result(fd, CHAN_RECV, 4, -2);
    ask(fd, CHAN_CLOSE, 5, 17);
    expect_result(fd, CHAN_CLOSE, 5, -2);
    ask(fd, GET_INFO, 6, 17);
    expect_result(fd, GET_INFO, 6, -2);
    ask(fd, GET_STATS, 7, 17);
    expect_result(fd, GET_STATS, 7, -2);
    ask(fd, RESET_STATS, 8, 17);
    expect_result(fd, RESET_STATS, 8, -2);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void a_closed_channel_is_drained(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 2);
    ask_send(fd, 1, chan, -1, "x", 1);
    expect_result(fd, CHAN_SEND, 1, 0);
    ask(fd, CHAN_CLOSE, 2, chan);
    expect_result(fd, CHAN_CLOSE, 2, 0);
    ask(fd, CHAN_CLOSE, 0, chan);
    expect_result(fd, CHAN_CLOSE, 0, 0);
    ask_send(fd, 3, chan, -1, "y", 1);
    expect_result(fd, CHAN_SEND, 3, -32);
    ask_recv(fd, 4, chan, -1);
    expect_element(fd, 4, "x", 1);
    ask_recv(fd, 5, chan, -1);
    expect_result(fd, CHAN_RECV, 5, -32);
    // There is no answer to this, so that the next one is the next command's.
    ask(fd, CHAN_DESTROY, 6, chan);
    ask_recv(fd, 7, chan, -1);
    expect_result(fd, CHAN_RECV, 7, -2);
    // Nor to one that makes no sense.
    ask(fd, CHAN_DESTROY, 8, chan);
    payload.len = 0;
    raw_send_two(fd, CHAN_DESTROY, &payload);
    ask_recv(fd, 9, chan, -1);
    expect_result(fd, CHAN_RECV, 9, -2);
    close(fd);
}

static void the_other_kinds(void) {
    int fd = raw_client(path);
    // Rendezvous: nothing is sent until it is received.
    uint32_t chan = raw_make(fd, 0, 1, 0);
    ask_send(fd, 1, chan, 0, "r", 1);
    expect_result(fd, CHAN_SEND, 1, -11);
    int other = raw_client(path);
    ask_recv(other, 2, chan, -1);
    ask_send(fd, 3, chan, -1, "r", 1);
    expect_result(fd, CHAN_SEND, 3, 0);
    expect_element(other, 2, "r", 1);
    ask(fd, CHAN_DESTROY, 0, chan);
    // Conflated: the last one.
    chan = raw_make(fd, -1, 1, 0);
    for (uint32_t i = 0; i < 3; i++) {
        ask_send(fd, i + 1, chan, 0, &"abc"[i], 1);
        expect_result(fd, CHAN_SEND, i + 1, 0);
    }
    ask_recv(fd, 4, chan, -1);
    expect_element(fd, 4, "c", 1);
    ask(fd, CHAN_DESTROY, 0, chan);
    // Unlimited: never full.
    chan = raw_make(fd, -2, 1, 0);
    for (uint32_t i = 0; i < 300; i++) {
        ask_send(fd, 0, chan, 0, "u", 1);
        expect_result(fd, CHAN_SEND, 0, 0);
    }
    ask(fd, CHAN_DESTROY, 0, chan);
    // A number above 0 is a buffered channel of that capacity, if no other is given.
    chan = raw_make(fd, 3, 1, 0);
    for (uint32_t i = 0; i < 4; i++) {
        ask_send(fd, 0, chan, 0, "b", 1);
        expect_result(fd, CHAN_SEND, 0, i < 3 ? 0 : -11);
    }
    ask(fd, CHAN_DESTROY, 0, chan);
    close(other);
    close(fd);
}

static void the_longest_element(void) {
    static uint8_t element[65535];
    for (size_t i = 0; i < sizeof element; i++) {
        element[i] = (uint8_t)(i * 31 + i / 251);
    }
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 65535, 1);
    ask_send(fd, 1, chan, -1, element, sizeof element);
    expect_result(fd, CHAN_SEND, 1, 0);
    ask_recv(fd, 2, chan, -1);
    expect_element(fd, 2, element, sizeof element);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void what_a_channel_is_like(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 3, 5);
    ask(fd, GET_INFO, 1, chan);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 1);
    put_i32(&payload, RESULT, 0);
    put_u32(&payload, CHAN_ID, chan);
    put_i32(&payload, KIND, 1);
    put_u32(&payload, ELEM_SIZE, 3);
    put_u32(&payload, CAPACITY, 5);
    expect_frame(fd, GET_INFO, &payload);
    // The server itself.
    payload.len = 0;
    raw_send_two(fd, GET_INFO, &payload);
    put_u32(&payload, ABI_MAJOR, 1);
    put_u32(&payload, ABI_MINOR, 0);
    expect_frame(fd, GET_INFO, &payload);
    // Those after the one before.
    payload.len = 0;
    put_u32(&payload, ID, chan - 1);
    raw_send_two(fd, LIST, &payload);
    EXPECT_EQ(raw_recv(fd, &payload), LIST);
    EXPECT_EQ(raw_number(&payload, RESULT), 1);
    EXPECT_EQ(raw_number(&payload, CHAN_ID), chan);
    EXPECT_EQ(raw_number(&payload, CAPACITY), 5);
    payload.len = 0;
    put_u32(&payload, ID, chan);
    raw_send_two(fd, LIST, &payload);
    expect_result(fd, LIST, 0, 0);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void what_a_channel_has_counted(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 5);
    expect_stats(fd, chan, 0, 0);
    for (int i = 0; i < 3; i++) {
        ask_send(fd, 0, chan, -1, "x", 1);
        expect_result(fd, CHAN_SEND, 0, 0);
    }
    ask_recv(fd, 0, chan, -1);
    expect_element(fd, 0, "x", 1);
    expect_stats(fd, chan, 3, 1);
    ask(fd, RESET_STATS, 2, chan);
    expect_result(fd, RESET_STATS, 2, 0);
    expect_stats(fd, chan, 0, 0);
    ask_recv(fd, 0, chan, -1);
    expect_element(fd, 0, "x", 1);
    expect_stats(fd, chan, 0, 1);
    // For others it has counted on.
    int other = raw_client(path);
    expect_stats(other, chan, 3, 2);
    close(other);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void a_timeout_for_requests_that_bring_none(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 1);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 1);
    put_i32(&payload, TIMEOUT_MS, 2);
    raw_send_two(fd, SET_CONFIG, &payload);
    expect_result(fd, SET_CONFIG, 1, 0);
    ask(fd, CHAN_RECV, 2, chan);
    expect_result(fd, CHAN_RECV, 2, -62);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 3);
    raw_send_two(fd, SET_CONFIG, &payload);
    expect_result(fd, SET_CONFIG, 3, -22);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void unknown_commands(void) {
    static const uint32_t unknown[] = {0, 7, 17, 36, 999, 65535, ACTOR_START, ACTOR_STOP,
                                       SELECT_NOTIFY};
    int fd = raw_client(path);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        ask(fd, unknown[i], (uint32_t)i + 1, 1);
        expect_result(fd, unknown[i], (uint32_t)i + 1, -38);
        payload.len = 0;
        raw_send_two(fd, unknown[i], &payload);
        expect_result(fd, unknown[i], 0, -38);
    }
    close(fd);
}

static void malformed_requests(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 1);
    // Something that is needed is not there.
    payload.len = 0;
    put_u32(&payload, REQ_ID, 1);
    put_u32(&payload, CHAN_ID, chan);
    raw_send_two(fd, CHAN_SEND, &payload);
    expect_result(fd, CHAN_SEND, 1, -71);
    payload.len = 0;
    put_u32(&payload, KIND, 1);
    raw_send_two(fd, CHAN_MAKE, &payload);
    expect_result(fd, CHAN_MAKE, 0, -71);
    // A number of another width.
    payload.len = 0;
    put_u32(&payload, REQ_ID, 2);
    put_bytes(&payload, CHAN_ID, "\x03\xe9", 2);
    raw_send_two(fd, CHAN_RECV, &payload);
    expect_result(fd, CHAN_RECV, 2, -71);
    // An attribute that is cut off: in its value, in its head.
    payload.len = 0;
    put_u32(&payload, REQ_ID, 3);
    put_u32(&payload, CHAN_ID, chan);
    raw_u16(&payload, TIMEOUT_MS);
    raw_u16(&payload, 400);
    raw_u16(&payload, 1);
    raw_send_two(fd, CHAN_RECV, &payload);
    expect_result(fd, CHAN_RECV, 3, -71);
    payload.len = 0;
    put_u32(&payload, REQ_ID, 4);
    put_u32(&payload, CHAN_ID, chan);
    raw_byte(&payload, 0);
    raw_send_one(fd, CHAN_TRY_RECV, &payload);
    expect_result(fd, CHAN_RECV, 4, -71);
    // A payload that is shorter or longer than its head says; a head that is not zero where it has
    // to be.
    payload.len = 0;
    put_u32(&payload, REQ_ID, 5);
    put_u32(&payload, CHAN_ID, chan);
    raw_send_head(fd, CHAN_RECV, 0, (uint32_t)payload.len + 4, &payload);
    expect_result(fd, CHAN_RECV, 5, -71);
    raw_send_head(fd, CHAN_RECV, 0, (uint32_t)payload.len - 8, &payload);
    expect_result(fd, CHAN_RECV, 5, -71);
    raw_send_head(fd, CHAN_RECV, 1, (uint32_t)payload.len, &payload);
    expect_result(fd, CHAN_RECV, 5, -71);
    // And on it goes.
    ask(fd, CHAN_TRY_RECV, 6, chan);
    expect_result(fd, CHAN_RECV, 6, -11);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

static void a_length_over_the_limit_ends_the_connection(void) {
    static const uint32_t lengths[] = {0xffffffffu, 0x7fffffffu, 1u << 24};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int fd = raw_client(path);
        payload.len = 0;
        raw_send_head(fd, CHAN_RECV, 0, lengths[i], &payload);
        expect_end(fd);
        fd = raw_connect(path);
        raw_send_head(fd, HELLO, 0, lengths[i], &payload);
        expect_end(fd);
    }
    int fd = raw_client(path);
    raw_packet(fd, "short", 5);
    expect_end(fd);
    // Others do not mind.
    close(raw_client(path));
}

static void for_ever_is_not_49_days(void) {
    int fd = raw_client(path), other = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 1);
    static const int forever[] = {-1, -2, (-2147483647 - 1)};
    for (size_t i = 0; i < sizeof forever / sizeof *forever; i++) {
        ask_recv(fd, 1, chan, forever[i]);
        ask_send(other, 2, chan, forever[i], "x", 1);
        expect_result(other, CHAN_SEND, 2, 0);
        expect_element(fd, 1, "x", 1);
    }
    ask(fd, CHAN_DESTROY, 0, chan);
    close(other);
    close(fd);
}

static void many_clients_and_one_channel(void) {
    enum { CLIENTS = 20, EACH = 50 };
    int fds[CLIENTS];
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 4, 3);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_client(path);
    }
    unsigned long sum = 0;
    for (int round = 0; round < EACH; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            uint32_t number = (uint32_t)(round * CLIENTS + i);
            ask_send(fds[i], number + 1, chan, -1, &number, sizeof number);
        }
        for (int i = 0; i < CLIENTS; i++) {
            uint32_t number = 0;
            size_t len = 0;
            ask_recv(fd, 5, chan, -1);
            EXPECT_EQ(raw_recv(fd, &payload), CHAN_RECV);
            const uint8_t *element = raw_find(&payload, ELEMENT, &len);
            EXPECT(element != NULL && len == sizeof number);
            memcpy(&number, element, sizeof number);
            sum += number;
        }
        for (int i = 0; i < CLIENTS; i++) {
            expect_result(fds[i], CHAN_SEND, (uint32_t)(round * CLIENTS + i) + 1, 0);
        }
    }
    EXPECT_EQ(sum, (unsigned long)CLIENTS * EACH * (CLIENTS * EACH - 1) / 2);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

/** A select's command: ID, and what else is given. */
static void ask_select(int fd, uint32_t command, uint32_t req, uint32_t select, uint32_t chan,
                       const char *element) {
    payload.len = 0;
    put_u32(&payload, REQ_ID, req);
    put_u32(&payload, ID, select);
    if (chan != 0) {
        put_u32(&payload, CHAN_ID, chan);
    }
    if (element != NULL) {
        put_bytes(&payload, ELEMENT, element, strlen(element));
    }
    raw_send_two(fd, command, &payload);
}

static void expect_notice(int fd, uint32_t select, uint32_t mask, int result) {
    payload.len = 0;
    put_u32(&payload, ID, select);
    put_u32(&payload, SELECT_MASK, mask);
    put_i32(&payload, RESULT, result);
    expect_frame(fd, SELECT_NOTIFY, &payload);
}

static void expect_claimed(int fd, uint32_t req, int result, uint32_t chan, const char *element) {
    payload.len = 0;
    put_u32(&payload, REQ_ID, req);
    put_i32(&payload, RESULT, result);
    put_u32(&payload, CHAN_ID, chan);
    if (element != NULL) {
        put_bytes(&payload, ELEMENT, element, strlen(element));
    }
    expect_frame(fd, SELECT_CLAIM, &payload);
}

static void one_of_several(void) {
    int fd = raw_client(path), other = raw_client(path);
    uint32_t a = raw_make(fd, 1, 1, 1), b = raw_make(fd, 1, 1, 1);
    // Two receives; something comes on the second channel.
    ask_select(fd, SELECT_RECV, 1, 7, a, NULL);
    expect_result(fd, SELECT_RECV, 1, 0);
    ask_select(fd, SELECT_RECV, 2, 7, b, NULL);
    expect_result(fd, SELECT_RECV, 2, 1);
    ask_select(fd, SELECT_CLAIM, 3, 7, 0, NULL);
    expect_result(fd, SELECT_CLAIM, 3, -11);
    ask_select(fd, SELECT_REGISTER, 4, 7, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 4, 0);
    ask_send(other, 5, b, -1, "x", 1);
    expect_result(other, CHAN_SEND, 5, 0);
    expect_notice(fd, 7, 2, 1);
    ask_select(fd, SELECT_CANCEL, 6, 7, 0, NULL);
    expect_result(fd, SELECT_CANCEL, 6, -114);
    ask_select(fd, SELECT_CLAIM, 7, 7, 0, NULL);
    expect_claimed(fd, 7, 1, b, "x");
    ask_select(fd, SELECT_CLAIM, 8, 7, 0, NULL);
    expect_result(fd, SELECT_CLAIM, 8, -2);
    // A send that can happen at once, beside a receive that cannot.
    ask_select(fd, SELECT_RECV, 1, 8, a, NULL);
    expect_result(fd, SELECT_RECV, 1, 0);
    ask_select(fd, SELECT_SEND, 2, 8, b, "y");
    expect_result(fd, SELECT_SEND, 2, 1);
    ask_select(fd, SELECT_REGISTER, 3, 8, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 3, 0);
    expect_notice(fd, 8, 2, 1);
    ask_select(fd, SELECT_CLAIM, 4, 8, 0, NULL);
    expect_claimed(fd, 4, 1, b, NULL);
    ask(fd, CHAN_TRY_RECV, 5, b);
    expect_element(fd, 5, "y", 1);
    // One that is taken back, and takes nothing.
    ask_select(fd, SELECT_RECV, 1, 9, a, NULL);
    expect_result(fd, SELECT_RECV, 1, 0);
    ask_select(fd, SELECT_REGISTER, 2, 9, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 2, 0);
    ask_select(fd, SELECT_REGISTER, 3, 9, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 3, -114);
    ask_select(fd, SELECT_CANCEL, 4, 9, 0, NULL);
    expect_result(fd, SELECT_CANCEL, 4, 0);
    ask_send(fd, 5, a, 0, "z", 1);
    expect_result(fd, CHAN_SEND, 5, 0);
    ask(fd, CHAN_TRY_RECV, 6, a);
    expect_element(fd, 6, "z", 1);
    // One whose time is up; one that is closed; one that is not there.
    ask_select(fd, SELECT_RECV, 1, 10, a, NULL);
    expect_result(fd, SELECT_RECV, 1, 0);
    payload.len = 0;
    put_u32(&payload, ID, 10);
    put_i32(&payload, TIMEOUT_MS, 2);
    raw_send_two(fd, SELECT_REGISTER, &payload);
    expect_result(fd, SELECT_REGISTER, 0, 0);
    expect_notice(fd, 10, 0, -62);
    ask_select(fd, SELECT_CLAIM, 2, 10, 0, NULL);
    expect_result(fd, SELECT_CLAIM, 2, -62);
    ask(fd, CHAN_CLOSE, 3, a);
    expect_result(fd, CHAN_CLOSE, 3, 0);
    ask_select(fd, SELECT_RECV, 4, 11, a, NULL);
    expect_result(fd, SELECT_RECV, 4, 0);
    ask_select(fd, SELECT_REGISTER, 5, 11, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 5, 0);
    expect_notice(fd, 11, 1, -32);
    ask_select(fd, SELECT_CLAIM, 6, 11, 0, NULL);
    expect_claimed(fd, 6, -32, a, NULL);
    ask_select(fd, SELECT_REGISTER, 7, 12, 0, NULL);
    expect_result(fd, SELECT_REGISTER, 7, -2);
    ask_select(fd, SELECT_RECV, 8, 12, 17, NULL);
    expect_result(fd, SELECT_RECV, 8, -2);
    ask_select(fd, SELECT_SEND, 9, 12, b, "too long");
    expect_result(fd, SELECT_SEND, 9, -22);
    ask(fd, CHAN_DESTROY, 0, a);
    ask(fd, CHAN_DESTROY, 0, b);
    close(other);
    close(fd);
}

// Forks a client that asks to receive, and is killed wherever it is by then: before the request has
// arrived, while it waits, or with the answer unread.
static void a_killed_client_takes_nothing_along(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 4, 1);
    for (uint32_t round = 0; round < 60; round++) {
        int ready[2];
        EXPECT_EQ(pipe(ready), 0);
        pid_t child = fork();
        EXPECT(child >= 0);
        if (child == 0) {
            int own = raw_client(path);
            ask_recv(own, 1, chan, -1);
            EXPECT_EQ(write(ready[1], "r", 1), 1);
            for (;;) {
                pause();
            }
        }
        char byte;
        EXPECT_EQ(read(ready[0], &byte, 1), 1);
        // Dead before, in the middle or after.
        if (round % 3 == 0) {
            kill(child, SIGKILL);
        }
        ask_send(fd, 2, chan, -1, &round, sizeof round);
        if (round % 3 == 1) {
            kill(child, SIGKILL);
        }
        expect_result(fd, CHAN_SEND, 2, 0);
        kill(child, SIGKILL);
        int status;
        EXPECT_EQ(waitpid(child, &status, 0), child);
        ask_recv(fd, 3, chan, -1);
        expect_element(fd, 3, &round, sizeof round);
        close(ready[0]);
        close(ready[1]);
    }
    ask(fd, CHAN_DESTROY, 0, chan);
    close(fd);
}

// What it has read is its own; the rest goes back, in its order.
static void unread_values_all_go_back(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 4, 8), marker = raw_make(fd, 1, 4, 1);
    for (uint32_t i, read = 0; read < 5; read++) {
        int other = raw_client(path);
        for (i = 0; i < 4; i++) {
            ask_recv(other, 10 + i, chan, -1);
            ask_send(fd, 2, chan, -1, &i, sizeof i);
            expect_result(fd, CHAN_SEND, 2, 0);
        }
        ask_send(other, 20, marker, -1, &read, sizeof read);
        ask_recv(fd, 3, marker, -1);
        expect_element(fd, 3, &read, sizeof read); // what came before it has been handled
        for (i = 0; i < read; i++) {
            expect_element(other, 10 + i, &i, sizeof i);
        }
        close(other);
        for (; i < 4; i++) {
            ask_recv(fd, 30 + i, chan, -1);
            expect_element(fd, 30 + i, &i, sizeof i);
        }
    }
    close(fd);
}

// One that waits to send leaves nothing behind.
static void a_killed_sender_is_forgotten(void) {
    int fd = raw_client(path);
    uint32_t chan = raw_make(fd, 1, 1, 1);
    ask_send(fd, 1, chan, -1, "a", 1);
    expect_result(fd, CHAN_SEND, 1, 0);
    int other = raw_client(path);
    ask_send(other, 2, chan, -1, "b", 1);
    // What is answered was read behind it: it waits by now, and does not come after its sender's end.
    ask(other, GET_INFO, 9, 17);
    expect_result(other, GET_INFO, 9, -2);
    close(other);
    // Whether its end has been seen by now or not: the next waiter is served.
    ask_recv(fd, 3, chan, -1);
    expect_element(fd, 3, "a", 1);
    other = raw_client(path);
    ask_send(other, 4, chan, -1, "c", 1);
    ask_recv(fd, 5, chan, -1);
    EXPECT_EQ(raw_recv(fd, &payload), CHAN_RECV);
    size_t len = 0;
    const uint8_t *element = raw_find(&payload, ELEMENT, &len);
    EXPECT(element != NULL && len == 1);
    if (*element == 'b') {
        ask_recv(fd, 6, chan, -1);
        expect_element(fd, 6, "c", 1);
    } else {
        EXPECT_EQ(*element, 'c');
    }
    expect_result(other, CHAN_SEND, 4, 0);
    ask(fd, CHAN_TRY_RECV, 7, chan);
    expect_result(fd, CHAN_RECV, 7, -11);
    ask(fd, CHAN_DESTROY, 0, chan);
    close(other);
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: ipc_raw_client SOCKET (without a server there is nothing to do)\n");
        return 0;
    }
    path = argv[1];
    RUN(hello_in_one_packet_and_in_two);
    RUN(another_version_is_told_ours);
    RUN(numbers_begin_at_1001_and_are_not_used_again);
    RUN(a_request_s_number_comes_back);
    RUN(what_cannot_be_made);
    RUN(elements_go_through);
    RUN(wrong_elements_and_channels);
    RUN(a_closed_channel_is_drained);
    RUN(the_other_kinds);
    RUN(the_longest_element);
    RUN(what_a_channel_is_like);
    RUN(what_a_channel_has_counted);
    RUN(a_timeout_for_requests_that_bring_none);
    RUN(unknown_commands);
    RUN(malformed_requests);
    RUN(a_length_over_the_limit_ends_the_connection);
    RUN(for_ever_is_not_49_days);
    RUN(many_clients_and_one_channel);
    RUN(one_of_several);
    RUN(a_killed_client_takes_nothing_along);
    RUN(unread_values_all_go_back);
    RUN(a_killed_sender_is_forgotten);
    return 0;
}
