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
)

// Bounds of one stream's incoming queue. At either, the host gets
// Backpressure, keeps the frame, and offers it again when there is room.
const (
	streamFramesMax = 64
	streamBytesMax  = 4 << 20
)

// Stream is a call that is answered by frames. Its request is part of it.
//
// Invariants of the incoming queue
//  1. Only push and close write to in, under inMu; so room that push saw stays.
//  2. starved is set before the second look for room and read after a frame was
//     taken: either push sees the room, or the receiver sees starved.
//
// Of the outgoing side
//  3. A sender gets the channel room before the try that may be refused: the
//     host's stream_room follows the refusal, and closes that channel or one
//     made later.
type Stream struct {
	Request
	in      chan []byte
	queued  atomic.Int64 // bytes in the channel
	starved atomic.Bool  // the host waits for stream_ready
	twoWay  bool
	ended   atomic.Bool // the terminal frame is sent
	inMu    sync.Mutex  // guards sending to in, and what follows
	closed  bool        // the host sends no more
	roomMu  sync.Mutex
	room    chan struct{} // closed when the stream is writable again; nil: no send waits
}

// Send sends one frame. When the host's queue is full it waits until the host
// calls stream_room, or the stream's context ends. On a host that does not know
// stream_room it waits until the stream ends at its idle limit.
func (s *Stream) Send(data []byte) error {
	if err := s.TrySend(data); err != ErrBackpressure {
		return err
	}
	ctx := s.Context()
	for {
		room := s.awaitRoom()
		if err := s.TrySend(data); err != ErrBackpressure {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitRoom returns a channel that the next hasRoomAgain closes.
func (s *Stream) awaitRoom() <-chan struct{} {
	s.roomMu.Lock()
	defer s.roomMu.Unlock()
	if s.room == nil {
		s.room = make(chan struct{})
	}
	return s.room
}

// hasRoomAgain handles stream_room: every waiting sender tries again.
func (s *Stream) hasRoomAgain() {
	s.roomMu.Lock()
	defer s.roomMu.Unlock()
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// TrySend sends one frame, or returns [ErrBackpressure] at once. [ErrTooLong]: the
// host takes no frame so long, and the stream goes on without it.
func (s *Stream) TrySend(data []byte) error {
	return errorOf(s.send(StatusOk, data))
}

// End ends the stream well, with a last frame that carries data. A handler that
// returns nil without it ends the stream with an empty one. [ErrTooLong]: the
// stream ended with TooLong instead.
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

// close handles stream_close: the host sends no more.
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
