// Plays programs of channel operations in Go, for tests/go_model.rs: one operation at a time, each by the goroutine that is
// named, and after each all that has ended since. Go's synctest knows when all goroutines are blocked for good.
//
// A program is a line of capacities, lines of operations, and an empty line:
//
//	chans 0 1 2
//	3 send 0 17        goroutine 3
//	3 recv 1
//	3 trysend 0 17     trysend, tryrecv: select with default
//	3 select s0:17 r1  tryselect with default
//	3 len 0
//	3 close 0
//
// It answers each operation with a line: "3=got:17 1=sent", in the order of the goroutines; or "busy", if the one that is named
// is still blocked.
package interpret

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

type player struct {
	chans []chan int
	jobs  map[int]chan []string
	busy  map[int]bool

	mutex  sync.Mutex
	ended  map[int]string
	closed map[int]bool
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// A panic is a result: a send on a closed channel, or its close. Go does not say which arm of a select it was; so the first that
// it can have been.
func (p *player) perform(op []string) (result string) {
	defer func() {
		if recover() == nil {
			return
		}
		result = "closed"
		p.mutex.Lock()
		defer p.mutex.Unlock()
		if strings.HasSuffix(op[0], "select") {
			for i, arm := range op[1:] {
				at, _, _ := strings.Cut(arm[1:], ":")
				if arm[0] == 's' && p.closed[number(at)] {
					result = fmt.Sprintf("arm:%d:closed", i)
					break
				}
			}
		}
	}()
	got := func(value int, ok bool) string {
		if ok {
			return fmt.Sprintf("got:%d", value)
		}
		return "closed"
	}
	switch op[0] {
	case "send":
		p.chans[number(op[1])] <- number(op[2])
		return "sent"
	case "trysend":
		select {
		case p.chans[number(op[1])] <- number(op[2]):
			return "sent"
		default:
			return "full"
		}
	case "recv":
		value, ok := <-p.chans[number(op[1])]
		return got(value, ok)
	case "tryrecv":
		select {
		case value, ok := <-p.chans[number(op[1])]:
			return got(value, ok)
		default:
			return "empty"
		}
	case "len":
		return fmt.Sprintf("len:%d", len(p.chans[number(op[1])]))
	case "close":
		p.mutex.Lock()
		p.closed[number(op[1])] = true
		p.mutex.Unlock()
		close(p.chans[number(op[1])])
		return "first"
	case "select", "tryselect":
		cases := make([]reflect.SelectCase, 0, len(op))
		for _, arm := range op[1:] {
			at, value, _ := strings.Cut(arm[1:], ":")
			c := reflect.ValueOf(p.chans[number(at)])
			if arm[0] == 's' {
				cases = append(cases, reflect.SelectCase{Dir: reflect.SelectSend, Chan: c, Send: reflect.ValueOf(number(value))})
			} else {
				cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: c})
			}
		}
		if op[0] == "tryselect" {
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectDefault})
		}
		chosen, value, ok := reflect.Select(cases)
		switch {
		case cases[chosen].Dir == reflect.SelectDefault:
			return "default"
		case cases[chosen].Dir == reflect.SelectSend:
			return fmt.Sprintf("arm:%d:sent", chosen)
		case ok:
			return fmt.Sprintf("arm:%d:got:%d", chosen, value.Int())
		}
		return fmt.Sprintf("arm:%d:closed", chosen)
	}
	panic("unknown operation " + op[0])
}

func (p *player) start(goroutine int) chan []string {
	jobs := make(chan []string)
	p.jobs[goroutine] = jobs
	go func() {
		for op := range jobs {
			result := p.perform(op)
			p.mutex.Lock()
			p.ended[goroutine] = result
			p.mutex.Unlock()
		}
	}()
	return jobs
}

// One program. Whoever is still blocked at its end is let go by closing everything.
func play(program [][]string, out *bufio.Writer) {
	p := &player{jobs: map[int]chan []string{}, busy: map[int]bool{}, ended: map[int]string{}, closed: map[int]bool{}}
	for _, capacity := range program[0][1:] {
		p.chans = append(p.chans, make(chan int, number(capacity)))
	}
	for _, op := range program[1:] {
		goroutine := number(op[0])
		if p.busy[goroutine] {
			fmt.Fprintln(out, "busy")
			continue
		}
		jobs, ok := p.jobs[goroutine]
		if !ok {
			jobs = p.start(goroutine)
		}
		p.busy[goroutine] = true
		jobs <- op[1:]
		synctest.Wait()
		for goroutine := range 16 {
			if result, ok := p.ended[goroutine]; ok {
				fmt.Fprintf(out, "%d=%s ", goroutine, result)
				p.busy[goroutine] = false
			}
		}
		fmt.Fprintln(out)
		clear(p.ended)
	}
	for _, c := range p.chans {
		func() {
			defer func() { recover() }()
			close(c)
		}()
	}
	for _, jobs := range p.jobs {
		close(jobs)
	}
	synctest.Wait()
}

func TestInterpret(t *testing.T) {
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stderr)
	defer out.Flush()
	var program [][]string
	for in.Scan() {
		if words := strings.Fields(in.Text()); len(words) > 0 {
			program = append(program, words)
			continue
		}
		synctest.Test(t, func(*testing.T) { play(program, out) })
		program = nil
	}
}
