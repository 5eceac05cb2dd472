// SPDX-License-Identifier: BSD-3-Clause

package beckettest

// What the plugin calls, by way of fake.c.

// #include <stdlib.h>
// #include "fake.h"
import "C"

import (
	"bytes"
	"sync"
	"time"
	"unsafe"

	"becket.invalid/becket"
)

// hosts are never removed: a plugin may call after the test's end.
var (
	hostsMu sync.RWMutex
	hosts   = map[uint32]*Host{}
)

func register(h *Host) uint32 {
	hostsMu.Lock()
	defer hostsMu.Unlock()
	number := uint32(len(hosts) + 1)
	hosts[number] = h
	return number
}

func hostAt(number C.uint32_t) *Host {
	hostsMu.RLock()
	defer hostsMu.RUnlock()
	return hosts[uint32(number)]
}

func callAt(number C.uint32_t, sid C.uint64_t) *Stream {
	h := hostAt(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[uint64(sid)]
}

func view(ptr *C.uint8_t, n uint64) []byte {
	return bytes.Clone(unsafe.Slice((*byte)(ptr), int(n)))
}

//export bkFakeSend
func bkFakeSend(number C.uint32_t, sid C.uint64_t, status C.uint32_t, ptr *C.uint8_t, n C.uint64_t) C.uint32_t {
	got := becket.StatusInvalid
	if s := callAt(number, sid); s != nil {
		got = s.push(becket.Status(status), view(ptr, uint64(n)))
	}
	if got == becket.StatusInvalid || got == becket.StatusTooLong {
		hostAt(number).refuse()
	}
	return C.uint32_t(got)
}

//export bkFakeLease
func bkFakeLease(number C.uint32_t, sid C.uint64_t, size C.uint64_t) *C.uint8_t {
	if callAt(number, sid) == nil || size > 1<<26 {
		return nil
	}
	return (*C.uint8_t)(C.calloc(1, C.size_t(size)+1))
}

//export bkFakeCommit
func bkFakeCommit(number C.uint32_t, sid C.uint64_t, status C.uint32_t, token, n C.uint64_t) C.uint32_t {
	ptr := *(**C.uint8_t)(unsafe.Pointer(&token))
	got := bkFakeSend(number, sid, status, ptr, n)
	if becket.Status(got) != becket.StatusBackpressure {
		C.free(unsafe.Pointer(ptr))
	}
	return got
}

//export bkFakeRelease
func bkFakeRelease(_ C.uint32_t, token C.uint64_t) C.uint32_t {
	C.free(*(*unsafe.Pointer)(unsafe.Pointer(&token)))
	return 0
}

//export bkFakeReady
func bkFakeReady(number C.uint32_t, sid C.uint64_t) C.uint32_t {
	s := callAt(number, sid)
	if s == nil {
		return C.uint32_t(becket.StatusInvalid)
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
	return 0
}

//export bkFakeStateSet
func bkFakeStateSet(number C.uint32_t, sid C.uint64_t, key *C.uint8_t, keyLen C.uint32_t,
	value *C.uint8_t, n C.uint64_t) C.uint32_t {
	s := callAt(number, sid)
	if s == nil {
		return C.uint32_t(becket.StatusInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state[string(view(key, uint64(keyLen)))] = view(value, uint64(n))
	return 0
}

//export bkFakeStateGet
func bkFakeStateGet(number C.uint32_t, sid C.uint64_t, key *C.uint8_t, keyLen C.uint32_t,
	buf *C.uint8_t, size C.uint64_t, lenOut *C.uint64_t) C.uint32_t {
	s := callAt(number, sid)
	if s == nil {
		return C.uint32_t(becket.StatusInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.state[string(view(key, uint64(keyLen)))]
	if !ok {
		return C.uint32_t(becket.StatusErr)
	}
	copy(unsafe.Slice((*byte)(buf), int(size)), value)
	*lenOut = C.uint64_t(len(value))
	return 0
}

//export bkFakeIsCancelled
func bkFakeIsCancelled(number C.uint32_t, sid C.uint64_t) C.uint32_t {
	s := callAt(number, sid)
	if s == nil {
		return 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 1
	}
	return 0
}

//export bkFakeRemaining
func bkFakeRemaining(number C.uint32_t, sid C.uint64_t) C.uint64_t {
	s := callAt(number, sid)
	if s == nil || s.host.deadline == 0 {
		return C.BK_NO_DEADLINE
	}
	return C.uint64_t(max(time.Until(s.began.Add(s.host.deadline)), 0) / time.Millisecond)
}

//export bkFakeLog
func bkFakeLog(number, level C.uint32_t, target *C.uint8_t, targetLen C.uint32_t,
	message *C.uint8_t, n C.uint32_t) {
	h := hostAt(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs = append(h.logs, Log{becket.Level(level), string(view(target, uint64(targetLen))),
		string(view(message, uint64(n)))})
}

//export bkFakeMetric
func bkFakeMetric(number, kind C.uint32_t, name *C.uint8_t, n C.uint32_t) C.uint32_t {
	h := hostAt(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	text := string(view(name, uint64(n)))
	for i, m := range h.metrics {
		if m.name == text {
			if m.kind != uint32(kind) {
				return C.BK_METRIC_UNKNOWN
			}
			return C.uint32_t(i)
		}
	}
	h.metrics = append(h.metrics, metric{name: text, kind: uint32(kind)})
	return C.uint32_t(len(h.metrics) - 1)
}

//export bkFakeRecord
func bkFakeRecord(number, id, kind C.uint32_t, value C.double) C.uint32_t {
	h := hostAt(number)
	h.mu.Lock()
	defer h.mu.Unlock()
	if int(id) >= len(h.metrics) || h.metrics[id].kind != uint32(kind) {
		return C.uint32_t(becket.StatusInvalid)
	}
	if kind == C.BK_METRIC_COUNTER {
		h.metrics[id].value += float64(value)
	} else {
		h.metrics[id].value = float64(value)
	}
	return 0
}

// A configuration lives as long as the plugin, here as the process.
//
//export bkFakeConfig
func bkFakeConfig(number C.uint32_t, key *C.uint8_t, n C.uint32_t, out *C.NrStr) {
	h := hostAt(number)
	text := h.config
	if key != nil {
		text = h.settings[string(view(key, uint64(n)))]
	}
	C.bk_fake_str(out, C.CString(text), C.uint32_t(len(text)))
}
