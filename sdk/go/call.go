// SPDX-License-Identifier: BSD-3-Clause

package becket

// #include "abi.h"
import "C"

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Call is what a [Request] and a [Stream] have in common: the id, the deadline,
// the state and the buffers of one call. Its methods may be used from any
// goroutine, and fail with [ErrClosed] when the call is over.
type Call struct {
	plugin *Plugin
	sid    uint64
	stream *Stream     // this call as a stream; nil for a unary one
	lost   atomic.Bool // the host did not take a lease that was committed

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // of the deadline; nil without one
	over   bool               // the handler has returned
	gone   bool               // the call has no caller any more
}

// SID is the host's id of this call.
func (c *Call) SID() uint64 { return c.sid }

// Context ends at the call's deadline, when its caller leaves, when the plugin
// shuts down, and when the handler has returned. [context.Cause] tells which.
//
// It is made on first use, so that a handler which needs none pays nothing. A
// cancellation that came before is not missed: the host is asked after the call
// stands in the table that cancellations are looked up in.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	ctx := c.ctx
	c.mu.Unlock()
	if ctx != nil {
		return ctx
	}
	c.plugin.calls.add(c.sid, c)
	// The host is asked without the lock: cancel may come meanwhile, and takes it. A
	// call without a caller has no time left, so its time is asked for first.
	left := uint64(C.bk_go_remaining_ms(c.plugin.c, C.uint64_t(c.sid)))
	gone := c.isOver()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.gone = c.gone || gone
		c.makeContextLocked(left)
	}
	return c.ctx
}

func (c *Call) makeContextLocked(leftMs uint64) {
	parent := c.plugin.Context()
	if c.gone {
		parent = context.Background() // so that the cause is ours, also at shutdown
	}
	c.ctx, c.cancel = context.WithCancelCause(parent)
	if !c.gone && leftMs <= uint64(maxDuration/time.Millisecond) {
		c.ctx, c.stop = context.WithTimeout(c.ctx, time.Duration(leftMs)*time.Millisecond)
	}
	if c.gone {
		c.cancel(ErrCancelled)
	}
	if c.over {
		c.endLocked()
	}
}

const maxDuration time.Duration = 1<<63 - 1

// State is the value kept under key in this call, as the plugin's own copy;
// [ErrNoState] if there is none.
func (c *Call) State(key string) ([]byte, error) {
	text, n := cText(key)
	buf := make([]byte, 256)
	for {
		got := C.bk_go_state_get(c.plugin.c, C.uint64_t(c.sid), text, n,
			(*C.uint8_t)(unsafe.SliceData(buf)), C.uint64_t(len(buf)))
		switch {
		case Status(got.status) == StatusErr:
			return nil, ErrNoState
		case got.status != 0:
			return nil, errorOf(Status(got.status))
		case uint64(got.len) <= uint64(len(buf)):
			return buf[:got.len], nil
		}
		buf = make([]byte, got.len)
	}
}

// SetState keeps a copy of value under key until the call ends.
// [ErrBackpressure]: the plugin's quota is used up.
func (c *Call) SetState(key string, value []byte) error {
	text, n := cText(key)
	ptr, size := cBytes(value)
	return errorOf(Status(C.bk_go_state_set(c.plugin.c, C.uint64_t(c.sid), text, n, ptr, size)))
}

// Lease is a buffer of the host that an answer is written into in place.
type Lease struct {
	// Bytes is the buffer, valid until Commit or Release.
	Bytes []byte
	call  *Call
	token uint64
	size  int
}

// Lease asks the host for a buffer of n bytes or more. Commit it and return
// [Answered], or Release it.
func (c *Call) Lease(n int) (*Lease, error) {
	l := C.bk_go_lease_acquire(c.plugin.c, C.uint64_t(c.sid), C.uint64_t(n))
	if l.token == 0 || uint64(l.cap) > uint64(maxDuration) {
		return nil, ErrBackpressure
	}
	buf := unsafe.Slice((*byte)(l.ptr), int(l.cap))
	return &Lease{Bytes: buf, call: c, token: uint64(l.token), size: len(buf)}, nil
}

