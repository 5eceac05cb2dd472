/* SPDX-License-Identifier: BSD-3-Clause */
/* Tunables that programs read. Those of the library itself are fixed when it is built. */
#ifndef KCORO_CONFIG_H
#define KCORO_CONFIG_H

/* Of no effect: waits with a token are parked, not sliced. Kept for programs that name it. */
#ifndef KCORO_CANCEL_SLICE_MS
#define KCORO_CANCEL_SLICE_MS 50
#endif

/* Elements for which an unlimited channel of capacity 0 reports room at first. */
#ifndef KCORO_UNLIMITED_INIT_CAP
#define KCORO_UNLIMITED_INIT_CAP 64
#endif

/* Connections that wait to be accepted. */
#ifndef KCORO_IPC_BACKLOG
#define KCORO_IPC_BACKLOG 8
#endif

/* Bytes of the largest element of a channel between processes. */
#ifndef KCORO_IPC_MAX_TLV_ELEM
#define KCORO_IPC_MAX_TLV_ELEM 65535
#endif

#endif
