// SPDX-License-Identifier: BSD-3-Clause
// A session whose servers end and start (session_serve.c, or one in Rust), by `tests/it`.
//
//   session_again selects SOCKET        selects over "jobs", "meet" and a channel of its own; "ready"
//                                       before each event that it waits for
//   session_again gathers SOCKET        receives numbers of "jobs" in a select, and writes each to
//                                       standard output, until the channel is closed

#include "kc_cancel.h"
#include "session.h"

static kc_session_t *session;

static kc_session_t *reconnecting(const char *path) {
    kc_session_opts_t opts = {sizeof opts, KC_SESSION_RECONNECT, 0, 1, 10, 0, 0};
    kc_session_t *made = NULL;
    EXPECT_EQ(kc_session_connect(&made, path, &opts), 0);
    return made;
}

static void ready(void) {
    EXPECT_EQ(write(STDOUT_FILENO, "ready\n", 6), 6);
}

/** Says so when a select waits at this channel, which is its last clause. */
static void *says_when_it_waits(void *arg) {
    until_waiting((kc_chan_t *)arg, "recv", 1);
    ready();
    return NULL;
}

/** Sends when a select waits. */
static void *sends_when_it_waits(void *arg) {
    until_waiting((kc_chan_t *)arg, "recv", 1);
    EXPECT_EQ(send_text((kc_chan_t *)arg, "here", -1), 0);
    return NULL;
}

static kc_chan_t *local;
static kc_msg_t *here;

/** Waits, and says "ready" meanwhile; the clause that completed, and its result. */
static int selected(kc_select_t *set, int *result) {
    int index = -2;
    pthread_t thread = thread_of(says_when_it_waits, local);
    EXPECT_EQ(kc_select_wait(set, -1, &index, result), *result);
    join(thread);
    return index;
}

static void expect_bytes(kc_msg_t **msg, const char *text) {
    EXPECT_EQ(kc_msg_len(*msg), strlen(text));
    EXPECT_EQ(memcmp(kc_msg_data(*msg), text, strlen(text)), 0);
    kc_msg_release(*msg);
    *msg = NULL;
}

static void select_over_losses(void) {
    kc_chan_t *jobs = open_as(session, "jobs", KC_OPEN_RECV, 0);
    kc_chan_t *meet = open_as(session, "meet", KC_OPEN_SEND, 0);
    kc_msg_t *job = NULL, *greeting = NULL;
    kc_select_t *set = NULL, *sends = NULL;
    int index = -2, result = 1;
    EXPECT_EQ(kc_chan_make_msg(&local, KC_BUFFERED, 1), 0);
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_send(set, jobs, &job), KC_ENOTSUP);
    EXPECT_EQ(kc_select_add_recv(set, jobs, &job), 0);
    EXPECT_EQ(kc_select_add_recv(set, local, &here), 0);
    EXPECT_EQ(kc_select_create(&sends, NULL), 0);
    EXPECT_EQ(kc_select_add_send(sends, meet, &greeting), 0);
    EXPECT_EQ(kc_select_add_recv(sends, local, &here), 0);
    EXPECT_EQ(kc_msg_make(&greeting, "hello", 5), 0);
    // There is no server yet: only the channel of this process completes.
    kc_select_t *sets[] = {set, sends};
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(kc_select_wait(sets[i], 0, &index, &result), KC_EAGAIN);
        EXPECT_EQ(kc_select_wait(sets[i], 5, &index, &result), KC_ETIME);
        EXPECT_EQ(index, -1);
        pthread_t thread = thread_of(sends_when_it_waits, local);
        EXPECT_EQ(kc_select_wait(sets[i], -1, &index, &result), 0);
        EXPECT(index == 1 && result == 0);
        join(thread);
        expect_bytes(&here, "here");
    }
    // A server starts, and a message is sent into its channel.
    EXPECT_EQ(selected(set, &result), 0);
    EXPECT_EQ(result, 0);
    expect_bytes(&job, "first");
    // That server is killed.
    EXPECT_EQ(selected(set, &result), 0);
    EXPECT_EQ(result, -ECONNRESET);
    // Made again, it waits over that for the next server.
    EXPECT_EQ(selected(set, &result), 0);
    EXPECT_EQ(result, 0);
    expect_bytes(&job, "second");
    // And while no server is there, this process's channel goes on.
    EXPECT_EQ(selected(set, &result), 0);
    EXPECT_EQ(result, -ECONNRESET);
    pthread_t thread = thread_of(sends_when_it_waits, local);
    EXPECT_EQ(kc_select_wait(set, -1, &index, &result), 0);
    EXPECT(index == 1 && result == 0);
    join(thread);
    expect_bytes(&here, "here");
    // A send waits for the third server, which accepts it once.
    EXPECT_EQ(selected(sends, &result), 0);
    EXPECT_EQ(result, 0);
    unsigned long accepted = 9, refused = 9, unknown = 9;
    EXPECT_EQ(kc_session_flush(meet, &accepted, &refused, &unknown), 0);
    // None if it was accepted at once: the server's receiver waited already.
    EXPECT(accepted <= 1 && refused == 0 && unknown == 0);
    expect_text(jobs, "answer", -1);
    // The end of the session ends both.
    kc_session_close(session);
    EXPECT_EQ(kc_select_wait(set, -1, &index, &result), -ECONNRESET);
    EXPECT_EQ(index, 0);
    EXPECT_EQ(kc_msg_make(&greeting, "late", 4), 0);
    EXPECT_EQ(kc_select_wait(sends, -1, &index, &result), -ECONNRESET);
    EXPECT_EQ(index, 0);
    kc_msg_release(greeting);
    kc_select_destroy(sends);
    kc_select_destroy(set);
    kc_chan_destroy(local);
    kc_chan_destroy(jobs);
    kc_chan_destroy(meet);
}

static void write_number(const void *number) {
    EXPECT_EQ(write(STDOUT_FILENO, number, 8), 8);
}

static void *sends_on_and_on(void *arg) {
    while (send_text((kc_chan_t *)arg, "here", -1) == 0) {
    }
    return NULL;
}

static void gather(void) {
    kc_chan_t *jobs = open_as(session, "jobs", KC_OPEN_RECV, 0);
    kc_msg_t *job = NULL;
    kc_select_t *set = NULL;
    int index = -2, result = 0;
    EXPECT_EQ(kc_chan_make_msg(&local, KC_RENDEZVOUS, 0), 0);
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_recv(set, jobs, &job), 0);
    EXPECT_EQ(kc_select_add_recv(set, local, &here), 0);
    pthread_t thread = thread_of(sends_on_and_on, local);
    while (result != KC_EPIPE) {
        EXPECT_EQ(kc_select_wait(set, -1, &index, &result), result);
        if (index == 1) {
            expect_bytes(&here, "here");
        } else if (result == 0) {
            EXPECT_EQ(kc_msg_len(job), 8);
            write_number(kc_msg_data(job));
            kc_msg_release(job);
        } else {
            EXPECT(index == 0 && (result == -ECONNRESET || result == KC_EPIPE));
        }
    }
    kc_chan_close(local);
    join(thread);
    kc_select_destroy(set);
    kc_session_close(session);
    kc_chan_destroy(jobs);
    kc_chan_destroy(local);
}

int main(int argc, char **argv) {
    EXPECT_EQ(argc, 3);
    session = reconnecting(argv[2]);
    switch (argv[1][0]) {
    case 's':
        select_over_losses();
        return 0;
    default:
        gather();
        return 0;
    }
}
