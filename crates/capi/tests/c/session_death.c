// SPDX-License-Identifier: BSD-3-Clause
// Processes of protocol 2 that are killed, by `tests/it/death.rs`. Each reports to standard output
// and gets commands from standard input: 's' stops a client, 'd' drains a server; its end ends either.
//
//   session_death server SOCKET 0 0           serves "bounded" and "meet" (rendezvous)
//   session_death sender SOCKET ID 0          sends into both, until it is stopped or the server dies
//   session_death receiver SOCKET ID WINDOW   receives from both, likewise

#include <stdint.h>

#include "kc_cancel.h"
#include "session.h"

enum { CHANNELS = 2 };

// As in `crates/ipc/tests/death/what.rs`.
enum what { READY, INTENDED, ACCEPTED, REFUSED, UNKNOWN, RECEIVED, LEFT, ENDED, WRONG, IDLE, DONE };

typedef struct {
    uint64_t what;
    uint64_t number;
} report_t;

static const char *const names[CHANNELS] = {"bounded", "meet"};

static kc_session_t *session;
static kc_cancel_t *stop;
static uint64_t id;
static unsigned window;

static void report(enum what what, uint64_t number) {
    report_t bytes = {(uint64_t)what, number};
    // As long as a pipe's atomic write: those of several threads do not mix.
    EXPECT_EQ(write(STDOUT_FILENO, &bytes, sizeof bytes), sizeof bytes);
}

/** The length of a message is a function of its number, and so is each byte behind the number. */
static size_t len_of(uint64_t number) {
    uint64_t of_64 = number % 64;
    return 8 + (size_t)(of_64 == 7 ? 50000 : of_64 < 12 ? 3000 : of_64);
}

static void fill(unsigned char *bytes, uint64_t number) {
    memcpy(bytes, &number, 8);
    for (size_t i = 8; i < len_of(number); i++) {
        bytes[i] = (unsigned char)(number * 31 + i);
    }
}

static unsigned char *room(void) {
    unsigned char *bytes = (unsigned char *)malloc(1 << 16);
    EXPECT(bytes != NULL);
    return bytes;
}

static kc_msg_t *message_of(uint64_t number, unsigned char *bytes) {
    kc_msg_t *msg = NULL;
    fill(bytes, number);
    EXPECT_EQ(kc_msg_make(&msg, bytes, len_of(number)), 0);
    return msg;
}

/** The number of a whole message, which is released. */
static uint64_t number_of(kc_msg_t *msg, unsigned char *bytes) {
    uint64_t number = 0;
    size_t len = kc_msg_len(msg);
    EXPECT_EQ(kc_msg_copy(msg, 0, &number, 8), 8);
    EXPECT_EQ(len, len_of(number));
    fill(bytes, number);
    EXPECT_EQ(memcmp(bytes, kc_msg_data(msg), len), 0);
    kc_msg_release(msg);
    return number;
}

static long timeout_of(uint64_t number) {
    switch (number % 7) {
    case 0:
        return 0;
    case 1:
        return 1;
    default:
        return -1;
    }
}

static void *sends(void *arg) {
    uint64_t channel = (uint64_t)(uintptr_t)arg;
    unsigned char *bytes = room();
    kc_chan_t *chan = NULL;
    kc_open_opts_t opts = {sizeof opts, KC_OPEN_SEND, 0, 0, 0, 0};
    int error = kc_session_open(session, names[channel], &opts, &chan);
    for (uint64_t count = 0; error == 0; count++) {
        uint64_t number = id << 48 | channel << 40 | count;
        kc_msg_t *msg = message_of(number, bytes);
        report(INTENDED, number);
        error = kc_chan_send_c(chan, &msg, timeout_of(count), stop);
        if (error == 0) {
            report(ACCEPTED, number);
            continue;
        }
        kc_msg_release(msg);
        report(error == KC_EUNKNOWN ? UNKNOWN : REFUSED, number);
        EXPECT(error == KC_EAGAIN || error == KC_ETIME || error == KC_ECANCELED ||
               error == KC_EUNKNOWN || error == -ECONNRESET);
        if (kc_cancel_is_set(stop)) {
            break;
        }
        if (error != -ECONNRESET) {
            // An unknown outcome may be one of a living server that was slow.
            error = kc_session_wait(session, 0);
        }
    }
    if (error == -ECONNRESET) {
        report(ENDED, channel);
    } else {
        EXPECT(error == 0 || kc_cancel_is_set(stop));
    }
    if (chan != NULL) {
        kc_chan_destroy(chan);
    }
    free(bytes);
    return NULL;
}

