// SPDX-License-Identifier: BSD-3-Clause

// A filter that limits the requests of each user by a token bucket.
//
// A user, or without one a client's address, may send `burst` requests at once,
// and `per_minute` in a minute after that. The others are answered 429.
package main

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"becket.invalid/becket"
)

// bucketsMax bounds the table. A user that finds it full of buckets that are in
// use is refused.
const bucketsMax = 10_000

type bucket struct {
	tokens float64
	at     time.Time
}

type limiter struct {
	Burst     float64 `json:"burst"`
	PerMinute float64 `json:"per_minute"`

	mutex   sync.Mutex
	buckets map[string]bucket
	swept   time.Time
}

func init() {
	l := &limiter{buckets: make(map[string]bucket)}
	p := becket.NewPlugin("rate", "1.0.0")
	p.ConfigDefault(`{"burst":5,"per_minute":60}`)
	p.OnInit(func() error {
		if err := p.DecodeConfig(l); err != nil {
			return err
		}
		if l.Burst < 1 || l.PerMinute <= 0 {
			return errors.New("burst is at least 1, and per_minute above 0")
		}
		return nil
	})
	p.HandleSync("filter", l.filter, becket.Help("limits the requests of each user"))
	becket.BuildPlugin(p)
}

func main() {}

// ANCHOR: filter
func (l *limiter) filter(req *becket.Request) becket.Response {
	client, isUser := req.Header("x-user")
	if isUser {
		client = "user " + client // no address can be taken for a name
	} else {
		client, _ = req.Header("becket-client")
	}
	wait := l.take(client, time.Now())
	if wait == 0 {
		return becket.OK([]byte("continue")) // no context: not called in the response phase
	}
	return becket.OK(fmt.Appendf(nil, "respond 429\n"+
		"set retry-after: %.0f\n"+
		"set content-type: application/json\n"+
		"\n"+
		"{\"error\":\"too many requests\"}\n", math.Ceil(wait.Seconds())))
}

// take takes a token, or returns how long it is until there is one.
func (l *limiter) take(client string, now time.Time) time.Duration {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	b, known := l.buckets[client]
	if !known {
		if len(l.buckets) >= bucketsMax && !l.sweep(now) {
			return time.Minute
		}
		b = bucket{tokens: l.Burst}
	} else {
		b.tokens = l.tokens(b, now)
	}
	b.at = now
	wait := time.Duration(0)
	if b.tokens >= 1 {
		b.tokens--
	} else {
		wait = time.Duration((1 - b.tokens) / l.PerMinute * float64(time.Minute))
		wait = max(wait, 1)
	}
	l.buckets[client] = b
	return wait
}

// ANCHOR_END: filter

func (l *limiter) tokens(b bucket, now time.Time) float64 {
	return min(l.Burst, b.tokens+now.Sub(b.at).Minutes()*l.PerMinute)
}

// sweep forgets buckets that are full again, as new ones are, at most once in a
// second; it says whether there is room.
func (l *limiter) sweep(now time.Time) bool {
	if now.Sub(l.swept) >= time.Second {
		l.swept = now
		for client, b := range l.buckets {
			if l.tokens(b, now) >= l.Burst {
				delete(l.buckets, client)
			}
		}
	}
	return len(l.buckets) < bucketsMax
}
