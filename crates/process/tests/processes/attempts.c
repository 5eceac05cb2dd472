/* SPDX-License-Identifier: BSD-3-Clause */
/* A plugin that tries what a sandbox refuses. The entry is the attempt, the payload its aim; the answer is the
 * error number as text, 0 for success. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nylon_ring.h"

#define HELD 4096

static void *host;
static const NrHostVTable *table;

static int answer(long result) { return result < 0 ? errno : 0; }

static int open_read(const char *aim) { return answer(open(aim, O_RDONLY)); }

static int open_write(const char *aim) { return answer(open(aim, O_WRONLY)); }

static int connect_to(const char *aim) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(aim))};
    int socket_ = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return socket_ < 0 ? errno : answer(connect(socket_, (struct sockaddr *)&to, sizeof to));
}

static int trace(const char *aim) { return answer(ptrace(PTRACE_SEIZE, atoi(aim), 0, 0)); }

/* Of no program: with the right to execute one, it is not found. */
static int execute(const char *aim) {
    char *arguments[] = {(char *)aim, NULL};
    return answer(execve(aim, arguments, NULL));
}

static int start(const char *aim) {
    pid_t child = fork();
    (void)aim;
    if (child == 0) {
        _exit(0);
    }
    return child < 0 ? errno : answer(waitpid(child, NULL, 0));
}

static int signal_(const char *aim) { return answer(kill(atoi(aim), 0)); }

/* Of no kind of file system: with the right to mount, it is not known. */
static int mount_(const char *aim) { return answer(mount("none", aim, "no-such-kind", 0, NULL)); }

static int ring(const char *aim) {
    struct io_uring_params parameters;
    (void)aim;
    memset(&parameters, 0, sizeof parameters);
    return answer(syscall(SYS_io_uring_setup, 1, &parameters));
}

static int take_descriptor(const char *aim) {
    int descriptor = atoi(strchr(aim, ' ') + 1);
    long process = syscall(SYS_pidfd_open, atoi(aim), 0);
    return process < 0 ? errno : answer(syscall(SYS_pidfd_getfd, process, descriptor, 0));
}

static int variable(const char *aim) { return getenv(aim) == NULL ? ENOENT : 0; }

/* A descriptor of this file. */
static int holds(const char *aim) {
    for (int descriptor = 0; descriptor < HELD; descriptor++) {
        char link[64], to[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, to, sizeof to - 1);
        if (length > 0 && (to[length] = 0, strcmp(to, aim) == 0)) {
            return 0;
        }
    }
    return ENOENT;
}

/* So many MiB, all at once. */
static int allocate(const char *aim) {
    static void *held[HELD];
    int result = 0, wanted = atoi(aim), count = 0;
    while (count < wanted && count < HELD && (held[count] = malloc(1 << 20)) != NULL) {
        memset(held[count], 1, 1 << 20);
        count++;
    }
    result = count < wanted ? ENOMEM : 0;
    while (count > 0) {
        free(held[--count]);
    }
    return result;
}

/* So many descriptors, all at once. */
static int descriptors(const char *aim) {
    static int held[HELD];
    int result = 0, wanted = atoi(aim), count = 0;
    while (count < wanted && count < HELD && (held[count] = eventfd(0, EFD_CLOEXEC)) >= 0) {
        count++;
    }
    result = count < wanted ? errno : 0;
    while (count > 0) {
        close(held[--count]);
    }
    return result;
}

/* So many processes, all at once. */
static int processes(const char *aim) {
    static pid_t held[HELD];
    int result = 0, wanted = atoi(aim), count = 0;
    while (count < wanted && count < HELD && (held[count] = fork()) > 0) {
        count++;
    }
    if (count < wanted && held[count] == 0) {
        for (;;) {
            pause();
        }
    }
    result = count < wanted ? errno : 0;
    while (count > 0) {
        kill(held[--count], SIGKILL);
        waitpid(held[count], NULL, 0);
    }
    return result;
}

/* A file of so many MiB in its own folder. */
static int file(const char *aim) {
    static char block[1 << 20];
    char path[4096];
    int result = 0;
    snprintf(path, sizeof path, "%s/file", getenv("TMPDIR"));
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (descriptor < 0) {
        return errno;
    }
    signal(SIGXFSZ, SIG_IGN);
    for (int count = atoi(aim); count > 0 && result == 0; count--) {
        result = answer(write(descriptor, block, sizeof block));
    }
    close(descriptor);
    unlink(path);
    return result;
}

/* Writes until the limit of a file ends the process. */
static int fill(const char *aim) {
    static char block[1 << 20];
    (void)aim;
    int descriptor = open(getenv("TMPDIR"), O_TMPFILE | O_WRONLY, 0600);
    while (descriptor >= 0 && write(descriptor, block, sizeof block) > 0) {
    }
    return errno;
}

/* Computes until the limit of its processor time ends the process. */
static int compute(const char *aim) {
    struct rlimit limit = {.rlim_cur = (rlim_t)atoi(aim), .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_CPU, &limit) != 0) {
        return errno;
    }
    for (volatile long turns = 0;; turns++) {
    }
}

#ifdef __x86_64__
/* A call of the 32-bit interface, which no filter for this architecture lets through: getpid. */
static int other_interface(const char *aim) {
    long result = 20;
    (void)aim;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return answer(result);
}
#endif

static int user(const char *aim) { return getuid() == (uid_t)atoi(aim) ? 0 : EPERM; }

static const struct {
    const char *name;
    int (*attempt)(const char *aim);
} attempts[] = {
    {"open-read", open_read}, {"open-write", open_write},   {"connect", connect_to},
    {"trace", trace},         {"execute", execute},         {"start", start},
    {"signal", signal_},      {"mount", mount_},            {"ring", ring},
    {"variable", variable},   {"holds", holds},             {"allocate", allocate},
    {"processes", processes}, {"descriptors", descriptors}, {"file", file},
    {"user", user},           {"take-descriptor", take_descriptor},
    {"fill", fill},           {"compute", compute},
#ifdef __x86_64__
    {"other-interface", other_interface},
#endif
};

static NrStatus init(void *ctx, void *h, const NrHostVTable *t) {
    (void)ctx;
    host = h;
    table = t;
    return NR_OK;
}

static NrStatus handle(void *ctx, NrStr entry, uint64_t sid, const NrRequest *request, NrBytes payload) {
    char aim[4096], text[16];
    (void)ctx;
    (void)request;
    memcpy(aim, payload.ptr, payload.len < sizeof aim ? payload.len : sizeof aim - 1);
    aim[payload.len < sizeof aim ? payload.len : sizeof aim - 1] = 0;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (strlen(attempts[i].name) == entry.len && memcmp(attempts[i].name, entry.ptr, entry.len) == 0) {
            int length = snprintf(text, sizeof text, "%d", attempts[i].attempt(aim));
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
    .name = {(const uint8_t *)"attempts", 8, 0},
    .version = {(const uint8_t *)"1", 1, 0},
    .vtable = (NrPluginVTable *)&vtable,
};

NR_EXPORT const NrPluginInfo *nylon_ring_get_plugin_v1(void) { return &info; }
