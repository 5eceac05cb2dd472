// SPDX-License-Identifier: BSD-3-Clause

package becket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"becket.invalid/becket"
	"becket.invalid/becket/beckettest"
)

func expect(t *testing.T, got beckettest.Frame, status becket.Status, text string) {
	t.Helper()
	if got.Status != status || string(got.Data) != text {
		t.Errorf("got %v %q, expected %v %q", got.Status, got.Data, status, text)
	}
}

func TestARequestArrivesWhole(t *testing.T) {
	show := func(req *becket.Request) becket.Response {
		accept, _ := req.Header("ACCEPT")
		_, missing := req.Header("nope")
		return becket.OK(fmt.Appendf(nil, "%s %s %s %s %d %t %s", req.Method(), req.Path(),
			req.Query(), accept, len(req.Headers()), missing, req.Payload()))
	}
	p := becket.NewPlugin("request", "1.0.0")
	p.Handle("there", show)
	p.HandleSync("here", show)
	host := beckettest.Load(t, p)
	request := beckettest.Request{Method: "GET", Path: "/a", Query: "x=1", Payload: []byte("body"),
		Headers: []becket.Header{{Key: "Accept", Value: "*/*"}, {Key: "Empty", Value: ""}}}
	for _, entry := range []string{"there", "here"} {
		expect(t, host.Call(entry, request), becket.StatusOk, "GET /a x=1 */* 2 false body")
	}
}

func TestManyCallsAtOnceKeepTheirAnswers(t *testing.T) {
	echo := func(req *becket.Request) becket.Response { return becket.OK(req.Payload()) }
	p := becket.NewPlugin("many", "1.0.0")
	p.Handle("there", echo)
	p.HandleSync("here", echo)
	host := beckettest.Load(t, p)
	var all sync.WaitGroup
	for i := range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			for k := range 200 {
				text := fmt.Sprintf("call %d of %d", k, i)
				entry := []string{"there", "here"}[k%2]
				expect(t, host.Call(entry, beckettest.Request{Payload: []byte(text)}), becket.StatusOk, text)
			}
		}()
	}
	all.Wait()
	if n := host.Refused(); n != 0 {
		t.Errorf("%d answers were refused", n)
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	boom := func(*becket.Request) becket.Response { panic("boom") }
	p := becket.NewPlugin("panic", "1.0.0")
	p.Handle("there", boom)
	p.HandleSync("here", boom)
	p.HandleSync("nil", func(*becket.Request) becket.Response { return *(*becket.Response)(nil) })
	p.HandleStream("stream", func(*becket.Stream) error { panic("boom") })
	host := beckettest.Load(t, p)
	for _, entry := range []string{"there", "here", "nil", "stream"} {
		expect(t, host.Call(entry, beckettest.Request{}), becket.StatusPanic, "")
	}
	logs := host.Logs()
	if len(logs) != 4 || logs[0].Level != becket.LevelError ||
		!strings.HasPrefix(logs[0].Message, "panic in there: boom\n") {
		t.Errorf("logged %v", logs)
	}
}

func TestAChatIsEchoedInOrderThroughAFullQueue(t *testing.T) {
	p := becket.NewPlugin("chat", "1.0.0")
	p.HandleBidirectional("chat", func(s *becket.Stream) error {
		n := 0
		for message := range s.Frames() {
			if err := s.Send(message); err != nil {
				return err
			}
			n++
		}
		return s.End(fmt.Appendf(nil, "%d", n))
	})
	host := beckettest.Load(t, p, beckettest.FramesMax(2))
	chat := host.Open("chat", beckettest.Request{})
	const messages = 1000
	go func() {
		for i := range messages {
			for chat.Send(fmt.Appendf(nil, "message %d", i)) == becket.StatusBackpressure {
				<-chat.Ready()
			}
		}
		chat.Close()
	}()
	for i := range messages {
		expect(t, chat.Next(), becket.StatusOk, fmt.Sprintf("message %d", i))
	}
	expect(t, chat.Next(), becket.StatusStreamEnd, fmt.Sprint(messages))
	if n := host.Refused(); n != 0 {
		t.Errorf("%d frames were refused", n)
	}
}

