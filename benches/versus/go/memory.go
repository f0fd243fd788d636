// Memory: of channels and messages the heap bytes, of a parked goroutine its stack as well, since it has no thread or
// future that somebody else accounts for.
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// One object is too small to see in Go's statistics: so many are made.
const (
	manyChannels = 10_000
	manyWaiters  = 10_000
)

func memory[T message](s spec) {
	debug.SetGCPercent(-1)
	switch s.what {
	case "empty":
		channels := make([]chan T, manyChannels)
		before := heap()
		for i := range channels {
			channels[i] = make(chan T, s.cap)
		}
		report("bytes", (heap()-before)/manyChannels)
		runtime.KeepAlive(channels)
	case "buffered":
		channels := make([]chan T, manyChannels/100)
		before := heap()
		for i := range channels {
			channels[i] = make(chan T, s.cap)
			for value := range s.cap {
				channels[i] <- pack[T](value)
			}
		}
		report("bytes", (heap()-before)/float64(len(channels)*s.cap))
		runtime.KeepAlive(channels)
	case "parked_rx":
		ch := make(chan T, s.cap)
		report("bytes", waiters(func() { <-ch }))
	case "parked_tx":
		ch := make(chan T, s.cap)
		for value := range s.cap {
			ch <- pack[T](value)
		}
		report("bytes", waiters(func() { ch <- pack[T](0) }))
	default:
		fatal("no such holding: " + s.what)
	}
}

func waiters(wait func()) float64 {
	before := heap() + stacks()
	for range manyWaiters {
		go wait()
	}
	time.Sleep(200 * time.Millisecond)
	return (heap() + stacks() - before) / manyWaiters
}

func heap() float64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

func stacks() float64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.StackInuse)
}

// residentAndVirtual is the size of this process in bytes.
func residentAndVirtual() (rss, vm float64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fatal(err.Error())
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			rss = kib * 1024
		case "VmSize:":
			vm = kib * 1024
		}
	}
	return
}
