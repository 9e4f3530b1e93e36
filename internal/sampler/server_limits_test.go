package sampler_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
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
