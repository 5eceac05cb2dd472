// SPDX-License-Identifier: BSD-3-Clause

// Package beckettest is a host for unit tests of a plugin, in the test's own
// process. It calls the plugin through its C tables, as a host does.
//
//	func TestGreet(t *testing.T) {
//		host := beckettest.Load(t, newPlugin())
//		got := host.Call("greet", beckettest.Request{Path: "/ann"})
//		if string(got.Data) != "hello, /ann" {
//			t.Errorf("got %v %q", got.Status, got.Data)
//		}
//	}
package beckettest

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -fvisibility=hidden -I${SRCDIR}/../include -I${SRCDIR}/../../../crates/abi/include
// #include <stdlib.h>
// #include "fake.h"
import "C"

import (
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"becket.invalid/becket"
)

// waitMax fails a test that waits for an answer that does not come.
const waitMax = 30 * time.Second

// Host is one load of one plugin.
type Host struct {
	t         testing.TB
	number    uint32
	info      *C.NrPluginInfo
	framesMax int
	bytesMax  int
	deadline  time.Duration
	extras    bool
	config    string
	settings  map[string]string

	mu      sync.Mutex
	calls   map[uint64]*Stream
	lastSID uint64
	logs    []Log
	metrics []metric
	refused int
}

// Log is one message that the plugin gave to the host.
type Log struct {
	Level   becket.Level
	Target  string
	Message string
}

type metric struct {
	name  string
	kind  uint32
	value float64
}

// Option changes the host before the plugin is loaded.
type Option func(*Host)

// Config is the plugin's configuration: the whole as JSON, and its values by
// dotted key.
func Config(json string, values map[string]string) Option {
	return func(h *Host) { h.config, h.settings = json, values }
}

// FramesMax bounds a stream's unread frames; by default 1024.
func FramesMax(n int) Option { return func(h *Host) { h.framesMax = n } }

// PayloadBytesMax bounds an answer or frame; by default 64 MiB. A longer one is
// refused with TooLong: an answer or a last frame ends its call so.
func PayloadBytesMax(n int) Option { return func(h *Host) { h.bytesMax = n } }

// Deadline is that of every call; by default there is none.
func Deadline(d time.Duration) Option { return func(h *Host) { h.deadline = d } }

// WithoutExtras is a host that knows send_result and nothing else.
func WithoutExtras() Option { return func(h *Host) { h.extras = false } }

// Load attaches and inits the plugin, and shuts it down when the test ends. A
// plugin that refuses fails the test.
func Load(t testing.TB, p *becket.Plugin, options ...Option) *Host {
	t.Helper()
	h, status := TryLoad(t, p, options...)
	if status != becket.StatusOk {
		t.Fatalf("the plugin refused to load: %v; its log: %v", status, h.Logs())
	}
	return h
}

// TryLoad is Load for a plugin that may refuse.
func TryLoad(t testing.TB, p *becket.Plugin, options ...Option) (*Host, becket.Status) {
	h := &Host{
		t:         t,
		info:      (*C.NrPluginInfo)(p.Info()),
		framesMax: 1024,
		bytesMax:  64 << 20,
		extras:    true,
		calls:     make(map[uint64]*Stream),
	}
	for _, option := range options {
		option(h)
	}
	h.number = register(h)
	extras := C.int(0)
	if h.extras {
		extras = 1
	}
	status := becket.Status(C.bk_fake_load(h.info, C.uint32_t(h.number), extras))
	if status == becket.StatusOk {
		t.Cleanup(func() { C.bk_fake_shutdown(h.info) })
	}
	return h, status
}

// Request is what a call carries.
type Request struct {
	Method, Path, Query string
	Headers             []becket.Header
	Payload             []byte
}

// Frame is an answer, or one frame of a stream.
type Frame struct {
	Status becket.Status
	Data   []byte
}

// Call calls an entry and waits for its answer. A status that handle returns
// instead of Ok is the answer.
func (h *Host) Call(entry string, r Request) Frame {
	h.t.Helper()
	return h.Open(entry, r).Next()
}

// Stream is a call that was opened; its answers wait in a bounded queue.
type Stream struct {
	host   *Host
	sid    uint64
	unary  bool
	ready  chan struct{} // one token: stream_ready was said since it was last taken
	done   chan struct{} // closed when the caller has left
	frames chan Frame    // one place more than framesMax, for the terminal frame

	mu        sync.Mutex // guards sending to frames, and what follows
	over      bool
	full      bool // a frame was refused since the last stream_room
	cancelled bool
	state     map[string][]byte
	began     time.Time
}

