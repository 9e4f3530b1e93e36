package proxy

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestEraOfTheServer(t *testing.T) {
	refusal := func(data string) string {
		return `{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"no"` + data + `}}`
	}
	const granted = `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`
	modern := refusal(`,"data":{"supported":["2026-07-28"]}`)
	for name, tc := range map[string]struct {
		// answers are what callers get to initialize, one after the other.
		answers []string
		// version is the callers' version header.
		version    string
		wantModern bool
	}{
		"before any initialize":      {wantModern: false},
		"names the new version only": {answers: []string{modern}, wantModern: true},
		"names the new version only, to one that asks for a newer one": {
			answers: []string{modern}, version: "2099-01-01", wantModern: false,
		},
		"names no version":                         {answers: []string{refusal("")}, wantModern: true},
		"names an older version too":               {answers: []string{refusal(`,"data":{"supported":["2026-07-28","2025-06-18"]}`)}, wantModern: false},
		"refuses one caller and grants it another": {answers: []string{modern, granted}, wantModern: false},
		"grants it to one caller only":             {answers: []string{granted, modern}, wantModern: true},
		"refuses for another reason":               {answers: []string{`{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}`}, wantModern: false},
	} {
		for contentType, format := range map[string]string{"application/json": "%s", "text/event-stream": "data: %s\n\n"} {
			for kind, session := range map[string]string{"with sessions": "s", "without sessions": ""} {
				t.Run(fmt.Sprintf("%s, %s, %s", name, contentType, kind), func(t *testing.T) {
					answers := tc.answers
					endpoint, _ := newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						body, _ := io.ReadAll(r.Body)
						if m, _ := wire.ParseMessage(body); m.Method != wire.MethodInitialize {
							w.WriteHeader(http.StatusMethodNotAllowed)
							return
						}
						w.Header().Set("Content-Type", contentType)
						if session != "" {
							w.Header().Set(headerSession, session)
						}
						fmt.Fprintf(w, format, answers[0])
						answers = answers[1:]
					}))
					for range tc.answers {
						ask(t, http.MethodPost, endpoint, initializeBody, headerVersion, tc.version)
					}
					// What is not steered away is the server's to refuse.
					want := map[bool]int{true: http.StatusMethodNotAllowed, false: http.StatusBadRequest}[tc.wantModern]
					if got := ask(t, http.MethodPost, endpoint, callBody, headerVersion, wire.VersionModern); got.status != want {
						t.Errorf("a message of the stateless era got status %d (%s), want %d", got.status, got.body, want)
					}
				})
			}
		}
	}
}
