package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestMoreSamplingThanOneSamplerMay(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	server := &fakeServer{answers: make(chan string, 4)}
	server.call = func(w http.ResponseWriter, r *http.Request) {
		events(sampleEvent)(w, r)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	endpoint, h := newFront(t, server, func(o *Options) {
		o.MaxAnswers = 1
		o.Sampling = &fakeSampling{answer: func(ctx context.Context) (json.RawMessage, *wire.Error) {
			asked <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return json.RawMessage(`{"role":"assistant"}`), nil
		}}
	})
	// Each of the calls is in a session of its own.
	call := func(id string) {
		initialize := `{"jsonrpc":"2.0","id":"` + id + `","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}`
		session := ask(t, http.MethodPost, endpoint, initialize).header.Get(headerSession)
		resp := open(t.Context(), t, http.MethodPost, endpoint, callBody, headerSession, session)
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	answered := `{"jsonrpc":"2.0","id":9,"result":{"role":"assistant"}}`

	call("first")
	await(t, "the model is asked", asked)
	call("second")
	refused := `{"jsonrpc":"2.0","id":9,"error":{"code":-32603,"message":"too many sampling requests at the same time: the sampler answers up to 1, try again later"}}`
	if got := await(t, "the refusal", server.answers); got != refused {
		t.Errorf("answer %s, want %s", got, refused)
	}
	close(release)
	if got := await(t, "the first answer", server.answers); got != answered {
		t.Errorf("answer %s, want %s", got, answered)
	}
	eventually(t, "the place is free again", func() bool { return len(h.answering) == 0 })
	call("third")
	if got := await(t, "the third answer", server.answers); got != answered {
		t.Errorf("answer %s, want %s", got, answered)
	}
}
