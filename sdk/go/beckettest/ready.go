// SPDX-License-Identifier: BSD-3-Clause

package beckettest

// #include <stdint.h>
import "C"

import "runtime/cgo"

//export bkFakeReady
func bkFakeReady(host C.uintptr_t, sid C.uint64_t) {
	h := cgo.Handle(host).Value().(*Host)
	h.mu.Lock()
	s := h.streams[uint64(sid)]
	h.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
