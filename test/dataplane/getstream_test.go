package dataplane

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
)

const changed = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`

func TestGETStreamIsSharedWithTheCaller(t *testing.T) {
	more := make(chan struct{})
	peer := &scriptedPeer{listen: script{
		{send: "\xEF\xBB\xBFid: 1\ndata: " + changed + "\n\nid: 2\ndata: " + sample1 + "\n\n"},
		{wait: more, send: "id: 3\ndata: " + elicit + "\n\n"},
	}}
	sampling := &fakeSampling{}
	url, _ := front(t, serve(t, peer), sampling)
	caller := newRawCaller(t, url)
	caller.initialize()
	// What came before the caller opens its stream was kept for it.
	peer.expect(t, "the answer", isAnswer("1"))
	resp := caller.do(t.Context(), http.MethodGet, "", nil)
	if got, want := readUntil(t, resp.Body, "id: 2\n"), "id: 1\ndata: "+changed+"\n\nid: 2\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	close(more)
	rest := "id: 3\ndata: " + elicit + "\n\n"
	if got := readUntil(t, resp.Body, "\n\n"); got != rest {
		t.Errorf("the caller got %q, want %q", got, rest)
	}
	// A caller that lost its stream goes on after the event it saw last.
	resp.Body.Close()
	again := caller.do(t.Context(), http.MethodGet, "", map[string]string{"Last-Event-ID": "2"})
	if got := readUntil(t, again.Body, "\n\n"); got != rest {
		t.Errorf("the caller resumed with %q, want %q", got, rest)
	}
	if got := peer.count(isMethod(http.MethodGet)); got != 1 {
		t.Errorf("the server has %d GET streams, want 1", got)
	}
}

func TestCallerGetsItsGETStreamsHeaderAtOnce(t *testing.T) {
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	mux := http.NewServeMux()
	peer := &scriptedPeer{call: script{{send: "data: " + response + "\n\n"}}}
	mux.HandleFunc("GET /mcp", func(_ http.ResponseWriter, r *http.Request) {
		select { // no header before the first event, which never comes
		case <-silent:
		case <-r.Context().Done():
		}
	})
	mux.Handle("/mcp", peer)
	url, _ := front(t, serve(t, mux), &fakeSampling{})
	caller := newRawCaller(t, url)
	caller.initialize()
	resp := caller.do(t.Context(), http.MethodGet, "", nil)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Errorf("status %d and type %q, want a stream", resp.StatusCode, got)
	}
	if got := caller.call(callBody); !strings.Contains(got, response) {
		t.Errorf("a call got %q", got)
	}
}

func TestServerWithoutGETStream(t *testing.T) {
	peer := &scriptedPeer{}
	url, _ := front(t, serve(t, peer), &fakeSampling{})
	caller := newRawCaller(t, url)
	caller.initialize()
	resp := caller.do(t.Context(), http.MethodGet, "", nil)
	if got := readBody(t, resp); resp.StatusCode != http.StatusMethodNotAllowed || got != "no stream here\n" {
		t.Errorf("status %d and %q, want the server's 405", resp.StatusCode, got)
	}
}

func TestGETStreamIsOpenedAgain(t *testing.T) {
	first := true
	peer := &scriptedPeer{}
	mux := http.NewServeMux()
	mux.Handle("/mcp", peer)
	mux.HandleFunc("GET /mcp", func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("id: e1\ndata: " + sample1 + "\n\n"))
			return
		}
		peer.ServeHTTP(w, r)
	})
	// The server repeats the request and adds one.
	sample2 := strings.Replace(sample1, `"id":1`, `"id":2`, 1)
	peer.resume = script{{send: "id: e1\ndata: " + sample1 + "\n\nid: e2\ndata: " + sample2 + "\n\n"}}
	sampling := &fakeSampling{}
	url, _ := front(t, serve(t, mux), sampling)
	newRawCaller(t, url).initialize()
	if got := peer.expect(t, "a GET", isMethod(http.MethodGet)).Header.Get("Last-Event-Id"); got != "e1" {
		t.Errorf("Last-Event-ID %q, want e1", got)
	}
	peer.expect(t, "the second answer", isAnswer("2"))
	if got := sampling.asked(); got != 2 {
		t.Errorf("asked %d times, want 2", got)
	}
}

func TestGETStreamIsNotGivenToAStranger(t *testing.T) {
	peer := &scriptedPeer{listen: script{{send: "data: " + changed + "\n\n"}}}
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		peer.ServeHTTP(w, r)
	})
	url, _ := front(t, serve(t, guarded), &fakeSampling{})
	owner := newRawCaller(t, url)
	owner.header["Authorization"] = "Bearer good"
	owner.initialize()
	stranger := newRawCaller(t, url)
	stranger.session = owner.session
	for _, authorization := range []string{"", "Bearer bad"} {
		resp := stranger.do(t.Context(), http.MethodGet, "", map[string]string{"Authorization": authorization})
		if body := readBody(t, resp); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a caller with %q got status %d and %q, want 401", authorization, resp.StatusCode, body)
		}
	}
	resp := owner.do(t.Context(), http.MethodGet, "", nil)
	if got, want := readUntil(t, resp.Body, "\n\n"), "data: "+changed+"\n\n"; got != want {
		t.Errorf("the owner got %q, want %q", got, want)
	}
}

func TestGETStreamKeepsABoundedAmount(t *testing.T) {
	sent := make(chan struct{})
	peer := &scriptedPeer{listen: script{
		{send: strings.Repeat("data: "+changed+"\n\n", 100) + "data: " + sample1 + "\n\n"},
		{wait: sent, send: "data: last\n\n"},
	}}
	url, _ := front(t, serve(t, peer), &fakeSampling{}, func(o *proxy.Options) { o.MaxBufferBytes = 1000 })
	caller := newRawCaller(t, url)
	caller.initialize()
	peer.expect(t, "the answer", isAnswer("1"))
	resp := caller.do(t.Context(), http.MethodGet, "", nil)
	close(sent)
	got := readUntil(t, resp.Body, "data: last\n\n")
	if len(got) > 1000 || !strings.HasPrefix(got, "data: "+changed) {
		t.Errorf("kept %d bytes, want whole events of less than 1000", len(got))
	}
}
