// SPDX-License-Identifier: BSD-3-Clause
// Sockets, connections, frames, attributes: kcoro_ipc_posix.h.

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "ipc_raw.h"
#include "kc_context.h"
#include "kcoro.h"
#include "kcoro_ipc_posix.h"
#include "kcoro_sched.h"

static char folder[FOLDER_BYTES];
static char path[64];

/** Both ends of a connection. */
typedef struct {
    kc_ipc_conn_t *client, *server;
} pair_t;

static pair_t pair(void) {
    pair_t pair;
    kc_ipc_server_t *srv;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    EXPECT_EQ(kc_ipc_connect(path, &pair.client), 0);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &pair.server), 0);
    kc_ipc_srv_close(srv);
    return pair;
}

static void hang_up(pair_t pair) {
    kc_ipc_conn_close(pair.client);
    kc_ipc_conn_close(pair.server);
}

static void nothing_is_an_invalid_argument(void) {
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    EXPECT_EQ(kc_ipc_srv_listen(NULL, &srv), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_listen(path, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_accept(NULL, &conn), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_accept_nb(NULL, &conn), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_set_nb(NULL, 1), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_fd(NULL), -1);
    kc_ipc_srv_close(NULL);
    EXPECT_EQ(kc_ipc_connect(NULL, &conn), -EINVAL);
    EXPECT_EQ(kc_ipc_connect(path, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_hs_cli(NULL, NULL, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_hs_srv(NULL, NULL, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_send(NULL, 1, "", 0), -EINVAL);
    EXPECT_EQ(kc_ipc_send_nb(NULL, 1, "", 0), -EINVAL);
    EXPECT_EQ(kc_ipc_flush(NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_recv(NULL, &cmd, &payload, &len), -EINVAL);
    EXPECT_EQ(kc_ipc_recv_nb(NULL, &cmd, &payload, &len), -EINVAL);
    EXPECT_EQ(kc_ipc_conn_set_nb(NULL, 1), -EINVAL);
    EXPECT_EQ(kc_ipc_conn_fd(NULL), -1);
    kc_ipc_conn_close(NULL);
    pair_t ends = pair();
    EXPECT_EQ(kc_ipc_send(ends.client, 1, NULL, 1), -EINVAL);
    EXPECT_EQ(kc_ipc_recv(ends.client, NULL, &payload, &len), -EINVAL);
    EXPECT_EQ(kc_ipc_recv(ends.client, &cmd, NULL, &len), -EINVAL);
    EXPECT_EQ(kc_ipc_recv_nb(ends.client, &cmd, &payload, NULL), -EINVAL);
    hang_up(ends);
}

static void paths(void) {
    char longest[160];
    kc_ipc_server_t *srv, *second;
    kc_ipc_conn_t *conn;
    memset(longest, 'x', sizeof longest);
    memcpy(longest, path, strlen(path));
    longest[108] = 0;
    EXPECT_EQ(kc_ipc_srv_listen(longest, &srv), -ENAMETOOLONG);
    EXPECT_EQ(kc_ipc_connect(longest, &conn), -ENAMETOOLONG);
    longest[107] = 0;
    EXPECT_EQ(kc_ipc_srv_listen(longest, &srv), 0);
    EXPECT_EQ(kc_ipc_connect(longest, &conn), 0);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
    errno = 0;
    EXPECT_EQ(kc_ipc_srv_listen("/there/is/no/such/folder", &srv), -ENOENT);
    EXPECT_EQ(errno, ENOENT);
    errno = 0;
    EXPECT_EQ(kc_ipc_connect(path, &conn), -ENOENT);
    EXPECT_EQ(errno, ENOENT);
    // The user's alone; one at a time; gone with the handle.
    struct stat status;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    EXPECT_EQ(stat(path, &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600);
    EXPECT_EQ(kc_ipc_srv_listen(path, &second), -EADDRINUSE);
    EXPECT_EQ(kc_ipc_connect(path, &conn), 0);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
    EXPECT(stat(path, &status) != 0 && errno == ENOENT);
    // A file that is no socket is left alone.
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL && fclose(file) == 0);
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), -EADDRINUSE);
    EXPECT_EQ(unlink(path), 0);
}

static void a_file_that_nobody_listens_at_is_replaced(void) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, strlen(path));
    int left = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT_EQ(bind(left, (const struct sockaddr *)&address, sizeof address), 0);
    close(left);
    kc_ipc_conn_t *conn;
    EXPECT_EQ(kc_ipc_connect(path, &conn), -ECONNREFUSED);
    pair_t ends = pair();
    // A file that has come since is another's.
    kc_ipc_server_t *first, *second;
    EXPECT_EQ(kc_ipc_srv_listen(path, &first), 0);
    EXPECT_EQ(unlink(path), 0);
    EXPECT_EQ(kc_ipc_srv_listen(path, &second), 0);
    kc_ipc_srv_close(first);
    hang_up(ends);
    EXPECT_EQ(kc_ipc_connect(path, &ends.client), 0);
    EXPECT_EQ(kc_ipc_srv_accept(second, &ends.server), 0);
    kc_ipc_srv_close(second);
    hang_up(ends);
}

// Between its bind and its listen a socket looks as if nothing listened there.
static void a_file_is_replaced_only_under_the_lock(void) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, strlen(path));
    int bound = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    EXPECT_EQ(bind(bound, (const struct sockaddr *)&address, sizeof address), 0);
    char lock[80];
    snprintf(lock, sizeof lock, "%s.lock", path);
    int locked = open(lock, O_RDWR | O_CREAT, 0600);
    EXPECT_EQ(flock(locked, LOCK_EX), 0);
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), -EADDRINUSE);
    EXPECT_EQ(listen(bound, 1), 0);
    EXPECT_EQ(kc_ipc_connect(path, &conn), 0);
    close(locked);
    // It listens now.
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), -EADDRINUSE);
    kc_ipc_conn_close(conn);
    close(bound);
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    struct stat status;
    EXPECT(stat(lock, &status) != 0 && errno == ENOENT);
    kc_ipc_srv_close(srv);
}

