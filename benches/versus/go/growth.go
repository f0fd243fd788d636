// How the cost grows: goroutines that there are besides. The workloads are those of ../src/work/growth.rs.
package main

import (
	"sync/atomic"
	"time"
)

func growth(s spec) {
	switch s.what {
	case "goroutines":
		beside(s)
	case "ring":
		hops(s)
	default:
		fatal("no such family: " + s.what)
	}
}

// beside has two goroutines play ping-pong beside others that wait to receive; one operation is a round trip.
func beside(s spec) {
	ch := make(chan int)
	var started, ended atomic.Int64
	for range s.size {
		go func() {
			started.Add(1)
			if _, isOpen := <-ch; isOpen {
				fatal("nothing was sent")
			}
			ended.Add(1)
		}()
	}
	waitFor(&started, s.size)
	ping, pong := make(chan int), make(chan int)
	go func() {
		for value := range ping {
			pong <- value
		}
	}()
	nsPerOp(s.target, 1, func(n int) time.Duration { return roundTrips(ping, pong, n) })
	if ended.Load() != 0 {
		fatal("they wait no longer")
	}
	close(ping)
	close(ch)
	waitFor(&ended, s.size)
}

// hops makes one ring for all runs, in whole rounds: starting it takes longer than a round of it. Two rounds are not counted.
func hops(s spec) {
	first, done := startRing(s.size)
	passToken(first, done, 2*s.size, s.size)
	nsPerOp(s.target, s.size, func(n int) time.Duration { return passToken(first, done, n, s.size) })
	first <- stop
}
