// SPDX-License-Identifier: BSD-3-Clause
// Sessions over a link of this program's own: frames in a byte stream, over two ends of a socket pair.

#include <fcntl.h>
#include <sys/socket.h>

#include "kcoro_link.h"
#include "session.h"

enum { BODY_MAX = 32 << 10, FRAME_MAX = KC_LINK_HEAD_BYTES + BODY_MAX, ROOM = 4 * FRAME_MAX };
enum { LARGE = 300000, COUNT = 2000 };

/** Some messages are longer than a frame. */
static size_t len_of(unsigned number) {
    return number % 500 == 0 ? (size_t)LARGE : sizeof number;
}

/** What was put and not written yet; what was read, from the frame that was taken last on. */
typedef struct {
    int fd;
    int gone;
    size_t out, in, taken;
    unsigned char outgoing[ROOM], incoming[ROOM];
} link_t;

static int closed, destroyed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void to_front(unsigned char *bytes, size_t *len, size_t count) {
    memmove(bytes, bytes + count, *len - count);
    *len -= count;
}

static int link_put(void *of, const void *head, const void *body, size_t len) {
    link_t *link = (link_t *)of;
    if (link->gone) {
        return KC_EPIPE;
    }
    if (link->out + KC_LINK_HEAD_BYTES + len > ROOM) {
        return KC_EAGAIN;
    }
    memcpy(link->outgoing + link->out, head, KC_LINK_HEAD_BYTES);
    if (len > 0) {
        memcpy(link->outgoing + link->out + KC_LINK_HEAD_BYTES, body, len);
    }
    link->out += KC_LINK_HEAD_BYTES + len;
    return 0;
}

static int link_flush(void *of) {
    link_t *link = (link_t *)of;
    while (link->out > 0 && !link->gone) {
        ssize_t written = send(link->fd, link->outgoing, link->out, MSG_NOSIGNAL);
        if (written >= 0) {
            to_front(link->outgoing, &link->out, (size_t)written);
        } else if (errno == EAGAIN) {
            return KC_EAGAIN;
        } else if (errno != EINTR) {
            link->gone = 1;
        }
    }
    return 0;
}

