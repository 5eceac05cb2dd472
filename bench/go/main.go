// SPDX-License-Identifier: BSD-3-Clause

// The works of the group `coroutines`, by goroutines: the same as in src/coroutines/straight.rs.
// One request a line: the work's name, how many goroutines, how many operations. The answer: how
// many nanoseconds it took, and the sum of what came out.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	far   = time.Hour
	burst = 16
	many  = 4
	idle  = time.Second
	// How often sleepers may come too late, because somebody else had the CPU.
	lateMax = 8
)

type answer struct {
	taken time.Duration
	sum   uint64
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var work string
		var count, n uint64
		if _, err := fmt.Sscan(lines.Text(), &work, &count, &n); err != nil {
			fmt.Println("cannot read", lines.Text())
			continue
		}
		if work == "parked" {
			fmt.Println(parked(count))
			continue
		}
		done, ok := perform(work, count, n)
		if !ok {
			fmt.Println("cannot", lines.Text())
			continue
		}
		fmt.Println(done.taken.Nanoseconds(), done.sum)
	}
}

func perform(work string, count, n uint64) (answer, bool) {
	switch work {
	case "spawn-join":
		return spawnJoin(n), true
	case "batch":
		return batch(count, n), true
	case "yield":
		return yields(count, n), true
	case "wake":
		return wakes(count, n, false), true
	case "wake-timed":
		return wakes(count, n, true), true
	case "timer":
		without, with := wakes(0, n, false), wakes(0, n, true)
		return answer{max(with.taken-without.taken, 0), with.sum}, true
	case "wake-each":
		return wakeEach(count, n), true
	case "fire":
		return sleepers(count, n, true)
	case "sleep":
		return sleepers(count, n, false)
	case "rendezvous":
		return rendezvous(n), true
	case "pairs":
		return pairs(count, n*burst), true
	case "four-to-four":
		return fourToFour(n), true
	}
	return answer{}, false
}

// A goroutine's answer comes through a channel with room for it.
func spawn(f func() uint64) chan uint64 {
	result := make(chan uint64, 1)
	go func() { result <- f() }()
	return result
}

func joinAll(handles []chan uint64) (sum uint64) {
	for _, handle := range handles {
		sum += <-handle
	}
	return sum
}

// Where the one that measures waits until all others have come.
type gathering struct {
	missing  atomic.Int64
	complete chan struct{}
}

func gather(count uint64) *gathering {
	all := &gathering{complete: make(chan struct{}, 1)}
	all.missing.Store(int64(count))
	return all
}

func (all *gathering) arrive() {
	if all.missing.Add(-1) == 0 {
		all.complete <- struct{}{}
	}
}

func spawnJoin(n uint64) answer {
	var sum uint64
	begin := time.Now()
	for number := range n {
		sum += <-spawn(func() uint64 { return number })
	}
	return answer{time.Since(begin), sum}
}

func batch(count, n uint64) answer {
	var sum uint64
	handles := make([]chan uint64, count)
	begin := time.Now()
	for range n {
		for number := range count {
			handles[number] = spawn(func() uint64 { return number })
		}
		sum += joinAll(handles)
	}
	return answer{time.Since(begin), sum}
}

func yields(count, n uint64) answer {
	all := gather(count)
	start := make(chan struct{})
	var done atomic.Uint64
	handles := make([]chan uint64, count)
	for index := range handles {
		handles[index] = spawn(func() uint64 {
			all.arrive()
			<-start
			for range n {
				runtime.Gosched()
			}
			done.Add(n)
			return 0
		})
	}
	<-all.complete
	close(start)
	runtime.Gosched()
	begin := time.Now()
	for done.Load() < n*count {
		runtime.Gosched()
	}
	taken := time.Since(begin)
	joinAll(handles)
	return answer{taken, done.Load()}
}

// Waits for a bell, at most so long, by a timer that is not running.
func heardWithin(bell chan struct{}, timer *time.Timer, limit time.Duration) {
	timer.Reset(limit)
	select {
	case <-bell:
	case <-timer.C:
	}
	timer.Stop()
}

// A timer, which can be used for many waits.
func stopped() *time.Timer {
	timer := time.NewTimer(far)
	timer.Stop()
	return timer
}

func wakes(waiters, n uint64, timed bool) answer {
	all := gather(waiters + 1)
	bells := make([]chan struct{}, waiters)
	others := make([]chan uint64, waiters)
	for number := range waiters {
		bell := make(chan struct{}, 1)
		bells[number] = bell
		others[number] = spawn(func() uint64 {
			all.arrive()
			heardWithin(bell, stopped(), far+sleepTime(number))
			return 0
		})
	}
	bell := make(chan struct{}, 1)
	var counted atomic.Uint64
	waiting := spawn(func() uint64 {
		timer := stopped()
		all.arrive()
		for next := range n {
			if timed {
				heardWithin(bell, timer, far)
			} else {
				<-bell
			}
			counted.Store(next + 1)
		}
		return 0
	})
	<-all.complete
	begin := time.Now()
	for next := range n {
		bell <- struct{}{}
		for counted.Load() < next+1 {
			runtime.Gosched()
		}
	}
	taken := time.Since(begin)
	for _, bell := range bells {
		bell <- struct{}{}
	}
	<-waiting
	joinAll(others)
	return answer{taken, counted.Load()}
}

