// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file session.h
 * @brief What the server of session_serve.c and its clients in session.c agree on.
 */
#ifndef SESSION_H
#define SESSION_H

#include <string.h>

#include "expect.h"
#include "kcoro_ext.h"
#include "kcoro_session.h"

/** The answer on "answers" to a message on "ask". */
typedef struct {
    unsigned len;   /**< of the message */
    unsigned block; /**< kc_msg_block, at the server */
    unsigned sum;   /**< of its bytes */
} answer_t;

static inline unsigned sum_of(const void *bytes, size_t len) {
    const unsigned char *at = (const unsigned char *)bytes;
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum = sum * 31 + at[i];
    }
    return sum;
}

/** A thread that runs `run` with `arg`. */
static inline pthread_t thread_of(void *(*run)(void *), void *arg) {
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

static inline void join(pthread_t thread) {
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

/** How many operations of a side, "send" or "recv", wait at a channel, as its description says. */
static inline long waiting_at(kc_chan_t *chan, const char *side) {
    char text[2048], line[16];
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_EQ(kc_chan_dump(chan, ends[1]), 0);
    close(ends[1]);
    ssize_t len = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    EXPECT(len > 0);
    text[len] = '\0';
    snprintf(line, sizeof line, ": %s ", side);
    const char *at = strstr(text, line);
    EXPECT(at != NULL);
    at = strstr(at, "waiting=");
    EXPECT(at != NULL);
    return atol(at + strlen("waiting="));
}

/** Waits until so many do. */
static inline void until_waiting(kc_chan_t *chan, const char *side, long at_least) {
    while (waiting_at(chan, side) < at_least) {
        sleep_ms(1);
    }
}

/** Receives a message of this text. */
static inline void expect_text(kc_chan_t *chan, const char *text, long timeout_ms) {
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_chan_recv(chan, &msg, timeout_ms), 0);
    EXPECT_EQ(kc_msg_len(msg), strlen(text));
    EXPECT_EQ(memcmp(kc_msg_data(msg), text, strlen(text)), 0);
    kc_msg_release(msg);
}

static inline int send_text(kc_chan_t *chan, const char *text, long timeout_ms) {
    return kc_chan_send_bytes(chan, text, strlen(text), timeout_ms);
}

static inline kc_chan_t *open_as(const kc_session_t *session, const char *name, unsigned flags,
                                 unsigned window) {
    kc_open_opts_t opts = {sizeof opts, flags, window, 0, 0, 0};
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_session_open(session, name, &opts, &chan), 0);
    return chan;
}

#endif
