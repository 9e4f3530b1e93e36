package sampler_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func TestHeadersOfCallersAreBounded(t *testing.T) {
	f := start(t, mcpServer(t).URL, "http://127.0.0.1:9", nil)
	for name, tc := range map[string]struct{ size, want int }{
		"a token as they come":     {8 << 10, http.StatusOK},
		"a header of 100000 bytes": {100_000, http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Addr().String()+"/mcp",
				strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			r.Header.Set("Authorization", "Bearer "+strings.Repeat("x", tc.size))
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != tc.want {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.want)
			}
		})
	}
}

// fakeFlood asks for sampling 70 times at once on its GET stream.
func fakeFlood(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 70 {
			fmt.Fprintf(w, `data: {"jsonrpc":"2.0","id":%d,"method":"sampling/createMessage","params":{"maxTokens":1,"messages":[{"role":"user","content":{"type":"text","text":"again"}}]}}`+"\n\n", i)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.Contains(string(body), `"initialize"`):
		w.Header().Set("Mcp-Session-Id", "s")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"flood","version":"1"}}}`)
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func TestRequestsAboveTheLimitsAreCounted(t *testing.T) {
	llm := fakellm.New()
	llm.Always(fakellm.Hang())
	f := start(t, listen(t, http.HandlerFunc(fakeFlood)).URL, listen(t, llm).URL, nil)
	resp, err := http.Post("http://"+f.Addr().String()+"/mcp", "application/json",
		strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := `mcp_sampling_requests_total{mcp_sampling_policy="policy",mcp_sampling_decision="refused",mcp_sampling_reason="TooManyInSession"} 6`
	end := time.Now().Add(deadline)
	for {
		if strings.Contains(f.metrics(), want) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the metrics never had %s", want)
		}
	}
	if got := strings.Count(f.log.String(), "too many sampling requests at the same time"); got != 1 {
		t.Errorf("%d records about what was refused, want 1", got)
	}
}

func TestLimitsAndOriginsChangeUnderOpenSessions(t *testing.T) {
	f := start(t, mcpServer(t).URL, listen(t, fakellm.New()).URL, nil)
	c := f.connect()
	post := func(origin, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+f.Addr().String()+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Origin", origin)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	small := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`
	large := small + strings.Repeat(" ", 2<<10)
	if got := post("https://a.example", small); got != http.StatusForbidden {
		t.Errorf("status %d for an origin that is not allowed, want 403", got)
	}
	f.cfg.AllowedOrigins = []string{"https://a.example"}
	f.cfg.Limits.RequestBytes = 1 << 10
	f.writeConfig()
	f.awaitConfig()
	if got := post("https://a.example", small); got != http.StatusOK {
		t.Errorf("status %d for an origin that is allowed now, want 200", got)
	}
	if got := post("https://a.example", large); got != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d for a body above the limit, want 413", got)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("the session that was open is over: %v", err)
	}
}
