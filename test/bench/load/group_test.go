package load

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

func TestGroupsCallEveryTool(t *testing.T) {
	server := httptest.NewServer(&peer.Server{})
	defer server.Close()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(peer.ReverseProxy(target))
	defer proxy.Close()

	tests := map[string]struct {
		era     Era
		tool    string
		samples bool
		through string

		wantError string
	}{
		"a stream in a session":                {era: Legacy, tool: "echo", through: server.URL},
		"a stream by way of a proxy":           {era: Legacy, tool: "echo", through: proxy.URL},
		"JSON in a session":                    {era: Legacy, tool: "echo_json", through: server.URL},
		"sampling in a session":                {era: Legacy, tool: "ask", samples: true, through: server.URL},
		"sampling by way of a proxy":           {era: Legacy, tool: "ask", samples: true, through: proxy.URL},
		"a stream without sessions":            {era: Modern, tool: "echo", through: proxy.URL},
		"JSON without sessions":                {era: Modern, tool: "echo_json", through: server.URL},
		"sampling without sessions":            {era: Modern, tool: "ask", samples: true, through: proxy.URL},
		"nobody samples, which is an error":    {era: Legacy, tool: "ask", through: server.URL, wantError: "not declared sampling"},
		"nobody samples, and the server knows": {era: Modern, tool: "ask", through: server.URL, wantError: "-32021"},
		"a tool that is not there":             {era: Legacy, tool: "tell", through: server.URL, wantError: "no such tool"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewGroup(Target{Addr: strings.TrimPrefix(tc.through, "http://"), Path: peer.Path, Samples: tc.samples}, tc.era)
			defer g.Close()
			got, err := g.Run(tc.tool, 3, 20*time.Millisecond)
			switch {
			case tc.wantError == "" && err != nil:
				t.Fatal(err)
			case tc.wantError != "" && (err == nil || !strings.Contains(err.Error(), tc.wantError)):
				t.Fatalf("error %v, want one with %q", err, tc.wantError)
			case tc.wantError == "" && (got.Calls < 3 || got.P50 <= 0 || got.P99 < got.P50 || got.Elapsed < 20*time.Millisecond):
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnswersOfAnotherCallAreErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"caller 00000007 xxx"}]}}`))
	}))
	defer server.Close()
	g := NewGroup(Target{Addr: strings.TrimPrefix(server.URL, "http://"), Path: peer.Path}, Modern)
	defer g.Close()
	if _, err := g.Run("echo", 1, time.Millisecond); err == nil || !strings.Contains(err.Error(), "not what was asked for") {
		t.Errorf("error %v", err)
	}
}

func TestListeningEndsWithTheSession(t *testing.T) {
	server := httptest.NewServer(&peer.Server{})
	defer server.Close()
	c := NewCaller(Target{Addr: strings.TrimPrefix(server.URL, "http://"), Path: peer.Path}, Legacy, 1)
	if err := c.Open(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	if err := c.Listen(func(err error) { ended <- err }); err != nil {
		t.Fatal(err)
	}
	if err := c.Call("echo"); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		t.Errorf("the caller hung up, and was told: %v", err)
	default:
	}
}

func TestQuantile(t *testing.T) {
	tests := map[string]struct {
		sorted []int
		q      float64
		want   int
	}{
		"of nothing":           {want: 0, q: 0.5},
		"the middle":           {sorted: []int{1, 2, 3}, q: 0.5, want: 2},
		"the last":             {sorted: []int{1, 2, 3}, q: 1, want: 3},
		"all but the slowest":  {sorted: []int{1, 2, 3, 4}, q: 0.74, want: 3},
		"the only one for all": {sorted: []int{9}, q: 0.99, want: 9},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Quantile(tc.sorted, tc.q); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