enum { CROWD = 40 };

static void connects_a_crowd(void *arg) {
    kc_ipc_conn_t *conns[CROWD];
    (void)arg;
    for (int i = 0; i < CROWD; i++) {
        EXPECT_EQ(kc_ipc_connect(path, &conns[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        kc_ipc_conn_close(conns[i]);
    }
}

static void accepts_a_crowd(void *arg) {
    for (int i = 0; i < CROWD; i++) {
        kc_ipc_conn_t *conn;
        EXPECT_EQ(kc_ipc_srv_accept((kc_ipc_server_t *)arg, &conn), 0);
        kc_ipc_conn_close(conn);
    }
}

static void connecting_to_a_busy_listener_leaves_the_worker_to_others(void) {
    kc_sched_opts_t opts = {1, 0, 0};
    kc_sched_t *sched = kc_sched_init(&opts);
    kc_ipc_server_t *srv;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    EXPECT_EQ(kc_spawn_co(sched, connects_a_crowd, NULL, 0, NULL), 0);
    EXPECT_EQ(kc_spawn_co(sched, accepts_a_crowd, srv, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(sched, -1), 0);
    kc_ipc_srv_close(srv);
    kc_sched_shutdown(sched);
}

static void accepting_without_waiting(void) {
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *client, *server;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    EXPECT_EQ(kc_ipc_srv_accept(srv, NULL), -EINVAL);
    EXPECT_EQ(kc_ipc_srv_accept_nb(srv, &server), -EAGAIN);
    EXPECT_EQ(kc_ipc_srv_set_nb(srv, 1), 0);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &server), -EAGAIN);
    struct pollfd waits = {kc_ipc_srv_fd(srv), POLLIN, 0};
    EXPECT_EQ(poll(&waits, 1, 0), 0);
    EXPECT_EQ(kc_ipc_connect(path, &client), 0);
    EXPECT_EQ(poll(&waits, 1, -1), 1);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &server), 0);
    kc_ipc_conn_close(client);
    kc_ipc_conn_close(server);
    EXPECT_EQ(kc_ipc_srv_set_nb(srv, 0), 0);
    EXPECT_EQ(kc_ipc_connect(path, &client), 0);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &server), 0);
    kc_ipc_conn_close(client);
    kc_ipc_conn_close(server);
    kc_ipc_srv_close(srv);
}

