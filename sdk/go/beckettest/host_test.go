// SPDX-License-Identifier: BSD-3-Clause

package beckettest

import (
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
