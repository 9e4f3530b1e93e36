package sse

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Writer writes events with LF line ends. It does not flush.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// WriteEvent writes one event in one call of the underlying writer. Type and id
// are left out where empty.
func (w *Writer) WriteEvent(eventType, id string, data []byte) error {
	if strings.ContainsAny(eventType, "\r\n") || strings.ContainsAny(id, "\r\n\x00") {
		return fmt.Errorf("writing a server-sent event: type %q or id %q cannot stand on one line", eventType, id)
	}
	b := w.buf[:0]
	if eventType != "" {
		b = append(append(append(b, "event: "...), eventType...), '\n')
	}
	if id != "" {
		b = AppendID(b, id)
	}
	for more := true; more; {
		n := indexLineEnd(data)
		line := data
		if more = n >= 0; more {
			line = data[:n]
			data = bytes.TrimPrefix(data[n:], []byte("\r"))
			data = bytes.TrimPrefix(data, []byte("\n"))
		}
		b = append(append(append(b, "data: "...), line...), '\n')
	}
	b = append(b, '\n')
	w.buf = b
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	if _, err := w.w.Write(b); err != nil {
		return fmt.Errorf("writing a server-sent event: %w", err)
	}
	return nil
}

// AppendID appends an id field alone. It sets the id that the events after it
// have until one says otherwise, and dispatches nothing by itself.
func AppendID(dst []byte, id string) []byte {
	return append(append(append(dst, "id: "...), id...), '\n')
}