static void *greets(void *arg) {
    uint32_t major = 0, minor = 9;
    EXPECT_EQ(kc_ipc_hs_cli((kc_ipc_conn_t *)arg, &major, &minor), 0);
    EXPECT(major == 1 && minor == 0);
    return NULL;
}

static void the_handshake(void) {
    pair_t ends = pair();
    uint32_t major = 0, minor = 9;
    pthread_t thread;
    // It waits, also where nothing else does.
    EXPECT_EQ(kc_ipc_conn_set_nb(ends.server, 1), 0);
    EXPECT_EQ(kc_ipc_conn_set_nb(ends.client, 1), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, greets, ends.client), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, &major, &minor), 0);
    EXPECT(major == 1 && minor == 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, greets, ends.client), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, NULL, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    hang_up(ends);
    // Another version; something else; nothing at all.
    uint8_t buffer[64], *cursor = buffer;
    EXPECT_EQ(kc_tlv_put_u32(&cursor, buffer + sizeof buffer, KCORO_ATTR_ABI_MAJOR, 2), 0);
    EXPECT_EQ(kc_tlv_put_u32(&cursor, buffer + sizeof buffer, KCORO_ATTR_ABI_MINOR, 5), 0);
    size_t len = (size_t)(cursor - buffer);
    ends = pair();
    EXPECT_EQ(kc_ipc_send(ends.client, KCORO_CMD_HELLO, buffer, len), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, &major, &minor), -EPROTO);
    EXPECT(major == 2 && minor == 5);
    EXPECT_EQ(kc_ipc_send(ends.server, KCORO_CMD_HELLO, buffer, 8), 0);
    EXPECT_EQ(kc_ipc_hs_cli(ends.client, &major, &minor), 0);
    EXPECT_EQ(kc_ipc_hs_cli(ends.client, &major, &minor), -EPROTO);
    EXPECT_EQ(kc_ipc_send(ends.client, KCORO_CMD_LIST, buffer, len), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, NULL, NULL), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, NULL, NULL), 0);
    EXPECT_EQ(kc_ipc_hs_srv(ends.server, NULL, NULL), -EPROTO);
    kc_ipc_conn_close(ends.server);
    EXPECT_EQ(kc_ipc_hs_cli(ends.client, NULL, NULL), -ECONNRESET);
    kc_ipc_conn_close(ends.client);
}

static void expect_received(kc_ipc_conn_t *conn, uint16_t command, const void *bytes, size_t n) {
    uint16_t cmd = 0;
    uint8_t *payload = NULL;
    size_t len = 99;
    EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), 0);
    EXPECT_EQ(cmd, command);
    EXPECT_EQ(len, n);
    EXPECT((payload == NULL) == (n == 0));
    EXPECT(n == 0 || memcmp(payload, bytes, n) == 0);
    free(payload);
}

static void frames(void) {
    static uint8_t large[KC_IPC_PAYLOAD_MAX + 1];
    pair_t ends = pair();
    for (size_t i = 0; i < sizeof large; i++) {
        large[i] = (uint8_t)(i % 253);
    }
    EXPECT_EQ(kc_ipc_send(ends.client, 513, "abc", 3), 0);
    EXPECT_EQ(kc_ipc_send(ends.client, 7, NULL, 0), 0);
    expect_received(ends.server, 513, "abc", 3);
    expect_received(ends.server, 7, NULL, 0);
    EXPECT_EQ(kc_ipc_send(ends.server, 8, large, KC_IPC_PAYLOAD_MAX), 0);
    expect_received(ends.client, 8, large, KC_IPC_PAYLOAD_MAX);
    EXPECT_EQ(kc_ipc_send(ends.server, 8, large, sizeof large), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_send_nb(ends.server, 8, large, sizeof large), -EMSGSIZE);
    EXPECT_EQ(kc_ipc_send(ends.client, 9, "x", 1), 0);
    expect_received(ends.server, 9, "x", 1);
    hang_up(ends);
}

