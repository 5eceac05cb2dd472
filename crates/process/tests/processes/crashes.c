/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin that crashes in each way there is, and does harm to the record of it. The entry is the way. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nylon_ring.h"

#define OWN_FRAME __attribute__((noinline))

static void *host;
static const NrHostVTable *table;
static volatile int depth;

OWN_FRAME static int touches_nowhere(void) {
    *(volatile uint64_t *)(uintptr_t)8 = 1;
    return 1;
}

OWN_FRAME static int gives_up(void) {
    depth++;
    abort();
}

OWN_FRAME static int calls_null(void) {
    void (*volatile none)(void) = NULL;
    none();
    return ++depth;
}

OWN_FRAME static int recurses(int to) {
    volatile char frame[256];
    frame[0] = (char)to;
    return recurses(to + 1) + frame[0];
}

OWN_FRAME static int overflows(void) { return recurses(0) + ++depth; }

OWN_FRAME static int executes_nothing(void) {
    __builtin_trap();
    return ++depth;
}

OWN_FRAME static int breaks(void) {
#if defined(__x86_64__)
    __asm__ volatile("int3");
#else
    raise(SIGTRAP);
#endif
    return ++depth;
}

OWN_FRAME static int divides(void) {
#if defined(__x86_64__)
    volatile int none = 0;
    return depth / none;
#else
    return raise(SIGFPE);
#endif
}

static void *thread(void *unused) {
    prctl(PR_SET_NAME, "of-the-plugin");
    return (void *)(intptr_t)(touches_nowhere() + (unused != NULL));
}

OWN_FRAME static int on_thread(void) {
    pthread_t made;
    pthread_create(&made, NULL, thread, NULL);
    pthread_join(made, NULL);
    return ++depth;
}

static void *overflowing(void *unused) { return (void *)(intptr_t)(overflows() + (unused != NULL)); }

/* Its stack for signals is none. */
OWN_FRAME static int overflows_on_thread(void) {
    pthread_t made;
    pthread_create(&made, NULL, overflowing, NULL);
    pthread_join(made, NULL);
    return ++depth;
}

OWN_FRAME static int is_killed(void) { return raise(SIGKILL); }

/* The pipe for the record. */
static int record(void) {
    for (int descriptor = 3; descriptor < 100; descriptor++) {
        struct stat status;
        int flags = fcntl(descriptor, F_GETFL);
        if (fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode) && (flags & O_ACCMODE) == O_WRONLY &&
            (flags & O_NONBLOCK) != 0) {
            return descriptor;
        }
    }
    _exit(7);
}

/* The pipe is full of nothing before the crash. */
OWN_FRAME static int fills_the_record(void) {
    static char bytes[4096];
    int pipe = record();
    memset(bytes, 'x', sizeof bytes);
    while (write(pipe, bytes, sizeof bytes) > 0) {
    }
    return touches_nowhere();
}

static sem_t flooding;

static void *flood(void *pipe) {
    static char bytes[1 << 16];
    sem_post(&flooding);
    for (;;) {
        if (write((int)(intptr_t)pipe, bytes, sizeof bytes) < 0) {
            continue;
        }
    }
    return NULL;
}

/* The pipe is larger, its writers wait for its reader, and it holds bytes and has several writers when the crash
   comes. No write of the threads is waited for: the pipe is full after the first. */
OWN_FRAME static int floods_the_record(void) {
    pthread_t made;
    int pipe = record();
    fcntl(pipe, F_SETPIPE_SZ, 1 << 20);
    fcntl(pipe, F_SETFL, 0);
    if (write(pipe, "x", 1) != 1) {
        _exit(8);
    }
    sem_init(&flooding, 0, 0);
    for (int count = 0; count < 4; count++) {
        pthread_create(&made, NULL, flood, (void *)(intptr_t)pipe);
    }
    for (int count = 0; count < 4; count++) {
        sem_wait(&flooding);
    }
    _exit(9);
}

/* A record that is none: of files that are not to be opened, with addresses that overflow. */
OWN_FRAME static int forges_a_record(void) {
    char bytes[16384] = "bkcrash1";
    uint32_t numbers[4] = {62, SIGSEGV, 1, 99};
    uint64_t registers[5] = {~0ull, 0x1010, 0x7ffffffffffffff8ull, ~0ull, ~0ull};
    const char maps[] =
        "1000-ffffffff00000000 r-xp 00000000 00:00 1 /dev/zero\n"
        "ffffffff10000000-ffffffff20000000 r-xp 00000000 00:00 1 /proc/self/mem\n"
        "ffffffff20000000-ffffffff30000000 r-xp 00000000 00:00 1 ../../relative\n"
        "ffffffff30000000-ffffffff40000000 r-xp ffffffff00000000 00:00 1 /bin/sh\n"
        "ffffffff40000000-ffffffffffffffff r-xp 00001000 00:00 1 /etc/passwd\n";
    size_t length = 8;
#if defined(__aarch64__)
    numbers[0] = 183;
#endif
    memcpy(bytes + length, numbers, sizeof numbers), length += sizeof numbers;
    memcpy(bytes + length, registers, sizeof registers), length += sizeof registers;
    memcpy(bytes + length, "\x1b[31m\xff\xfe forged!", 16), length += 16;
    memcpy(bytes + length, maps, sizeof maps), length += sizeof maps;
    for (; length < sizeof bytes; length++) {
        bytes[length] = (char)(length * 37);
    }
    if (write(record(), bytes, sizeof bytes) != sizeof bytes) {
        _exit(8);
    }
    abort();
}

/* The pipe's number is a file of the plugin's: nothing may be written to it. */
OWN_FRAME static int takes_the_number(void) {
    char name[64];
    const char *folder = getenv("TMPDIR");
    int pipe = record();
    snprintf(name, sizeof name, "%s/taken", folder != NULL ? folder : "/tmp");
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || dup2(file, pipe) != pipe) {
        _exit(6);
    }
    return touches_nowhere();
}

/* No further file can be opened. */
OWN_FRAME static int takes_all_descriptors(void) {
    while (open("/dev/null", O_RDONLY) >= 0) {
    }
    return touches_nowhere();
}

#ifdef WITH_RUST
int panics(void);
int panics_twice(void);
#endif

static const struct {
    const char *name;
    int (*way)(void);
} ways[] = {
    {"touches_nowhere", touches_nowhere},   {"gives_up", gives_up},
    {"calls_null", calls_null},             {"overflows", overflows},
    {"executes_nothing", executes_nothing}, {"breaks", breaks},
    {"divides", divides},                   {"on_thread", on_thread},
    {"overflows_on_thread", overflows_on_thread}, {"is_killed", is_killed},
    {"fills_the_record", fills_the_record}, {"floods_the_record", floods_the_record},
    {"forges_a_record", forges_a_record},   {"takes_the_number", takes_the_number},
    {"takes_all_descriptors", takes_all_descriptors},
#ifdef WITH_RUST
    {"panics", panics},                     {"panics_twice", panics_twice},
#endif
};

static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    (void)ctx;
    host = h;
    table = t;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    (void)ctx;
    (void)request;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (strlen(ways[i].name) == entry.len && memcmp(ways[i].name, entry.ptr, entry.len) == 0) {
            ways[i].way();
            table->send_result(host, sid, NR_OK, payload);
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
    .name = {(const uint8_t *)"crashes", 7, 0},
    .version = {(const uint8_t *)"1", 1, 0},
    .vtable = (NrPluginVTable *)&vtable,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
