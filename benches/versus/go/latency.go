// Latency of a hand-off, as in ../src/work/latency.rs.
package main

import (
	"math"
	"slices"
	"time"
)

const (
	pause = 100 * time.Microsecond
	width = 4 // senders and receivers under load
)

var began = time.Now()

func latency(s spec) {
	var latencies []time.Duration
	var cpu time.Duration
	n, _ := calibrated(s.target, width, func(n int) time.Duration {
		before, start := cpuTime(), time.Now()
		switch s.what {
		case "handoff":
			latencies = handoff(n, s.cap)
		case "paced":
			latencies = stream(n, s.cap, 1, pause)
		case "loaded":
			latencies = stream(n, s.cap, width, 0)
		case "remote":
			latencies = remote(n, s.cap)
		default:
			fatal("no such pace: " + s.what)
		}
		cpu = cpuTime() - before
		return time.Since(start)
	})
	slices.Sort(latencies)
	report("p50 ns", float64(percentile(latencies, 0.5)))
	report("p99 ns", float64(percentile(latencies, 0.99)))
	report("p99.9 ns", float64(percentile(latencies, 0.999)))
	report("CPU s/M", cpu.Seconds()/float64(n)*1e6)
}

// Messages are the time they were sent, since the program began.
func stamp() time.Duration { return time.Since(began) }

func handoff(n, room int) []time.Duration {
	there, back := make(chan time.Duration, room), make(chan time.Duration, room)
	echoed := make(chan []time.Duration)
	go func() {
		latencies := make([]time.Duration, 0, n)
		for range n / 2 {
			sent := <-there
			latencies = append(latencies, stamp()-sent)
			back <- stamp()
		}
		echoed <- latencies
	}()
	latencies := make([]time.Duration, 0, n)
	for range n / 2 {
		there <- stamp()
		sent := <-back
		latencies = append(latencies, stamp()-sent)
	}
	return append(latencies, <-echoed...)
}

func stream(n, room, width int, pause time.Duration) []time.Duration {
	ch := make(chan time.Duration, room)
	received := make(chan []time.Duration)
	share := n / width
	for range width {
		go func() {
			for range share {
				if pause > 0 {
					time.Sleep(pause)
				}
				ch <- stamp()
			}
		}()
		go func() { received <- receive(ch, share) }()
	}
	var all []time.Duration
	for range width {
		all = append(all, <-received...)
	}
	return all
}

// receive tells how long each of n messages was on its way.
func receive(ch <-chan time.Duration, n int) []time.Duration {
	latencies := make([]time.Duration, 0, n)
	for range n {
		sent := <-ch
		latencies = append(latencies, stamp()-sent)
	}
	return latencies
}

// The sender keeps its P busy, so that the receiver has to run on another one.
func remote(n, room int) []time.Duration {
	ch := make(chan time.Duration, room)
	received := make(chan []time.Duration)
	go func() { received <- receive(ch, n) }()
	for range n {
		for start := time.Now(); time.Since(start) < pause; {
		}
		ch <- stamp()
	}
	return <-received
}

// percentile is the value below which that part of the sorted samples lies.
func percentile(sorted []time.Duration, quantile float64) time.Duration {
	return sorted[int(math.Round(float64(len(sorted)-1)*quantile))]
}