// The packing follows the peer: a frame is sent as two packets to a peer that sends two, as one to a
// peer that sends one.
static void a_peer_is_answered_as_it_packs(void) {
    uint16_t cmd;
    uint8_t *payload, packet[64];
    size_t len;
    raw_t hello;
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    hello.len = 0;
    put_u32(&hello, ABI_MAJOR, 1);
    put_u32(&hello, ABI_MINOR, 0);
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    int fd = raw_connect(path);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
    raw_send_two(fd, 1, &hello);
    EXPECT_EQ(kc_ipc_hs_srv(conn, NULL, NULL), 0);
    EXPECT_EQ(recv(fd, packet, sizeof packet, 0), 8);
    EXPECT_EQ(recv(fd, packet, sizeof packet, 0), 16);
    raw_send_one(fd, 5, &hello);
    EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), 0);
    free(payload);
    EXPECT_EQ(kc_ipc_send(conn, 0x1234, "ab", 2), 0);
    EXPECT_EQ(recv(fd, packet, sizeof packet, 0), 10);
    EXPECT(memcmp(packet, "\x12\x34\0\0\0\0\0\x02" "ab", 10) == 0);
    close(fd);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
}

static void what_is_no_frame_ends_the_connection(void) {
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    kc_ipc_server_t *srv;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    const struct {
        const char *bytes;
        size_t len;
        int error;
    } wrong[] = {{"short", 5, -EPROTO},
                 {"\0\x01\0\0\xff\xff\xff\xff", 8, -EMSGSIZE},
                 {"\0\x01\0\0\0\x01\x04\x01", 8, -EMSGSIZE}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        kc_ipc_conn_t *conn;
        int fd = raw_connect(path);
        EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
        raw_packet(fd, wrong[i].bytes, wrong[i].len);
        EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), wrong[i].error);
        EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), wrong[i].error);
        EXPECT_EQ(kc_ipc_send(conn, 1, NULL, 0), wrong[i].error);
        expect_end(fd);
        kc_ipc_conn_close(conn);
    }
    // A packet that is longer than any frame.
    static uint8_t packet[100000];
    kc_ipc_conn_t *conn;
    int fd = raw_connect(path);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
    raw_packet(fd, packet, sizeof packet);
    EXPECT_EQ(kc_ipc_recv(conn, &cmd, &payload, &len), -EMSGSIZE);
    expect_end(fd);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
}

static void a_connection_that_does_not_wait(void) {
    uint16_t cmd;
    uint8_t *payload, bytes[4000];
    size_t len;
    pair_t ends = pair();
    memset(bytes, 7, sizeof bytes);
    EXPECT_EQ(kc_ipc_conn_set_nb(ends.client, 1), 0);
    EXPECT(fcntl(kc_ipc_conn_fd(ends.client), F_GETFL) & O_NONBLOCK);
    EXPECT_EQ(kc_ipc_recv(ends.client, &cmd, &payload, &len), -EAGAIN);
    int sent = 0, error;
    while ((error = kc_ipc_send(ends.client, 1, bytes, sizeof bytes)) == 0) {
        sent++;
    }
    EXPECT_EQ(error, -EAGAIN);
    // What was taken comes, and nothing else.
    for (int i = 0; i < sent; i++) {
        EXPECT_EQ(kc_ipc_recv_nb(ends.server, &cmd, &payload, &len), 0);
        EXPECT(len == sizeof bytes && memcmp(payload, bytes, len) == 0);
        free(payload);
        error = kc_ipc_flush(ends.client);
        EXPECT(error == 0 || error == -EAGAIN);
    }
    EXPECT_EQ(kc_ipc_recv_nb(ends.server, &cmd, &payload, &len), -EAGAIN);
    EXPECT_EQ(kc_ipc_conn_set_nb(ends.client, 0), 0);
    EXPECT((fcntl(kc_ipc_conn_fd(ends.client), F_GETFL) & O_NONBLOCK) == 0);
    EXPECT_EQ(kc_ipc_send(ends.client, 2, NULL, 0), 0);
    expect_received(ends.server, 2, NULL, 0);
    hang_up(ends);
}

