/* SPDX-License-Identifier: BSD-3-Clause */
/* Watching a program: `becket mon --socket PATH` shows its channels, coroutines, actors and
 * sessions. Off by default; then a channel that is made costs one more load, and nothing else
 * changes.
 *
 * A program that does not call kc_monitor_serve is watched if the environment has KCORO_MON=PATH
 * when it makes its first channel or scheduler. If that fails, a line on standard error says why,
 * and the program goes on.
 *
 * What is shown
 *   channels    those made or opened after kc_monitor_serve, and those of kc_monitor_channel, until
 *               they are destroyed: at most 65536 at a time. Not those that clients of a server make
 *   coroutines  those of every scheduler, with the workers. A coroutine or task has the name of its
 *               function if the program exports its symbols (-rdynamic), else FILE+0xOFFSET, which
 *               addr2line resolves; those spawned before the call have none. An actor's begins
 *               with "actor". Coroutines that are resumed by hand are not shown.
 *   sessions    the monitors; those of kcoro_session.h, in both directions. Connections of protocol
 *               1.0 (kcoro_ipc_posix.h) are not shown.
 *
 * Every function may be called by any thread, coroutines included. */
#ifndef KCORO_MONITOR_H
#define KCORO_MONITOR_H

#include "kcoro.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers monitors at a Unix socket, from the library's I/O thread, until kc_monitor_stop or exit().
 * Its directory is created with mode 700 if it is absent; only this user may connect, and at most
 * 64 monitors at a time are answered. A process that forks is watched alone, not its children. 0;
 * -EALREADY: it does already; -EADDRINUSE: another process listens there; -EPERM: other users can
 * enter the directory; -EEXIST: the path is a file that is no socket; -ENAMETOOLONG: 108 bytes or
 * more; -EINVAL: NULL, no file name; or the system's error. */
int kc_monitor_serve(const char *path);

/* Ends it: the monitors' connections are closed and the socket is removed. Without effect if it was
 * not served. */
void kc_monitor_stop(void);

/* Shows a channel under a name, which is copied, of at most 128 bytes; also one made before
 * kc_monitor_serve. Without it a channel is shown as "#" and a number. 0; KC_EAGAIN: the program has
 * not been watched so far; -ENOSPC: 65536 channels are shown; -EINVAL: NULL. */
int kc_monitor_channel(kc_chan_t *ch, const char *name);

#ifdef __cplusplus
}
#endif

#endif
