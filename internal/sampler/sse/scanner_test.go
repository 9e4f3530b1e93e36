package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

type dispatched struct {
	Type, Data, ID string
	HasID          bool
	Retry          time.Duration
}

// readAll returns the events that the standard dispatches or that carry an id
// or a retry, and all pieces put together again.
func readAll(t testing.TB, r io.Reader) (events []dispatched, raw []byte, lastID string) {
	t.Helper()
	s := NewScanner(r, 0)
	for {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			return events, raw, s.LastEventID()
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		raw = append(raw, e.Raw...)
		if len(e.Data) > 0 || e.HasID || e.HasRetry {
			events = append(events, dispatched{e.Type, string(e.Data), e.ID, e.HasID, e.Retry})
		}
	}
}

var streams = map[string]struct {
	stream     string
	want       []dispatched
	wantLastID string
}{
	"nothing": {},
	"one event ended by LF": {
		stream: "event: message\ndata: {}\n\n",
		want:   []dispatched{{Type: "message", Data: "{}"}},
	},
	"one event ended by CRLF": {
		stream: "event: message\r\ndata: {}\r\n\r\n",
		want:   []dispatched{{Type: "message", Data: "{}"}},
	},
	"one event ended by CR": {
		stream: "event: message\rdata: {}\r\r",
		want:   []dispatched{{Type: "message", Data: "{}"}},
	},
	"line ends mixed between and within events": {
		stream: "data: a\r\ndata: b\n\r\ndata: c\r\r\ndata: d\n\n",
		want:   []dispatched{{Data: "a\nb"}, {Data: "c"}, {Data: "d"}},
	},
	"no event field, no space after the colon": {
		stream: "data:{\"a\":1}\n\n",
		want:   []dispatched{{Data: `{"a":1}`}},
	},
	"only the first space is taken off": {
		stream: "data:  a \n\n",
		want:   []dispatched{{Data: " a "}},
	},
	"several data lines are joined, empty ones too": {
		stream: "data: a\ndata\ndata:\ndata: b\n\n",
		want:   []dispatched{{Data: "a\n\n\nb"}},
	},
	"an empty first event with id and retry": {
		stream:     "id: 0\nretry: 3000\ndata: \n\ndata: x\n\n",
		want:       []dispatched{{ID: "0", HasID: true, Retry: 3 * time.Second}, {Data: "x"}},
		wantLastID: "0",
	},
	"comments before, within and after an event": {
		stream: ": ping\n\n:\ndata: x\n: in between\n\n: bye\n",
		want:   []dispatched{{Data: "x"}},
	},
	"a byte order mark at the beginning only": {
		stream: "\xEF\xBB\xBFdata: x\n\n\xEF\xBB\xBFdata: y\n\n",
		want:   []dispatched{{Data: "x"}},
	},
	"a byte order mark before a comment": {
		stream: "\xEF\xBB\xBF: hello\ndata: x\n\n",
		want:   []dispatched{{Data: "x"}},
	},
	"an id with NUL is ignored, an empty one resets": {
		stream: "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\nid\ndata: c\n\n",
		want:   []dispatched{{Data: "a", ID: "1", HasID: true}, {Data: "b"}, {Data: "c", HasID: true}},
	},
	"a retry that is no number is ignored": {
		stream: "retry: soon\ndata: a\n\nretry: +5\ndata: b\n\nretry: -5\ndata: c\n\nretry:\ndata: d\n\n",
		want:   []dispatched{{Data: "a"}, {Data: "b"}, {Data: "c"}, {Data: "d"}},
	},
	"unknown fields are ignored": {
		stream: "x-y: z\nDATA: no\n data: no\ndata: yes\n\n",
		want:   []dispatched{{Data: "yes"}},
	},
	"what is not ended is not dispatched": {
		stream:     "id: 1\ndata: x\n\nid: 2\ndata: half",
		want:       []dispatched{{Data: "x", ID: "1", HasID: true}},
		wantLastID: "1",
	},
	"an event as long as many buffers": {
		stream: "data: " + strings.Repeat("0123456789", 20_000) + "\n\ndata: x\n\n",
		want:   []dispatched{{Data: strings.Repeat("0123456789", 20_000)}, {Data: "x"}},
	},
}

