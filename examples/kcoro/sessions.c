// SPDX-License-Identifier: BSD-3-Clause
// Two processes: one offers two channels by name, the other squares what it receives from the one
// and sends it into the other.

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kcoro.h"
#include "kcoro_session.h"

enum { NUMBERS = 10 };

static char folder[32];
static char path[64];

static int square_all(void) {
    // It may begin before the server listens: its first receive waits for a connection.
    kc_session_opts_t again = {sizeof again, KC_SESSION_RECONNECT, 0, 0, 0, 0, 0};
    kc_open_opts_t to_send = {sizeof to_send, KC_OPEN_SEND, 0, 0, 0, 0};
    kc_open_opts_t to_receive = {sizeof to_receive, KC_OPEN_RECV, 0, 0, 0, 0};
    kc_session_t *session = NULL;
    kc_chan_t *numbers = NULL, *squares = NULL;
    kc_msg_t *msg = NULL;
    int number = 0, error;
    if (kc_session_connect(&session, path, &again) != 0 ||
        kc_session_open(session, "numbers", &to_receive, &numbers) != 0 ||
        kc_session_open(session, "squares", &to_send, &squares) != 0) {
        return 1;
    }
    while ((error = kc_chan_recv(numbers, &msg, -1)) == 0) {
        kc_msg_copy(msg, 0, &number, sizeof number);
        kc_msg_release(msg);
        int square = number * number;
        if (kc_chan_send_bytes(squares, &square, sizeof square, -1) != 0) {
            return 1;
        }
    }
    kc_chan_destroy(numbers);
    kc_chan_destroy(squares);
    kc_session_close(session);
    return error == KC_EPIPE ? 0 : 1;
}

int main(void) {
    kc_server_t *server = NULL;
    kc_chan_t *numbers = NULL, *squares = NULL;
    kc_msg_t *msg = NULL;
    int sum = 0, square = 0, status = 1;
    snprintf(folder, sizeof folder, "/tmp/kcoro-s%ld", (long)getpid());
    snprintf(path, sizeof path, "%s/socket", folder);
    // Before this process has threads.
    pid_t child = fork();
    if (child == 0) {
        exit(square_all());
    }
    // The folder is made with it, for this user alone.
    if (kc_server_listen(&server, path, 0, 0) != 0 ||
        kc_chan_make_msg(&numbers, KC_BUFFERED, 4) != 0 ||
        kc_chan_make_msg(&squares, KC_RENDEZVOUS, 0) != 0 ||
        kc_server_export(server, "numbers", numbers, KC_OPEN_RECV) != 0 ||
        kc_server_export(server, "squares", squares, KC_OPEN_SEND) != 0) {
        return 1;
    }
    for (int number = 1; number <= NUMBERS; number++) {
        if (kc_chan_send_bytes(numbers, &number, sizeof number, -1) != 0 ||
            kc_chan_recv(squares, &msg, -1) != 0) {
            return 1;
        }
        kc_msg_copy(msg, 0, &square, sizeof square);
        kc_msg_release(msg);
        sum += square;
    }
    // The other process finds the end of the numbers, and ends.
    kc_chan_close(numbers);
    waitpid(child, &status, 0);
    kc_server_close(server);
    kc_chan_destroy(numbers);
    kc_chan_destroy(squares);
    rmdir(folder);
    printf("the squares of 1 to %d add up to %d; the other process ended %s\n", NUMBERS, sum,
           status == 0 ? "well" : "badly");
    return status == 0 ? 0 : 1;
}
