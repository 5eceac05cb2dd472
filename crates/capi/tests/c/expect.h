// SPDX-License-Identifier: BSD-3-Clause
/**
 * @file expect.h
 * @brief What the C tests are made of. They are C11 and C++17 at once.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/** Ends the program if `condition` does not hold. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: does not hold: %s\n", __FILE__, __LINE__, __func__,        \
                    #condition);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/** Two numbers that must be equal; prints both. */
#define EXPECT_EQ(left, right)                                                                     \
    do {                                                                                           \
        long long expect_left = (long long)(left), expect_right = (long long)(right);              \
        if (expect_left != expect_right) {                                                         \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__,     \
                    #left, expect_left, expect_right);                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/** Runs a test and says so, so that the last line names what hung. */
#define RUN(test)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "%s\n", #test);                                                            \
        test();                                                                                    \
    } while (0)

/**
 * Ends a child process of fork with success. What the threads of its parent held is out of its reach, which a check for
 * leaks would report at its exit: so another program ends it.
 */
static inline void end_child(void) {
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

enum { FOLDER_BYTES = 48 };

/** Makes a folder for this user alone, of a name that nothing had; the test removes it. */
static inline void make_folder(char path[FOLDER_BYTES], const char *name) {
    int made = -1;
    for (int count = 0; made != 0 && count < 100; count++) {
        int bytes =
            snprintf(path, FOLDER_BYTES, "/tmp/kcoro-%s-%ld-%d", name, (long)getpid(), count);
        EXPECT(0 < bytes && bytes < FOLDER_BYTES);
        made = mkdir(path, 0700);
        // What is there already is another's: maybe of an earlier process with this number.
        EXPECT(made == 0 || errno == EEXIST);
    }
    EXPECT_EQ(made, 0);
}

/** Blocks the thread for a while: so that what it started has probably begun to wait. */
static inline void sleep_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/** A counter that threads share. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    long value;
} counter_t;

#define COUNTER_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

static inline long counter_add(counter_t *counter, long by) {
    pthread_mutex_lock(&counter->lock);
    long value = counter->value += by;
    pthread_cond_broadcast(&counter->changed);
    pthread_mutex_unlock(&counter->lock);
    return value;
}

static inline long counter_get(counter_t *counter) {
    return counter_add(counter, 0);
}

/** Blocks the thread until the counter is at least so much. Not for coroutines. */
static inline void counter_wait(counter_t *counter, long at_least) {
    pthread_mutex_lock(&counter->lock);
    while (counter->value < at_least) {
        pthread_cond_wait(&counter->changed, &counter->lock);
    }
    pthread_mutex_unlock(&counter->lock);
}

#endif
