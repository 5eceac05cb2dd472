// SPDX-License-Identifier: BSD-3-Clause

package becket

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra -fvisibility=hidden -I${SRCDIR}/include -I${SRCDIR}/../../crates/abi/include
// #include "abi.h"
import "C"

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// Handler answers one call.
type Handler func(req *Request) Response

// StreamHandler serves one stream, which ends when it returns: well for nil,
// with the status of a [StatusError], else with status Err and the error's text.
type StreamHandler func(s *Stream) error

type kind uint32

const (
	unary         kind = C.BK_ENTRY_UNARY
	stream        kind = C.BK_ENTRY_STREAM
	bidirectional kind = C.BK_ENTRY_BIDIRECTIONAL
)

type entry struct {
	name    string
	help    string
	kind    kind
	sync    bool
	handler Handler
	serve   StreamHandler
	// The texts in C, for describe.
	cName, cHelp *C.char
}

// callsMax bounds the handlers that run at once. The host has a bound of its
// own, but frees a caller at its deadline while the handler may still run.
const callsMax = 65_536

// shutdownWait is how long shutdown waits for handlers to notice that their
// context has ended.
const shutdownWait = 5 * time.Second

// Plugin is made by [NewPlugin], described by its methods, and handed to the
// host by [BuildPlugin]. Entries and hooks come before BuildPlugin; everything
// else may be used at any time, from any goroutine.
type Plugin struct {
	name    string
	version string
	config  string
	entries []entry
	byName  map[string]uint32

	neverBlocks bool

	onInit     func() error
	onShutdown func()
	onExport   func() ([]byte, error)
	onImport   func([]byte) error

	err      error // the first mistake in the description; init refuses for it
	c        *C.BkGoInstance
	calls    callTable
	running  atomic.Int64  // handlers
	stopping atomic.Bool   // shutdown waits for running to become 0
	idle     chan struct{} // it did
	metrics  metricList

	rootMu sync.Mutex
	root   context.Context
	stop   context.CancelCauseFunc
}

// NewPlugin begins the description of a plugin. Name and version are shown by
// the host; calls find the plugin by the name in the host's configuration.
func NewPlugin(name, version string) *Plugin {
	p := &Plugin{
		name:    name,
		version: version,
		byName:  make(map[string]uint32),
		idle:    make(chan struct{}, 1),
	}
	p.restart()
	return p
}

// EntryOption changes an entry that is added.
type EntryOption func(*entry)

// Help is one line on what the entry does, shown by tools.
func Help(text string) EntryOption { return func(e *entry) { e.help = text } }

// Handle adds an entry with one answer. The handler runs in a goroutine of its
// own and may block.
func (p *Plugin) Handle(name string, h Handler, options ...EntryOption) {
	p.add(entry{name: name, kind: unary, handler: h}, options)
}

// HandleSync adds an entry with one answer. The handler runs on the thread that
// calls the plugin, and reads the payload in place: see [Request.Payload]. That
// is a worker thread of the host, which it holds as long as it runs; or the
// caller's thread, where it must not block, if the plugin never blocks.
func (p *Plugin) HandleSync(name string, h Handler, options ...EntryOption) {
	p.add(entry{name: name, kind: unary, sync: true, handler: h}, options)
}

// HandleStream adds an entry that sends many frames. The handler runs in a
// goroutine of its own and may block.
func (p *Plugin) HandleStream(name string, h StreamHandler, options ...EntryOption) {
	p.add(entry{name: name, kind: stream, serve: h}, options)
}

// HandleBidirectional adds an entry with frames both ways. The handler runs in a
// goroutine of its own and may block.
func (p *Plugin) HandleBidirectional(name string, h StreamHandler, options ...EntryOption) {
	p.add(entry{name: name, kind: bidirectional, serve: h}, options)
}

// OnInit runs before the first call, with the configuration at hand. An error
// refuses the load.
func (p *Plugin) OnInit(f func() error) { p.hook(func() { p.onInit = f }) }

// OnShutdown runs after the last call, when [Plugin.Context] has ended.
func (p *Plugin) OnShutdown(f func()) { p.hook(func() { p.onShutdown = f }) }

// OnReload hands state from one version of the plugin to the next: export runs
// in the old one when its calls are done, restore in the new one before its
// first call.
func (p *Plugin) OnReload(export func() ([]byte, error), restore func(state []byte) error) {
	p.hook(func() { p.onExport, p.onImport = export, restore })
}

