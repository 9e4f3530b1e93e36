package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read takes n events off a stream.
func read(t *testing.T, s *callerStream, n int) (got []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range n {
		if !s.next(ctx, func(raw []byte) error { got = append(got, string(raw)); return nil }) {
			t.Fatalf("the stream ended after %q", got)
		}
	}
	return got
}

func TestEventLog(t *testing.T) {
	add := func(l *eventLog, ids ...string) {
		for _, id := range ids {
			l.add([]byte("event "+id), id, true)
		}
	}
	for name, play := range map[string]func(t *testing.T, l *eventLog) (got, want []string){
		"what came before the caller": func(t *testing.T, l *eventLog) ([]string, []string) {
			add(l, "1", "2")
			return read(t, l.attach(""), 2), []string{"event 1", "event 2"}
		},
		"what comes after": func(t *testing.T, l *eventLog) ([]string, []string) {
			s := l.attach("")
			add(l, "1")
			return read(t, s, 1), []string{"event 1"}
		},
		"a second stream goes on where the first was": func(t *testing.T, l *eventLog) ([]string, []string) {
			add(l, "1", "2")
			first := l.attach("")
			got := read(t, first, 1)
			first.detach()
			return append(got, read(t, l.attach(""), 1)...), []string{"event 1", "event 2"}
		},
		"a second stream resumes after an event": func(t *testing.T, l *eventLog) ([]string, []string) {
			add(l, "1", "2", "3")
			first := l.attach("")
			read(t, first, 3)
			first.detach()
			return read(t, l.attach("1"), 2), []string{"event 2", "event 3"}
		},
		"the newest stream gets it, and after it the older": func(t *testing.T, l *eventLog) ([]string, []string) {
			older, newer := l.attach(""), l.attach("")
			add(l, "1")
			got := read(t, newer, 1)
			newer.detach()
			add(l, "2")
			return append(got, read(t, older, 1)...), []string{"event 1", "event 2"}
		},
		"comments are not kept": func(t *testing.T, l *eventLog) ([]string, []string) {
			l.addComment([]byte(": before"))
			s := l.attach("")
			l.addComment([]byte(": after"))
			return read(t, s, 1), []string{": after"}
		},
		"an event of any size reaches who reads": func(t *testing.T, l *eventLog) ([]string, []string) {
			large := strings.Repeat("x", 5000)
			s := l.attach("")
			l.add([]byte(large), "", false)
			return read(t, s, 1), []string{large}
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := play(t, newEventLog(1000, patience))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEventLogForgetsTheOldest(t *testing.T) {
	l := newEventLog(1000, patience)
	complaints := 0
	for i := range 1000 {
		if !l.add(fmt.Appendf(nil, "event %d", i), fmt.Sprint(i), true) {
			complaints++
		}
		if l.bytes > 1000 {
			t.Fatalf("holds %d bytes after %d events", l.bytes, i)
		}
	}
	if complaints != 1 {
		t.Errorf("said %d times that events are lost, want once", complaints)
	}
	if l.has("1") || !l.has("999") {
		t.Error("did not keep the newest")
	}
	if got := read(t, l.attach("998"), 1); got[0] != "event 999" {
		t.Errorf("got %q, want the last event", got[0])
	}
}

func TestEventLogEnds(t *testing.T) {
	write := func([]byte) error { return nil }
	for name, end := range map[string]func(l *eventLog, leave func()){
		"when it is closed":      func(l *eventLog, _ func()) { l.close() },
		"when the caller leaves": func(_ *eventLog, leave func()) { leave() },
	} {
		t.Run(name, func(t *testing.T) {
			l := newEventLog(1000, patience)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			s := l.attach("")
			over := make(chan bool, 1)
			go func() { over <- s.next(ctx, write) }()
			end(l, leave)
			if await(t, "the stream ends", over) {
				t.Error("the stream has something to read")
			}
		})
	}
	l := newEventLog(1000, patience)
	l.add([]byte("x"), "", false)
	if l.attach("").next(t.Context(), func([]byte) error { return errors.New("gone") }) {
		t.Error("a stream goes on that cannot be written to")
	}
	for range maxCallerStreams - 1 {
		l.attach("")
	}
	if l.attach("") != nil {
		t.Error("more streams than allowed")
	}
	l.close()
	if l.attach("") != nil {
		t.Error("a stream of a log that is closed")
	}
}
