// Part 3: goroutines. The workloads are those of ../src/work/goroutines.rs.
package main

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	ring       = 503
	fanin      = 100
	primes     = 2_000
	lastPrime  = 17_389
	leaves     = 1_000_000
	spawnBatch = 10_000
	stop       = -1
)

func goroutines(s spec) {
	switch s.what {
	case "pingpong":
		nsPerOp(s.target, 1, pingpong)
	case "threadring":
		nsPerOp(s.target, 1, threadring)
	case "fanin":
		nsPerOp(s.target, fanin, func(n int) time.Duration { return fanIn(n, s.size) })
	case "spawn":
		nsPerOp(s.target, 1, spawn)
	case "yield":
		nsPerOp(s.target, 2, yield)
	case "sieve":
		report("s", sieve().Seconds())
	case "skynet":
		report("s", skynet().Seconds())
	case "parked":
		parked(s.size)
	case "timer":
		timers(s.size)
	default:
		fatal("no such workload: " + s.what)
	}
}

func pingpong(n int) time.Duration {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for range n {
			pong <- <-ping
		}
	}()
	return roundTrips(ping, pong, n)
}

func roundTrips(ping, pong chan int, n int) time.Duration {
	start := time.Now()
	sum := 0
	for value := range n {
		ping <- value
		sum += <-pong
	}
	check(n, sum)
	return time.Since(start)
}

func threadring(n int) time.Duration {
	first, done := startRing(ring)
	took := passToken(first, done, n, ring)
	first <- stop
	return took
}

// startRing has so many goroutines pass a token on, one hop less each time; the one that gets the last says on done which it is.
func startRing(size int) (first, done chan int) {
	done, first = make(chan int), make(chan int)
	here := first
	for i := range size {
		next := first
		if i+1 < size {
			next = make(chan int)
		}
		go func(here <-chan int, next chan<- int) {
			for hops := range here {
				switch hops {
				case stop:
					if i+1 < size {
						next <- stop
					}
					return
				case 0:
					done <- i
				default:
					next <- hops - 1
				}
			}
		}(here, next)
		here = next
	}
	return first, done
}

func passToken(first, done chan int, hops, size int) time.Duration {
	start := time.Now()
	first <- hops
	last := <-done
	took := time.Since(start)
	if last != hops%size {
		fatal("the token ended in the wrong place")
	}
	return took
}

func fanIn(n, room int) time.Duration {
	ch := make(chan int, room)
	share := n / fanin
	start := time.Now()
	for i := range fanin {
		go func() {
			for value := i * share; value < (i+1)*share; value++ {
				ch <- value
			}
		}()
	}
	sum := 0
	for range n {
		sum += <-ch
	}
	check(n, sum)
	return time.Since(start)
}

func spawn(n int) time.Duration {
	start := time.Now()
	var ran atomic.Int64
	for left := n; left > 0; left -= spawnBatch {
		var wait sync.WaitGroup
		batch := min(left, spawnBatch)
		wait.Add(batch)
		for range batch {
			go func() {
				ran.Add(1)
				wait.Done()
			}()
		}
		wait.Wait()
	}
	if int(ran.Load()) != n {
		fatal("not all of them ran")
	}
	return time.Since(start)
}

func yield(n int) time.Duration {
	var wait sync.WaitGroup
	start := time.Now()
	for range 2 {
		wait.Add(1)
		go func() {
			for range n / 2 {
				runtime.Gosched()
			}
			wait.Done()
		}()
	}
	wait.Wait()
	return time.Since(start)
}

func sieve() time.Duration {
	start := time.Now()
	ch := make(chan int)
	go func(ch chan<- int) {
		for number := 2; ; number++ {
			ch <- number
		}
	}(ch)
	prime := 0
	for range primes {
		prime = <-ch
		next := make(chan int)
		go func(here <-chan int, next chan<- int, prime int) {
			for number := range here {
				if number%prime != 0 {
					next <- number
				}
			}
		}(ch, next, prime)
		ch = next
	}
	if prime != lastPrime {
		fatal("that is not the prime it should be")
	}
	return time.Since(start)
}

func skynet() time.Duration {
	start := time.Now()
	root := make(chan int)
	go node(root, 0, leaves)
	check(leaves, <-root)
	return time.Since(start)
}

func node(parent chan<- int, first, leaves int) {
	ch := make(chan int)
	share := leaves / 10
	for child := range 10 {
		number := first + child*share
		if share == 1 {
			go func() { ch <- number }()
		} else {
			go node(ch, number, share)
		}
	}
	sum := 0
	for range 10 {
		sum += <-ch
	}
	parent <- sum
}

func parked(n int) {
	ch := make(chan int)
	var started, sum, ended atomic.Int64
	rss, vm := residentAndVirtual()
	start := time.Now()
	for range n {
		go func() {
			started.Add(1)
			sum.Add(int64(<-ch))
			ended.Add(1)
		}()
	}
	waitFor(&started, n)
	took := time.Since(start)
	// The last ones are about to park.
	time.Sleep(50 * time.Millisecond)
	rssParked, vmParked := residentAndVirtual()
	for value := range n {
		ch <- value
	}
	waitFor(&ended, n)
	check(n, int(sum.Load()))
	report("RSS B", (rssParked-rss)/float64(n))
	report("VM B", (vmParked-vm)/float64(n))
	report("start s", took.Seconds())
}

func timers(n int) {
	late := make([]time.Duration, n)
	var woken atomic.Int64
	start, cpu := time.Now(), cpuTime()
	for i := range n {
		nap := 100*time.Millisecond + 900*time.Millisecond*time.Duration(i)/time.Duration(n)
		go func() {
			asleep := time.Now()
			time.Sleep(nap)
			late[i] = time.Since(asleep) - nap
			woken.Add(1)
		}()
	}
	time.Sleep(time.Second)
	waitFor(&woken, n)
	wall, used := time.Since(start), cpuTime()-cpu
	slices.Sort(late)
	report("late p50 us", float64(percentile(late, 0.50))/1e3)
	report("late p99 us", float64(percentile(late, 0.99))/1e3)
	report("CPU s", used.Seconds())
	report("wall s", wall.Seconds())
}

func waitFor(count *atomic.Int64, n int) {
	for int(count.Load()) < n {
		time.Sleep(time.Millisecond)
	}
}

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fatal(err.Error())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
