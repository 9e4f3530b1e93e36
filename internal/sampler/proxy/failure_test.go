package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// dialError is a transport that cannot connect.
type dialError struct{ cause error }

func (d dialError) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: d.cause}
}

func TestWhyAServerCannotBeReached(t *testing.T) {
	noHost := &net.DNSError{Err: "no such host", Name: "pods.example", IsNotFound: true}
	noDNS := &net.DNSError{Err: "server misbehaving", Name: "pods.example", IsTemporary: true}
	const (
		noPods  = "the MCP server the-server has no running pods: its host name has no address"
		unknown = "the address of the MCP server the-server cannot be looked up: check DNS"
		refused = "the MCP server the-server cannot be reached: check that it is running"
	)
	for name, tc := range map[string]struct {
		found      []netip.Addr
		err, dial  error
		wantStatus int
		wantText   string
		wantWord   string
	}{
		"its name is not known":     {nil, noHost, noHost, http.StatusServiceUnavailable, noPods, NoPods},
		"its name has no address":   {nil, nil, noHost, http.StatusServiceUnavailable, noPods, NoPods},
		"names cannot be looked up": {nil, noDNS, noDNS, http.StatusBadGateway, unknown, NoName},
		"it refuses connections": {
			[]netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil, errors.New("connection refused"), http.StatusBadGateway, refused, "",
		},
	} {
		for how, request := range map[string]struct {
			method, target, body string
			header               []string
			id                   string
		}{
			"initialize":               {http.MethodPost, "", initializeBody, nil, "0"},
			"a call in no session":     {http.MethodPost, "", callBody, nil, "1"},
			"a GET stream in none":     {http.MethodGet, "", "", nil, "null"},
			"a server's OAuth details": {http.MethodGet, "/.well-known/x", "", nil, "null"},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				endpoint, _ := newFront(t, http.NotFoundHandler(), func(o *Options) {
					o.Upstream = &url.URL{Scheme: "http", Host: "pods.example:8000", Path: "/mcp"}
					o.Transport = dialError{tc.dial}
					o.LookupNetIP = func(context.Context, string, string) ([]netip.Addr, error) { return tc.found, tc.err }
				})
				if request.target != "" {
					endpoint = strings.TrimSuffix(endpoint, "/mcp") + request.target
				}
				got := ask(t, request.method, endpoint, request.body, request.header...)
				want := `{"jsonrpc":"2.0","id":` + request.id + `,"error":{"code":-32000,"message":"` + tc.wantText + `"}}`
				if got.status != tc.wantStatus || got.body != want || got.header.Get("Proxy-Status") != tc.wantWord {
					t.Errorf("got %d, %s, Proxy-Status %q\nwant %d, %s, %q", got.status, got.body, got.header.Get("Proxy-Status"), tc.wantStatus, want, tc.wantWord)
				}
			})
		}
	}
}
