package proxy

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A server that compresses its stream and flushes each event has it passed on
// before the next one comes.
func TestEventsOfACompressedStreamAreNotLate(t *testing.T) {
	const note = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"
	seen := make(chan struct{})
	server := &fakeServer{call: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		send := func(text string) {
			_, _ = z.Write([]byte(text))
			_ = z.Flush()
			_ = http.NewResponseController(w).Flush()
		}
		send(note)
		select {
		case <-seen:
			send("data: " + callResponse + "\n\n")
			_ = z.Close()
		case <-r.Context().Done():
		}
	}}
	endpoint, _ := newFront(t, server)
	resp := open(t.Context(), t, http.MethodPost, endpoint, callBody)
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Encoding"); got != "" {
		t.Errorf("the caller is told of encoding %q", got)
	}
	lines := bufio.NewReader(resp.Body)
	for i, want := range []string{note, "data: " + callResponse + "\n\n"} {
		line, err := lines.ReadString('\n')
		if err != nil || !strings.HasPrefix(want, line) {
			t.Fatalf("event %d begins with %q, error %v; want %q", i, line, err, want)
		}
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			close(seen)
		}
	}
}

// talk sends text over a connection of its own and returns the status lines that
// come back, sending more after the first where it is an interim one.
func talk(t *testing.T, endpoint, head, body string) (lines []string) {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, head, target.Host, len(body)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", lines, err)
		}
		lines = append(lines, strings.TrimSpace(line))
		if !strings.HasPrefix(line, "HTTP/1.1 100") {
			return lines
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCallersThatAskBeforeTheySend(t *testing.T) {
	const head = "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
	endpoint, _ := newFront(t, &fakeServer{}, func(o *Options) { o.Settings.MaxBodyBytes = 1 << 10 })
	for name, tc := range map[string]struct {
		header, body string
		want         []string
	}{
		"are told to":                      {"\r\n", callBody, []string{"HTTP/1.1 100 Continue", "HTTP/1.1 200 OK"}},
		"are refused at once for the size": {"\r\n", strings.Repeat(" ", 2<<10), []string{"HTTP/1.1 413 Request Entity Too Large"}},
		"are refused at once for the page": {"Origin: https://a.example\r\n\r\n", callBody, []string{"HTTP/1.1 403 Forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := talk(t, endpoint, head+tc.header, tc.body)
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
