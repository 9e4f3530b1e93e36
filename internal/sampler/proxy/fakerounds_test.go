package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeRounds is a server of the stateless era that gives one answer after the
// other, the last one again and again. In an answer $ID is the id of the request.
type fakeRounds struct {
	answers []string
	// serve, where set, replaces all that.
	serve func(w http.ResponseWriter, r *http.Request, n int, id string)

	mu      sync.Mutex
	bodies  []string
	headers []http.Header
}

func (s *fakeRounds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	n := len(s.bodies)
	s.bodies = append(s.bodies, string(body))
	s.headers = append(s.headers, r.Header.Clone())
	s.mu.Unlock()
	m, err := wire.ParseMessage(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if s.serve != nil {
		s.serve(w, r, n, string(m.ID))
		return
	}
	answer := strings.ReplaceAll(s.answers[min(n, len(s.answers)-1)], "$ID", string(m.ID))
	if strings.HasPrefix(answer, "data:") || strings.HasPrefix(answer, "event:") || strings.HasPrefix(answer, "id:") {
		w.Header().Set("Content-Type", "text/event-stream")
	} else {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Round", fmt.Sprint(n+1))
	}
	_, _ = io.WriteString(w, answer)
}

// got returns what the server got, with the ids of the sampler's own requests
// as "NEW".
func (s *fakeRounds) got(t *testing.T) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := map[string]bool{}
	list := make([]string, len(s.bodies))
	for i, body := range s.bodies {
		m, err := wire.ParseMessage([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if ids[m.Key()] {
			t.Errorf("the id %s was used for two requests", m.ID)
		}
		ids[m.Key()] = true
		list[i] = body
		if strings.HasPrefix(string(m.ID), `"mcp-sampling-`) {
			list[i] = strings.Replace(body, string(m.ID), "NEW", 1)
		}
	}
	return list
}

func (s *fakeRounds) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

const (
	// declaredMeta is what the server gets of a caller that declares nothing.
	declaredMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}`
	plainMeta    = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	sampleInput  = `{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}`
	elicitInput  = `{"method":"elicitation/create","params":{"message":"who?"}}`
)

// modernCall is a call of the stateless era. more are further members of params.
func modernCall(id, meta, more string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"x","arguments":{"a":1.0},` + meta + more + `}}`
}

// asks is a response that asks for input.
func asks(members string) string {
	return `{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required"` + members + `}}`
}

func askModern(t *testing.T, endpoint, body string, header ...string) reply {
	t.Helper()
	return ask(t, http.MethodPost, endpoint, body, append([]string{wire.HeaderVersion, wire.VersionModern}, header...)...)
}

// alwaysSampled answers everything alike.
func alwaysSampled() *fakeSampling {
	return &fakeSampling{answer: func(context.Context) (json.RawMessage, *wire.Error) {
		return json.RawMessage(`{"sampled":true}`), nil
	}}
}