static void what_was_taken_goes_when_there_is_room(void) {
    uint16_t cmd;
    uint8_t *payload;
    static uint8_t bytes[60000];
    size_t len;
    pair_t ends = pair();
    EXPECT_EQ(kc_ipc_flush(ends.client), 0);
    EXPECT_EQ(kc_ipc_send_nb(ends.client, 1, bytes, 10), 0);
    unsigned taken = 1;
    int error;
    while ((error = kc_ipc_send_nb(ends.client, 1, bytes, sizeof bytes)) != -ENOBUFS) {
        EXPECT(error == 0 || error == -EAGAIN);
        taken++;
    }
    EXPECT(taken > 17 && taken < 200);
    EXPECT_EQ(kc_ipc_flush(ends.client), -EAGAIN);
    for (unsigned i = 0; i < taken; i++) {
        while ((error = kc_ipc_recv_nb(ends.server, &cmd, &payload, &len)) == -EAGAIN) {
            EXPECT(kc_ipc_flush(ends.client) <= 0);
        }
        EXPECT_EQ(error, 0);
        EXPECT_EQ(len, i == 0 ? 10 : sizeof bytes);
        free(payload);
    }
    EXPECT_EQ(kc_ipc_flush(ends.client), 0);
    EXPECT_EQ(kc_ipc_recv_nb(ends.server, &cmd, &payload, &len), -EAGAIN);
    hang_up(ends);
}

static void a_frame_of_which_the_head_has_come(void) {
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    kc_ipc_server_t *srv;
    kc_ipc_conn_t *conn;
    EXPECT_EQ(kc_ipc_srv_listen(path, &srv), 0);
    int fd = raw_connect(path);
    EXPECT_EQ(kc_ipc_srv_accept(srv, &conn), 0);
    raw_packet(fd, "\0\x09\0\0\0\0\0\x03", 8);
    EXPECT_EQ(kc_ipc_recv_nb(conn, &cmd, &payload, &len), -EAGAIN);
    raw_packet(fd, "abc", 3);
    expect_received(conn, 9, "abc", 3);
    close(fd);
    kc_ipc_conn_close(conn);
    kc_ipc_srv_close(srv);
}

/** Waits in one coroutine, on the only worker, for what another does. */
typedef struct {
    kc_sched_t *sched;
    kc_ipc_server_t *srv;
    pair_t ends;
    void (*then)(void *);
    int answer;
} waiting_t;

static void waits_for_a_frame(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    uint16_t cmd;
    uint8_t *payload = NULL;
    size_t len;
    EXPECT_EQ(kc_spawn_co(waiting->sched, waiting->then, waiting, 0, NULL), 0);
    waiting->answer = kc_ipc_recv(waiting->ends.client, &cmd, &payload, &len);
    if (waiting->answer == 0) {
        free(payload);
    }
}

static void waits_for_room(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    static uint8_t bytes[60000];
    EXPECT_EQ(kc_spawn_co(waiting->sched, waiting->then, waiting, 0, NULL), 0);
    while ((waiting->answer = kc_ipc_send(waiting->ends.client, 1, bytes, sizeof bytes)) == 0) {
    }
}

static void waits_for_a_client(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    kc_ipc_conn_t *conn;
    EXPECT_EQ(kc_spawn_co(waiting->sched, waiting->then, waiting, 0, NULL), 0);
    waiting->answer = kc_ipc_srv_accept(waiting->srv, &conn);
    if (waiting->answer == 0) {
        kc_ipc_conn_close(conn);
    }
}

static void sends(void *arg) {
    EXPECT_EQ(kc_ipc_send(((waiting_t *)arg)->ends.server, 1, "abc", 3), 0);
}

static void closes_the_other_end(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    kc_ipc_conn_close(waiting->ends.server);
    waiting->ends.server = NULL;
}

static void closes_this_end(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    kc_ipc_conn_close(waiting->ends.client);
    waiting->ends.client = NULL;
}

static void connects(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    EXPECT_EQ(kc_ipc_connect(path, &waiting->ends.client), 0);
}

static void closes_the_listener(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    kc_ipc_srv_close(waiting->srv);
    waiting->srv = NULL;
}

