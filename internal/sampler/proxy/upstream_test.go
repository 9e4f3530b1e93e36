package proxy

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// syncBuffer is a log's memory.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// raw returns a handler that sends these bytes instead of an HTTP response.
func raw(t *testing.T, response string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, response)
		_ = conn.Close()
	}
}

func TestAServersWordsAreCut(t *testing.T) {
	long := strings.Repeat("long", 1000)
	for name, tc := range map[string]struct {
		path   string
		answer http.HandlerFunc
		want   string
	}{
		"in a redirect": {
			path: "/mcp",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/a%1bb"+long)
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
			want: fmt.Sprintf(`it redirects to \"/a\\x1bb%s\", so configure`, long[:252]),
		},
		"in a redirect to another host, without its query": {
			path: "/mcp",
			answer: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "https://user:password@elsewhere.example/mcp?token=secret")
				w.WriteHeader(http.StatusPermanentRedirect)
			},
			want: "it redirects to another one",
		},
		"in what is no HTTP":             {"/mcp", raw(t, "\x1b[31m"+long+"\n"), "closed the connection without an answer"},
		"in what is no HTTP of metadata": {"/.well-known/x", raw(t, "\x1b[31m"+long+"\n"), "closed the connection without an answer"},
		"in headers":                     {"/mcp", raw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat(long, 75)+"\r\n\r\n"), "closed the connection without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			endpoint, _ := newFront(t, tc.answer, func(o *Options) { o.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
			got := ask(t, http.MethodPost, strings.TrimSuffix(endpoint, "/mcp")+tc.path, callBody)
			if got.status != http.StatusBadGateway || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d and %s\nwant %d with %s", got.status, got.body, http.StatusBadGateway, tc.want)
			}
			for line := range strings.Lines(log.String()) {
				if len(line) > 600 || strings.Contains(line, `\u001b`) {
					t.Errorf("a log record of %d bytes: %.300s", len(line), line)
				}
			}
			if log.String() == "" {
				t.Error("nothing was logged")
			}
		})
	}
}