// Commit sends the first n bytes. The lease is over, unless this returns
// [ErrBackpressure]. [ErrTooLong]: n is more than the buffer holds, or than the
// host takes. After an error the handler may answer otherwise; one that returns [Answered] all the
// same fails the call with Err.
func (l *Lease) Commit(status Status, n int) error {
	err := l.commit(status, n)
	if err != ErrBackpressure {
		l.Bytes = nil
	}
	if err != nil {
		l.call.lost.Store(true)
	}
	return err
}

func (l *Lease) commit(status Status, n int) error {
	if n < 0 || n > l.size {
		if err := l.Release(); err != nil {
			return err
		}
		return ErrTooLong
	}
	return errorOf(Status(C.bk_go_lease_commit(l.call.plugin.c, C.uint64_t(l.call.sid),
		C.NrStatus(status), C.uint64_t(l.token), C.uint64_t(n))))
}

// Release gives the buffer back unused.
func (l *Lease) Release() error {
	l.Bytes = nil
	return errorOf(Status(C.bk_go_lease_release(l.call.plugin.c, C.uint64_t(l.token))))
}

// send answers, or sends one frame.
func (c *Call) send(status Status, data []byte) Status {
	ptr, n := cBytes(data)
	return Status(C.bk_go_send(c.plugin.c, C.uint64_t(c.sid), C.NrStatus(status), ptr, n))
}

// given is what a handler returned; a refusal, if that is Answered and the host
// did not take the answer.
func (c *Call) given(response Response) Response {
	answered := response.Refused && response.Status == StatusOk
	if answered && c.lost.Load() && !c.isOver() {
		return Refuse(StatusErr)
	}
	return response
}

// isOver asks the host; false also if the host lacks is_cancelled.
func (c *Call) isOver() bool {
	return C.bk_go_is_cancelled(c.plugin.c, C.uint64_t(c.sid)) != 0
}

// cancelled ends the call of a caller that left; false if that was known.
func (c *Call) cancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.gone = true
	if c.ctx != nil {
		c.cancel(ErrCancelled)
	}
	return true
}

// finish is the end of the handler.
func (c *Call) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.ctx != nil {
		c.endLocked()
	}
}

func (c *Call) endLocked() {
	if c.stop != nil {
		c.stop()
	}
	c.cancel(nil)
	c.plugin.calls.remove(c.sid, c)
}

// callTable finds the calls that can be cancelled by their id: those whose
// context was asked for. Sharded, since every vtable call may come from another
// thread.
type callTable struct {
	shards [callShards]struct {
		mu    sync.Mutex
		calls map[uint64]*Call
	}
}

const callShards = 64

func (t *callTable) add(sid uint64, c *Call) {
	s := &t.shards[shardOf(sid)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = make(map[uint64]*Call)
	}
	s.calls[sid] = c
}

func (t *callTable) remove(sid uint64, c *Call) {
	s := &t.shards[shardOf(sid)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[sid] == c {
		delete(s.calls, sid)
	}
}

func (t *callTable) find(sid uint64) *Call {
	s := &t.shards[shardOf(sid)]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[sid]
}

// An id is an index and a generation, in halves whose order is the host's.
func shardOf(sid uint64) uint64 { return (sid ^ sid>>32) % callShards }

// cBytes and cText are for the length of one call into C.
func cBytes(b []byte) (*C.uint8_t, C.uint64_t) {
	return (*C.uint8_t)(unsafe.SliceData(b)), C.uint64_t(len(b))
}

func cText(s string) (*C.char, C.uint32_t) {
	if uint64(len(s)) > 1<<32-1 {
		s = s[:1<<32-1]
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.uint32_t(len(s))
}
