// Parts 1 and 2: messages through one channel, or selects over several.
package main

import (
	"sync"
	"time"
)

type small = int

// large is 256 bytes.
type large [32]int

type message interface{ small | large }

func pack[T message](value int) (msg T) {
	switch p := any(&msg).(type) {
	case *small:
		*p = value
	case *large:
		for i := range p {
			p[i] = value
		}
	}
	return
}

func unpack[T message](msg T) int {
	switch p := any(&msg).(type) {
	case *small:
		return *p
	case *large:
		return p[31]
	}
	panic("no such message")
}

func link[T message](s spec) {
	nsPerOp(s.target, s.width, func(n int) time.Duration {
		room := s.cap
		if room < 0 {
			room = n
		}
		switch s.what {
		case "seq":
			return alone[T](n, room)
		case "select_rx", "select_both":
			return selecting[T](s, n, room)
		default:
			return crowd[T](s, n, room)
		}
	})
}

// alone fills the channel and empties it, as often as it takes.
func alone[T message](n, room int) time.Duration {
	ch := make(chan T, room)
	start := time.Now()
	sum := 0
	for done := 0; done < n; {
		end := min(done+room, n)
		for value := done; value < end; value++ {
			ch <- pack[T](value)
		}
		for ; done < end; done++ {
			sum += unpack(<-ch)
		}
	}
	check(n, sum)
	return time.Since(start)
}

func crowd[T message](s spec, n, room int) time.Duration {
	ch := make(chan T, room)
	return exchange(n, s.senders, s.receivers,
		func(from, to int) {
			for value := from; value < to; value++ {
				ch <- pack[T](value)
			}
		},
		func(count int) (sum int) {
			for range count {
				sum += unpack(<-ch)
			}
			return
		})
}

func selecting[T message](s spec, n, room int) time.Duration {
	channels := make([]chan T, s.width)
	for i := range channels {
		channels[i] = make(chan T, room)
	}
	receive := func(count int) int { return receiveAny(channels, count) }
	if s.what == "select_both" {
		return exchange(n, s.width, s.width, func(from, to int) { sendAny(channels, from, to) }, receive)
	}
	share := n / s.width
	return exchange(n, s.width, 1, func(from, to int) {
		ch := channels[from/share]
		for value := from; value < to; value++ {
			ch <- pack[T](value)
		}
	}, receive)
}

// exchange starts the senders and receivers, each with its share, and times them.
func exchange(n, senders, receivers int, send func(from, to int), receive func(count int) int) time.Duration {
	sends, receives := n/senders, n/receivers
	start := time.Now()
	for i := range senders {
		go send(i*sends, (i+1)*sends)
	}
	sums := make([]int, receivers)
	var wait sync.WaitGroup
	for i := range receivers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			sums[i] = receive(receives)
		}()
	}
	wait.Wait()
	sum := 0
	for _, part := range sums {
		sum += part
	}
	check(n, sum)
	return time.Since(start)
}

// A select statement has as many arms as are written: two or four.

func receiveAny[T message](c []chan T, count int) (sum int) {
	if len(c) == 2 {
		for range count {
			select {
			case msg := <-c[0]:
				sum += unpack(msg)
			case msg := <-c[1]:
				sum += unpack(msg)
			}
		}
		return
	}
	for range count {
		select {
		case msg := <-c[0]:
			sum += unpack(msg)
		case msg := <-c[1]:
			sum += unpack(msg)
		case msg := <-c[2]:
			sum += unpack(msg)
		case msg := <-c[3]:
			sum += unpack(msg)
		}
	}
	return
}

func sendAny[T message](c []chan T, from, to int) {
	if len(c) == 2 {
		for value := from; value < to; value++ {
			select {
			case c[0] <- pack[T](value):
			case c[1] <- pack[T](value):
			}
		}
		return
	}
	for value := from; value < to; value++ {
		select {
		case c[0] <- pack[T](value):
		case c[1] <- pack[T](value):
		case c[2] <- pack[T](value):
		case c[3] <- pack[T](value):
		}
	}
}
