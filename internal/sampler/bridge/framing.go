package bridge

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// lineReader cuts what a process writes into lines, and holds no more of one
// than its bound.
type lineReader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

const (
	// readBuffer is what an idle process costs for each of its streams.
	readBuffer = 4 << 10
	// keepLine is what stays allocated after a line that needed more.
	keepLine = 64 << 10
)

func newLineReader(r io.Reader, maxBytes int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, readBuffer), max: maxBytes}
}

// next returns the next line without its end (LF or CRLF), valid until the next
// call. Of a line that is too long it returns the beginning, and skips the rest.
// The end of the stream ends a line too.
func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	if cap(l.buf) > keepLine {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	for {
		chunk, err := l.r.ReadSlice('\n')
		// One byte more than allowed may be the CR of a line end.
		if room := l.max + 1 - len(l.buf); !tooLong && len(bytes.TrimSuffix(chunk, []byte("\n"))) > room {
			l.buf = append(l.buf, chunk[:room]...)
			tooLong = true
		}
		if !tooLong {
			l.buf = append(l.buf, chunk...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = l.buf
		if !tooLong {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		}
		if len(line) > l.max {
			line, tooLong = line[:l.max], true
		}
		if err != nil && len(line) == 0 {
			return nil, false, err
		}
		return line, tooLong, nil // an error comes again with the next read
	}
}

// oneLine returns message without line ends, which valid JSON has only between
// its tokens.
func oneLine(message []byte) []byte {
	message = bytes.TrimSpace(message)
	if bytes.IndexByte(message, '\n') < 0 && bytes.IndexByte(message, '\r') < 0 {
		return message
	}
	line := bytes.Clone(message)
	for i, c := range line {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	return line
}

// maxBatch bounds the messages of a batch.
const maxBatch = 1000

// splitBatch returns the messages of a JSON-RPC batch.
func splitBatch(batch []byte) ([]json.RawMessage, error) {
	var messages []json.RawMessage
	if err := json.Unmarshal(batch, &messages); err != nil {
		return nil, fmt.Errorf("reading a JSON-RPC batch: %w", err)
	}
	switch {
	case len(messages) == 0:
		return nil, errors.New("a JSON-RPC batch must not be empty")
	case len(messages) > maxBatch:
		return nil, fmt.Errorf("a JSON-RPC batch has at most %d messages here, not %d", maxBatch, len(messages))
	}
	return messages, nil
}

func isBatch(message []byte) bool {
	message = bytes.TrimLeft(message, " \t\r\n")
	return len(message) > 0 && message[0] == '['
}

// peek returns what the beginning of a message says about whose it is. Either
// may be missing, as the beginning may end before.
func peek(beginning []byte) (id json.RawMessage, method string) {
	decoder := json.NewDecoder(bytes.NewReader(beginning))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, ""
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			break
		}
		switch name {
		case "id":
			id = value
		case "method":
			if json.Unmarshal(value, &method) != nil {
				return nil, ""
			}
		}
	}
	return id, method
}
