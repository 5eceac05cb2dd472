// SPDX-License-Identifier: BSD-3-Clause
// Three stages joined by buffered channels: numbers, their squares by two workers, their sum. The
// end of one stage is the end of the next: each closes what it sends to.

#include <stdio.h>

#include "kcoro.h"
#include "kcoro_sched.h"

enum { NUMBERS = 1000, WORKERS = 2 };

struct stage {
    kc_chan_t *from;
    kc_chan_t *to;
};

static int numbers(kc_chan_t *to, void *user) {
    (void)user;
    for (long number = 1; number <= NUMBERS; number++) {
        int sent = kc_chan_send(to, &number, -1);
        if (sent != 0) {
            return sent;
        }
    }
    return 0; // Here the scope closes `to`.
}

static void square(void *arg) {
    struct stage *stage = (struct stage *)arg;
    long number;
    while (kc_chan_recv(stage->from, &number, -1) == 0) {
        number *= number;
        if (kc_chan_send(stage->to, &number, -1) != 0) {
            return;
        }
    }
}

static int squares(kc_chan_t *to, void *user) {
    struct stage stage = {(kc_chan_t *)user, to};
    kc_scope_t *workers = NULL;
    int made = kc_scope_init(&workers, NULL);
    if (made != 0) {
        return made;
    }
    for (int i = 0; i < WORKERS; i++) {
        kc_scope_launch(workers, square, &stage, 0, NULL);
    }
    // `stage` lives on this stack, so this waits. It parks the coroutine, not its worker.
    kc_scope_wait_all(workers, -1);
    kc_scope_destroy(workers);
    return 0;
}

int main(void) {
    kc_scope_t *scope = NULL;
    if (kc_scope_init(&scope, NULL) != 0) {
        return 1;
    }
    kc_chan_t *first = kc_scope_produce(scope, KC_BUFFERED, sizeof(long), 16, numbers, NULL);
    kc_chan_t *second = kc_scope_produce(scope, KC_BUFFERED, sizeof(long), 16, squares, first);
    if (first == NULL || second == NULL) {
        return 1;
    }
    long sum = 0, number;
    while (kc_chan_recv(second, &number, -1) == 0) {
        sum += number;
    }
    kc_scope_destroy(scope);
    kc_chan_destroy(first);
    kc_chan_destroy(second);
    printf("the squares of 1 to %d add up to %ld\n", NUMBERS, sum);
    return sum == (long)NUMBERS * (NUMBERS + 1) * (2 * NUMBERS + 1) / 6 ? 0 : 1;
}
