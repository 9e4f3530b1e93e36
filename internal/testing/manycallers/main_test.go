package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// newServer is an MCP server whose tool tells the server's name.
func newServer(t *testing.T, name string) *httptest.Server {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: name, Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "where"}, func(context.Context, *mcp.CallToolRequest, struct {
		Text string `json:"text"`
	},
	) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: name}}}, nil, nil
	})
	endpoint := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	t.Cleanup(endpoint.Close)
	return endpoint
}

func tell(t *testing.T, driver, path string, query url.Values) Report {
	t.Helper()
	resp, err := http.Post(driver+path+"?"+query.Encode(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var report Report
	if resp.StatusCode == http.StatusAccepted {
		return report
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: HTTP %d", path, resp.StatusCode)
	}
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		t.Fatal(err)
	}
	return report
}

func TestEverySessionIsAccountedFor(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	driver := httptest.NewServer(newDriver())
	t.Cleanup(driver.Close)
	where := url.Values{"tool": {"where"}}
	ignore := cmpopts.IgnoreFields(Report{}, "Slowest")

	tell(t, driver.URL, "/open", url.Values{"n": {"10"}, "url": {a.URL, b.URL}})
	got := tell(t, driver.URL, "/call", where)
	if diff := cmp.Diff(Report{Sessions: 10, OK: 10, Texts: map[string]int{"a": 5, "b": 5}}, got, ignore); diff != "" {
		t.Errorf("all is well (-want +got):\n%s", diff)
	}
	// b knows nothing of the sessions of a.
	got = tell(t, driver.URL, "/call", url.Values{"tool": {"where"}, "url": {b.URL}})
	if diff := cmp.Diff(Report{Sessions: 10, OK: 5, Texts: map[string]int{"b": 5}, Lost: map[string]int{"a": 5}}, got, ignore); diff != "" {
		t.Errorf("half of the sessions are gone (-want +got):\n%s", diff)
	}
	tell(t, driver.URL, "/loop", url.Values{"tool": {"nothing"}})
	if got = tell(t, driver.URL, "/stop", nil); got.OK != 0 || got.Failed < 1 || !strings.Contains(got.Errors[0], "nothing") {
		t.Errorf("calls of a tool that is not there: %+v", got)
	}
}

func TestALostSessionIsRenewedWhereThatIsWanted(t *testing.T) {
	a, b := newServer(t, "a"), newServer(t, "b")
	driver := httptest.NewServer(newDriver())
	t.Cleanup(driver.Close)
	tell(t, driver.URL, "/open", url.Values{"n": {"4"}, "url": {a.URL}})
	tell(t, driver.URL, "/loop", url.Values{"tool": {"where", "where"}, "url": {b.URL}, "again": {"yes"}})
	if got := tell(t, driver.URL, "/stop", nil); got.Renewed != 4 || got.OK < 4 || got.Failed != 0 || len(got.Lost) != 0 || got.Texts["b"] != got.OK {
		t.Errorf("all four sessions have moved to another server: %+v", got)
	}
	if got := tell(t, driver.URL, "/call", url.Values{"tool": {"where"}}); got.OK != 4 {
		t.Errorf("after that they go on: %+v", got)
	}
}

func TestWhatListensIsNotGone(t *testing.T) {
	driver := httptest.NewServer(newDriver())
	t.Cleanup(driver.Close)
	server := httptest.NewServer(http.NotFoundHandler())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		tell(t, driver.URL, "/gone", url.Values{"addr": {server.Listener.Addr().String()}})
	}()
	tell(t, driver.URL, "/stop", nil) // the driver is at work
	select {
	case <-answered:
		t.Error("it says that a server is gone which is there")
	default:
	}
	server.Close()
	<-answered
}

func TestWithoutAnAnswerACallIsTriedAgain(t *testing.T) {
	backend := newServer(t, "a")
	var down atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		req := r.Clone(r.Context())
		backend.Config.Handler.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	driver := httptest.NewServer(newDriver())
	t.Cleanup(driver.Close)

	tell(t, driver.URL, "/open", url.Values{"n": {"1"}, "url": {front.URL}})
	down.Store(2)
	got := tell(t, driver.URL, "/call", url.Values{"tool": {"where"}})
	if got.OK != 1 || got.Again < 1 {
		t.Errorf("it is %+v, want an answer after another attempt", got)
	}
}
