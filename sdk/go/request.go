// SPDX-License-Identifier: BSD-3-Clause

package becket

// #include "abi.h"
import "C"

import (
	"strings"
	"unsafe"
)

// Header is one header of a request, as the host received it.
type Header struct {
	Key   string
	Value string
}

// Request is one call. It carries the call's deadline, state and buffers too:
// see the methods of [Call].
type Request struct {
	Call
	payload []byte
	// The host's own memory, until its texts are asked for; nil afterwards.
	view    *C.NrRequest
	method  string
	path    string
	query   string
	headers []Header
}

// Method is upper case for HTTP; empty if the call carries none.
func (r *Request) Method() string { r.load(); return r.method }

// Path is without the query.
func (r *Request) Path() string { r.load(); return r.path }

// Query is without its question mark.
func (r *Request) Query() string { r.load(); return r.query }

// Headers are in the order in which they came.
func (r *Request) Headers() []Header { r.load(); return r.headers }

// Header is the first value under name, compared without regard to case.
func (r *Request) Header(name string) (value string, ok bool) {
	for _, h := range r.Headers() {
		if strings.EqualFold(h.Key, name) {
			return h.Value, true
		}
	}
	return "", false
}

// Payload is the request's body.
//
// In [Plugin.HandleSync] it is the host's memory: valid, and not to be written
// to, until the handler returns. Everywhere else it is the plugin's own.
func (r *Request) Payload() []byte { return r.payload }

// load copies the request's texts out of the host's memory: one buffer for all.
// On the host's thread it happens when one is asked for, else before the vtable
// call returns.
func (r *Request) load() {
	v := r.view
	if v == nil {
		return
	}
	r.view = nil
	var headers []C.NrHeader
	if v.headers_len > 0 {
		headers = unsafe.Slice(v.headers, int(v.headers_len))
	}
	size := int(v.method.len) + int(v.path.len) + int(v.query.len)
	for i := range headers {
		size += int(headers[i].key.len) + int(headers[i].value.len)
	}
	buf := make([]byte, 0, size)
	r.method = appendText(&buf, &v.method)
	r.path = appendText(&buf, &v.path)
	r.query = appendText(&buf, &v.query)
	if len(headers) > 0 {
		r.headers = make([]Header, len(headers))
		for i := range headers {
			r.headers[i].Key = appendText(&buf, &headers[i].key)
			r.headers[i].Value = appendText(&buf, &headers[i].value)
		}
	}
}

// appendText copies text to buf, which has room, and returns the copy in there.
// The length comes first: behind an empty view the address may be anything.
func appendText(buf *[]byte, text *C.NrStr) string {
	n := int(text.len)
	if n == 0 {
		return ""
	}
	start := len(*buf)
	*buf = append(*buf, unsafe.Slice((*byte)(text.ptr), n)...)
	return unsafe.String(&(*buf)[start], n)
}

// Response is the answer to a call. One that is longer than the host takes
// becomes TooLong, without bytes.
type Response struct {
	Status Status
	Data   []byte
	// Refused: do not answer; fail the call with Status. On the host's thread
	// that is what the vtable's handle returns.
	Refused bool
}

// OK is an answer with status Ok.
func OK(data []byte) Response { return Response{Data: data} }

// Fail is an answer with another status, and a text for the caller.
func Fail(status Status, message string) Response {
	return Response{Status: status, Data: []byte(message)}
}

// Refuse fails the call with status, without an answer.
func Refuse(status Status) Response { return Response{Status: status, Refused: true} }

// Answered is for a handler that has sent its answer itself, by
// [Lease.Commit].
func Answered() Response { return Response{Refused: true} }
