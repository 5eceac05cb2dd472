// SPDX-License-Identifier: BSD-3-Clause

package becket

// What the host calls, by way of abi.c, which has checked every view. Each
// function recovers: a panic that leaves Go ends the process.

// #include "abi.h"
import "C"

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"unsafe"
)

//export bkGoPlugin
func bkGoPlugin() *C.NrPluginInfo {
	p := exported.Load()
	if p == nil {
		return nil
	}
	return &p.c.info
}

func pluginAt(index C.uint32_t) *Plugin { return (*plugins.Load())[index] }

//export bkGoAttach
func bkGoAttach(index C.uint32_t) C.NrStatus {
	pluginAt(index).metrics.register()
	return 0
}

//export bkGoInit
func bkGoInit(index C.uint32_t) (status C.NrStatus) {
	p := pluginAt(index)
	if p.err != nil {
		p.Log(LevelError, p.name, "error: the plugin is described wrongly\ncause: "+p.err.Error())
		return C.NrStatus(StatusInvalid)
	}
	defer p.recoverInto(&status, "init")
	p.restart()
	if p.onInit == nil {
		return 0
	}
	if err := p.onInit(); err != nil {
		p.Log(LevelError, p.name, "error: the plugin does not start\ncause: "+err.Error())
		return statusOf(err)
	}
	return 0
}

//export bkGoShutdown
func bkGoShutdown(index C.uint32_t) {
	p := pluginAt(index)
	var status C.NrStatus
	defer p.recoverInto(&status, "shutdown")
	p.drain()
	if p.onShutdown != nil {
		p.onShutdown()
	}
	// The runtime stays for as long as the process lives; its memory need not.
	debug.FreeOSMemory()
}

//export bkGoResolve
func bkGoResolve(index C.uint32_t, name *C.uint8_t, n C.uint32_t) C.uint32_t {
	id, ok := pluginAt(index).byName[unsafe.String((*byte)(name), int(n))]
	if !ok {
		return C.BK_ENTRY_UNKNOWN
	}
	return C.uint32_t(id)
}

//export bkGoHandle
func bkGoHandle(index C.uint32_t, name *C.uint8_t, n C.uint32_t, sid C.uint64_t,
	request *C.NrRequest, payload *C.uint8_t, size C.uint64_t) C.NrStatus {
	p := pluginAt(index)
	id, ok := p.byName[unsafe.String((*byte)(name), int(n))]
	if !ok {
		return C.NrStatus(StatusUnsupported)
	}
	return p.handle(&p.entries[id], uint64(sid), request, unsafe.Slice((*byte)(payload), int(size)))
}

//export bkGoHandleByID
func bkGoHandleByID(index, id C.uint32_t, sid C.uint64_t, request *C.NrRequest,
	payload *C.uint8_t, size C.uint64_t) C.NrStatus {
	p := pluginAt(index)
	if uint64(id) >= uint64(len(p.entries)) {
		return C.NrStatus(StatusUnsupported)
	}
	return p.handle(&p.entries[id], uint64(sid), request, unsafe.Slice((*byte)(payload), int(size)))
}

//export bkGoStreamData
func bkGoStreamData(index C.uint32_t, sid C.uint64_t, data *C.uint8_t, n C.uint64_t) C.NrStatus {
	c := pluginAt(index).calls.find(uint64(sid))
	if c == nil || c.stream == nil {
		return C.NrStatus(StatusInvalid)
	}
	return C.NrStatus(c.stream.push(unsafe.Slice((*byte)(data), int(n))))
}

//export bkGoStreamClose
func bkGoStreamClose(index C.uint32_t, sid C.uint64_t) C.NrStatus {
	c := pluginAt(index).calls.find(uint64(sid))
	if c == nil || c.stream == nil {
		return C.NrStatus(StatusInvalid)
	}
	return C.NrStatus(c.stream.close())
}

//export bkGoStreamRoom
func bkGoStreamRoom(index C.uint32_t, sid C.uint64_t) C.NrStatus {
	c := pluginAt(index).calls.find(uint64(sid))
	if c == nil || c.stream == nil {
		return C.NrStatus(StatusInvalid)
	}
	c.stream.hasRoomAgain()
	return 0
}

//export bkGoCancel
func bkGoCancel(index C.uint32_t, sid C.uint64_t) C.NrStatus {
	c := pluginAt(index).calls.find(uint64(sid))
	if c == nil || !c.cancelled() {
		return C.NrStatus(StatusInvalid)
	}
	return 0
}

