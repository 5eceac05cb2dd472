// SPDX-License-Identifier: BSD-3-Clause

// The sample plugin in Go. Its behaviour is described in ../README.md, the same
// for every language.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"becket.invalid/becket"
)

// delayMaxMs is what a time.Duration holds.
const delayMaxMs = math.MaxInt64 / uint64(time.Millisecond)

type sample struct {
	plugin        *becket.Plugin
	log           *slog.Logger
	greeting      string
	unaryTotal    becket.Counter
	slowCancelled becket.Counter
}

func init() { becket.BuildPlugin(newSample()) }

func main() {}

func newSample() *becket.Plugin {
	p := becket.NewPlugin("sample-go", "0.1.0")
	s := &sample{
		plugin:     p,
		log:        p.Logger("sample"),
		greeting:   "Hello",
		unaryTotal: p.Counter("sample_unary_total", "Calls of the entry unary"),
		slowCancelled: p.Counter("sample_slow_cancelled_total",
			"Calls of the entry slow that were cancelled"),
	}
	p.ConfigDefault(`{"greeting":"Hello"}`)
	p.OnInit(s.start)
	p.HandleSync("unary", s.unary, becket.Help("greets, and says what it saw of the request"))
	p.HandleSync("echo", echo, becket.Help("gives the payload back"))
	p.HandleStream("stream", five, becket.Help("sends five frames"))
	p.HandleBidirectional("chat", chat,
		becket.Help("echoes each message until the stream is closed"))
	p.HandleSync("state", state,
		becket.Help("sets KEY=VALUE in the call's state and reads it back"))
	p.Handle("slow", s.slow, becket.Help("answers after the milliseconds in the payload"))
	p.HandleSync("fail", fail, becket.Help("answers with the status in the payload"))
	return p
}

func (s *sample) start() error {
	if greeting, ok := s.plugin.ConfigGet("greeting"); ok {
		s.greeting = greeting
	}
	s.log.Info("ready")
	return nil
}

func (s *sample) unary(req *becket.Request) becket.Response {
	s.unaryTotal.Add(1)
	if s.plugin.LogEnabled(becket.LevelDebug) {
		s.plugin.Log(becket.LevelDebug, "sample", fmt.Sprintf("unary: %d bytes", len(req.Payload())))
	}
	var b strings.Builder
	b.WriteString(s.greeting)
	b.WriteString(" from go: ")
	b.WriteString(orDash(req.Method()))
	b.WriteByte(' ')
	b.WriteString(orDash(req.Path()))
	if req.Query() != "" {
		b.WriteByte('?')
		b.WriteString(req.Query())
	}
	fmt.Fprintf(&b, ", %d headers, %d bytes", len(req.Headers()), len(req.Payload()))
	if value, ok := req.Header("x-becket-echo"); ok {
		b.WriteString(", x-becket-echo=")
		b.WriteString(value)
	}
	return becket.OK([]byte(b.String()))
}

func echo(req *becket.Request) becket.Response { return becket.OK(req.Payload()) }

func five(s *becket.Stream) error {
	for i := 1; i <= 5; i++ {
		if err := s.Send(fmt.Appendf(nil, "frame %d of 5", i)); err != nil {
			return err
		}
	}
	return nil
}

// chat leaves the queue between the host and the loop, and the Backpressure at
// its bound, to the SDK: a message is taken when Recv returns it.
func chat(s *becket.Stream) error {
	if err := s.Send([]byte("welcome")); err != nil {
		return err
	}
	messages := 0
	for message := range s.Frames() {
		if err := s.Send(append([]byte("echo: "), message...)); err != nil {
			return err
		}
		messages++
	}
	if s.Context().Err() != nil {
		return context.Cause(s.Context())
	}
	return s.End(fmt.Appendf(nil, "bye after %d messages", messages))
}

func state(req *becket.Request) becket.Response {
	key, value, set := bytes.Cut(req.Payload(), []byte("="))
	if len(key) == 0 || !utf8.Valid(key) {
		return becket.Fail(becket.StatusInvalid, "expected key=value")
	}
	name := string(key)
	if set {
		if err := req.SetState(name, value); err != nil {
			return stateRefused(err)
		}
	}
	got, err := req.State(name)
	if err != nil && !errors.Is(err, becket.ErrNoState) {
		return stateRefused(err)
	}
	return becket.OK(append([]byte(name+"="), got...))
}

func stateRefused(err error) becket.Response {
	if errors.Is(err, becket.ErrUnsupported) {
		return becket.Fail(becket.StatusUnsupported, "needs a host with state")
	}
	return becket.Fail(becket.StatusOf(err), "state refused")
}

// slow waits in a goroutine: no thread waits.
func (s *sample) slow(req *becket.Request) becket.Response {
	delay := 500 * time.Millisecond
	if text := string(req.Payload()); text != "" {
		ms, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return becket.Fail(becket.StatusInvalid, "expected milliseconds")
		}
		delay = time.Duration(min(ms, delayMaxMs)) * time.Millisecond
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return becket.OK([]byte("slow done"))
	case <-req.Context().Done():
		if !errors.Is(context.Cause(req.Context()), becket.ErrShutdown) {
			s.slowCancelled.Add(1)
		}
		return becket.Answered()
	}
}

func fail(req *becket.Request) becket.Response {
	switch text := string(req.Payload()); text {
	case "":
		return becket.Refuse(becket.StatusErr)
	case "panic":
		panic("on request")
	default:
		status, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return becket.Fail(becket.StatusInvalid, "expected a status or panic")
		}
		return becket.Fail(becket.Status(status), "failed on request")
	}
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
