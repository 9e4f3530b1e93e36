package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// DefaultMaxEventBytes bounds one event where nothing else is said.
const DefaultMaxEventBytes = 16 << 20

// ErrTooLarge is returned for an event that exceeds the scanner's bound.
var ErrTooLarge = errors.New("server-sent event too large")

const (
	// firstBuffer is what an idle stream holds.
	firstBuffer = 4 << 10
	// keepBuffer is what stays allocated after an event that needed more.
	keepBuffer = 64 << 10
	// firstIdleBuffer and keepIdleBuffer are the same of a stream on which nothing
	// comes most of the time.
	firstIdleBuffer = 512
	keepIdleBuffer  = 4 << 10
)

// Event is one piece of a stream. The pieces' Raw bytes, one after the other,
// are the stream. Everything in it is valid until the next call of Next.
type Event struct {
	// Raw are the bytes of the piece, with its line ends.
	Raw []byte
	// Type is the value of the event field.
	Type string
	// Data are the values of the data fields, joined by LF. The standard
	// dispatches nothing where it is empty.
	Data []byte
	// ID is this event's own id field; HasID is false where there is none.
	ID    string
	HasID bool
	// Retry is the reconnection time that this event sets; HasRetry is false
	// where it sets none.
	Retry    time.Duration
	HasRetry bool
	// Continues marks a LF that arrived after its CR had already ended the event
	// before: it belongs to that event's line end.
	Continues bool
	// Incomplete marks what a stream that broke off left behind. The standard
	// discards it, so its fields are not read.
	Incomplete bool
}

// Scanner cuts a stream into events. An event is returned as soon as its last
// byte is there, and comments before an event at once, so that nothing waits
// for bytes which may never come.
type Scanner struct {
	reader io.Reader
	max    int
	// first and keep bound what is held while nothing comes.
	first, keep int

	buf []byte
	// The current piece is buf[start:]; line is where its current line begins,
	// searched how far line ends were looked for, end where the bytes read end.
	start, line, searched, end int
	// afterCR means that a LF at line belongs to the CR before it.
	afterCR bool
	// begun is false during the first piece, before which a byte order mark may
	// stand.
	begun bool
	done  bool

	event  Event
	joined []byte
	lastID string
}

// NewScanner returns a scanner of r whose events have at most maxEventBytes
// bytes; 0 means DefaultMaxEventBytes.
func NewScanner(r io.Reader, maxEventBytes int) *Scanner {
	if maxEventBytes <= 0 {
		maxEventBytes = DefaultMaxEventBytes
	}
	return &Scanner{reader: r, max: maxEventBytes, first: firstBuffer, keep: keepBuffer}
}

// NewIdleScanner is NewScanner for a stream on which nothing comes most of the
// time: it holds little meanwhile.
func NewIdleScanner(r io.Reader, maxEventBytes int) *Scanner {
	s := NewScanner(r, maxEventBytes)
	s.first, s.keep = firstIdleBuffer, keepIdleBuffer
	return s
}

// LastEventID returns the id that a reconnection would send: that of the last
// complete event which had one.
func (s *Scanner) LastEventID() string { return s.lastID }

// firstBuffers are those that streams begin with: most are over with one event.
var firstBuffers = sync.Pool{New: func() any { return new([firstBuffer]byte) }}

// Next returns the next piece, or io.EOF at the end of the stream, or the error
// that the reader returned.
func (s *Scanner) Next() (*Event, error) {
	e, err := s.next()
	if err != nil && len(s.buf) == firstBuffer {
		firstBuffers.Put((*[firstBuffer]byte)(s.buf))
		s.buf, s.start, s.line, s.searched, s.end = nil, 0, 0, 0, 0
	}
	return e, err
}