func TestScanner(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"all at once":         func(r io.Reader) io.Reader { return r },
		"byte by byte":        iotest.OneByteReader,
		"end with last bytes": iotest.DataErrReader,
	}
	for name, tc := range streams {
		for how, reader := range readers {
			t.Run(name+", "+how, func(t *testing.T) {
				events, raw, lastID := readAll(t, reader(strings.NewReader(tc.stream)))
				if diff := cmp.Diff(tc.want, events); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.stream, string(raw)); diff != "" {
					t.Errorf("bytes (-want +got):\n%s", diff)
				}
				if lastID != tc.wantLastID {
					t.Errorf("last event id %q, want %q", lastID, tc.wantLastID)
				}
			})
		}
	}
}

// stepReader gives one chunk per Read and says when it is asked for more than
// there is.
type stepReader struct {
	chunks []string
	asked  func()
}

func (r *stepReader) Read(p []byte) (int, error) {
	if len(r.chunks) == 0 {
		r.asked()
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	r.chunks = r.chunks[1:]
	return n, nil
}

func TestScannerDoesNotWaitForMoreThanItNeeds(t *testing.T) {
	for name, chunks := range map[string][]string{
		"an event ended by CR":            {"data: x\r\r"},
		"an event ended by CR before LF":  {"data: x\r\n\r"},
		"a comment that is one line only": {": ping\n"},
		"a LF that comes after its CR":    {"data: x\r\n\r", "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			s := NewScanner(&stepReader{chunks: chunks, asked: func() {
				if want := strings.Join(chunks, ""); string(got) != want {
					t.Errorf("asked for more when %q of %q had been returned", got, want)
				}
			}}, 0)
			for {
				e, err := s.Next()
				if err != nil {
					break
				}
				got = append(got, e.Raw...)
			}
		})
	}
}

func TestScannerErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		reader  io.Reader
		max     int
		wantErr error
	}{
		"an event over the bound":         {strings.NewReader("data: " + strings.Repeat("x", 100_000)), 50_000, ErrTooLarge},
		"a reader that fails":             {iotest.ErrReader(broken), 0, broken},
		"a reader that never makes way":   {readerFunc(func([]byte) (int, error) { return 0, nil }), 0, io.ErrNoProgress},
		"many lines that are one too big": {strings.NewReader(strings.Repeat("data: x\n", 10_000)), 50_000, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewScanner(tc.reader, tc.max).Next()
			if !errors.Is(err, tc.wantErr) {
				t.Errorf("got error %v, want %v", err, tc.wantErr)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestScannerBoundIsExact(t *testing.T) {
	event := func(size int) string { return "data: " + strings.Repeat("x", size-len("data: \n\n")) + "\n\n" }
	for name, tc := range map[string]struct {
		stream  string
		max     int
		want    int
		wantErr error
	}{
		"at a bound below the first buffer":     {event(100), 100, 1, io.EOF},
		"over a bound below the first buffer":   {event(101), 100, 0, ErrTooLarge},
		"at a bound between two buffers":        {event(5000), 5000, 1, io.EOF},
		"over a bound between two buffers":      {event(5001), 5000, 0, ErrTooLarge},
		"at a bound that is a buffer's size":    {event(8192), 8192, 1, io.EOF},
		"over a bound that is a buffer's size":  {event(8193), 8192, 0, ErrTooLarge},
		"at the bound, behind others":           {event(3000) + event(5000) + event(4999) + event(5000), 5000, 4, io.EOF},
		"over the bound, behind others":         {event(3000) + event(5000) + event(5001), 5000, 2, ErrTooLarge},
		"over the bound, before a small one":    {event(101) + event(10), 100, 0, ErrTooLarge},
		"a comment over the bound":              {":" + strings.Repeat("x", 100) + "\n", 100, 0, ErrTooLarge},
		"what a stream leaves behind, at it":    {strings.Repeat("x", 100), 100, 1, io.EOF},
		"what a stream leaves behind, over it":  {strings.Repeat("x", 101), 100, 0, ErrTooLarge},
		"the last of many that fill the buffer": {strings.Repeat(event(10), 1000) + event(4500) + event(4501), 4500, 1001, ErrTooLarge},
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{
			"all at once":  func(r io.Reader) io.Reader { return r },
			"byte by byte": iotest.OneByteReader,
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := NewScanner(reader(strings.NewReader(tc.stream)), tc.max)
				got := 0
				var err error
				for {
					if _, err = s.Next(); err != nil {
						break
					}
					got++
				}
				if got != tc.want || !errors.Is(err, tc.wantErr) {
					t.Errorf("%d events, then %v; want %d, then %v", got, err, tc.want, tc.wantErr)
				}
				if most := max(firstBuffer, tc.max+1); cap(s.buf) > most {
					t.Errorf("the buffer has %d bytes, want at most %d", cap(s.buf), most)
				}
			})
		}
	}
}

func TestScannerReleasesMemoryAfterALargeEvent(t *testing.T) {
	s := NewScanner(strings.NewReader("data: "+strings.Repeat("x", 1<<20)+"\n\ndata: y\n\n"), 0)
	if _, err := s.Next(); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if cap(s.buf) > keepBuffer {
		t.Errorf("holds %d bytes, want at most %d", cap(s.buf), keepBuffer)
	}
	if e, err := s.Next(); err != nil || string(e.Data) != "y" {
		t.Errorf("the next event is %+v, %v; want y", e, err)
	}
}

// FuzzScannerSplit holds that it does not matter where reads end: a stream
// gives the same events split at any byte, and all of its bytes.
func FuzzScannerSplit(f *testing.F) {
	for _, tc := range streams {
		if len(tc.stream) < 1000 {
			f.Add([]byte(tc.stream))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		if len(stream) > 1000 {
			return
		}
		want, raw, wantID := readAll(t, bytes.NewReader(stream))
		if !bytes.Equal(raw, stream) {
			t.Fatalf("bytes changed: %q, want %q", raw, stream)
		}
		check := func(where string, r io.Reader) {
			events, raw, id := readAll(t, r)
			if diff := cmp.Diff(want, events); diff != "" {
				t.Fatalf("%s: events (-whole +split):\n%s", where, diff)
			}
			if !bytes.Equal(raw, stream) || id != wantID {
				t.Fatalf("%s: bytes %q and id %q, want %q and %q", where, raw, id, stream, wantID)
			}
		}
		check("byte by byte", iotest.OneByteReader(bytes.NewReader(stream)))
		for i := range stream {
			check("split once", io.MultiReader(bytes.NewReader(stream[:i]), bytes.NewReader(stream[i:])))
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	stream := bytes.Repeat([]byte("event: message\nid: 1_2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progress\":1}}\n\n"), 100)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		s := NewScanner(bytes.NewReader(stream), 0)
		for {
			if _, err := s.Next(); err != nil {
				break
			}
		}
	}
}

// Buffers are handed on from stream to stream: an event of one must not change
// when another one ends.
func TestStreamsDoNotShareTheirBuffers(t *testing.T) {
	const streams = 50
	scanners := make([]*Scanner, streams)
	got := make([]*Event, streams)
	for round := range 3 {
		for i := range scanners {
			scanners[i] = NewScanner(strings.NewReader(fmt.Sprintf("data: %d of %d\n\n", i, round)), 0)
			if i%2 == 1 { // this one ends before the next begins
				for {
					if _, err := scanners[i].Next(); err != nil {
						break
					}
				}
				continue
			}
			e, err := scanners[i].Next()
			if err != nil {
				t.Fatal(err)
			}
			got[i] = e
		}
		for i := 0; i < streams; i += 2 {
			if want := fmt.Sprintf("%d of %d", i, round); string(got[i].Data) != want {
				t.Errorf("stream %d holds %q, want %q", i, got[i].Data, want)
			}
			if _, err := scanners[i].Next(); !errors.Is(err, io.EOF) {
				t.Errorf("stream %d ended with %v", i, err)
			}
		}
	}
}
