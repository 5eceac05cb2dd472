// SPDX-License-Identifier: BSD-3-Clause
// A session whose servers end and start (session_serve.c, or one in Rust), by `tests/it`.
//
//   session_again selects SOCKET        selects over "jobs", "meet" and a channel of its own; "ready"
//                                       before each event that it waits for
//   session_again gathers SOCKET        receives numbers of "jobs" in a select, and writes each to
//                                       standard output, until the channel is closed
//   session_again once SOCKET           sends NUMBERS numbers to "jobs", each once, in some threads
//   session_again produces SOCKET       as one producer: sends those that "jobs" does not have yet;
//                                       until it is killed, or standard input ends
//   session_again reports SOCKET        sends NUMBERS numbers, each once, and writes what became of
//                                       each: 4 * number + 0 (accepted), 1 (unknown), 2 (not); then
//                                       UINT64_MAX until it is killed
//   session_again keeps SOCKET          a server whose channels outlive it: after each EVERY numbers
//                                       of "jobs" it ends, and the next one starts; writes them
//   session_again prints SOCKET         a server that writes the numbers of "jobs"; killed

#include <stdint.h>

#include "session.h"

enum { NUMBERS = 2000, THREADS = 4, EVERY = 37 };

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

static const unsigned char producer[16] = {5};

static kc_chan_t *open_once(const unsigned char *id) {
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_session_open_once(session, "jobs", NULL, id, &chan), 0);
    return chan;
}

static int send_number(kc_chan_t *chan, uint64_t number) {
    return kc_chan_send_bytes(chan, &number, sizeof number, -1);
}

static void only_what_can_be_once_opens(const char *path) {
    kc_open_opts_t opts = {sizeof opts, KC_OPEN_RECV, 0, 0, 0, 0};
    kc_chan_t *chan = NULL;
    EXPECT_EQ(kc_session_open_once(NULL, "jobs", NULL, NULL, &chan), -EINVAL);
    EXPECT_EQ(kc_session_open_once(session, NULL, NULL, NULL, &chan), -EINVAL);
    EXPECT_EQ(kc_session_open_once(session, "jobs", NULL, NULL, NULL), -EINVAL);
    EXPECT_EQ(kc_session_open_once(session, "jobs", &opts, NULL, &chan), -EINVAL);
    EXPECT_EQ(kc_session_accepted(NULL, 0, NULL), -EINVAL);
    chan = open_as(session, "jobs", KC_OPEN_SEND, 0);
    EXPECT_EQ(kc_session_accepted(chan, 0, NULL), -EINVAL);
    kc_chan_destroy(chan);
    kc_session_t *plain = NULL;
    EXPECT_EQ(kc_session_connect(&plain, path, NULL), 0);
    EXPECT_EQ(kc_session_open_once(plain, "jobs", NULL, NULL, &chan), KC_ENOTSUP);
    kc_session_close(plain);
    kc_msg_t *msg = NULL;
    kc_select_t *set = NULL;
    chan = open_once(NULL);
    EXPECT_EQ(kc_select_create(&set, NULL), 0);
    EXPECT_EQ(kc_select_add_send(set, chan, &msg), KC_ENOTSUP);
    EXPECT_EQ(kc_select_add_recv(set, chan, &msg), KC_ENOTSUP);
    EXPECT_EQ(kc_chan_recv(chan, &msg, 0), KC_ENOTSUP);
    kc_select_destroy(set);
    unsigned long accepted = 9;
    EXPECT_EQ(kc_session_accepted(chan, -1, &accepted), 0);
    EXPECT_EQ(accepted, 0);
    kc_chan_destroy(chan);
}

static kc_chan_t *shared_chan;

static void *sends_its_part(void *arg) {
    for (uint64_t number = (uint64_t)(uintptr_t)arg; number < NUMBERS; number += THREADS) {
        EXPECT_EQ(send_number(shared_chan, number), 0);
    }
    return NULL;
}

static void send_once(const char *path) {
    EXPECT_EQ(kc_session_wait(session, -1), 0);
    only_what_can_be_once_opens(path);
    shared_chan = open_once(producer);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        threads[i] = thread_of(sends_its_part, (void *)i);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    unsigned long accepted = 9, refused = 9, unknown = 9;
    EXPECT_EQ(kc_session_flush(shared_chan, &accepted, &refused, &unknown), 0);
    EXPECT(accepted == 0 && refused == 0 && unknown == 0);
    EXPECT_EQ(kc_session_accepted(shared_chan, -1, &accepted), 0);
    EXPECT_EQ(accepted, NUMBERS);
    struct kc_chan_stats stats;
    EXPECT_EQ(kc_chan_get_stats(shared_chan, &stats), 0);
    EXPECT(stats.total_sends == NUMBERS && stats.total_bytes_sent == NUMBERS * 8);
    kc_session_close(session);
    EXPECT_EQ(send_number(shared_chan, 0), -ECONNRESET);
    EXPECT_EQ(kc_session_accepted(shared_chan, -1, NULL), -ECONNRESET);
    kc_chan_destroy(shared_chan);
}

