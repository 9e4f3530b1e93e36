package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePipe is written to only while it is open.
type fakePipe struct {
	open chan struct{}
	mu   sync.Mutex
	got  bytes.Buffer
}

func (p *fakePipe) Write(data []byte) (int, error) {
	<-p.open
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Write(data)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestRecordsAreLines(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, quiet())
	for _, server := range []string{"a<b>", "c"} {
		if err := l.Write(&Record{Server: server}); err != nil {
			t.Fatal(err)
		}
	}
	l.Flush()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"server":"a<b>"`) || !strings.Contains(lines[1], `"type":"audit"`) {
		t.Errorf("lines %q, want one for each record", lines)
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is no JSON", line)
		}
	}
}

// Nobody reads a container's output for a while: requests do not wait for that.
func TestNobodyWaitsForWhoReadsTheRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := &fakePipe{open: make(chan struct{})}
		var log bytes.Buffer
		l := New(pipe, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		go l.Run(ctx)
		record := &Record{Server: strings.Repeat("x", 1<<20)}
		for range 20 { // of one megabyte each
			if err := l.Write(record); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(pipe.open)
		synctest.Wait()
		cancel()
		synctest.Wait()
		// One was under way, three fit.
		if n := strings.Count(pipe.got.String(), "\n"); n != 4 {
			t.Errorf("%d records arrive, want 4", n)
		}
		if want := "count=16"; !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	})
}

func TestTheEndDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := &fakePipe{open: make(chan struct{})}
		defer close(pipe.open)
		l := New(pipe, quiet())
		if err := l.Write(&Record{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l.Run(ctx) // returns
	})
}

func TestANilLogTakesRecords(t *testing.T) {
	var l *Log
	if err := l.Write(&Record{}); err != nil {
		t.Error(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	l := New(io.Discard, quiet())
	for b.Loop() {
		if err := l.Write(&Record{Server: "notes", Decision: "answered"}); err != nil {
			b.Fatal(err)
		}
		l.Flush()
	}
}
