// SPDX-License-Identifier: BSD-3-Clause
// An account that only its actor touches: one message at a time, so no lock. A message may carry
// the channel for its answer.

#include <stdio.h>
#include <string.h>

#include "kcoro.h"
#include "kcoro_sched.h"

enum { CUSTOMERS = 10, DEPOSITS = 100 };

struct message {
    long amount;
    kc_chan_t *answer; // NULL: a deposit; else the balance goes there.
};

static int handle(const void *msg, void *user) {
    const struct message *message = (const struct message *)msg;
    long *balance = (long *)user;
    if (message->answer == NULL) {
        *balance += message->amount;
    } else {
        kc_chan_send(message->answer, balance, -1);
    }
    return 0;
}

static void deposits(void *arg) {
    struct message message = {1, NULL};
    for (int i = 0; i < DEPOSITS; i++) {
        kc_chan_send((kc_chan_t *)arg, &message, -1);
    }
}

static void says_goodbye(void *arg) {
    *(int *)arg = 1;
}

int main(void) {
    long balance = 0, reported = 0;
    int gone = 0;
    kc_chan_t *mailbox = NULL, *answer = NULL;
    if (kc_chan_make(&mailbox, KC_BUFFERED, sizeof(struct message), 8) != 0 ||
        kc_chan_make(&answer, KC_RENDEZVOUS, sizeof(long), 0) != 0) {
        return 1;
    }
    kc_actor_ctx_t ctx;
    memset(&ctx, 0, sizeof ctx);
    ctx.chan = mailbox;
    ctx.msg_size = sizeof(struct message);
    ctx.process = handle;
    ctx.user = &balance;
    kc_actor_t account = kc_actor_start(&ctx);
    if (account == NULL) {
        return 1;
    }
    kc_actor_on_done(account, says_goodbye, &gone);

    kc_scope_t *customers = NULL;
    if (kc_scope_init(&customers, NULL) != 0) {
        return 1;
    }
    for (int i = 0; i < CUSTOMERS; i++) {
        kc_scope_launch(customers, deposits, mailbox, 0, NULL);
    }
    kc_scope_wait_all(customers, -1);
    kc_scope_destroy(customers);

    // Behind all deposits, so the answer has them all.
    struct message question = {0, answer};
    kc_chan_send(mailbox, &question, -1);
    kc_chan_recv(answer, &reported, -1);
    // From here on nothing is handled any more.
    kc_actor_stop(account);
    printf("the account says %ld%s\n", reported, gone ? ", and goodbye" : "");
    kc_chan_destroy(mailbox);
    kc_chan_destroy(answer);
    return reported == (long)CUSTOMERS * DEPOSITS && balance == reported && gone ? 0 : 1;
}