/** The length of the frame that begins there, of which the head has arrived. */
static size_t frame_len(const unsigned char *head) {
    return KC_LINK_HEAD_BYTES + ((size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
                                 (size_t)head[3] << 24);
}

static int link_take(void *of, const void **frame, size_t *len) {
    link_t *link = (link_t *)of;
    to_front(link->incoming, &link->in, link->taken);
    link->taken = 0;
    for (;;) {
        if (link->in >= KC_LINK_HEAD_BYTES) {
            size_t whole = frame_len(link->incoming);
            if (whole > FRAME_MAX) {
                return -EPROTO;
            }
            if (link->in >= whole) {
                *frame = link->incoming;
                *len = link->taken = whole;
                return 0;
            }
        }
        ssize_t got = recv(link->fd, link->incoming + link->in, ROOM - link->in, 0);
        if (got == 0) {
            return KC_EPIPE;
        }
        if (got > 0) {
            link->in += (size_t)got;
        } else if (errno == EAGAIN) {
            return KC_EAGAIN;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

static void link_watch(void *of, int *readable, int *writable) {
    link_t *link = (link_t *)of;
    *readable = link->fd;
    *writable = link->out > 0 && !link->gone ? link->fd : -1;
}

/** A whole frame behind the one that was taken last makes no descriptor ready. */
static int link_prepare_wait(void *of) {
    link_t *link = (link_t *)of;
    size_t left = link->in - link->taken;
    return left >= KC_LINK_HEAD_BYTES && left >= frame_len(link->incoming + link->taken);
}

static void link_close(void *of) {
    link_t *link = (link_t *)of;
    link->gone = 1;
    EXPECT_EQ(pthread_mutex_lock(&lock), 0);
    closed++;
    EXPECT_EQ(pthread_mutex_unlock(&lock), 0);
    shutdown(link->fd, SHUT_WR);
}

static void link_destroy(void *of) {
    link_t *link = (link_t *)of;
    close(link->fd);
    free(link);
    EXPECT_EQ(pthread_mutex_lock(&lock), 0);
    destroyed++;
    EXPECT_EQ(pthread_cond_signal(&changed), 0);
    EXPECT_EQ(pthread_mutex_unlock(&lock), 0);
}

static kc_link_ops_t ops(void) {
    kc_link_ops_t ops = {sizeof ops,  BODY_MAX,          link_put,   link_flush,  link_take,
                         link_watch,  link_prepare_wait, link_close, link_destroy};
    return ops;
}

static link_t *link_over(int fd) {
    link_t *link = (link_t *)calloc(1, sizeof *link);
    EXPECT(link != NULL);
    EXPECT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    link->fd = fd;
    return link;
}

static void two_links(link_t *links[2]) {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    links[0] = link_over(fds[0]);
    links[1] = link_over(fds[1]);
}

static void *send_all(void *of) {
    static unsigned char bytes[LARGE];
    kc_chan_t *jobs = (kc_chan_t *)of;
    for (unsigned number = 0; number < COUNT; number++) {
        size_t len = len_of(number);
        memset(bytes, (int)(number & 0xff), len);
        memcpy(bytes, &number, sizeof number);
        EXPECT_EQ(kc_chan_send_bytes(jobs, bytes, len, -1), 0);
    }
    return NULL;
}

static void messages_cross_a_link_of_ones_own(void) {
    link_t *links[2];
    kc_link_ops_t table = ops();
    kc_server_t *server = NULL;
    kc_session_t *session = NULL;
    kc_chan_t *held = NULL;
    two_links(links);
    EXPECT_EQ(kc_chan_make_msg(&held, KC_BUFFERED, 8), 0);
    EXPECT_EQ(kc_server_make(&server, 0), 0);
    EXPECT_EQ(kc_server_export(server, "jobs", held, KC_OPEN_SEND | KC_OPEN_RECV), 0);
    EXPECT_EQ(kc_server_serve(server, &table, links[0]), 0);
    EXPECT_EQ(kc_session_over(&session, &table, links[1], NULL), 0);

    kc_chan_t *sends = open_as(session, "jobs", KC_OPEN_SEND, 0);
    kc_chan_t *receives = open_as(session, "jobs", KC_OPEN_RECV, 16);
    pthread_t sender = thread_of(send_all, sends);
    for (unsigned number = 0; number < COUNT; number++) {
        kc_msg_t *msg = NULL;
        unsigned got = 0;
        EXPECT_EQ(kc_chan_recv(receives, &msg, -1), 0);
        EXPECT_EQ(kc_msg_len(msg), len_of(number));
        EXPECT_EQ(kc_msg_copy(msg, 0, &got, sizeof got), sizeof got);
        EXPECT_EQ(got, number);
        if (kc_msg_len(msg) == LARGE) {
            const unsigned char *bytes = (const unsigned char *)kc_msg_data(msg);
            EXPECT_EQ(bytes[sizeof number], number & 0xff);
            EXPECT_EQ(bytes[LARGE - 1], number & 0xff);
        }
        kc_msg_release(msg);
    }
    join(sender);

    // The end of the server ends what waits, and destroys its link.
    EXPECT_EQ(kc_session_wait(session, 0), 0);
    kc_server_close(server);
    kc_msg_t *msg = NULL;
    int ended = kc_chan_recv(receives, &msg, -1);
    EXPECT(ended == KC_EPIPE || ended == -ECONNRESET);
    kc_chan_destroy(sends);
    kc_chan_destroy(receives);
    kc_session_close(session);
    kc_chan_destroy(held);
}

/** Both links are closed and destroyed once, by the thread of the library that drives them. */
static void links_are_destroyed(void) {
    EXPECT_EQ(pthread_mutex_lock(&lock), 0);
    while (destroyed < 2) {
        EXPECT_EQ(pthread_cond_wait(&changed, &lock), 0);
    }
    EXPECT_EQ(closed, 2);
    EXPECT_EQ(pthread_mutex_unlock(&lock), 0);
}

static void what_is_no_table_leaves_the_link_to_its_owner(void) {
    link_t *links[2];
    kc_link_ops_t table = ops();
    kc_server_t *server = NULL;
    kc_session_t *session = NULL;
    two_links(links);
    EXPECT_EQ(kc_server_make(NULL, 0), -EINVAL);
    EXPECT_EQ(kc_server_make(&server, 0), 0);
    EXPECT_EQ(kc_session_over(NULL, &table, links[0], NULL), -EINVAL);
    EXPECT_EQ(kc_session_over(&session, NULL, links[0], NULL), -EINVAL);
    kc_session_opts_t opts = {sizeof opts, KC_SESSION_RECONNECT, 0, 0, 0, 0, 0};
    EXPECT_EQ(kc_session_over(&session, &table, links[0], &opts), -EINVAL);
    EXPECT_EQ(kc_server_serve(NULL, &table, links[0]), -EINVAL);
    table.take = NULL;
    EXPECT_EQ(kc_session_over(&session, &table, links[0], NULL), -EINVAL);
    EXPECT_EQ(kc_server_serve(server, &table, links[0]), -EINVAL);
    table = ops();
    table.size = sizeof table + 8;
    EXPECT_EQ(kc_server_serve(server, &table, links[0]), -EINVAL);
    table.size = sizeof table;
    table.body_bytes_max = 1023;
    EXPECT_EQ(kc_server_serve(server, &table, links[0]), -EINVAL);
    EXPECT_EQ(closed, 2);
    kc_server_close(server);
    link_destroy(links[0]);
    link_destroy(links[1]);
}

int main(void) {
    RUN(messages_cross_a_link_of_ones_own);
    RUN(links_are_destroyed);
    RUN(what_is_no_table_leaves_the_link_to_its_owner);
    return 0;
}