func TestASenderWithoutRoomWaitsForAFrameToBeReadOrForTheCallersEnd(t *testing.T) {
	left := make(chan error, 1)
	p := becket.NewPlugin("full", "1.0.0")
	p.HandleStream("endless", func(s *becket.Stream) error {
		for {
			if err := s.Send([]byte("x")); err != nil {
				left <- err
				return err
			}
		}
	})
	host := beckettest.Load(t, p, beckettest.FramesMax(1))
	endless := host.Open("endless", beckettest.Request{})
	for range 100 {
		expect(t, endless.Next(), becket.StatusOk, "x")
	}
	endless.Cancel()
	if err := <-left; !errors.Is(err, becket.ErrCancelled) && !errors.Is(err, becket.ErrClosed) {
		t.Errorf("the sender left with %v", err)
	}
}

func TestIncomingFramesAreBounded(t *testing.T) {
	gate := make(chan struct{})
	p := becket.NewPlugin("bounded", "1.0.0")
	p.HandleBidirectional("hold", func(s *becket.Stream) error {
		<-gate
		for range s.Frames() {
		}
		return nil
	})
	p.HandleStream("oneway", func(s *becket.Stream) error { <-gate; return nil })
	host := beckettest.Load(t, p)

	s := host.Open("hold", beckettest.Request{})
	taken := 0
	for s.Send([]byte("x")) == becket.StatusOk {
		taken++
	}
	if taken != 64 {
		t.Errorf("%d frames were taken", taken)
	}
	big := host.Open("hold", beckettest.Request{})
	if got := big.Send(make([]byte, 5<<20)); got != becket.StatusOk {
		t.Errorf("a large frame into an empty queue: %v", got)
	}
	if got := big.Send([]byte("x")); got != becket.StatusBackpressure {
		t.Errorf("a frame beyond the bytes of the queue: %v", got)
	}
	if got := host.Open("oneway", beckettest.Request{}).Send(nil); got != becket.StatusUnsupported {
		t.Errorf("a frame to a stream that takes none: %v", got)
	}
	close(gate)
	<-s.Ready()
	<-big.Ready()
	s.Close()
	expect(t, s.Next(), becket.StatusStreamEnd, "")
}

func TestACancelledCallLearnsIt(t *testing.T) {
	causes := make(chan error, 2)
	p := becket.NewPlugin("cancel", "1.0.0")
	p.Handle("wait", func(req *becket.Request) becket.Response {
		<-req.Context().Done()
		causes <- context.Cause(req.Context())
		return becket.Answered()
	})
	p.HandleBidirectional("stuck", func(s *becket.Stream) error {
		for s.Send([]byte("more")) == nil {
		}
		causes <- context.Cause(s.Context())
		return nil
	})
	host := beckettest.Load(t, p, beckettest.FramesMax(1))
	for _, entry := range []string{"wait", "stuck"} {
		s := host.Open(entry, beckettest.Request{})
		s.Cancel() // perhaps before the handler has asked for its context
		if cause := <-causes; !errors.Is(cause, becket.ErrCancelled) {
			t.Errorf("%s: %v", entry, cause)
		}
		if got := s.Send(nil); got != becket.StatusInvalid {
			t.Errorf("%s: data after cancel: %v", entry, got)
		}
	}
}

func TestADeadlineEndsTheContext(t *testing.T) {
	p := becket.NewPlugin("deadline", "1.0.0")
	p.Handle("wait", func(req *becket.Request) becket.Response {
		<-req.Context().Done()
		return becket.Fail(becket.StatusErr, context.Cause(req.Context()).Error())
	})
	host := beckettest.Load(t, p, beckettest.Deadline(5*time.Millisecond))
	expect(t, host.Call("wait", beckettest.Request{}), becket.StatusErr, "context deadline exceeded")
}

