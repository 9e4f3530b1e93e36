// Package records reads what samplers write of each sampling request, from the
// logs of their pods, and sums it up.
package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
)

// Decisions, as records have them.
const (
	Answered = "answered"
	Refused  = "refused"
	Invalid  = "invalid"
	Failed   = "failed"
	Canceled = "canceled"
)

// maxLine bounds a line of a log: at level Content a record holds a whole request.
const maxLine = 64 << 20

// Record is a record, and the line that it was read from.
type Record struct {
	audit.Record
	Raw json.RawMessage
}

// Read calls yield for each record in a log, until it returns false. Other lines
// are the sampler's own log.
func Read(log io.Reader, yield func(Record) bool) error {
	lines := bufio.NewReaderSize(log, 64<<10)
	for {
		line, err := readLine(lines)
		if r, ok := Parse(line); ok && !yield(r) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
	}
}

// readLine returns a line, or an empty one for a line that is too long.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		if !tooLong {
			line = append(line, part...)
		}
		if len(line) > maxLine {
			line, tooLong = nil, true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// Parse reads one line of a log; ok is false if it is no record.
func Parse(line []byte) (_ Record, ok bool) {
	line = bytes.TrimSpace(line)
	if !bytes.HasPrefix(line, []byte("{")) || !bytes.Contains(line, []byte(`"audit"`)) {
		return Record{}, false
	}
	r := Record{Raw: bytes.Clone(line)}
	// A field of another type is one of another release; the rest is read.
	var another *json.UnmarshalTypeError
	if err := json.Unmarshal(line, &r.Record); err != nil && !errors.As(err, &another) {
		return Record{}, false
	}
	return r, r.Type == audit.Type
}