// NeverBlocks promises that no synchronous handler ever blocks or computes for
// long: the host may then call them on the threads of its callers, which may be
// those of an async executor. Without it they are called on worker threads.
// Handlers on goroutines are called from neither. A plugin that is found stuck
// on a caller's thread runs on workers until its next load.
func (p *Plugin) NeverBlocks() { p.hook(func() { p.neverBlocks = true }) }

// ConfigDefault is the plugin's default configuration, a JSON object; the host's
// is merged over it.
func (p *Plugin) ConfigDefault(json string) { p.hook(func() { p.config = json }) }

// Context ends when the plugin shuts down. For goroutines beside the calls.
func (p *Plugin) Context() context.Context {
	p.rootMu.Lock()
	defer p.rootMu.Unlock()
	return p.root
}

// plugins are those that were built, by the index in their BkGoInstance; a
// library has one, a test binary many. The list is replaced, never changed.
var (
	plugins   atomic.Pointer[[]*Plugin]
	pluginsMu sync.Mutex
	exported  atomic.Pointer[Plugin]
)

// BuildPlugin ends the description: from now on the library exports p. Call it
// from func init, once.
//
// A mistake in the description (two entries of one name, one without a handler)
// is not a panic, which would end the host: the host's load fails, and the log
// says why.
func BuildPlugin(p *Plugin) {
	p.build()
	if !exported.CompareAndSwap(nil, p) {
		exported.Load().mistake("BuildPlugin was called twice: for %q and for %q",
			exported.Load().name, p.name)
	}
}

// Info is the plugin's NrPluginInfo, for a host in the same binary, such as
// beckettest. It lives for the rest of the process.
func (p *Plugin) Info() unsafe.Pointer {
	p.build()
	return unsafe.Pointer(&p.c.info)
}

func (p *Plugin) build() {
	pluginsMu.Lock()
	defer pluginsMu.Unlock()
	if p.c != nil {
		return
	}
	var list []*Plugin
	if old := plugins.Load(); old != nil {
		list = append(list, *old...)
	}
	for i := range p.entries {
		p.entries[i].cName = C.CString(p.entries[i].name)
		p.entries[i].cHelp = C.CString(p.entries[i].help)
	}
	p.c = C.bk_go_instance_new(C.uint32_t(len(list)),
		C.CString(p.name), C.uint32_t(len(p.name)),
		C.CString(p.version), C.uint32_t(len(p.version)),
		C.CString(p.config), C.uint32_t(len(p.config)), cBool(p.onExport != nil), cBool(p.onImport != nil),
		cBool(p.neverBlocks))
	list = append(list, p)
	plugins.Store(&list)
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func (p *Plugin) add(e entry, options []EntryOption) {
	p.hook(func() {
		for _, option := range options {
			option(&e)
		}
		if _, taken := p.byName[e.name]; taken {
			p.mistake("two entries are named %q", e.name)
			return
		}
		if e.handler == nil && e.serve == nil {
			p.mistake("entry %q has no handler", e.name)
			return
		}
		p.byName[e.name] = uint32(len(p.entries))
		p.entries = append(p.entries, e)
	})
}

// hook changes the description, unless the host may read it already.
func (p *Plugin) hook(change func()) {
	if p.c != nil {
		p.mistake("plugin %q was changed after BuildPlugin", p.name)
		return
	}
	change()
}

func (p *Plugin) mistake(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// restart makes the context that the next shutdown ends.
func (p *Plugin) restart() {
	p.rootMu.Lock()
	defer p.rootMu.Unlock()
	p.root, p.stop = context.WithCancelCause(context.Background())
	p.stopping.Store(false)
}

// begin counts a handler in; false at the bound.
func (p *Plugin) begin() bool {
	if p.running.Add(1) > callsMax {
		p.end()
		return false
	}
	return true
}

func (p *Plugin) end() {
	if p.running.Add(-1) == 0 && p.stopping.Load() {
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}
}

// drain ends every context and waits for the handlers, but not for ever: the
// image stays mapped, so that one which does not listen does no harm.
func (p *Plugin) drain() {
	p.stopping.Store(true)
	p.rootMu.Lock()
	p.stop(ErrShutdown)
	p.rootMu.Unlock()
	limit := time.NewTimer(shutdownWait)
	defer limit.Stop()
	for p.running.Load() > 0 {
		select {
		case <-p.idle:
		case <-limit.C:
			p.Log(LevelWarn, p.name, fmt.Sprintf("shutdown: %d handlers still run after %s",
				p.running.Load(), shutdownWait))
			return
		}
	}
}