static void expect_wait(void (*waits)(void *), void (*then)(void *), int answer) {
    kc_sched_opts_t opts = {1, 0, 0};
    waiting_t waiting = {kc_sched_init(&opts), NULL, {NULL, NULL}, then, 1};
    if (waits == waits_for_a_client) {
        EXPECT_EQ(kc_ipc_srv_listen(path, &waiting.srv), 0);
    } else {
        waiting.ends = pair();
    }
    EXPECT_EQ(kc_spawn_co(waiting.sched, waits, &waiting, 0, NULL), 0);
    EXPECT_EQ(kc_sched_drain(waiting.sched, -1), 0);
    EXPECT_EQ(waiting.answer, answer);
    hang_up(waiting.ends);
    kc_ipc_srv_close(waiting.srv);
    kc_sched_shutdown(waiting.sched);
}

static void a_wait_leaves_the_worker_to_others(void) {
    expect_wait(waits_for_a_frame, sends, 0);
    expect_wait(waits_for_a_client, connects, 0);
}

static void an_end_ends_the_wait(void) {
    expect_wait(waits_for_a_frame, closes_the_other_end, -ECONNRESET);
    expect_wait(waits_for_a_frame, closes_this_end, -ECONNRESET);
    expect_wait(waits_for_room, closes_the_other_end, -ECONNRESET);
    expect_wait(waits_for_room, closes_this_end, -ECONNRESET);
    expect_wait(waits_for_a_client, closes_the_listener, -ECONNABORTED);
}

static void what_came_before_the_end_is_received(void) {
    uint16_t cmd;
    uint8_t *payload;
    size_t len;
    pair_t ends = pair();
    EXPECT_EQ(kc_ipc_send(ends.client, 3, "unread", 6), 0);
    EXPECT_EQ(kc_ipc_send(ends.server, 4, "last", 4), 0);
    kc_ipc_conn_close(ends.server);
    expect_received(ends.client, 4, "last", 4);
    EXPECT_EQ(kc_ipc_recv(ends.client, &cmd, &payload, &len), -ECONNRESET);
    EXPECT_EQ(kc_ipc_recv_nb(ends.client, &cmd, &payload, &len), -ECONNRESET);
    EXPECT_EQ(kc_ipc_send(ends.client, 3, NULL, 0), -ECONNRESET);
    EXPECT_EQ(kc_ipc_send_nb(ends.client, 3, NULL, 0), -ECONNRESET);
    EXPECT_EQ(kc_ipc_flush(ends.client), -ECONNRESET);
    kc_ipc_conn_close(ends.client);
}

static void launches(void *arg) {
    waiting_t *waiting = (waiting_t *)arg;
    EXPECT_EQ(kc_spawn_co(waiting->sched, waits_for_a_frame, waiting, 0, NULL), 0);
}

static void sets_the_token(void *arg) {
    kc_cancel_trigger((kc_cancel_t *)kc_context_get(kc_context_current(), &KC_CTX_KEY_CANCEL));
    (void)arg;
}

static void a_token_of_the_context_ends_the_wait(void) {
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(&token), 0);
    kc_context_t *ctx = kc_context_add(NULL, &KC_CTX_KEY_CANCEL, token, NULL);
    kc_sched_opts_t opts = {1, 0, 0};
    waiting_t waiting = {kc_sched_init(&opts), NULL, pair(), sets_the_token, 1};
    EXPECT_EQ(kc_context_with(ctx, launches, &waiting), 0);
    EXPECT_EQ(kc_sched_drain(waiting.sched, -1), 0);
    EXPECT_EQ(waiting.answer, KC_ECANCELED);
    // The connection is as it was.
    EXPECT_EQ(kc_ipc_send(waiting.ends.server, 1, "abc", 3), 0);
    expect_received(waiting.ends.client, 1, "abc", 3);
    hang_up(waiting.ends);
    kc_sched_shutdown(waiting.sched);
    kc_context_release(ctx);
    kc_cancel_destroy(token);
}

enum { SENDERS = 4, EACH = 300 };

typedef struct {
    kc_ipc_conn_t *conn;
    uint8_t number;
} sender_t;

