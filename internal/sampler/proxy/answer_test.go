package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestWhatIsToBeNotedAboutAnAnswerIsNotedWhenTheServerHasIt(t *testing.T) {
	server := &fakeServer{answers: make(chan string, 1)}
	server.call = events(sampleEvent + "data: " + callResponse + "\n\n")
	delivered := make(chan int, 1)
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{
		answer: func(context.Context) (json.RawMessage, *wire.Error) { return json.RawMessage(`{}`), nil },
		done:   func() { delivered <- len(server.answers) },
	}))
	ask(t, http.MethodPost, endpoint, callBody, wire.HeaderSession, begin(t, endpoint))
	if got := await(t, "the answer is noted", delivered); got != 1 {
		t.Errorf("the server had %d answers then, want 1", got)
	}
}

// workers returns a handler that only works; its end waits for all of it.
func workers(t *testing.T) *Handler {
	h := &Handler{waiting: make(chan func())}
	h.ctx, h.stop = context.WithCancel(t.Context())
	t.Cleanup(func() {
		h.stop()
		h.background.Wait()
	})
	return h
}

func TestWorkIsDoneByWhoWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := workers(t)
		before := runtime.NumGoroutine()
		done := 0
		for range 5 {
			h.work(func() { done++ })
			synctest.Wait()
		}
		if got := runtime.NumGoroutine() - before; done != 5 || got != 1 {
			t.Errorf("%d pieces of work done, %d goroutines left, want 5 by one", done, got)
		}
		time.Sleep(waitingTime)
		synctest.Wait()
		if got := h.workers.Load(); got != 0 {
			t.Errorf("%d goroutines wait after %s, want none", got, waitingTime)
		}
	})
}

func TestWorkThatLastsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := workers(t)
		release := make(chan struct{})
		var began atomic.Int32
		for range 2 * maxWaiting {
			h.work(func() { began.Add(1); <-release })
		}
		synctest.Wait()
		if got := began.Load(); got != 2*maxWaiting {
			t.Errorf("%d pieces of work began, want %d", got, 2*maxWaiting)
		}
		close(release)
		synctest.Wait()
		if got := h.workers.Load(); got != maxWaiting {
			t.Errorf("%d goroutines wait for more, want %d", got, maxWaiting)
		}
	})
}

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
		session := ask(t, http.MethodPost, endpoint, initialize).header.Get(wire.HeaderSession)
		resp := open(t.Context(), t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
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
