package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// half begins a request whose body does not come, and returns its connection.
func half(t *testing.T, endpoint, method, path string, promised int) net.Conn {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n{", method, path, target.Host, promised); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answerOn returns what comes on a connection until it ends.
func answerOn(t *testing.T, conn net.Conn) (status int, body string) {
	t.Helper()
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the answer: %v, want the end of the connection", err)
	}
	return resp.StatusCode, string(got)
}

func TestABodyThatDoesNotComeIsNotAwaited(t *testing.T) {
	slow := `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"the request body came too slowly: send at least 64 KiB in 20ms"}}`
	for name, tc := range map[string]struct {
		method, path string
		promised     int
	}{
		"of a message":              {http.MethodPost, "/mcp", 100},
		"of a large message":        {http.MethodPost, "/mcp", 16 << 20},
		"of a request for a stream": {http.MethodGet, "/mcp", 100},
		"of a goodbye":              {http.MethodDelete, "/mcp", 100},
		"of another method":         {http.MethodOptions, "/mcp", 100},
		"at another path":           {http.MethodPost, "/other", 100},
		"at a path that passes":     {http.MethodPost, "/.well-known/x", 100},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := newFront(t, &fakeServer{}, func(o *Options) { o.ReadTimeout = 20 * time.Millisecond })
			status, body := answerOn(t, half(t, endpoint, tc.method, tc.path, tc.promised))
			if status != http.StatusRequestTimeout || body != slow {
				t.Errorf("got %d and %s", status, body)
			}
		})
	}
}

func TestABodyThatDoesNotComeDoesNotHoldUpTheEnd(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{}, func(o *Options) { o.ReadTimeout = time.Hour })
	conns := []net.Conn{
		half(t, endpoint, http.MethodPost, "/mcp", 16<<20),
		half(t, endpoint, http.MethodPost, "/other", 100),
	}
	eventually(t, "both are read", func() bool { return h.bodyBytes.held.Load() > firstBytes })
	// A body that comes is waited for, as long as calls are.
	drain, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.Shutdown(drain); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the end of the drain: %v", err)
	}
	for _, conn := range conns {
		if status, body := answerOn(t, conn); status != http.StatusServiceUnavailable || !strings.Contains(body, "shutting down") {
			t.Errorf("got %d and %s", status, body)
		}
	}
}

// deadlines is a ResponseWriter that notes the deadlines it is given.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}

func TestEachPieceOfABodyHasItsTime(t *testing.T) {
	_, h := newFront(t, &fakeServer{})
	sent := strings.Repeat("x", 3*pieceBytes+1)
	for name, promised := range map[string]int64{"of known size": int64(len(sent)), "in chunks": -1} {
		t.Run(name, func(t *testing.T) {
			w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			// As from a network, which never gives much at once.
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", iotest.HalfReader(strings.NewReader(sent)))
			r.ContentLength = promised
			held := h.newHold()
			defer held.end()
			body, ok := h.readBody(w, r, held)
			if !ok || string(body) != sent {
				t.Fatalf("read %d bytes, %t, want %d", len(body), ok, len(sent))
			}
			if len(w.set) < 3 {
				t.Fatalf("%d deadlines, want one for each piece and the end", len(w.set))
			}
			for i, at := range w.set[:len(w.set)-1] {
				if i > 0 && at.Before(w.set[i-1]) {
					t.Errorf("deadline %d is before the one before", i)
				}
			}
			if last := w.set[len(w.set)-1]; !last.IsZero() {
				t.Errorf("the deadline %s is left for the caller's next request", last)
			}
		})
	}
}

func TestMemoryForABodyGrowsWithWhatCame(t *testing.T) {
	_, h := newFront(t, &fakeServer{})
	broken := errors.New("gone")
	for name, tc := range map[string]struct {
		came, promised int
		wantCap        int
	}{
		"nothing of much":       {0, 16 << 20, firstBytes},
		"a piece of much":       {pieceBytes, 16 << 20, 2 * pieceBytes},
		"all of little":         {100, 100, 100},
		"all of what is larger": {5 * pieceBytes, 5 * pieceBytes, 5 * pieceBytes},
		"chunks":                {1000, -1, 1024},
	} {
		t.Run(name, func(t *testing.T) {
			control := http.NewResponseController(httptest.NewRecorder())
			from := io.MultiReader(strings.NewReader(strings.Repeat("x", tc.came)), iotest.ErrReader(broken))
			if tc.came == tc.promised {
				from = iotest.DataErrReader(strings.NewReader(strings.Repeat("x", tc.came)))
			}
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/mcp", nil)
			r.ContentLength = int64(tc.promised)
			held := h.newHold()
			defer held.end()
			body, err := h.receive(control, r, from, held)
			if len(body) != tc.came || tc.came != tc.promised && !errors.Is(err, broken) {
				t.Errorf("read %d bytes and %v", len(body), err)
			}
			if diff := cmp.Diff(tc.wantCap, cap(body)); diff != "" {
				t.Errorf("capacity (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(int64(tc.wantCap), h.bodyBytes.held.Load()); diff != "" {
				t.Errorf("bytes held (-want +got):\n%s", diff)
			}
		})
	}
}

// Many clients send all of a request before they read.
func TestACallerThatSendsAllOfALargeBodyIsToldSo(t *testing.T) {
	endpoint, _ := newFront(t, &fakeServer{}, func(o *Options) { o.Settings.MaxBodyBytes = 1 << 20 })
	for name, header := range map[string]string{
		"of known size": fmt.Sprintf("Content-Length: %d\r\n", 8<<20),
		"in chunks":     "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			target, err := url.Parse(endpoint)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("tcp", target.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+header+"\r\n"); err != nil {
				t.Fatal(err)
			}
			piece := strings.Repeat("x", 1<<20)
			for range 8 {
				if name == "in chunks" {
					piece = "100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n"
				}
				if _, err := io.WriteString(conn, piece); err != nil {
					t.Fatalf("sending: %v", err)
				}
			}
			if status, body := answerOn(t, conn); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, "larger than 1048576 bytes") {
				t.Errorf("got %d and %s", status, body)
			}
		})
	}
}
