// SPDX-License-Identifier: BSD-3-Clause

package beckettest

import (
	"runtime"
	"testing"

	"becket.invalid/becket"
)

func TestHostileViewsAreRefusedWithoutARead(t *testing.T) {
	p := becket.NewPlugin("hostile", "1.0.0")
	p.HandleSync("echo", func(req *becket.Request) becket.Response {
		t.Error("a handler saw a bad view")
		return becket.OK(nil)
	})
	p.OnReload(func() ([]byte, error) { return nil, nil }, func([]byte) error { return nil })
	if step := hostile(Load(t, p)); step != 0 {
		t.Errorf("step %d of bk_fake_hostile was not refused", step)
	}
}

// Go's garbage collector ends a process that has a small number where a pointer belongs.
func TestAHostsContextMayBeASmallNumber(t *testing.T) {
	p := becket.NewPlugin("small", "1.0.0")
	p.Handle("answer", func(req *becket.Request) becket.Response {
		grow(1 << 10)
		runtime.GC()
		return becket.Fail(99, "")
	})
	if got := smallHostCtx(p, "answer"); got != 99 {
		t.Errorf("answered with %v", got)
	}
}

// grow has the stack copied, and with it what lies there.
func grow(depth int) int {
	var frame [128]byte
	if depth == 0 {
		return int(frame[0])
	}
	return grow(depth-1) + int(frame[depth%len(frame)])
}
