/* SPDX-License-Identifier: BSD-3-Clause */
/* Protocol 1.0: the contents of the frames of kcoro_ipc_posix.h.
 *
 *   frame      u16 command, u16 zero, u32 bytes of payload; then the payload
 *   payload    attributes: u16 type, u16 bytes, value; no padding
 *
 * All numbers are big-endian; signed ones are the two's complement of 32 bits. A connection begins
 * with a HELLO each way. */
#ifndef KCORO_PROTO_H
#define KCORO_PROTO_H

#define KCORO_PROTO_ABI_MAJOR 1
#define KCORO_PROTO_ABI_MINOR 0

/* Bytes of a frame's header. */
#define KCORO_PROTO_HEAD_BYTES 8

enum kcoro_cmd {
    KCORO_CMD_UNSPEC = 0,
    KCORO_CMD_HELLO = 1,
    KCORO_CMD_GET_INFO = 2,
    KCORO_CMD_GET_STATS = 3,
    KCORO_CMD_SET_CONFIG = 4,
    KCORO_CMD_RESET_STATS = 5,
    KCORO_CMD_LIST = 6,
    KCORO_CMD_CHAN_MAKE = 10,
    KCORO_CMD_CHAN_SEND = 11,
    KCORO_CMD_CHAN_TRY_SEND = 12, /* answered with the number of CHAN_SEND */
    KCORO_CMD_CHAN_RECV = 13,
    KCORO_CMD_CHAN_TRY_RECV = 14, /* answered with the number of CHAN_RECV */
    KCORO_CMD_CHAN_CLOSE = 15,
    KCORO_CMD_CHAN_DESTROY = 16, /* has no answer */
    KCORO_CMD_ACTOR_START = 20, /* reserved: answered with -ENOSYS */
    KCORO_CMD_ACTOR_STOP = 21,  /* reserved: answered with -ENOSYS */
    KCORO_CMD_SELECT_SEND = 30,
    KCORO_CMD_SELECT_RECV = 31,
    KCORO_CMD_SELECT_REGISTER = 32,
    KCORO_CMD_SELECT_CANCEL = 33,
    KCORO_CMD_SELECT_NOTIFY = 34,
    KCORO_CMD_SELECT_CLAIM = 35
};

enum kcoro_attr {
    KCORO_ATTR_ABI_MAJOR = 1,
    KCORO_ATTR_ABI_MINOR = 2,
    KCORO_ATTR_CAPS = 3,
    KCORO_ATTR_ID = 4,
    KCORO_ATTR_KIND = 5,      /* enum kc_kind */
    KCORO_ATTR_ELEM_SIZE = 6, /* bytes, 1 to 65535 */
    KCORO_ATTR_CAPACITY = 7,
    KCORO_ATTR_TIMEOUT_MS = 8, /* signed: less than 0 is for ever */
    KCORO_ATTR_SEND_OPS = 9,
    KCORO_ATTR_RECV_OPS = 10,
    KCORO_ATTR_WAITERS_S = 11,
    KCORO_ATTR_WAITERS_R = 12,
    KCORO_ATTR_DROPS = 13,
    KCORO_ATTR_LAT_MIN = 14,
    KCORO_ATTR_LAT_MAX = 15,
    KCORO_ATTR_LAT_AVG = 16,
    KCORO_ATTR_FIFO_MAX = 17,
    KCORO_ATTR_CHAN_ID = 20,
    KCORO_ATTR_ELEMENT = 21,
    KCORO_ATTR_RESULT = 22, /* signed: 0, or an error number */
    KCORO_ATTR_ACTOR_ID = 23,
    KCORO_ATTR_MSG_SIZE = 24,
    KCORO_ATTR_SELECT_MASK = 25,
    KCORO_ATTR_REQ_ID = 26 /* repeated in the answer */
};

#endif
