// SPDX-License-Identifier: BSD-3-Clause
// A program that `becket mon` shows.
//
//   monitor               checks the functions
//   monitor serve SOCKET  is watched there, until standard input ends
//   monitor plain         likewise, if the environment says so

#include <string.h>

#include "expect.h"
#include "kcoro_monitor.h"
#include "kcoro_sched.h"
#include "kcoro_session.h"

static char folder[FOLDER_BYTES];
static char path[64];

static void only_what_can_be_served_is(void) {
    EXPECT_EQ(kc_monitor_serve(NULL), -EINVAL);
    EXPECT_EQ(kc_monitor_serve("/"), -EINVAL);
    char longer[200];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    EXPECT_EQ(kc_monitor_serve(longer), -ENAMETOOLONG);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    EXPECT_EQ(kc_monitor_serve(path), -EEXIST);
    EXPECT_EQ(remove(path), 0);
    kc_monitor_stop();
}

static void a_channel_is_shown_once_the_program_is_watched(void) {
    kc_chan_t *before, *after;
    EXPECT_EQ(kc_chan_make(&before, KC_BUFFERED, sizeof(int), 1), 0);
    EXPECT_EQ(kc_monitor_channel(before, "before"), KC_EAGAIN);
    EXPECT_EQ(kc_monitor_serve(path), 0);
    EXPECT_EQ(kc_monitor_serve(path), -EALREADY);
    EXPECT_EQ(access(path, F_OK), 0);
    EXPECT_EQ(kc_monitor_channel(before, "before"), 0);
    EXPECT_EQ(kc_chan_make(&after, KC_BUFFERED, sizeof(int), 1), 0);
    EXPECT_EQ(kc_monitor_channel(after, "after"), 0);
    EXPECT_EQ(kc_monitor_channel(NULL, "none"), -EINVAL);
    EXPECT_EQ(kc_monitor_channel(after, NULL), -EINVAL);
    kc_chan_destroy(before);
    kc_chan_destroy(after);
}

// Without a monitor nothing else would remove them from the list.
static void destroyed_channels_leave_the_list(void) {
    kc_chan_t *chan;
    for (int i = 0; i < 66000; i++) {
        EXPECT_EQ(kc_chan_make(&chan, KC_BUFFERED, 1, 1), 0);
        kc_chan_destroy(chan);
    }
    EXPECT_EQ(kc_chan_make(&chan, KC_BUFFERED, 1, 1), 0);
    EXPECT_EQ(kc_monitor_channel(chan, "the last"), 0);
    kc_chan_destroy(chan);
}

static void it_ends_and_begins_again(void) {
    kc_monitor_stop();
    EXPECT(access(path, F_OK) != 0);
    kc_monitor_stop();
    EXPECT_EQ(kc_monitor_serve(path), 0);
    kc_monitor_stop();
}

static void waits(void *arg) {
    int value;
    kc_chan_recv((kc_chan_t *)arg, &value, -1);
}

static int handles(const void *msg, void *user) {
    (void)msg;
    (void)user;
    return 0;
}

static void be_watched(const char *socket) {
    kc_chan_t *orders, *meetings;
    char at[200];
    kc_server_t *server;
    kc_session_t *session;
    snprintf(at, sizeof at, "%s-%ld", socket, (long)getpid());
    int value = 7, out;
    EXPECT_EQ(kc_chan_make(&orders, KC_BUFFERED, sizeof(int), 2), 0);
    EXPECT_EQ(kc_monitor_channel(orders, "orders"), 0);
    EXPECT_EQ(kc_chan_make(&meetings, KC_RENDEZVOUS, 100, 0), 0);
    for (int i = 0; i < 100; i++) {
        kc_chan_t *short_lived;
        EXPECT_EQ(kc_chan_make(&short_lived, KC_BUFFERED, 1, 1), 0);
        kc_chan_destroy(short_lived);
    }
    EXPECT_EQ(kc_chan_send(orders, &value, -1), 0);
    EXPECT_EQ(kc_chan_send(orders, &value, -1), 0);
    EXPECT_EQ(kc_chan_send(orders, &value, 0), KC_EAGAIN);
    EXPECT_EQ(kc_chan_send(orders, &value, 1), KC_ETIME);
    EXPECT_EQ(kc_chan_recv(orders, &out, -1), 0);
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    EXPECT(sched != NULL);
    EXPECT_EQ(kc_spawn_co(sched, waits, meetings, 0, NULL), 0);
    kc_actor_ctx_t actor = {meetings, 100, -1, handles, NULL};
    kc_actor_t actors = kc_actor_start(&actor);
    EXPECT(actors != NULL);
    struct kc_chan_snapshot seen;
    EXPECT_EQ(kc_chan_snapshot(meetings, &seen), 0);
    // A session with itself: both of its ends are here.
    EXPECT_EQ(kc_server_listen(&server, at, 0, 0), 0);
    EXPECT_EQ(kc_session_connect(&session, at, NULL), 0);
    EXPECT_EQ(write(STDOUT_FILENO, "ready\n", 6), 6);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    kc_session_close(session);
    kc_server_close(server);
    kc_actor_stop(actors);
    kc_chan_close(meetings);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_sched_shutdown(sched);
    kc_chan_destroy(orders);
    kc_chan_destroy(meetings);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        EXPECT_EQ(kc_monitor_serve(argv[2]), 0);
    }
    if (argc >= 2) {
        be_watched(argc == 3 ? argv[2] : getenv("KCORO_MON"));
        return 0;
    }
    make_folder(folder, "monitor");
    snprintf(path, sizeof path, "%s/mon", folder);
    RUN(only_what_can_be_served_is);
    RUN(a_channel_is_shown_once_the_program_is_watched);
    RUN(destroyed_channels_leave_the_list);
    RUN(it_ends_and_begins_again);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
