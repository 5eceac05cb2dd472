/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin that harms its worker and whatever that can reach. The entry is the way, the payload a number for
 * it; what does not end the worker answers with a number as text. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nylon_ring.h"

static void *host;
static const NrHostVTable *table;

static long ok(long number) { return number; }

static void *turn(void *unused) {
    for (volatile uint64_t count = 0;; count++) {
        (void)unused;
    }
    return NULL;
}

/* So many threads that never rest, and this one. */
static long burn(long threads) {
    pthread_t thread;
    while (threads-- > 0) {
        pthread_create(&thread, NULL, turn, NULL);
    }
    turn(NULL);
    return 0;
}

/* How many processes it could start, of so many. They wait for their end. */
static long processes(long count) {
    long started = 0;
    while (count-- > 0) {
        pid_t child = fork();
        if (child == 0) {
            for (;;) {
                pause();
            }
        }
        started += child > 0;
    }
    return started;
}

/* How many descriptors it could open, of so many. They stay open. */
static long descriptors(long count) {
    long opened = 0;
    while (opened < count && open("/dev/null", O_RDONLY) >= 0) {
        opened++;
    }
    return opened;
}

static void *flood(void *descriptor) {
    static char line[4096];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    for (;;) {
        if (write((int)(intptr_t)descriptor, line, sizeof line) < 0) {
            return NULL;
        }
    }
}

/* Writes to its stdout and stderr from now on. */
static long output(long unused) {
    pthread_t thread;
    (void)unused;
    pthread_create(&thread, NULL, flood, (void *)(intptr_t)1);
    pthread_create(&thread, NULL, flood, (void *)(intptr_t)2);
    return 0;
}

/* Allocates, and writes to what it has, until there is no more. */
static long memory(long unused) {
    (void)unused;
    for (;;) {
        volatile char *block = malloc(1 << 20);
        if (block == NULL) {
            abort();
        }
        for (size_t at = 0; at < 1 << 20; at += 4096) {
            block[at] = 1;
        }
    }
}

/* Fills all memory that it shares with this byte, again and again, so that nothing of it is left. */
static long shared(long byte) {
    for (;;) {
        char line[512];
        FILE *maps = fopen("/proc/self/maps", "r");
        while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
            unsigned long begin, end;
            char rights[5];
            if (sscanf(line, "%lx-%lx %4s", &begin, &end, rights) == 3 && strcmp(rights, "rw-s") == 0) {
                memset((void *)begin, (int)byte, end - begin);
            }
        }
        if (maps == NULL) {
            return errno;
        }
        fclose(maps);
    }
}

/* Closes every descriptor, its session too, and goes on. */
static long closes(long unused) {
    (void)unused;
    for (int descriptor = 0; descriptor < 1024; descriptor++) {
        close(descriptor);
    }
    for (;;) {
        pause();
    }
}

/* A name in the folder of shared memory: 1 if it was made. */
static long name(long unused) {
    int descriptor = shm_open("/becket-hostile", O_CREAT | O_RDWR, 0600);
    (void)unused;
    return descriptor >= 0;
}

static long aborts(long unused) {
    (void)unused;
    abort();
}

static long segfaults(long unused) {
    (void)unused;
    *(volatile uint64_t *)(uintptr_t)8 = 1;
    return 0;
}

static long exits(long status) { _exit((int)status); }

static long signal_(long number) { return raise((int)number); }

static const struct {
    const char *name;
    long (*way)(long number);
} ways[] = {
    {"ok", ok},         {"burn", burn},     {"processes", processes}, {"descriptors", descriptors},
    {"output", output}, {"memory", memory}, {"shared", shared},       {"closes", closes},
    {"name", name},     {"aborts", aborts}, {"segfaults", segfaults}, {"exits", exits},
    {"signal", signal_},
};

static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    (void)ctx;
    host = h;
    table = t;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    char text[32] = "";
    (void)ctx;
    (void)request;
    memcpy(text, payload.ptr, payload.len < sizeof text ? payload.len : sizeof text - 1);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strlen(ways[i].name) == entry.len && memcmp(ways[i].name, entry.ptr, entry.len) == 0) {
            int length = snprintf(text, sizeof text, "%ld", ways[i].way(atol(text)));
            NrBytes bytes = {(const uint8_t *)text, (uint64_t)length};
            table->send_result(host, sid, NR_OK, bytes);
            return NR_OK;
        }
    }
    return NR_UNSUPPORTED;
}

static void end(void *ctx) { (void)ctx; }

static const NrPluginVTable vtable = {.init = init, .handle = handle, .shutdown = end};
static const NrPluginInfo info = {
    .abi_version = 1,
    .struct_size = 56,
    .name = {(const uint8_t *)"hostile", 7, 0},
    .version = {(const uint8_t *)"1", 1, 0},
    .vtable = (NrPluginVTable *)&vtable,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
