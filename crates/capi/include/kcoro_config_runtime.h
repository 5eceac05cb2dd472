/* SPDX-License-Identifier: BSD-3-Clause */
/* The runtime configuration: a JSON file.
 *
 *   {"channel": {"metrics": {"emit_min_ops": 1024, "emit_min_ms": 50,
 *                            "auto_enable": false, "pipe_capacity": 64}}}
 *
 * Unknown keys are skipped. Every function may be called from any thread. */
#ifndef KCORO_CONFIG_RUNTIME_H
#define KCORO_CONFIG_RUNTIME_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kc_runtime_config {
    unsigned long chan_metrics_emit_min_ops; /* an event is due after this many operations; 1024 */
    long chan_metrics_emit_min_ms;           /* or after this many milliseconds, if anything
                                                happened; 50; less than 0: never */
    int chan_metrics_auto_enable;            /* every new channel has a metrics pipe; 0 */
    size_t chan_metrics_pipe_capacity;       /* events such a pipe holds; 64 */
};

/* Loads the file at `path`; if that is NULL or empty, the one that $KCORO_CONFIG names; without it
 * kcoro_config.json. 0, also if there is no such file: the defaults apply then. -EINVAL: not
 * valid. -EFBIG: more than 1 MiB. -EIO: cannot be read. -EALREADY: a load is in progress. After
 * an error nothing has changed. */
int kc_runtime_config_init(const char *path);

/* The same, again. */
int kc_runtime_config_reload(const char *path);

/* The current configuration; loaded on first use. The pointer stays valid and shows the last
 * load. */
const struct kc_runtime_config *kc_runtime_config_get(void);

#ifdef __cplusplus
}
#endif

#endif
