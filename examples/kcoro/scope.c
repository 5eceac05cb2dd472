// SPDX-License-Identifier: BSD-3-Clause
// Coroutines that belong together: three searches; the first that finds it cancels the others, and
// no coroutine is left behind.

#include <stdio.h>

#include "kc_cancel.h"
#include "kcoro.h"
#include "kcoro_sched.h"

enum { SEARCHES = 3, PLACES = 1000, HIDDEN = 1777 };

struct search {
    kc_scope_t *scope;
    kc_chan_t *found;
    int first;
};

static void search(void *arg) {
    struct search *search = (struct search *)arg;
    const kc_cancel_t *token = kc_scope_token(search->scope);
    for (int place = search->first; place < search->first + PLACES; place++) {
        if (place == HIDDEN) {
            kc_chan_send_c(search->found, &place, -1, token);
            return;
        }
        // No coroutine is interrupted: it looks at its token, here and in every wait.
        if (kc_cancel_is_set(token)) {
            return;
        }
        kc_yield();
    }
    // Not here: waits until its token is set.
    kc_cancel_wait(token, -1);
}

int main(void) {
    struct search searches[SEARCHES];
    kc_scope_t *scope = NULL;
    kc_chan_t *found = NULL;
    if (kc_scope_init(&scope, NULL) != 0 ||
        kc_chan_make(&found, KC_RENDEZVOUS, sizeof(int), 0) != 0) {
        return 1;
    }
    for (int i = 0; i < SEARCHES; i++) {
        searches[i].scope = scope;
        searches[i].found = found;
        searches[i].first = i * PLACES;
        if (kc_scope_launch(scope, search, &searches[i], 0, NULL) != 0) {
            return 1;
        }
    }
    int place = -1;
    int received = kc_chan_recv(found, &place, -1);
    kc_scope_cancel(scope);
    int left = kc_scope_wait_all(scope, -1);
    printf("found at %d; %s\n", place, left == 0 ? "all have come back" : "somebody is missing");
    kc_scope_destroy(scope);
    kc_chan_destroy(found);
    return received == 0 && left == 0 && place == HIDDEN ? 0 : 1;
}
