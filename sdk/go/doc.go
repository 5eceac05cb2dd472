// SPDX-License-Identifier: BSD-3-Clause

// Package becket makes Becket plugins in Go.
//
//	package main
//
//	import "becket.invalid/becket"
//
//	func init() {
//		p := becket.NewPlugin("hello", "1.0.0")
//		p.Handle("greet", func(req *becket.Request) becket.Response {
//			return becket.OK([]byte("hello, " + req.Path()))
//		})
//		becket.BuildPlugin(p)
//	}
//
//	func main() {} // never runs; c-shared wants it
//
// Built with
//
//	go build -buildmode=c-shared -o libhello.so .
//
// # Which handler
//
//   - [Plugin.Handle]: one answer, from a goroutine of its own. It may block.
//   - [Plugin.HandleSync]: one answer, on a thread of the host, with the payload
//     in place. For work that is over in microseconds: it holds the thread.
//   - [Plugin.HandleStream]: many frames out, from a goroutine.
//   - [Plugin.HandleBidirectional]: frames both ways, from a goroutine.
//
// A call's [context.Context] carries the host's deadline, and is cancelled when
// no caller waits for the answer any more. A panic in a handler is recovered,
// logged with its stack, and answered with [StatusPanic].
//
// # What a Go plugin cannot do
//
// One Go runtime lives in each plugin file: its garbage collector, its threads
// and its signal handlers. It starts when the file is loaded, and it never ends.
// So a Go plugin is never unmapped, and a host refuses to reload one: that would
// start a second runtime beside the first, whose memory and threads stay until
// the process ends. Restart the host instead, or run the plugin in a process of
// its own (placement = "process"), where it is reloaded.
//
// A panic outside of handlers and hooks (in func init, or in a goroutine that
// the plugin started itself) ends the whole process, as in any Go program. So do
// Go's fatal errors: concurrent map writes, out of memory, stack overflow.
//
// Timers need nothing from the host: use package time together with
// [Request.Context], or with [Plugin.Context] for work beside the calls.
//
// Package becket.invalid/becket/beckettest is a host for unit tests.
package becket