// Open calls an entry and does not wait.
func (h *Host) Open(entry string, r Request) *Stream {
	h.t.Helper()
	name := C.CString(entry)
	defer C.free(unsafe.Pointer(name))
	id := C.bk_fake_resolve(h.info, name, C.uint32_t(len(entry)))
	var described C.BkEntryInfo
	if C.bk_fake_describe(h.info, id, &described) != 0 {
		h.t.Fatalf("the plugin has no entry %q", entry)
	}
	s := &Stream{
		host:   h,
		unary:  described.kind == C.BK_ENTRY_UNARY,
		ready:  make(chan struct{}, 1),
		done:   make(chan struct{}),
		frames: make(chan Frame, h.framesMax+1),
		state:  make(map[string][]byte),
		began:  time.Now(),
	}
	h.mu.Lock()
	h.lastSID++
	s.sid = h.lastSID<<32 | 0xbe
	h.calls[s.sid] = s
	h.mu.Unlock()

	request, free := r.inC()
	defer free()
	payload := C.CBytes(r.Payload)
	defer C.free(payload)
	status := becket.Status(C.bk_fake_handle(h.info, id, C.uint64_t(s.sid), request,
		(*C.uint8_t)(payload), C.uint64_t(len(r.Payload))))
	if status != becket.StatusOk && s.push(status, nil) != becket.StatusOk {
		h.refuse()
	}
	return s
}

// Next waits for the next frame, or for the answer. If a frame was refused for
// want of room, it tells the plugin that there is room.
func (s *Stream) Next() Frame {
	s.host.t.Helper()
	limit := time.NewTimer(waitMax)
	defer limit.Stop()
	select {
	case frame := <-s.frames:
		s.mu.Lock()
		room := s.full && !s.over
		s.full = false
		s.mu.Unlock()
		if room {
			C.bk_fake_stream_room(s.host.info, C.uint64_t(s.sid))
		}
		return frame
	case <-limit.C:
		s.host.t.Fatal("the plugin does not answer")
		return Frame{}
	}
}

// Send sends one frame to the plugin.
func (s *Stream) Send(data []byte) becket.Status {
	copied := C.CBytes(data)
	defer C.free(copied)
	return becket.Status(C.bk_fake_stream_data(s.host.info, C.uint64_t(s.sid),
		(*C.uint8_t)(copied), C.uint64_t(len(data))))
}

// Ready gets a token after the plugin has said that it has room again.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Close says that the host sends no more.
func (s *Stream) Close() becket.Status {
	return becket.Status(C.bk_fake_stream_close(s.host.info, C.uint64_t(s.sid)))
}

// Cancel ends the call as a caller that leaves.
func (s *Stream) Cancel() becket.Status {
	s.mu.Lock()
	if !s.cancelled {
		s.over, s.cancelled = true, true
		close(s.done)
	}
	s.mu.Unlock()
	return becket.Status(C.bk_fake_cancel(s.host.info, C.uint64_t(s.sid)))
}

// Logs are the messages so far.
func (h *Host) Logs() []Log {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.logs)
}

// Metric is a counter's sum, a gauge's value or a histogram's last one.
func (h *Host) Metric(name string) (value float64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.metrics {
		if m.name == name {
			return m.value, true
		}
	}
	return 0, false
}

// Refused counts the answers to calls without a caller, or that were too
// long.
func (h *Host) Refused() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refused
}

func (h *Host) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused++
}

// HandOver gives the state of one loaded plugin to another, as a reload does.
func (h *Host) HandOver(to *Host) becket.Status {
	return becket.Status(C.bk_fake_reload(h.info, to.info))
}

// push takes a frame as the host does: bounded, but for the terminal one.
func (s *Stream) push(status becket.Status, data []byte) becket.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.unary || status != becket.StatusOk
	switch {
	case s.over:
		return becket.StatusInvalid
	case len(data) > s.host.bytesMax:
		if last {
			s.over = true
			s.frames <- Frame{Status: becket.StatusTooLong}
		}
		return becket.StatusTooLong
	case !last && len(s.frames) >= s.host.framesMax:
		s.full = true
		return becket.StatusBackpressure
	}
	s.over = last
	s.frames <- Frame{Status: status, Data: data}
	return becket.StatusOk
}

// inC is the request in C's memory, which free ends.
func (r *Request) inC() (request *C.NrRequest, free func()) {
	var kept []unsafe.Pointer
	text := func(to *C.NrStr, s string) {
		p := C.CString(s)
		kept = append(kept, unsafe.Pointer(p))
		C.bk_fake_str(to, p, C.uint32_t(len(s)))
	}
	request = (*C.NrRequest)(C.calloc(1, C.size_t(unsafe.Sizeof(*request))))
	kept = append(kept, unsafe.Pointer(request))
	text(&request.method, r.Method)
	text(&request.path, r.Path)
	text(&request.query, r.Query)
	if n := len(r.Headers); n > 0 {
		request.headers = (*C.NrHeader)(C.calloc(C.size_t(n), C.size_t(unsafe.Sizeof(C.NrHeader{}))))
		request.headers_len = C.uint32_t(n)
		kept = append(kept, unsafe.Pointer(request.headers))
		headers := unsafe.Slice(request.headers, n)
		for i, h := range r.Headers {
			text(&headers[i].key, h.Key)
			text(&headers[i].value, h.Value)
		}
	}
	return request, func() {
		for _, p := range kept {
			C.free(p)
		}
	}
}

// hostile is the number of the first bad view that the plugin took, or 0.
func hostile(h *Host) uint32 { return uint32(C.bk_fake_hostile(h.info)) }
