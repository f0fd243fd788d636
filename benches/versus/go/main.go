// versus-go runs one cell of the comparison in Go and prints its metrics, as the Rust program's `cell` does: a line
// per metric, name and value with a tab between. The Rust program starts it; see ../README.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
)

// spec is a cell as told on the command line.
type spec struct {
	kind, what         string
	cap                int // -1: room for all messages
	senders, receivers int
	width, bytes       int
	procs, size        int
	target             time.Duration
}

// No run is given more operations than crossbeam's own suite uses.
const mostOperations = 5_000_000

func main() {
	var s spec
	var target float64
	flag.StringVar(&s.kind, "kind", "", "link, goroutines, growth, latency or memory")
	flag.StringVar(&s.what, "what", "", "which of its kind")
	flag.IntVar(&s.cap, "cap", 0, "capacity; -1: room for all messages")
	flag.IntVar(&s.senders, "senders", 1, "sending goroutines")
	flag.IntVar(&s.receivers, "receivers", 1, "receiving goroutines")
	flag.IntVar(&s.width, "width", 1, "channels of a select")
	flag.IntVar(&s.bytes, "bytes", 8, "size of a message")
	flag.IntVar(&s.procs, "procs", 2, "GOMAXPROCS")
	flag.IntVar(&s.size, "size", 0, "how many goroutines, where that varies")
	flag.Float64Var(&target, "target", 0.4, "seconds a timed run should take")
	flag.Parse()
	s.target = time.Duration(target * float64(time.Second))
	runtime.GOMAXPROCS(s.procs)

	switch s.kind {
	case "link":
		if s.bytes == 256 {
			link[large](s)
		} else {
			link[small](s)
		}
	case "goroutines":
		goroutines(s)
	case "growth":
		growth(s)
	case "latency":
		latency(s)
	case "memory":
		if s.bytes == 256 {
			memory[large](s)
		} else {
			memory[small](s)
		}
	default:
		fatal("no such kind: " + s.kind)
	}
}

func fatal(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(101)
}

func report(metric string, value float64) {
	fmt.Printf("%s\t%v\n", metric, value)
}

// calibrated finds the number of operations, a multiple of step, that takes about target, and runs it; the runs that
// calibrate are the warm-up.
func calibrated(target time.Duration, step int, run func(n int) time.Duration) (int, time.Duration) {
	round := func(n float64) int {
		return (int(min(n, mostOperations)) + step - 1) / step * step
	}
	n := round(1000)
	for {
		took := max(run(n), 1)
		scale := float64(target) / float64(took)
		if scale < 10 || n >= mostOperations {
			n = max(round(float64(n)*scale), step)
			return n, run(n)
		}
		n = round(float64(n) * 10)
	}
}

func nsPerOp(target time.Duration, step int, run func(n int) time.Duration) {
	n, took := calibrated(target, step, run)
	report("ns/op", float64(took.Nanoseconds())/float64(n))
}

// check makes sure that every message 0..n arrived once.
func check(n, sum int) {
	if sum != n*(n-1)/2 {
		fatal(fmt.Sprintf("the sum of %d messages is wrong", n))
	}
}
