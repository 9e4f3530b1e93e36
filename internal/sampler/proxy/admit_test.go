package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	for name, tc := range map[string]struct {
		allowed    []string
		header     []string
		method     string
		path       string
		wantStatus int
	}{
		"no browser":                  {wantStatus: 200},
		"a browser, nothing allowed":  {header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"an allowed one":              {allowed: []string{"https://b.example", "https://a.example"}, header: []string{"Origin", "https://a.example"}, wantStatus: 200},
		"an allowed one, other case":  {allowed: []string{"https://A.example"}, header: []string{"Origin", "https://a.example"}, wantStatus: 200},
		"another one":                 {allowed: []string{"https://b.example"}, header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"a longer one":                {allowed: []string{"https://a.example"}, header: []string{"Origin", "https://a.example.evil.example"}, wantStatus: 403},
		"another port":                {allowed: []string{"https://a.example"}, header: []string{"Origin", "https://a.example:8443"}, wantStatus: 403},
		"any":                         {allowed: []string{"*"}, header: []string{"Origin", "https://a.example"}, wantStatus: 200},
		"a sandboxed page":            {allowed: []string{"https://a.example"}, header: []string{"Origin", "null"}, wantStatus: 403},
		"a page that asks for leave":  {method: http.MethodOptions, header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"a page that wants metadata":  {method: http.MethodGet, path: "/.well-known/oauth-protected-resource", header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"a page that ends a session":  {method: http.MethodDelete, header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"a page that opens a stream":  {method: http.MethodGet, header: []string{"Origin", "https://a.example"}, wantStatus: 403},
		"a page at a path of its own": {method: http.MethodGet, path: "/elsewhere", header: []string{"Origin", "https://a.example"}, wantStatus: 403},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeServer{}
			endpoint, _ := newFront(t, server, func(o *Options) { o.Settings.AllowedOrigins = tc.allowed })
			target, method := endpoint, http.MethodPost
			if tc.path != "" {
				target = strings.TrimSuffix(endpoint, "/mcp") + tc.path
			}
			if tc.method != "" {
				method = tc.method
			}
			got := ask(t, method, target, initializeBody, tc.header...)
			if got.status != tc.wantStatus {
				t.Errorf("status %d, want %d: %s", got.status, tc.wantStatus, got.body)
			}
			if tc.wantStatus != http.StatusForbidden {
				return
			}
			if !strings.Contains(got.body, `"jsonrpc":"2.0"`) || !strings.Contains(got.body, "spec.allowedOrigins") {
				t.Errorf("the caller is told %s, want an error that names spec.allowedOrigins", got.body)
			}
			if server.got(initializeBody) != 0 {
				t.Error("the server got the request")
			}
		})
	}
}

func TestAllowedOriginsChangeWhileServing(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{})
	status := func() int {
		return ask(t, http.MethodPost, endpoint, initializeBody, "Origin", "https://a.example").status
	}
	before := status()
	h.Configure(Settings{AllowedOrigins: []string{"https://a.example"}})
	if after := status(); before != http.StatusForbidden || after != http.StatusOK {
		t.Errorf("status %d, and %d once the origin is allowed; want 403 and 200", before, after)
	}
}

func TestOpenRequestsAreBounded(t *testing.T) {
	calling := make(chan struct{}, 2)
	server := &fakeServer{call: func(_ http.ResponseWriter, r *http.Request) { calling <- struct{}{}; <-r.Context().Done() }}
	endpoint, h := newFront(t, server, func(o *Options) { o.Settings.MaxStreams = 2 })
	ctx, leave := context.WithCancel(t.Context())
	for range 2 {
		go func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(callBody))
			if err != nil {
				return
			}
			if resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r); err == nil {
				resp.Body.Close()
			}
		}()
		await(t, "the server gets a call", calling)
	}
	got := ask(t, http.MethodPost, endpoint, initializeBody)
	want := reply{status: http.StatusServiceUnavailable}
	if got.status != want.status || got.header.Get("Retry-After") == "" || got.header.Get("Proxy-Status") != NoRoom {
		t.Errorf("status %d, header %v; want 503 with Retry-After and Proxy-Status", got.status, got.header)
	}
	if !strings.Contains(got.body, "2 requests and streams") {
		t.Errorf("the caller is told %s, want the limit", got.body)
	}
	leave()
	eventually(t, "there is room again", func() bool {
		return ask(t, http.MethodPost, endpoint, initializeBody).status == http.StatusOK
	})
	eventually(t, "nothing is counted that is over", func() bool { return h.open.Load() == 0 })
}

// A refused request may have a body that never comes: its connection ends all
// the same.
func TestTheBodyOfARefusedRequestIsNotAwaited(t *testing.T) {
	endpoint, h := newFront(t, &fakeServer{})
	body := &endless{ended: t.Context().Done()}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://a.example")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d, want 403", resp.StatusCode)
	}
	eventually(t, "the request is over", func() bool { return h.open.Load() == 0 })
}

// endless is a body that has begun and never ends.
type endless struct {
	begun bool
	ended <-chan struct{}
}

func (e *endless) Read(p []byte) (int, error) {
	if !e.begun {
		e.begun = true
		return copy(p, "{"), nil
	}
	<-e.ended
	return 0, context.Canceled
}