static void until_input_ends(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

static void produce(void) {
    kc_chan_t *jobs = open_once(producer);
    unsigned long number = 0;
    EXPECT_EQ(kc_session_accepted(jobs, -1, &number), 0);
    for (; number < NUMBERS; number++) {
        EXPECT_EQ(send_number(jobs, number), 0);
    }
    until_input_ends();
    kc_session_close(session);
    kc_chan_destroy(jobs);
}

static void report(void) {
    kc_chan_t *jobs = open_once(producer);
    for (uint64_t number = 0; number < NUMBERS; number++) {
        int error = send_number(jobs, number);
        EXPECT(error == 0 || error == KC_EUNKNOWN || error == -ECONNRESET);
        uint64_t outcome = 4 * number + (error == 0 ? 0 : error == KC_EUNKNOWN ? 1 : 2);
        write_number(&outcome);
    }
    for (;;) {
        send_number(jobs, UINT64_MAX);
    }
}

static void keep(const char *path) {
    kc_channels_t *channels = NULL;
    kc_chan_t *jobs = NULL;
    kc_server_t *server = NULL;
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_channels_make(NULL), -EINVAL);
    EXPECT_EQ(kc_channels_make(&channels), 0);
    EXPECT_EQ(kc_chan_make_msg(&jobs, KC_BUFFERED, 4), 0);
    EXPECT_EQ(kc_channels_export(channels, "jobs", jobs, KC_OPEN_SEND), 0);
    EXPECT_EQ(kc_channels_export(channels, "jobs", jobs, KC_OPEN_SEND), -EEXIST);
    EXPECT_EQ(kc_channels_export(NULL, "more", jobs, KC_OPEN_SEND), -EINVAL);
    EXPECT_EQ(kc_channels_export(channels, "more", jobs, 0), -EINVAL);
    EXPECT_EQ(kc_server_listen_with(&server, path, 0, 0, NULL), -EINVAL);
    EXPECT_EQ(kc_server_listen_with(&server, path, 0, 0, channels), 0);
    for (int count = 1; kc_chan_recv(jobs, &msg, -1) == 0; count++) {
        write_number(kc_msg_data(msg));
        kc_msg_release(msg);
        if (count == NUMBERS) {
            break;
        }
        if (count % EVERY == 0) {
            kc_server_close(server);
            EXPECT_EQ(kc_server_listen_with(&server, path, 0, 0, channels), 0);
        }
    }
    until_input_ends();
    // What came after that would be one twice.
    EXPECT_EQ(kc_chan_recv(jobs, &msg, 0), KC_EAGAIN);
    kc_server_close(server);
    // It is still open: its table has it, and this program.
    EXPECT_EQ(send_text(jobs, "open", 0), 0);
    kc_channels_release(channels);
    kc_channels_release(NULL);
    kc_chan_destroy(jobs);
}

static void print(const char *path) {
    kc_chan_t *jobs = NULL;
    kc_server_t *server = NULL;
    kc_msg_t *msg = NULL;
    EXPECT_EQ(kc_chan_make_msg(&jobs, KC_RENDEZVOUS, 0), 0);
    EXPECT_EQ(kc_server_listen(&server, path, 0, 0), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", jobs, KC_OPEN_SEND), 0);
    while (kc_chan_recv(jobs, &msg, -1) == 0) {
        write_number(kc_msg_data(msg));
        kc_msg_release(msg);
    }
}

int main(int argc, char **argv) {
    EXPECT_EQ(argc, 3);
    const char *mode = argv[1], *path = argv[2];
    if (strcmp(mode, "keeps") == 0) {
        keep(path);
        return 0;
    }
    if (strcmp(mode, "prints") == 0) {
        print(path);
        return 0;
    }
    session = reconnecting(path);
    if (strcmp(mode, "selects") == 0) {
        select_over_losses();
    } else if (strcmp(mode, "gathers") == 0) {
        gather();
    } else if (strcmp(mode, "once") == 0) {
        send_once(path);
    } else if (strcmp(mode, "produces") == 0) {
        produce();
    } else {
        report();
    }
    return 0;
}
