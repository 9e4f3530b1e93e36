package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxPending is how many bytes of records wait while nobody takes them, as
	// when the node is too busy to read a container's output.
	maxPending = 4 << 20
	// farewell is how long the last records may take at the end.
	farewell = time.Second
)

// Log writes records without anybody having to wait for it. A nil one writes
// nothing.
type Log struct {
	w    io.Writer
	log  *slog.Logger
	also func(*Record)

	mu      sync.Mutex
	pending []byte
	spare   []byte
	dropped int
	wake    chan struct{}

	writing sync.Mutex // held while w is written to
}

// New returns a log that writes to w, as long as Run runs. log is told of records
// that are lost.
func New(w io.Writer, log *slog.Logger) *Log {
	return &Log{w: w, log: log, wake: make(chan struct{}, 1)}
}

// Also has f take each record too. It must not block, and is named before the first
// record.
func (l *Log) Also(f func(*Record)) { l.also = f }

// Write takes one record. It never waits: where too much is waiting already the
// record is lost, and counted.
func (l *Log) Write(r *Record) error {
	if l == nil {
		return nil
	}
	r.Type = Type
	if l.also != nil {
		l.also(r)
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false) // content is often code
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write an audit record: %w", err)
	}
	l.mu.Lock()
	if len(l.pending) > 0 && len(l.pending)+line.Len() > maxPending {
		l.dropped++
	} else {
		l.pending = append(l.pending, line.Bytes()...)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run writes records until ctx ends, and then those that are left, as far as
// somebody takes them.
func (l *Log) Run(ctx context.Context) {
	// A write that nobody takes must not hold up the end.
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			select {
			case <-l.wake:
				l.Flush()
			case <-ctx.Done():
			}
		}
		l.Flush()
	}()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(farewell):
	}
}

// Flush writes what is waiting.
func (l *Log) Flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	lines, dropped := l.pending, l.dropped
	l.pending, l.dropped = l.spare[:0], 0
	l.mu.Unlock()
	if len(lines) > 0 {
		if _, err := l.w.Write(lines); err != nil {
			l.log.Error("audit records are lost", "error", err)
		}
	}
	if dropped > 0 {
		l.log.Error("audit records are lost: they came faster than anybody took them", "count", dropped)
	}
	l.mu.Lock()
	l.spare = nil
	if cap(lines) <= maxPending/16 {
		l.spare = lines // a burst's memory is given back
	}
	l.mu.Unlock()
}
