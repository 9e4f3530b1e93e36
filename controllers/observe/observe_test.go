package observe_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/observe"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSampler serves h as admin port and returns its address.
func fakeSampler(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestObserve(t *testing.T) {
	tools := int32(3)
	tests := map[string]struct {
		handler     http.HandlerFunc
		address     func(t *testing.T) string
		wantReport  *statusz.Report
		wantOutcome observe.Outcome
	}{
		"a report is read": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != statusz.Path {
					http.NotFound(w, r)
					return
				}
				answer(`{"configHash":"abc","policy":"p","sessions":2,
					"providers":[{"name":"openai","credential":"Loaded","state":"Healthy"}],
					"server":{"state":"Verified","name":"s","tools":3}}`)(w, r)
			},
			wantReport: &statusz.Report{
				ConfigHash: "abc", Policy: "p", Sessions: 2,
				Providers: []statusz.Provider{{Name: "openai", Credential: statusz.CredentialLoaded, State: statusz.ProviderHealthy}},
				Server:    statusz.Server{State: statusz.ServerVerified, Name: "s", Tools: &tools},
			},
		},
		"fields of a newer sampler are ignored": {
			handler:    answer(`{"configHash":"abc","later":{"x":1}}`),
			wantReport: &statusz.Report{ConfigHash: "abc"},
		},
		"texts are cut and become one line": {
			handler: answer(`{"configHash":"` + strings.Repeat("h", 1000) + `","server":{"name":"a\u0000\u001b[31mb\nc\u202e ","version":"` + strings.Repeat("é", 200) + `x","tools":-4}}`),
			wantReport: &statusz.Report{
				ConfigHash: strings.Repeat("h", statusz.MaxText),
				Server:     statusz.Server{Name: "a[31mb c", Version: strings.Repeat("é", 128)},
			},
		},
		"another status is no report": {
			handler:     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			wantOutcome: observe.Refused,
		},
		"a redirect is not followed": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			},
			wantOutcome: observe.Refused,
		},
		"text that is no JSON is no report": {
			handler:     answer(`<html>`),
			wantOutcome: observe.Malformed,
		},
		"a report of another shape is no report": {
			handler:     answer(`{"sessions":"many"}`),
			wantOutcome: observe.Malformed,
		},
		"a report that is too long is not read to its end": {
			handler:     answer(`{"policy":"` + strings.Repeat("x", statusz.MaxBytes) + `"}`),
			wantOutcome: observe.Malformed,
		},
		"a pod that never answers runs out of time": {
			handler:     func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			wantOutcome: observe.TimedOut,
		},
		"a pod that stops in the middle runs out of time": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				answer(`{"policy":`)(w, r)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			},
			wantOutcome: observe.TimedOut,
		},
		"nobody listens": {
			address:     closedPort,
			wantOutcome: observe.Unreachable,
		},
		"an address without a port": {
			address:     func(*testing.T) string { return "10.0.0.1" },
			wantOutcome: observe.Unreachable,
		},
		"an address that is none": {
			address:     func(*testing.T) string { return "a b:80" },
			wantOutcome: observe.Unreachable,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.address == nil {
				tt.address = func(t *testing.T) string { return fakeSampler(t, tt.handler) }
			}
			observer := observe.New(observe.Options{Timeout: 500 * time.Millisecond})
			got := observer.Observe(t.Context(), []observe.Target{{Pod: "pod", Address: tt.address(t)}})
			if len(got) != 1 || got[0].Pod != "pod" {
				t.Fatalf("findings are %v, want one for the pod", got)
			}
			if diff := cmp.Diff(tt.wantReport, got[0].Report); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if outcome := outcomeOf(got[0].Err); outcome != tt.wantOutcome {
				t.Errorf("outcome is %q (%v), want %q", outcome, got[0].Err, tt.wantOutcome)
			}
		})
	}
}

func outcomeOf(err error) observe.Outcome {
	var outcome *observe.Error
	if errors.As(err, &outcome) {
		return outcome.Outcome
	}
	return ""
}

func TestObserveNoTargets(t *testing.T) {
	if got := observe.New(observe.Options{}).Observe(t.Context(), nil); len(got) != 0 {
		t.Errorf("findings are %v, want none", got)
	}
}

func TestObserveKeepsTheOrderOfTargets(t *testing.T) {
	var targets []observe.Target
	for _, pod := range []string{"a", "b", "c", "d"} {
		targets = append(targets, observe.Target{Pod: pod, Address: fakeSampler(t, answer(`{"policy":"`+pod+`"}`))})
	}
	for i, got := range observe.New(observe.Options{}).Observe(t.Context(), targets) {
		if got.Pod != targets[i].Pod || got.Report == nil || got.Report.Policy != got.Pod {
			t.Errorf("finding %d is %+v, want that of pod %s", i, got, targets[i].Pod)
		}
	}
}

// Two pods that wait for each other answer only if they are asked at the same
// time; two pairs of them show that the limit of two is kept.
func TestObserveIsParallelWithinItsLimit(t *testing.T) {
	var now atomic.Int32
	meet := make(chan struct{})
	address := fakeSampler(t, func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > 2 {
			t.Errorf("%d are asked at once, want at most 2", n)
		}
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-r.Context().Done():
		}
		now.Add(-1)
		answer(`{}`)(w, r)
	})
	targets := []observe.Target{{Pod: "a", Address: address}, {Pod: "b", Address: address}, {Pod: "c", Address: address}, {Pod: "d", Address: address}}
	observer := observe.New(observe.Options{Parallel: 2, Timeout: 10 * time.Second})
	for _, got := range observer.Observe(t.Context(), targets) {
		if got.Err != nil {
			t.Errorf("%s: %v", got.Pod, got.Err)
		}
	}
}

func TestObserveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	address := fakeSampler(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	observer := observe.New(observe.Options{Timeout: time.Minute})
	got := observer.Observe(ctx, []observe.Target{{Pod: "a", Address: address}})
	if outcome := outcomeOf(got[0].Err); outcome != observe.Canceled {
		t.Errorf("outcome is %q, want %q", outcome, observe.Canceled)
	}
}

func TestObserveIgnoresTheProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://"+closedPort(t))
	t.Setenv("NO_PROXY", "")
	address := fakeSampler(t, answer(`{}`))
	if got := observe.New(observe.Options{}).Observe(t.Context(), []observe.Target{{Pod: "a", Address: address}}); got[0].Err != nil {
		t.Error(got[0].Err)
	}
}

func TestObserveIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 on this machine: %v", err)
		l, err = net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: answer(`{}`)}}
	server.Start()
	defer server.Close()
	if got := observe.New(observe.Options{}).Observe(t.Context(), []observe.Target{{Pod: "a", Address: l.Addr().String()}}); got[0].Err != nil {
		t.Error(got[0].Err)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(`{"server":{"name":"\ud800"}}`)
	f.Add(strings.Repeat("\x80", 300))
	observer := observe.New(observe.Options{})
	f.Fuzz(func(t *testing.T, name string) {
		server := httptest.NewServer(answer(`{"server":{"name":"` + strings.ReplaceAll(name, `"`, "") + `"}}`))
		defer server.Close()
		got := observer.Observe(t.Context(), []observe.Target{{Pod: "a", Address: server.Listener.Addr().String()}})[0]
		if got.Report == nil {
			return
		}
		if text := got.Report.Server.Name; len(text) > statusz.MaxText || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00\x1b") {
			t.Errorf("%q comes through", text)
		}
	})
}