func wakeEach(count, n uint64) answer {
	all := gather(count)
	var woken atomic.Uint64
	bells := make([]chan struct{}, count)
	handles := make([]chan uint64, count)
	for index := range handles {
		bell := make(chan struct{}, 1)
		bells[index] = bell
		handles[index] = spawn(func() uint64 {
			all.arrive()
			for range n {
				<-bell
				woken.Add(1)
			}
			return 0
		})
	}
	<-all.complete
	begin := time.Now()
	for next := range n {
		for _, bell := range bells {
			bell <- struct{}{}
		}
		for woken.Load() < (next+1)*count {
			runtime.Gosched()
		}
	}
	taken := time.Since(begin)
	joinAll(handles)
	return answer{taken, woken.Load()}
}

func sleepTime(number uint64) time.Duration {
	scattered := number * 0x9e37_79b9_7f4a_7c15 >> 32
	return time.Duration(1_000_000+scattered*100_000>>32) * time.Microsecond
}

// The CPU time of this process so far.
func cpuTime() time.Duration {
	const processCPUTime = 2
	var now syscall.Timespec
	_, _, errno := syscall.Syscall(
		syscall.SYS_CLOCK_GETTIME, processCPUTime, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		panic(errno)
	}
	return time.Duration(now.Nano())
}

func sleepers(count, n uint64, fireOnly bool) (answer, bool) {
	var done answer
	for range n {
		cpu, sum, late := sleepRound(count, fireOnly)
		for attempt := 1; late; attempt++ {
			if attempt == lateMax {
				return answer{}, false
			}
			cpu, sum, late = sleepRound(count, fireOnly)
		}
		done.taken += cpu
		done.sum += sum
	}
	return done, true
}

// The CPU time; how many slept as long as they were to; whether some would have been woken before
// all slept.
func sleepRound(count uint64, fireOnly bool) (taken time.Duration, sum uint64, late bool) {
	all := gather(count)
	begin, cpu := time.Now(), cpuTime()
	handles := make([]chan uint64, count)
	for number := range count {
		handles[number] = spawn(func() uint64 {
			all.arrive()
			limit, begin := sleepTime(number), time.Now()
			time.Sleep(limit)
			if time.Since(begin) < limit {
				return 0
			}
			return 1
		})
	}
	<-all.complete
	if fireOnly {
		runtime.Gosched()
		late = time.Since(begin) >= sleepTime(0)
		cpu = cpuTime()
	}
	sum = joinAll(handles)
	return cpuTime() - cpu, sum, late
}

func send(values chan uint64, from, to uint64) uint64 {
	for number := from; number < to; number++ {
		values <- number
	}
	return 0
}

func receive(values chan uint64, n uint64, ordered bool) (sum uint64) {
	for turn := range n {
		got := <-values
		if ordered && got != turn {
			got = ^uint64(0)
		}
		sum += got
	}
	return sum
}

func rendezvous(n uint64) answer {
	values := make(chan uint64)
	begin := time.Now()
	receiving := spawn(func() uint64 { return receive(values, n, true) })
	sending := spawn(func() uint64 { return send(values, 0, n) })
	sum := <-receiving
	<-sending
	return answer{time.Since(begin), sum}
}

func pairs(count, values uint64) answer {
	all := gather(2 * count)
	bells := make([]chan struct{}, count)
	senders := make([]chan uint64, count)
	receivers := make([]chan uint64, count)
	for index := range senders {
		channel, bell := make(chan uint64), make(chan struct{}, 1)
		bells[index] = bell
		senders[index] = spawn(func() uint64 {
			all.arrive()
			<-bell
			return send(channel, 0, values)
		})
		receivers[index] = spawn(func() uint64 {
			all.arrive()
			return receive(channel, values, true)
		})
	}
	<-all.complete
	begin := time.Now()
	for _, bell := range bells {
		bell <- struct{}{}
	}
	sum := joinAll(receivers)
	taken := time.Since(begin)
	joinAll(senders)
	return answer{taken, sum}
}

func fourToFour(n uint64) answer {
	values := make(chan uint64, 1024)
	var receivers, senders []chan uint64
	begin := time.Now()
	for range many {
		receivers = append(receivers, spawn(func() uint64 { return receive(values, n, false) }))
	}
	for index := range uint64(many) {
		senders = append(senders, spawn(func() uint64 { return send(values, index*n, (index+1)*n) }))
	}
	sum := joinAll(receivers)
	joinAll(senders)
	return answer{time.Since(begin), sum}
}
