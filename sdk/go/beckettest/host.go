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

// The host is that of the SDK for C, sdk/c/becket_fake_host.h.

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -fvisibility=hidden -pthread
// #cgo CFLAGS: -I${SRCDIR}/../include -I${SRCDIR}/../../../crates/abi/include -I${SRCDIR}/../../c
// #include "fake.h"
import "C"

import (
	"bytes"
	"runtime/cgo"
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
	t      testing.TB
	info   *C.NrPluginInfo
	c      *C.BkFakeHost // never freed: a plugin may call after the test's end
	extras C.int

	mu      sync.Mutex
	streams map[uint64]*Stream // for stream_ready
}

// Log is one message that the plugin gave to the host.
type Log struct {
	Level   becket.Level
	Target  string
	Message string
}

// Option changes the host before the plugin is loaded.
type Option func(*Host)

// Config is the plugin's configuration: the whole as JSON, and its values by
// dotted key.
func Config(json string, values map[string]string) Option {
	return func(h *Host) {
		h.c.config_json = C.CString(json)
		for key, value := range values {
			C.bk_fake_config(h.c, C.CString(key), C.CString(value))
		}
	}
}

// FramesMax bounds a stream's unread frames; by default 1024.
func FramesMax(n int) Option { return func(h *Host) { h.c.frames_max = C.uint64_t(n) } }

// PayloadBytesMax bounds an answer or frame; by default 64 MiB. A longer one is
// refused with TooLong: an answer or a last frame ends its call so.
func PayloadBytesMax(n int) Option {
	return func(h *Host) { h.c.payload_bytes_max = C.uint64_t(n) }
}

// Deadline is that of every call; by default there is none. No clock runs in the
// host: a handler that asks for its time gets the whole of it.
func Deadline(d time.Duration) Option {
	return func(h *Host) { h.c.deadline_ms = C.uint64_t(d.Milliseconds()) }
}

// WithoutExtras is a host that knows send_result and nothing else.
func WithoutExtras() Option { return func(h *Host) { h.extras = 0 } }

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
		t:       t,
		info:    (*C.NrPluginInfo)(p.Info()),
		c:       C.bk_fake_new(),
		extras:  1,
		streams: make(map[uint64]*Stream),
	}
	h.c.config_json = C.CString("")
	h.c.user = C.uintptr_t(cgo.NewHandle(h))
	h.c.api.stream_ready = (*[0]byte)(C.bk_test_stream_ready)
	for _, option := range options {
		option(h)
	}
	status := becket.Status(C.bk_fake_load(h.c, h.info, h.extras))
	if status == becket.StatusOk {
		t.Cleanup(func() { C.bk_fake_unload(h.c) })
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
	host  *Host
	sid   C.uint64_t
	ready chan struct{} // one token: stream_ready was called since it was last taken
}

// Open calls an entry and does not wait.
func (h *Host) Open(entry string, r Request) *Stream {
	h.t.Helper()
	name := C.CString(entry)
	defer C.free(unsafe.Pointer(name))
	var described C.BkEntryInfo
	id := C.bk_test_describe(h.c, name, &described)
	if id == C.BK_ENTRY_UNKNOWN {
		h.t.Fatalf("the plugin has no entry %q", entry)
	}
	streams := C.int(0)
	if described.kind != C.BK_ENTRY_UNARY {
		streams = 1
	}
	s := &Stream{host: h, ready: make(chan struct{}, 1)}
	s.sid = C.bk_fake_begin(h.c, streams)
	h.mu.Lock()
	h.streams[uint64(s.sid)] = s
	h.mu.Unlock()

	request, free := r.inC()
	defer free()
	payload := C.CBytes(r.Payload)
	defer C.free(payload)
	C.bk_test_handle(h.c, id, s.sid, request, (*C.uint8_t)(payload), C.uint64_t(len(r.Payload)))
	return s
}

// Next waits for the next frame, or for the answer; the test fails if none comes
// within 30 s. If a frame was refused for want of room, it calls stream_room.
func (s *Stream) Next() Frame {
	s.host.t.Helper()
	frame := C.bk_fake_wait(s.host.c, s.sid, C.uint64_t(waitMax.Milliseconds()))
	if frame == nil {
		s.host.t.Fatal("the plugin does not answer")
		return Frame{}
	}
	data := bytes.Clone(unsafe.Slice((*byte)(frame.data), int(frame.len)))
	return Frame{Status: becket.Status(frame.status), Data: data}
}

// Send sends one frame to the plugin.
func (s *Stream) Send(data []byte) becket.Status {
	copied := C.CBytes(data)
	defer C.free(copied)
	view := C.bk_fake_bytes(copied, C.uint64_t(len(data)))
	return becket.Status(C.bk_fake_stream_data(s.host.c, s.sid, view))
}

// Ready gets a token after the plugin has called stream_ready.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Close notifies the plugin that the host sends no more.
func (s *Stream) Close() becket.Status {
	return becket.Status(C.bk_fake_stream_close(s.host.c, s.sid))
}

// Cancel ends the call as a caller that leaves.
func (s *Stream) Cancel() becket.Status {
	return becket.Status(C.bk_fake_cancel(s.host.c, s.sid))
}

// Logs are the messages so far.
func (h *Host) Logs() []Log {
	var logs []Log
	for line := C.bk_fake_logs(h.c); line != nil; line = line.next {
		logs = append(logs, Log{becket.Level(line.level), C.GoString(line.name), C.GoString(line.text)})
	}
	slices.Reverse(logs)
	return logs
}

// Metric is a counter's or gauge's value, or a histogram's sum.
func (h *Host) Metric(name string) (value float64, ok bool) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	ok = C.bk_fake_metric_read(h.c, text, (*C.double)(&value)) != 0
	return value, ok
}

// Refused counts the answers to calls without a caller, or that were too
// long.
func (h *Host) Refused() int { return int(C.bk_fake_refused(h.c)) }

// HandOver gives the state of one loaded plugin to another, as a reload does.
func (h *Host) HandOver(to *Host) becket.Status {
	return becket.Status(C.bk_test_reload(h.info, to.info))
}

// inC is the request in C's memory, which free ends.
func (r *Request) inC() (request *C.NrRequest, free func()) {
	var kept []unsafe.Pointer
	text := func(to *C.NrStr, s string) {
		p := C.CString(s)
		kept = append(kept, unsafe.Pointer(p))
		*to = C.bk_fake_str(p)
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
func hostile(h *Host) uint32 { return uint32(C.bk_test_hostile(h.info)) }

// smallHostCtx is what a plugin answers to a host whose context is a small number.
func smallHostCtx(p *becket.Plugin, entry string) becket.Status {
	name := C.CString(entry)
	defer C.free(unsafe.Pointer(name))
	return becket.Status(C.bk_test_small_host_ctx((*C.NrPluginInfo)(p.Info()), name))
}
