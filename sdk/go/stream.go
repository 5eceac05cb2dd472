// SPDX-License-Identifier: BSD-3-Clause

package becket

// #include "abi.h"
import "C"

import (
	"bytes"
	"context"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of one stream's incoming queue. At either, the host is told
// Backpressure, keeps the frame, and offers it again when there is room.
const (
	streamFramesMax = 64
	streamBytesMax  = 4 << 20
)

// sendWaitersMax bounds the threads that wait inside the host for room in a
// stream's queue: a goroutine that waits in C holds one. Further senders wait in
// Go.
const sendWaitersMax = 1024

// sendWait is how long one wait inside the host lasts at most.
const sendWait = time.Hour

// Stream is a call that is answered by frames. Its request is part of it.
//
// Invariants of the incoming queue
//  1. Only push and close write to in, under inMu; so room that push saw stays.
//  2. starved is set before the second look for room and read after a frame was
//     taken: either push sees the room, or the receiver sees starved.
type Stream struct {
	Request
	in      chan []byte
	queued  atomic.Int64 // bytes in the channel
	starved atomic.Bool  // the host waits for stream_ready
	twoWay  bool
	ended   atomic.Bool // the terminal frame is sent
	inMu    sync.Mutex  // guards sending to in, and what follows
	closed  bool        // the host sends no more
}

// Send sends one frame. When the host's queue is full it waits for room, until
// the stream's context ends.
func (s *Stream) Send(data []byte) error {
	if err := s.TrySend(data); err != ErrBackpressure {
		return err
	}
	ctx := s.Context()
	select {
	case s.plugin.senders <- struct{}{}:
		defer func() { <-s.plugin.senders }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ptr, n := cBytes(data)
	for ctx.Err() == nil {
		wait := sendWait
		if deadline, ok := ctx.Deadline(); ok {
			wait = min(wait, max(time.Until(deadline), 0))
		}
		status := Status(C.bk_go_send_wait(s.plugin.c, C.uint64_t(s.sid), C.NrStatus(StatusOk),
			ptr, n, C.uint64_t(wait/time.Millisecond+1)))
		switch status {
		case StatusBackpressure:
		case StatusUnsupported:
			return ErrBackpressure
		default:
			return errorOf(status)
		}
	}
	return context.Cause(ctx)
}

// TrySend sends one frame, or says [ErrBackpressure] at once.
func (s *Stream) TrySend(data []byte) error {
	return errorOf(s.send(StatusOk, data))
}

// End ends the stream well, with a last frame that carries data. A handler that
// returns nil without it ends the stream with an empty one.
func (s *Stream) End(data []byte) error {
	return s.end(StatusStreamEnd, data)
}

// end sends the terminal frame, unless one was sent: the host has a slot of its
// own for it, so that it is never Backpressure.
func (s *Stream) end(status Status, data []byte) error {
	if !s.ended.CompareAndSwap(false, true) {
		return ErrClosed
	}
	return errorOf(s.send(status, data))
}

// Recv is the next frame from the host. It is [io.EOF] after the host has closed
// its side and everything queued was received, and the cause of the context if
// that ends first.
func (s *Stream) Recv() ([]byte, error) {
	select {
	case frame, ok := <-s.in:
		return s.took(frame, ok)
	default:
	}
	ctx := s.Context()
	select {
	case frame, ok := <-s.in:
		return s.took(frame, ok)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Frames ranges over the frames from the host, until it closes its side or the
// context ends; [Stream.Context] tells which.
func (s *Stream) Frames() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			frame, err := s.Recv()
			if err != nil || !yield(frame) {
				return
			}
		}
	}
}

func (s *Stream) took(frame []byte, ok bool) ([]byte, error) {
	if !ok {
		return nil, io.EOF
	}
	s.queued.Add(-int64(len(frame)))
	if s.starved.CompareAndSwap(true, false) {
		C.bk_go_stream_ready(s.plugin.c, C.uint64_t(s.sid))
	}
	return frame, nil
}

// push queues a copy of the host's frame.
func (s *Stream) push(data []byte) Status {
	if !s.twoWay {
		return StatusUnsupported
	}
	s.inMu.Lock()
	defer s.inMu.Unlock()
	if s.closed || s.Context().Err() != nil {
		return StatusInvalid
	}
	if !s.hasRoom(len(data)) {
		s.starved.Store(true)
		if !s.hasRoom(len(data)) {
			return StatusBackpressure
		}
		s.starved.Store(false)
	}
	s.queued.Add(int64(len(data)))
	s.in <- bytes.Clone(data)
	return StatusOk
}

func (s *Stream) hasRoom(n int) bool {
	queued := s.queued.Load()
	return len(s.in) < cap(s.in) && (queued <= 0 || queued+int64(n) <= streamBytesMax)
}

// close is the host's word that it sends no more.
func (s *Stream) close() Status {
	if !s.twoWay {
		return StatusOk
	}
	s.inMu.Lock()
	defer s.inMu.Unlock()
	if s.closed {
		return StatusInvalid
	}
	s.closed = true
	close(s.in)
	return StatusOk
}
