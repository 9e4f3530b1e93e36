package resident_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/resident"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestItLooksAgainWhenAsked(t *testing.T) {
	for name, hold := range map[string]bool{"between looks": false, "in a session that is held": true} {
		t.Run(name, func(t *testing.T) {
			endpoint := httptest.NewServer(mcpServer("demo", 1))
			defer endpoint.Close()
			again := make(chan struct{})
			found := run(t, endpoint.URL, func(o *resident.Options) {
				o.Interval, o.Hold, o.Again = time.Hour, hold, again
			})
			first := next(t, found)
			again <- struct{}{}
			if second := next(t, found); second.State != statusz.ServerVerified || !second.At.After(first.At) {
				t.Errorf("found %+v after %+v, want a later finding", second, first)
			}
		})
	}
}

func TestAServerOfTheOtherEraIsNamedSo(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		testOtherEra(t, status)
	}
}

func testOtherEra(t *testing.T, status int) {
	t.Helper()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(request.ID) + `,"error":{"code":-32022,"message":"none of yours","data":{"supported":["` + wire.VersionModern + `"]}}}`))
	}))
	defer endpoint.Close()
	for sessions, want := range map[bool]statusz.ServerState{true: statusz.ServerWrongEra, false: statusz.ServerNotMCP} {
		found := run(t, endpoint.URL, func(o *resident.Options) { o.Sessions = sessions })
		if got := next(t, found); got.State != want {
			t.Errorf("where only sessions are wanted (%v) found %+v, want %s (HTTP %d)", sessions, got, want, status)
		}
	}
}
