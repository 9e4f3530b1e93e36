package proxy

import (
	"net/http"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestStatelessEraIsSteeredAway(t *testing.T) {
	discover := `{"jsonrpc":"2.0","id":"d","method":"server/discover","params":{}}`
	refused := `{"jsonrpc":"2.0","id":"d","error":{"code":-32022,"message":"sampling is served to protocol versions up to 2025-11-25 only: use initialize",` +
		`"data":{"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2026-07-28"}}}`
	for name, tc := range map[string]struct {
		steer, off bool
		wantStatus int
		wantBody   string
	}{
		"where that is configured":                     {steer: true, wantStatus: 400, wantBody: refused},
		"not where no sampling is declared":            {steer: true, off: true, wantStatus: 200, wantBody: callResponse},
		"not where the server samples in both eras":    {wantStatus: 200, wantBody: callResponse},
		"not where nothing is declared nor configured": {off: true, wantStatus: 200, wantBody: callResponse},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint, _ := newFront(t, &fakeServer{}, withSampling(&fakeSampling{off: tc.off}),
				func(o *Options) { o.SteerToSessions = tc.steer })
			got := ask(t, http.MethodPost, endpoint, discover, wire.HeaderVersion, wire.VersionModern)
			if got.status != tc.wantStatus || got.body != tc.wantBody {
				t.Errorf("status %d and %s, want %d and %s", got.status, got.body, tc.wantStatus, tc.wantBody)
			}
		})
	}
}
