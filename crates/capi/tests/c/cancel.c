// SPDX-License-Identifier: BSD-3-Clause
// Cancel tokens: setting, waiting, children.

#include "expect.h"
#include "kc_cancel.h"
#include "kcoro.h"

static kc_cancel_t *token_below(kc_cancel_t *parent) {
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_create(&token, parent), 0);
    return token;
}

static void a_token_is_set_once_and_for_all(void) {
    kc_cancel_t *token = NULL;
    EXPECT_EQ(kc_cancel_init(NULL), -22);
    EXPECT_EQ(kc_cancel_init(&token), 0);
    EXPECT_EQ(kc_cancel_is_set(token), 0);
    EXPECT_EQ(kc_cancel_is_triggered(token), 0);
    kc_cancel_trigger(token);
    kc_cancel_trigger(token);
    EXPECT_EQ(kc_cancel_is_set(token), 1);
    EXPECT_EQ(kc_cancel_is_triggered(token), 1);
    kc_cancel_destroy(token);
    kc_cancel_trigger(NULL);
    kc_cancel_destroy(NULL);
    EXPECT_EQ(kc_cancel_is_set(NULL), 0);
}

static void contexts(void) {
    kc_cancel_ctx_t outer, inner, alone;
    kc_cancel_t *parent = token_below(NULL);
    EXPECT_EQ(kc_cancel_ctx_init(NULL, parent), -22);
    EXPECT_EQ(kc_cancel_ctx_init(&outer, parent), 0);
    EXPECT(outer.parent == parent && outer.token != NULL);
    EXPECT_EQ(kc_cancel_ctx_init(&inner, outer.token), 0);
    EXPECT_EQ(kc_cancel_ctx_init(&alone, NULL), 0);
    kc_cancel_trigger(inner.token);
    EXPECT(kc_cancel_is_set(inner.token) && !kc_cancel_is_set(outer.token));
    kc_cancel_ctx_destroy(&inner);
    EXPECT(inner.token == NULL);
    kc_cancel_ctx_destroy(&inner);
    kc_cancel_trigger(parent);
    EXPECT(kc_cancel_is_set(outer.token) && !kc_cancel_is_set(alone.token));
    // Below a token that is set, a token is born set.
    EXPECT_EQ(kc_cancel_ctx_init(&inner, outer.token), 0);
    EXPECT(kc_cancel_is_set(inner.token));
    kc_cancel_ctx_destroy(&inner);
    kc_cancel_ctx_destroy(&outer);
    kc_cancel_ctx_destroy(&alone);
    kc_cancel_destroy(parent);
}

static void children_come_and_go(void) {
    kc_cancel_t *one = token_below(NULL), *two = token_below(NULL), *child = token_below(one);
    EXPECT_EQ(kc_cancel_add_child(NULL, child), -22);
    EXPECT_EQ(kc_cancel_add_child(one, NULL), -22);
    EXPECT_EQ(kc_cancel_add_child(one, one), -22);
    EXPECT_EQ(kc_cancel_remove_child(two, child), -2);
    EXPECT_EQ(kc_cancel_remove_child(one, child), 0);
    EXPECT_EQ(kc_cancel_remove_child(one, child), -2);
    EXPECT_EQ(kc_cancel_add_child(two, child), 0);
    kc_cancel_trigger(one);
    EXPECT_EQ(kc_cancel_is_set(child), 0);
    kc_cancel_trigger(two);
    EXPECT_EQ(kc_cancel_is_set(child), 1);
    kc_cancel_t *late = token_below(NULL);
    EXPECT_EQ(kc_cancel_add_child(one, late), 0);
    EXPECT_EQ(kc_cancel_is_set(late), 1);
    kc_cancel_destroy(late);
    kc_cancel_destroy(child);
    kc_cancel_destroy(one);
    kc_cancel_destroy(two);
}

static void a_parent_may_go_first(void) {
    kc_cancel_t *root = token_below(NULL), *middle = token_below(root), *leaf = token_below(middle);
    kc_cancel_destroy(middle);
    kc_cancel_trigger(root);
    kc_cancel_destroy(root);
    EXPECT_EQ(kc_cancel_is_set(leaf), 1);
    kc_cancel_destroy(leaf);
}

static void *wait_for(void *token) {
    EXPECT_EQ(kc_cancel_wait((kc_cancel_t *)token, -1), 0);
    return NULL;
}

static void waits(void) {
    kc_cancel_t *token = token_below(NULL), *child = token_below(token);
    EXPECT_EQ(kc_cancel_wait(NULL, 0), -22);
    EXPECT_EQ(kc_cancel_wait(child, 0), KC_ETIME);
    EXPECT_EQ(kc_cancel_wait(child, 1), KC_ETIME);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, wait_for, child);
    }
    kc_cancel_trigger(token);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    EXPECT_EQ(kc_cancel_wait(child, 0), 0);
    EXPECT_EQ(kc_cancel_wait(child, 1), 0);
    EXPECT_EQ(kc_cancel_wait(child, -1), 0);
    kc_cancel_destroy(child);
    kc_cancel_destroy(token);
}

// A long chain is set, and taken apart, without a long stack.
static void a_chain(void) {
    enum { DEPTH = 100000 };
    kc_cancel_t *root = token_below(NULL), *last = root;
    for (int i = 0; i < DEPTH; i++) {
        kc_cancel_t *next = token_below(last);
        if (last != root) {
            kc_cancel_destroy(last);
        }
        last = next;
    }
    kc_cancel_trigger(root);
    EXPECT_EQ(kc_cancel_is_set(last), 1);
    kc_cancel_destroy(root);
    kc_cancel_destroy(last);
}

int main(void) {
    RUN(a_token_is_set_once_and_for_all);
    RUN(contexts);
    RUN(children_come_and_go);
    RUN(a_parent_may_go_first);
    RUN(waits);
    RUN(a_chain);
    EXPECT_EQ(kc_panics_contained(), 0);
    return 0;
}