func (s *Scanner) next() (*Event, error) {
	s.Release()
	for {
		piece, ok := s.cut()
		if ok && len(piece.Raw) <= s.max {
			return piece, nil
		}
		if s.done {
			return nil, io.EOF
		}
		if ok || s.end-s.start > s.max {
			return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, s.max)
		}
		err := s.fill()
		if errors.Is(err, io.EOF) {
			s.done = true
			if s.end > s.start {
				s.event = Event{Raw: s.buf[s.start:s.end], Incomplete: true}
				s.line, s.searched = s.end, s.end
				return &s.event, nil
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
	}
}

// Release gives up the piece that was returned last, and a buffer that has grown
// for it. Next does so too; it is for who does something slow before that.
func (s *Scanner) Release() {
	s.begun = s.begun || s.line > s.start
	s.start = s.line
	s.event = Event{}
	if s.start == s.end {
		s.start, s.line, s.searched, s.end = 0, 0, 0, 0
	}
	if cap(s.buf) > s.keep && s.end-s.start < s.first {
		s.move(make([]byte, s.first))
	}
	if cap(s.joined) > s.keep {
		s.joined = nil
	}
}

// cut looks for the end of the current piece in what was read.
func (s *Scanner) cut() (*Event, bool) {
	for s.line < s.end {
		if s.afterCR {
			s.afterCR = false
			if s.buf[s.line] == '\n' {
				alone := s.line == s.start
				s.line++
				s.searched = s.line
				if alone {
					s.event = Event{Raw: s.buf[s.start:s.line], Continues: true}
					return &s.event, true
				}
				continue
			}
		}
		offset := indexLineEnd(s.buf[s.searched:s.end])
		if offset < 0 {
			s.searched = s.end
			return nil, false
		}
		lineEnd := s.searched + offset
		first := s.line == s.start
		text := s.buf[s.line:lineEnd]
		if first && !s.begun {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		s.line = s.afterLineEnd(lineEnd)
		s.searched = s.line
		if len(text) == 0 {
			s.parse(s.buf[s.start:s.line])
			return &s.event, true
		}
		if first && text[0] == ':' {
			s.event = Event{Raw: s.buf[s.start:s.line]}
			return &s.event, true
		}
	}
	return nil, false
}

var byteOrderMark = []byte("\xEF\xBB\xBF")

func (s *Scanner) afterLineEnd(lineEnd int) int {
	next := lineEnd + 1
	if s.buf[lineEnd] == '\n' {
		return next
	}
	if next < s.end && s.buf[next] == '\n' {
		return next + 1
	}
	s.afterCR = next == s.end
	return next
}

// fill reads once more, after making room.
func (s *Scanner) fill() error {
	if s.end == len(s.buf) {
		switch used := s.end - s.start; {
		case s.start > 0 && (used <= len(s.buf)/2 || len(s.buf) > s.max):
			s.move(s.buf)
		case s.buf == nil && s.first == firstBuffer && firstBuffer <= s.max+1:
			s.buf = firstBuffers.Get().(*[firstBuffer]byte)[:]
		default:
			// One byte more than an event may have shows that it is too large.
			s.move(make([]byte, max(s.first, min(2*len(s.buf), s.max+1))))
		}
	}
	for range maxEmptyReads {
		n, err := s.reader.Read(s.buf[s.end:])
		s.end += n
		if n > 0 {
			return nil // an error comes again with the next read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

const maxEmptyReads = 100

func (s *Scanner) move(to []byte) {
	copy(to, s.buf[s.start:s.end])
	s.end -= s.start
	s.line -= s.start
	s.searched -= s.start
	s.start = 0
	s.buf = to
}

// parse reads the fields of the event whose bytes are raw.
func (s *Scanner) parse(raw []byte) {
	s.event = Event{Raw: raw}
	lines := raw
	if !s.begun {
		lines = bytes.TrimPrefix(raw, byteOrderMark)
	}
	values := 0
	for len(lines) > 0 {
		n := indexLineEnd(lines)
		text := lines[:n]
		if lines[n] == '\r' && n+1 < len(lines) && lines[n+1] == '\n' {
			n++
		}
		lines = lines[n+1:]
		s.field(text, &values)
	}
	if s.event.HasID {
		s.lastID = s.event.ID
	}
}

func (s *Scanner) field(text []byte, values *int) {
	name, value, _ := bytes.Cut(text, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		switch *values {
		case 0:
			s.event.Data = value
		case 1:
			s.joined = append(s.joined[:0], s.event.Data...)
			fallthrough
		default:
			s.joined = append(append(s.joined, '\n'), value...)
			s.event.Data = s.joined
		}
		*values++
	case "event":
		if s.event.Type = defaultType; string(value) != defaultType {
			s.event.Type = string(value)
		}
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			s.event.ID, s.event.HasID = string(value), true
		}
	case "retry":
		ms, err := strconv.ParseUint(string(value), 10, 31)
		if err == nil {
			s.event.Retry, s.event.HasRetry = time.Duration(ms)*time.Millisecond, true
		}
	}
}

// defaultType is what nearly all events are of, so it is not allocated again.
const defaultType = "message"

// indexLineEnd returns the place of the first CR or LF; -1 if there is none.
func indexLineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}