static void *receives(void *arg) {
    uint64_t channel = (uint64_t)(uintptr_t)arg;
    unsigned char *bytes = room();
    kc_chan_t *chan = NULL;
    kc_open_opts_t opts = {sizeof opts, KC_OPEN_RECV, window, 0, 0, 0};
    int error = kc_session_open(session, names[channel], &opts, &chan);
    for (uint64_t count = 0; error == 0; count++) {
        kc_msg_t *msg = NULL;
        error = kc_chan_recv_c(chan, &msg, timeout_of(count), stop);
        if (error == 0) {
            report(RECEIVED, number_of(msg, bytes));
        } else if (error == KC_EAGAIN || error == KC_ETIME) {
            error = 0;
        }
    }
    if (error == -ECONNRESET) {
        report(ENDED, channel);
    } else {
        EXPECT_EQ(error, KC_ECANCELED);
    }
    if (chan != NULL) {
        kc_chan_destroy(chan);
    }
    free(bytes);
    return NULL;
}

static void *commands(void *arg) {
    char command;
    (void)arg;
    EXPECT_EQ(read(STDIN_FILENO, &command, 1), 1);
    kc_cancel_trigger(stop);
    return NULL;
}

static void until_input_ends(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

static void be_client(const char *path, void *(*run)(void *)) {
    pthread_t threads[CHANNELS], commanded;
    EXPECT_EQ(kc_cancel_init(&stop), 0);
    commanded = thread_of(commands, NULL);
    int error = kc_session_connect(&session, path, NULL);
    if (error == 0) {
        for (uintptr_t i = 0; i < CHANNELS; i++) {
            threads[i] = thread_of(run, (void *)i);
        }
        for (int i = 0; i < CHANNELS; i++) {
            join(threads[i]);
        }
        kc_session_close(session);
    } else {
        // The server was killed meanwhile.
        if (error != -ECONNREFUSED && error != -EPIPE) {
            EXPECT_EQ(error, -ECONNRESET);
        }
        report(ENDED, 0);
    }
    report(IDLE, 0);
    join(commanded);
    until_input_ends();
    kc_cancel_destroy(stop);
}

static void serve(const char *path) {
    kc_server_t *server = NULL;
    kc_chan_t *chans[CHANNELS];
    unsigned char *bytes = room();
    char command;
    EXPECT_EQ(kc_server_listen(&server, path, 0, 0), 0);
    for (int i = 0; i < CHANNELS; i++) {
        EXPECT_EQ(kc_chan_make_msg(&chans[i], i == 0 ? KC_BUFFERED : KC_RENDEZVOUS, 8 - 8 * i), 0);
        EXPECT_EQ(kc_server_export(server, names[i], chans[i], KC_OPEN_SEND | KC_OPEN_RECV), 0);
    }
    report(READY, 0);
    while (read(STDIN_FILENO, &command, 1) == 1) {
        for (int i = 0; i < CHANNELS; i++) {
            kc_msg_t *msg = NULL;
            while (kc_chan_recv(chans[i], &msg, 0) == 0) {
                report(LEFT, number_of(msg, bytes));
            }
        }
        report(IDLE, 0);
    }
    kc_server_close(server);
    for (int i = 0; i < CHANNELS; i++) {
        kc_chan_destroy(chans[i]);
    }
    free(bytes);
}

int main(int argc, char **argv) {
    EXPECT_EQ(argc, 5);
    id = (uint64_t)atol(argv[3]);
    window = (unsigned)atol(argv[4]);
    if (strcmp(argv[1], "server") == 0) {
        serve(argv[2]);
    } else {
        be_client(argv[2], strcmp(argv[1], "sender") == 0 ? sends : receives);
    }
    return 0;
}
