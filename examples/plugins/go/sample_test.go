// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"strings"
	"testing"

	"becket.invalid/becket"
	"becket.invalid/becket/beckettest"
)

func load(t *testing.T) *beckettest.Host {
	return beckettest.Load(t, newSample(),
		beckettest.Config(`{"greeting":"Ahoy"}`, map[string]string{"greeting": "Ahoy"}))
}

func expect(t *testing.T, got beckettest.Frame, status becket.Status, text string) {
	t.Helper()
	if got.Status != status || string(got.Data) != text {
		t.Errorf("got %v %q, expected %v %q", got.Status, got.Data, status, text)
	}
}

func TestUnary(t *testing.T) {
	host := load(t)
	expect(t, host.Call("unary", beckettest.Request{}), becket.StatusOk,
		"Ahoy from go: - -, 0 headers, 0 bytes")
	expect(t, host.Call("unary", beckettest.Request{Method: "GET", Path: "/hello", Query: "x=1",
		Headers: []becket.Header{{Key: "Accept", Value: "*/*"}, {Key: "X-Becket-ECHO", Value: "seven"}},
		Payload: []byte("12345")}), becket.StatusOk,
		"Ahoy from go: GET /hello?x=1, 2 headers, 5 bytes, x-becket-echo=seven")
	if value, _ := host.Metric("sample_unary_total"); value != 2 {
		t.Errorf("sample_unary_total is %v", value)
	}
	ready := beckettest.Log{Level: becket.LevelInfo, Target: "sample", Message: "ready"}
	if logs := host.Logs(); len(logs) != 3 || logs[0] != ready {
		t.Errorf("logged %v", logs)
	}
}

func TestAnswers(t *testing.T) {
	host := load(t)
	long := "key=" + strings.Repeat("v", 3000)
	for _, c := range []struct {
		entry, payload string
		status         becket.Status
		text           string
	}{
		{"echo", "", becket.StatusOk, ""},
		{"echo", long, becket.StatusOk, long},
		{"state", "a=b=c", becket.StatusOk, "a=b=c"},
		{"state", "a", becket.StatusOk, "a="},
		{"state", long, becket.StatusOk, long},
		{"state", "=b", becket.StatusInvalid, "expected key=value"},
		{"state", "\xff=b", becket.StatusInvalid, "expected key=value"},
		{"slow", "1", becket.StatusOk, "slow done"},
		{"slow", "soon", becket.StatusInvalid, "expected milliseconds"},
		{"fail", "99", 99, "failed on request"},
		{"fail", "", becket.StatusErr, ""},
		{"fail", "panic", becket.StatusPanic, ""},
		{"fail", "+1", becket.StatusInvalid, "expected a status or panic"},
		{"fail", "4294967296", becket.StatusInvalid, "expected a status or panic"},
	} {
		t.Run(c.entry, func(t *testing.T) {
			expect(t, host.Call(c.entry, beckettest.Request{Payload: []byte(c.payload)}), c.status, c.text)
		})
	}
}

func TestStreamAndChat(t *testing.T) {
	host := load(t)
	stream := host.Open("stream", beckettest.Request{})
	for i := range 5 {
		expect(t, stream.Next(), becket.StatusOk, fmt.Sprintf("frame %d of 5", i+1))
	}
	expect(t, stream.Next(), becket.StatusStreamEnd, "")

	chat := host.Open("chat", beckettest.Request{})
	expect(t, chat.Next(), becket.StatusOk, "welcome")
	for i := range 1000 {
		text := fmt.Sprintf("message %d", i)
		if got := chat.Send([]byte(text)); got != becket.StatusOk {
			t.Fatalf("message %d: %v", i, got)
		}
		expect(t, chat.Next(), becket.StatusOk, "echo: "+text)
	}
	chat.Close()
	expect(t, chat.Next(), becket.StatusStreamEnd, "bye after 1000 messages")
	if n := host.Refused(); n != 0 {
		t.Errorf("%d frames were refused", n)
	}
}

func TestSlowIsNotAnsweredAfterCancel(t *testing.T) {
	var host *beckettest.Host
	t.Run("loaded", func(t *testing.T) {
		host = beckettest.Load(t, newSample())
		host.Open("slow", beckettest.Request{}).Cancel()
	})
	// The plugin was shut down, which waits for the handler.
	if n := host.Refused(); n != 0 {
		t.Errorf("%d late answers", n)
	}
	if value, _ := host.Metric("sample_slow_cancelled_total"); value != 1 {
		t.Errorf("sample_slow_cancelled_total is %v", value)
	}
}
