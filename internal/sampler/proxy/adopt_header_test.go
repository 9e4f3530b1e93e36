package proxy

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// A caller finds the audit records of its own session, and no server can name
// those of another.
func TestResponsesNameTheSessionsAuditRecords(t *testing.T) {
	for name, tc := range map[string]struct {
		server, want http.Header
	}{
		"a response that names the session": {
			server: http.Header{wire.HeaderSession: {"upstream"}, wire.HeaderAudit: {"another"}},
			want:   http.Header{wire.HeaderSession: {"sealed"}, wire.HeaderAudit: {digestOf("upstream")}},
		},
		"a response that does not": {
			server: http.Header{"X-Any": {"1"}, wire.HeaderAudit: {"another"}},
			want:   http.Header{"X-Any": {"1"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := http.Header{}
			callerHeader(got, tc.server, &session{id: "upstream", name: "sealed", digest: digestOf("upstream")})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