//export bkGoDescribe
func bkGoDescribe(index, id C.uint32_t, out *C.BkEntryInfo) C.NrStatus {
	p := pluginAt(index)
	if uint64(id) >= uint64(len(p.entries)) {
		return C.NrStatus(StatusInvalid)
	}
	e := &p.entries[id]
	out.kind = C.uint32_t(e.kind)
	C.bk_go_set_str(&out.name, e.cName, C.uint32_t(len(e.name)))
	C.bk_go_set_str(&out.help, e.cHelp, C.uint32_t(len(e.help)))
	return 0
}

//export bkGoReloadExport
func bkGoReloadExport(index C.uint32_t, out *C.NrOwnedBytes) (status C.NrStatus) {
	p := pluginAt(index)
	defer p.recoverInto(&status, "reload export")
	state, err := p.onExport()
	if err != nil {
		p.Log(LevelError, p.name, "error: no state to hand over\ncause: "+err.Error())
		return statusOf(err)
	}
	ptr, n := cBytes(state)
	return C.bk_go_export(out, ptr, n)
}

//export bkGoReloadImport
func bkGoReloadImport(index C.uint32_t, state *C.uint8_t, n C.uint64_t) (status C.NrStatus) {
	p := pluginAt(index)
	defer p.recoverInto(&status, "reload import")
	if err := p.onImport(bytes.Clone(unsafe.Slice((*byte)(state), int(n)))); err != nil {
		p.Log(LevelError, p.name, "error: the state handed over is refused\ncause: "+err.Error())
		return statusOf(err)
	}
	return 0
}

// handle runs an entry: here, or in a goroutine that owns a copy of everything.
func (p *Plugin) handle(e *entry, sid uint64, view *C.NrRequest, payload []byte) (status C.NrStatus) {
	if !p.begin() {
		return C.NrStatus(StatusBackpressure)
	}
	if e.sync {
		return p.answerHere(e, &Request{Call: Call{plugin: p, sid: sid}, view: view, payload: payload})
	}
	if e.kind == unary {
		r := &Request{Call: Call{plugin: p, sid: sid}, view: view, payload: bytes.Clone(payload)}
		r.load()
		go p.answer(e, r)
		return 0
	}
	s := &Stream{
		Request: Request{Call: Call{plugin: p, sid: sid}, view: view, payload: bytes.Clone(payload)},
		twoWay:  e.kind == bidirectional,
	}
	s.Call.stream = s
	s.load()
	if s.twoWay {
		s.in = make(chan []byte, streamFramesMax)
	}
	s.Context() // from here on data, close and cancel find it
	go p.serve(e, s)
	return 0
}

func (p *Plugin) answerHere(e *entry, r *Request) (status C.NrStatus) {
	defer p.end()
	defer func() {
		r.finish()
		r.view, r.payload = nil, nil // the host's memory, for this call only
	}()
	defer p.recoverInto(&status, e.name)
	response := r.given(e.handler(r))
	if response.Refused {
		return C.NrStatus(response.Status)
	}
	r.send(response.Status, response.Data)
	return 0
}

func (p *Plugin) answer(e *entry, r *Request) {
	defer p.end()
	defer r.finish()
	response := Refuse(StatusPanic) // unless the handler returns
	defer func() {
		if v := recover(); v != nil {
			p.logPanic(e.name, v)
		}
		if !response.Refused || response.Status != StatusOk {
			r.send(response.Status, response.Data)
		}
	}()
	response = r.given(e.handler(r))
}

func (p *Plugin) serve(e *entry, s *Stream) {
	defer p.end()
	defer s.finish()
	status, last := StatusPanic, []byte(nil) // unless the handler returns
	defer func() {
		if v := recover(); v != nil {
			p.logPanic(e.name, v)
		}
		s.end(status, last)
	}()
	status, last = finalFrame(e.serve(s))
}

// recoverInto turns a panic of the deferring function into its status. A
// handler that left by runtime.Goexit cannot be recovered here: it ends the thread.
func (p *Plugin) recoverInto(status *C.NrStatus, where string) {
	if v := recover(); v != nil {
		p.logPanic(where, v)
		*status = C.NrStatus(StatusPanic)
	}
}

func (p *Plugin) logPanic(where string, v any) {
	p.Log(LevelError, p.name, fmt.Sprintf("panic in %s: %v\n%s", where, v, debug.Stack()))
}

// statusOf is for a hook that failed: never Ok.
func statusOf(err error) C.NrStatus {
	if status := StatusOf(err); status != StatusOk {
		return C.NrStatus(status)
	}
	return C.NrStatus(StatusErr)
}