static void *sends_many(void *arg) {
    const sender_t *sender = (const sender_t *)arg;
    uint8_t bytes[5000];
    memset(bytes, sender->number, sizeof bytes);
    for (size_t i = 1; i <= EACH; i++) {
        EXPECT_EQ(kc_ipc_send(sender->conn, sender->number, bytes, i * sizeof bytes / EACH), 0);
    }
    return NULL;
}

static void frames_of_several_senders_do_not_mix(void) {
    pair_t ends = pair();
    pthread_t threads[SENDERS];
    sender_t senders[SENDERS];
    unsigned last[SENDERS] = {0};
    for (uint8_t i = 0; i < SENDERS; i++) {
        senders[i].conn = ends.client;
        senders[i].number = i;
        EXPECT_EQ(pthread_create(&threads[i], NULL, sends_many, &senders[i]), 0);
    }
    for (int i = 0; i < SENDERS * EACH; i++) {
        uint16_t cmd;
        uint8_t *payload;
        size_t len;
        EXPECT_EQ(kc_ipc_recv(ends.server, &cmd, &payload, &len), 0);
        EXPECT(cmd < SENDERS);
        last[cmd]++;
        EXPECT_EQ(len, last[cmd] * 5000u / EACH);
        for (size_t at = 0; at < len; at++) {
            EXPECT(payload[at] == cmd);
        }
        free(payload);
    }
    for (int i = 0; i < SENDERS; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    }
    hang_up(ends);
}

static void attributes(void) {
    uint8_t buffer[20], *cursor = buffer, *end = buffer + sizeof buffer;
    EXPECT_EQ(kc_tlv_put_u32(&cursor, end, 0x0102, 0x03040506u), 0);
    EXPECT_EQ(cursor - buffer, 8);
    EXPECT_EQ(kc_tlv_put_u64(&cursor, end, KCORO_ATTR_REQ_ID, 0x1112131415161718u), 0);
    EXPECT(cursor == end);
    EXPECT(memcmp(buffer, "\1\2\0\4\3\4\5\6\0\x1a\0\x8\x11\x12\x13\x14\x15\x16\x17\x18", 20) == 0);
    EXPECT_EQ(kc_tlv_put_u32(&cursor, end, 1, 2), -EMSGSIZE);
    cursor = buffer + 9;
    memset(buffer, 9, sizeof buffer);
    EXPECT_EQ(kc_tlv_put_u64(&cursor, end, 1, 2), -EMSGSIZE);
    EXPECT(cursor == buffer + 9 && buffer[9] == 9 && buffer[19] == 9);
    cursor = end;
    EXPECT_EQ(kc_tlv_put_u32(&cursor, buffer, 1, 2), -EMSGSIZE);
    EXPECT_EQ(kc_tlv_put_u32(NULL, end, 1, 2), -EINVAL);
    EXPECT_EQ(kc_tlv_put_u64(&cursor, NULL, 1, 2), -EINVAL);
    cursor = NULL;
    EXPECT_EQ(kc_tlv_put_u64(&cursor, end, 1, 2), -EINVAL);
}

int main(void) {
    make_folder(folder, "posix");
    snprintf(path, sizeof path, "%s/socket", folder);
    RUN(nothing_is_an_invalid_argument);
    RUN(paths);
    RUN(a_file_that_nobody_listens_at_is_replaced);
    RUN(a_file_is_replaced_only_under_the_lock);
    RUN(connecting_to_a_busy_listener_leaves_the_worker_to_others);
    RUN(accepting_without_waiting);
    RUN(the_handshake);
    RUN(frames);
    RUN(a_peer_is_answered_as_it_packs);
    RUN(what_is_no_frame_ends_the_connection);
    RUN(a_connection_that_does_not_wait);
    RUN(what_was_taken_goes_when_there_is_room);
    RUN(a_frame_of_which_the_head_has_come);
    RUN(a_wait_leaves_the_worker_to_others);
    RUN(an_end_ends_the_wait);
    RUN(what_came_before_the_end_is_received);
    RUN(a_token_of_the_context_ends_the_wait);
    RUN(frames_of_several_senders_do_not_mix);
    RUN(attributes);
    EXPECT_EQ(rmdir(folder), 0);
    return 0;
}