func TestStateLeasesMetricsLogsAndConfig(t *testing.T) {
	p := becket.NewPlugin("host", "1.0.0")
	calls := p.Counter("calls_total", "Calls")
	load := p.Gauge("load", "Load")
	var config struct{ Greeting string }
	p.OnInit(func() error { return p.DecodeConfig(&config) })
	p.HandleSync("all", func(req *becket.Request) becket.Response {
		calls.Add(2)
		load.Set(0.5)
		p.Logger("here").With("a", 1).WithGroup("g").Info("done", slog.String("b", "x y"))
		if _, err := req.State("key"); !errors.Is(err, becket.ErrNoState) {
			return becket.Fail(becket.StatusErr, "state before it was set")
		}
		if err := req.SetState("key", req.Payload()); err != nil {
			return becket.Fail(becket.StatusErr, err.Error())
		}
		kept, err := req.State("key")
		if err != nil {
			return becket.Fail(becket.StatusErr, err.Error())
		}
		lease, err := req.Lease(len(kept))
		if err != nil {
			return becket.Fail(becket.StatusErr, err.Error())
		}
		if err := lease.Commit(becket.StatusOk, copy(lease.Bytes, kept)); err != nil {
			return becket.Fail(becket.StatusErr, err.Error())
		}
		return becket.Answered()
	})
	host := beckettest.Load(t, p, beckettest.Config(`{"greeting":"Ahoy"}`,
		map[string]string{"greeting": "Ahoy"}))
	body := bytes.Repeat([]byte("v"), 3000)
	expect(t, host.Call("all", beckettest.Request{Payload: body}), becket.StatusOk, string(body))
	if value, _ := host.Metric("calls_total"); value != 2 {
		t.Errorf("calls_total is %v", value)
	}
	if value, _ := host.Metric("load"); value != 0.5 {
		t.Errorf("load is %v", value)
	}
	want := beckettest.Log{Level: becket.LevelInfo, Target: "here", Message: `done a=1 g.b="x y"`}
	if logs := host.Logs(); len(logs) != 1 || logs[0] != want {
		t.Errorf("logged %v", logs)
	}
	if got, ok := p.ConfigGet("greeting"); got != "Ahoy" || !ok || config.Greeting != "Ahoy" {
		t.Errorf("configured %q, %q", got, config.Greeting)
	}
}

func TestAnAnswerThatIsTooLongEndsItsCall(t *testing.T) {
	long := func(*becket.Request) becket.Response { return becket.OK([]byte("nine byte")) }
	leased := func(otherwise becket.Response) becket.Handler {
		return func(req *becket.Request) becket.Response {
			lease, err := req.Lease(4)
			if err != nil {
				return becket.Fail(becket.StatusErr, err.Error())
			}
			if err := lease.Commit(becket.StatusOk, 5); !errors.Is(err, becket.ErrTooLong) {
				t.Errorf("committed with %v", err)
			}
			return otherwise
		}
	}
	p := becket.NewPlugin("long", "1.0.0")
	p.Handle("there", long)
	p.HandleSync("here", long)
	p.Handle("leased there", leased(becket.Answered()))
	p.HandleSync("leased here", leased(becket.Answered()))
	p.HandleSync("otherwise", leased(becket.OK([]byte("fits"))))
	p.HandleSync("leased again", func(req *becket.Request) becket.Response {
		_ = leased(becket.Answered())(req)
		lease, err := req.Lease(4)
		if err != nil {
			return becket.Fail(becket.StatusErr, err.Error())
		}
		if err := lease.Commit(becket.StatusOk, copy(lease.Bytes, "four")); err != nil {
			t.Errorf("committed with %v", err)
		}
		return becket.Answered()
	})
	host := beckettest.Load(t, p, beckettest.PayloadBytesMax(8))
	for _, entry := range []string{"there", "here"} {
		expect(t, host.Call(entry, beckettest.Request{}), becket.StatusTooLong, "")
	}
	for _, entry := range []string{"leased there", "leased here"} {
		expect(t, host.Call(entry, beckettest.Request{}), becket.StatusErr, "")
	}
	expect(t, host.Call("otherwise", beckettest.Request{}), becket.StatusOk, "fits")
	again := host.Open("leased again", beckettest.Request{})
	expect(t, again.Next(), becket.StatusOk, "four")
	if n := host.Refused(); n != 2 {
		t.Errorf("%d answers were refused", n)
	}
}

func TestAFrameThatIsTooLongIsToldToItsSender(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 65)
	p := becket.NewPlugin("long", "1.0.0")
	p.HandleStream("goes on", func(s *becket.Stream) error {
		if err := s.Send(long); !errors.Is(err, becket.ErrTooLong) {
			t.Errorf("sent with %v", err)
		}
		return s.Send([]byte("fits"))
	})
	p.HandleStream("says why", func(s *becket.Stream) error { return s.Send(long) })
	p.HandleStream("ends", func(s *becket.Stream) error {
		if err := s.End(long); !errors.Is(err, becket.ErrTooLong) {
			t.Errorf("ended with %v", err)
		}
		return nil
	})
	p.HandleStream("fails", func(s *becket.Stream) error { return errors.New(string(long)) })
	host := beckettest.Load(t, p, beckettest.PayloadBytesMax(64))
	on := host.Open("goes on", beckettest.Request{})
	expect(t, on.Next(), becket.StatusOk, "fits")
	expect(t, on.Next(), becket.StatusStreamEnd, "")
	expect(t, host.Call("says why", beckettest.Request{}), becket.StatusTooLong,
		becket.ErrTooLong.Error())
	expect(t, host.Call("ends", beckettest.Request{}), becket.StatusTooLong, "")
	expect(t, host.Call("fails", beckettest.Request{}), becket.StatusTooLong, "")
	if n := host.Refused(); n != 4 {
		t.Errorf("%d frames were refused", n)
	}
}

