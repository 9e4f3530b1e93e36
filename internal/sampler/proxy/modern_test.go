package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestEachModernRequestDeclaresSampling(t *testing.T) {
	request := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `"` + params + `}`
	}
	for name, tc := range map[string]struct {
		body, want string
		version    string
		off        bool
	}{
		"where there are capabilities": {
			body: request("tools/list", `, "params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{ "roots":{} },"a":1.0}}`),
			want: request("tools/list", `, "params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{ "roots":{},"sampling":{} },"a":1.0}}`),
		},
		"not where there are none, which the server is to refuse": {
			body: request("tools/list", `,"params":{"_meta":{"a":1}}`),
			want: request("tools/list", `,"params":{"_meta":{"a":1}}`),
		},
		"not where there are no params": {
			body: request("server/discover", ``), version: "-",
			want: request("server/discover", ``),
		},
		"where only the body says the era": {
			body: request("tools/list", `,"params":{`+plainMeta+`}`), version: "-",
			want: request("tools/list", `,"params":{`+declaredMeta+`}`),
		},
		"not where it is declared": {
			body: request("tools/list", `,"params":{ `+declaredMeta+` }`),
			want: request("tools/list", `,"params":{ `+declaredMeta+` }`),
		},
		"not without a policy": {
			body: request("tools/list", `,"params":{`+plainMeta+`}`), off: true,
			want: request("tools/list", `,"params":{`+plainMeta+`}`),
		},
		"not where nobody could": {
			body: request("tools/list", `,"params":[]`),
			want: request("tools/list", `,"params":[]`),
		},
		"not in the session era": {
			body: request("tools/list", `,"params":{}`), version: "2025-11-25",
			want: request("tools/list", `,"params":{}`),
		},
		"not in a notification, which asks for nothing": {
			body: `{"jsonrpc":"2.0","method":"notifications/x","params":{` + plainMeta + `}}`,
			want: `{"jsonrpc":"2.0","method":"notifications/x","params":{` + plainMeta + `}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: []string{`{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
			endpoint, _ := newFront(t, server, withSampling(&fakeSampling{off: tc.off}))
			var header []string
			switch tc.version {
			case "":
				header = []string{wire.HeaderVersion, wire.VersionModern}
			case "-":
			default:
				header = []string{wire.HeaderVersion, tc.version}
			}
			got := ask(t, http.MethodPost, endpoint, tc.body, header...)
			if got.status != http.StatusOK {
				t.Errorf("status %d, %s", got.status, got.body)
			}
			if diff := cmp.Diff([]string{tc.want}, server.bodies); diff != "" {
				t.Errorf("server (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadersThatAreNotWhatTheBodySays(t *testing.T) {
	call := modernCall("1", plainMeta, "")
	mismatch := func(header, want string) string {
		return string(wire.AppendError(nil, []byte("1"), &wire.Error{Code: wire.CodeHeaderMismatch,
			Message: fmt.Sprintf("header mismatch: the header %s is not %q, which the body says", header, want)}))
	}
	for name, tc := range map[string]struct {
		body   string
		header http.Header
		want   string
	}{
		"all the same":   {header: http.Header{wire.HeaderVersion: {wire.VersionModern}, wire.HeaderMethod: {"tools/call"}, wire.HeaderName: {"x"}}},
		"all absent":     {},
		"version":        {header: http.Header{wire.HeaderVersion: {"2025-11-25"}}, want: mismatch(wire.HeaderVersion, wire.VersionModern)},
		"a newer one":    {header: http.Header{wire.HeaderVersion: {"2027-01-01"}}, want: mismatch(wire.HeaderVersion, wire.VersionModern)},
		"method":         {header: http.Header{wire.HeaderMethod: {"tools/list"}}, want: mismatch(wire.HeaderMethod, "tools/call")},
		"one of several": {header: http.Header{wire.HeaderMethod: {"tools/call", "tools/list"}}, want: mismatch(wire.HeaderMethod, "tools/call")},
		"name":           {header: http.Header{wire.HeaderName: {"y"}}, want: mismatch(wire.HeaderName, "x")},
		"an encoded name": {
			header: http.Header{wire.HeaderName: {"=?base64?eA==?="}},
		},
		"another encoded name": {header: http.Header{wire.HeaderName: {"=?base64?eQ==?="}}, want: mismatch(wire.HeaderName, "x")},
		"an encoding that is none": {
			header: http.Header{wire.HeaderName: {"=?base64?!?="}}, want: mismatch(wire.HeaderName, "x"),
		},
		"uri": {
			body:   `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b","name":"n",` + plainMeta + `}}`,
			header: http.Header{wire.HeaderName: {"n"}}, want: mismatch(wire.HeaderName, "a:b"),
		},
		"a name where the method has none": {
			body:   `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"n",` + plainMeta + `}}`,
			header: http.Header{wire.HeaderName: {"other"}},
		},
		"version of a request that says none": {
			body:   `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`,
			header: http.Header{wire.HeaderVersion: {wire.VersionModern}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: []string{`{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
			endpoint, _ := newFront(t, server)
			if tc.body == "" {
				tc.body = call
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = tc.header.Clone()
			if r.Header == nil {
				r.Header = http.Header{}
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			wantStatus, want, wantAsked := http.StatusOK, `{"jsonrpc":"2.0","id":1,"result":{}}`, 1
			if tc.want != "" {
				wantStatus, want, wantAsked = http.StatusBadRequest, tc.want, 0
			}
			if resp.StatusCode != wantStatus || string(got) != want || server.count() != wantAsked {
				t.Errorf("status %d and %s, and the server was asked %d times; want %d, %s and %d", resp.StatusCode, got, server.count(), wantStatus, want, wantAsked)
			}
		})
	}
}

// The errors of the era are the server's to give, and pass as they are.
func TestErrorsOfTheStatelessEraPass(t *testing.T) {
	for _, code := range []int{-32020, -32021, -32022} {
		answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":1, "error":{"code":%d,"message":"no","data":{"x":"input_required"}}}`, code)
		server := &fakeRounds{serve: func(w http.ResponseWriter, _ *http.Request, _ int, _ string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, answer)
		}}
		endpoint, _ := newFront(t, server)
		if got := askModern(t, endpoint, modernCall("1", plainMeta, "")); got.status != http.StatusBadRequest || got.body != answer {
			t.Errorf("status %d and %s, want 400 and %s", got.status, got.body, answer)
		}
	}
}

// A stream of notifications has no end: it must not hold up a sampler that is to
// end.
func TestStreamsOfNotificationsEndWhereASamplerLeaves(t *testing.T) {
	const listen = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{` + plainMeta + `}}`
	const acknowledged = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\"}\n\n"
	ended := make(chan struct{})
	server := &fakeRounds{serve: func(w http.ResponseWriter, r *http.Request, _ int, _ string) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, acknowledged)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(ended)
	}}
	endpoint, h := newFront(t, server)
	resp := open(t.Context(), t, http.MethodPost, endpoint, listen, wire.HeaderVersion, wire.VersionModern)
	defer resp.Body.Close()
	first := make([]byte, len(acknowledged))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != acknowledged {
		t.Fatalf("got %q and error %v", first, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("the stream ended with %q and error %v, want a clean end", rest, err)
	}
	await(t, "the server's stream ends", ended)
	if got := askModern(t, endpoint, listen); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("status %d, want 503 with Retry-After", got.status)
	}
}
