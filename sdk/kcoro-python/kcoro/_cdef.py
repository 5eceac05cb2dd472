# SPDX-License-Identifier: BSD-3-Clause
"""What this package uses of the C headers, word for word: a test compares it with them."""

CDEF = """
typedef struct kc_chan kc_chan_t;
typedef struct kc_select kc_select_t;
typedef struct kc_cancel kc_cancel_t;

int kc_cancel_create(kc_cancel_t **out, kc_cancel_t *parent);
void kc_cancel_trigger(kc_cancel_t *t);
int kc_cancel_is_set(const kc_cancel_t *t);
int kc_cancel_wait(const kc_cancel_t *t, long timeout_ms);
void kc_cancel_destroy(kc_cancel_t *t);

int kc_chan_make(kc_chan_t **out, int kind, size_t elem_sz, size_t capacity);
void kc_chan_destroy(kc_chan_t *ch);
void kc_chan_close(kc_chan_t *ch);
unsigned kc_chan_len(kc_chan_t *ch);
int kc_chan_send_c(kc_chan_t *ch, const void *msg, long timeout_ms, const kc_cancel_t *cancel);
int kc_chan_recv_c(kc_chan_t *ch, void *out, long timeout_ms, const kc_cancel_t *cancel);

struct kc_chan_stats {
    unsigned long total_sends;
    unsigned long total_recvs;
    unsigned long total_bytes_sent;
    unsigned long total_bytes_recv;
    long first_op_time_ns;
    long last_op_time_ns;
    double send_rate_ops_sec;
    double recv_rate_ops_sec;
    double send_rate_bytes_sec;
    double recv_rate_bytes_sec;
    double duration_sec;
};
int kc_chan_get_stats(kc_chan_t *ch, struct kc_chan_stats *out);

struct kc_chan_snapshot {
    void *chan;
    int kind;
    size_t elem_sz;
    size_t capacity;
    size_t count;
    unsigned capabilities;
    int closed;
    int zref_mode;
    int ptr_mode;
    unsigned long total_sends;
    unsigned long total_recvs;
    unsigned long total_bytes_sent;
    unsigned long total_bytes_recv;
    long first_op_time_ns;
    long last_op_time_ns;
    unsigned long send_eagain;
    unsigned long send_etime;
    unsigned long send_epipe;
    unsigned long recv_eagain;
    unsigned long recv_etime;
    unsigned long recv_epipe;
    unsigned long zref_sent;
    unsigned long zref_received;
    unsigned long zref_aborted_close;
    unsigned long rv_matches;
    unsigned long rv_cancels;
    unsigned long rv_zdesc_matches;
    double duration_sec;
};
int kc_chan_snapshot(kc_chan_t *ch, struct kc_chan_snapshot *out);

struct kc_chan_rate_sample {
    unsigned long delta_sends;
    unsigned long delta_recvs;
    unsigned long delta_bytes_sent;
    unsigned long delta_bytes_recv;
    unsigned long delta_send_eagain;
    unsigned long delta_recv_eagain;
    unsigned long delta_send_epipe;
    unsigned long delta_recv_epipe;
    unsigned long delta_rv_matches;
    unsigned long delta_rv_cancels;
    unsigned long delta_rv_zdesc_matches;
    double interval_sec;
    double sends_per_sec;
    double recvs_per_sec;
    double bytes_sent_per_sec;
    double bytes_recv_per_sec;
};
int kc_chan_compute_rate(const struct kc_chan_snapshot *prev, const struct kc_chan_snapshot *curr,
                         struct kc_chan_rate_sample *out);

int kc_select_create(kc_select_t **out, const kc_cancel_t *cancel);
void kc_select_destroy(kc_select_t *s);
int kc_select_add_recv(kc_select_t *s, kc_chan_t *ch, void *out);
int kc_select_add_send(kc_select_t *s, kc_chan_t *ch, const void *msg);
int kc_select_wait(kc_select_t *s, long timeout_ms, int *selected_index, int *op_result);

unsigned long kc_panics_contained(void);

typedef struct kc_ipc_conn kc_ipc_conn_t;
typedef struct kc_ipc_chan kc_ipc_chan_t;

int kc_ipc_connect(const char *sock_path, kc_ipc_conn_t **out);
int kc_ipc_hs_cli(kc_ipc_conn_t *c, uint32_t *peer_major, uint32_t *peer_minor);
void kc_ipc_conn_close(kc_ipc_conn_t *c);

int kc_ipc_chan_make(kc_ipc_conn_t *conn, int kind, size_t elem_sz, size_t capacity,
                     kc_ipc_chan_t **out);
int kc_ipc_chan_open(kc_ipc_conn_t *conn, uint32_t chan_id, int kind, size_t elem_sz,
                     kc_ipc_chan_t **out);
uint32_t kc_ipc_chan_id(const kc_ipc_chan_t *ch);
int kc_ipc_chan_send(kc_ipc_chan_t *ch, const void *msg, long timeout_ms);
int kc_ipc_chan_recv(kc_ipc_chan_t *ch, void *out, long timeout_ms);
int kc_ipc_chan_close(kc_ipc_chan_t *ch);
void kc_ipc_chan_destroy(kc_ipc_chan_t *ch);

typedef struct kc_ipc_server kc_ipc_server_t;
typedef struct kc_ipc_server_ctx kc_ipc_server_ctx_t;

int kc_ipc_srv_listen(const char *sock_path, kc_ipc_server_t **out);
int kc_ipc_srv_accept(kc_ipc_server_t *srv, kc_ipc_conn_t **out);
void kc_ipc_srv_close(kc_ipc_server_t *srv);
int kc_ipc_hs_srv(kc_ipc_conn_t *c, uint32_t *peer_major, uint32_t *peer_minor);
int kc_ipc_recv(kc_ipc_conn_t *c, uint16_t *cmd, uint8_t **payload, size_t *len);
kc_ipc_server_ctx_t *kc_ipc_server_ctx_create(void);
void kc_ipc_server_ctx_destroy(kc_ipc_server_ctx_t *ctx);
int kc_ipc_handle_command(kc_ipc_server_ctx_t *ctx, kc_ipc_conn_t *conn, uint16_t cmd,
                          const uint8_t *payload, size_t len);
"""
"""The last group has no class here: tests serve with it."""