func TestReloadHandsStateOver(t *testing.T) {
	var restored []byte
	from := becket.NewPlugin("version", "1.0.0")
	from.OnReload(func() ([]byte, error) { return []byte("state"), nil }, nil)
	to := becket.NewPlugin("version", "2.0.0")
	to.OnReload(nil, func(state []byte) error { restored = state; return nil })
	if got := beckettest.Load(t, from).HandOver(beckettest.Load(t, to)); got != becket.StatusOk {
		t.Errorf("handed over with %v", got)
	}
	if string(restored) != "state" {
		t.Errorf("restored %q", restored)
	}
	// The slots of hooks that a plugin lacks are empty.
	none := becket.NewPlugin("none", "1.0.0")
	host := beckettest.Load(t, none)
	if got := host.HandOver(host); got != becket.StatusUnsupported {
		t.Errorf("handed over without hooks, with %v", got)
	}
}

func TestAWrongDescriptionRefusesTheLoad(t *testing.T) {
	handler := func(*becket.Request) becket.Response { return becket.OK(nil) }
	twice := becket.NewPlugin("twice", "1.0.0")
	twice.Handle("a", handler)
	twice.Handle("a", handler)
	empty := becket.NewPlugin("empty", "1.0.0")
	empty.Handle("a", nil)
	for plugin, cause := range map[*becket.Plugin]string{
		twice: `two entries are named "a"`,
		empty: `entry "a" has no handler`,
	} {
		host, status := beckettest.TryLoad(t, plugin)
		if status != becket.StatusInvalid || !strings.Contains(host.Logs()[0].Message, cause) {
			t.Errorf("%v, logged %v", status, host.Logs())
		}
	}
	refusing := becket.NewPlugin("refusing", "1.0.0")
	refusing.OnInit(func() error { return &becket.StatusError{Status: 99, Message: "no disk"} })
	if _, status := beckettest.TryLoad(t, refusing); status != 99 {
		t.Errorf("init said %v", status)
	}
}

func TestAHostWithoutExtras(t *testing.T) {
	p := becket.NewPlugin("plain", "1.0.0")
	p.ConfigDefault(`{"a":1}`)
	p.HandleSync("state", func(req *becket.Request) becket.Response {
		p.Log(becket.LevelInfo, "plain", "nowhere to go")
		return becket.Fail(becket.StatusOf(req.SetState("a", nil)), p.Config())
	})
	host := beckettest.Load(t, p, beckettest.WithoutExtras())
	expect(t, host.Call("state", beckettest.Request{}), becket.StatusUnsupported, `{"a":1}`)
}

func TestShutdownEndsWhatRuns(t *testing.T) {
	ended := make(chan error, 1)
	p := becket.NewPlugin("shutdown", "1.0.0")
	p.Handle("wait", func(req *becket.Request) becket.Response {
		<-req.Context().Done()
		ended <- context.Cause(req.Context())
		return becket.Answered()
	})
	t.Run("loaded", func(t *testing.T) {
		beckettest.Load(t, p).Open("wait", beckettest.Request{})
	})
	select {
	case cause := <-ended:
		if !errors.Is(cause, becket.ErrShutdown) {
			t.Errorf("ended by %v", cause)
		}
	default:
		t.Error("shutdown returned before the handler did")
	}
}

func BenchmarkHere(b *testing.B) {
	p := becket.NewPlugin("bench", "1.0.0")
	p.HandleSync("here", func(req *becket.Request) becket.Response { return becket.Refuse(1) })
	host := beckettest.Load(b, p)
	b.ReportAllocs()
	for b.Loop() {
		host.Call("here", beckettest.Request{})
	}
}
