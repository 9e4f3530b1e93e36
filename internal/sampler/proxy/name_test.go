package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestCallersDoNotLearnTheServersIDs(t *testing.T) {
	const secret = "of-the-server"
	for name, contentType := range map[string]string{"as JSON": "application/json", "as a stream": "text/event-stream"} {
		t.Run(name, func(t *testing.T) {
			endpoint, h := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				m, _ := wire.ParseMessage(body)
				id := r.Header.Get(wire.HeaderSession)
				if initialize := m.Method == wire.MethodInitialize; initialize && id != "" || !initialize && id != secret {
					t.Errorf("%s %s came with the session id %q", r.Method, m.Method, id)
				}
				w.Header().Set(wire.HeaderSession, secret)
				if r.Method == http.MethodGet {
					hold("")(w, r)
					return
				}
				w.Header().Set("Content-Type", contentType)
				result := `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{"protocolVersion":"2025-06-18"}}`
				if contentType == "text/event-stream" {
					result = "data: " + result + "\n\n"
				}
				_, _ = io.WriteString(w, result)
			}))
			first := begin(t, endpoint)
			// Whoever initializes again leaves the session that it was in.
			second := ask(t, http.MethodPost, endpoint, initializeBody, wire.HeaderSession, first).header.Get(wire.HeaderSession)
			for _, session := range []string{first, second} {
				opened, err := h.opts.Sealer.OpenName(session)
				if err != nil || opened.ID != secret || !opened.DeclaredSampling || opened.CallerSampling {
					t.Errorf("the session %q is named for %+v, error %v", session, opened, err)
				}
				for _, method := range []string{http.MethodPost, http.MethodDelete} {
					body := ""
					if method == http.MethodPost {
						body = callBody
					}
					got := ask(t, method, endpoint, body, wire.HeaderSession, session)
					if name := got.header.Get(wire.HeaderSession); name != session {
						t.Errorf("%s is answered in the session %q, want %q", method, name, session)
					}
				}
			}
			if first == second {
				t.Error("both have the same name")
			}
		})
	}
}

func TestAServersIDThatIsTooLong(t *testing.T) {
	endpoint, h := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(wire.HeaderSession, strings.Repeat("x", seal.MaxNameBytes))
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}`)
	}))
	got := ask(t, http.MethodPost, endpoint, initializeBody)
	want := `{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"the MCP server the-server gave a session id that is too long: use one of at most 4096 bytes"}}`
	if got.status != http.StatusBadGateway || got.body != want || h.Sessions() != 0 {
		t.Errorf("status %d, %d sessions and %s, want 502 and %s", got.status, h.Sessions(), got.body, want)
	}
}

func TestASessionThatIsForgottenGoesOn(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{get: hold("")}, func(o *Options) { o.Settings.MaxSessions = 2 })
	names := []string{begin(t, endpoint), begin(t, endpoint), begin(t, endpoint)}
	for range 2 {
		for _, name := range names {
			if got := ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, name); got.status != http.StatusOK {
				t.Errorf("a session got status %d, want 200", got.status)
			}
		}
	}
	eventually(t, "two sessions are held", func() bool { return h.Sessions() == 2 })
}
