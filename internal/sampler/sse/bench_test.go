package sse

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// BenchmarkStream reads streams as servers send them, the scanner included:
// each response has one of its own.
//
//	go test ./internal/sampler/sse -run '^$' -bench . -benchmem
func BenchmarkStream(b *testing.B) {
	event := "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"text\":\"" + strings.Repeat("x", 1000) + "\"}}\n\n"
	streams := map[string]string{
		"one event":        event,
		"a hundred events": strings.Repeat(event, 100),
		"CRLF":             strings.ReplaceAll(event, "\n", "\r\n"),
		"a large event":    "data: " + strings.Repeat("x", 1<<20) + "\n\n",
		"comments":         strings.Repeat(": ping\n\n", 100),
	}
	for name, stream := range streams {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			data := []byte(stream)
			reader := bytes.NewReader(data)
			for b.Loop() {
				reader.Reset(data)
				s := NewScanner(reader, 0)
				for {
					_, err := s.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	data := []byte(`{"jsonrpc":"2.0","id":1,"result":{"text":"` + strings.Repeat("x", 1000) + `"}}`)
	w := NewWriter(io.Discard)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.WriteEvent("message", "", data); err != nil {
			b.Fatal(err)
		}
	}
}
