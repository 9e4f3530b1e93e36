package resident_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/bridge"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/resident"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func TestAServerWhoseProcessesAreAllInUseIsNotUnreachable(t *testing.T) {
	full := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Status", bridge.NoRoom)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer full.Close()
	upstream, err := url.Parse(full.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	h, err := proxy.New(proxy.Options{Upstream: upstream, Sampling: noSampling{}, Settings: proxy.Settings{MaxSessions: 9}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	found := run(t, listen(t, h), func(o *resident.Options) { o.NoProcess = bridge.NoRoom })
	want := statusz.Server{State: statusz.ServerUnknown, Detail: "the server runs as many processes as it may"}
	if got := next(t, found); got.State != want.State || got.Detail != want.Detail {
		t.Errorf("found %+v, want %+v", got, want)
	}
}
