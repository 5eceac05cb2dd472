// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"fmt"
	"testing"
	"time"
)

func newLimiter() *limiter {
	return &limiter{Burst: 2, PerMinute: 60, buckets: make(map[string]bucket)}
}

func TestTokensComeBackUpToTheBurst(t *testing.T) {
	l, now := newLimiter(), time.Now()
	for at, want := range []time.Duration{0, 0, time.Second} {
		if got := l.take("a", now); got != want {
			t.Errorf("request %d waits %v, not %v", at, got, want)
		}
	}
	now = now.Add(time.Hour)
	for at, want := range []time.Duration{0, 0, time.Second} {
		if got := l.take("a", now); got != want {
			t.Errorf("an hour later request %d waits %v, not %v", at, got, want)
		}
	}
}

func TestTheTableIsBounded(t *testing.T) {
	l, now := newLimiter(), time.Now()
	for i := range bucketsMax {
		l.take(fmt.Sprint(i), now)
	}
	if l.take("one more", now) == 0 || len(l.buckets) != bucketsMax {
		t.Errorf("a full table takes one more: %d", len(l.buckets))
	}
	if l.take("one more", now.Add(time.Hour)) != 0 || len(l.buckets) != 1 {
		t.Errorf("full buckets are kept: %d", len(l.buckets))
	}
}
