// SPDX-License-Identifier: BSD-3-Clause

package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// Memory of this process, in bytes: resident, page tables; and its mappings.
func memory() (resident, tables, mappings uint64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range bytes.Split(status, []byte("\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		var kib uint64
		switch string(name) {
		case "VmRSS":
			fmt.Sscan(string(value), &kib)
			resident = kib * 1024
		case "VmPTE":
			fmt.Sscan(string(value), &kib)
			tables = kib * 1024
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		panic(err)
	}
	return resident, tables, uint64(bytes.Count(maps, []byte("\n")))
}

// Has so many wait, leaves them alone, wakes them.
func parked(count uint64) string {
	all := gather(count)
	bells := make([]chan struct{}, count)
	handles := make([]chan uint64, count)
	resident, tables, _ := memory()
	begin := time.Now()
	for index := range handles {
		bell := make(chan struct{}, 1)
		bells[index] = bell
		handles[index] = spawn(func() uint64 {
			all.arrive()
			<-bell
			return 1
		})
	}
	<-all.complete
	created := time.Since(begin)
	residentNow, tablesNow, mappings := memory()
	cpu := cpuTime()
	time.Sleep(idle)
	idled := cpuTime() - cpu
	begin = time.Now()
	for _, bell := range bells {
		bell <- struct{}{}
	}
	sum := joinAll(handles)
	woken := time.Since(begin)
	return fmt.Sprint(created.Nanoseconds(), woken.Nanoseconds(), idled.Nanoseconds(),
		residentNow-resident, tablesNow-tables, mappings, sum)
}
