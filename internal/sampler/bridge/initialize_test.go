package bridge

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestInitializeThatIsNotAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		how        string
		modify     func(*Options)
		wantStatus int
	}{
		"the program never answers":         {how: "mute", wantStatus: http.StatusGatewayTimeout},
		"it prints garbage":                 {how: "garbage", wantStatus: http.StatusGatewayTimeout},
		"shared, the program never answers": {how: "mute", modify: func(o *Options) { o.Shared = true }, wantStatus: http.StatusGatewayTimeout},
		"comments have begun the answer": {
			how: "mute", modify: func(o *Options) { o.times.keepAlive = 10 * time.Millisecond }, wantStatus: http.StatusOK,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.how, func(o *Options) {
				o.InitializeTimeout = 200 * time.Millisecond
				if tc.modify != nil {
					tc.modify(o)
				}
			})
			got := f.post("", initializeBody)
			const want = `"id":"init","error":{"code":-32000,"message":"the command has not answered initialize within 200ms: see the container's log"}`
			if got.status != tc.wantStatus || !strings.Contains(got.body, want) {
				t.Errorf("got %+v, want %d %s", got, tc.wantStatus, want)
			}
			eventually(t, "the slot is not free", func() bool { return f.processes() == 0 })
			if f.bridge.session(got.session) != nil {
				t.Error("the session is still there")
			}
		})
	}
}

func TestDurationsAreWrittenAsForFlags(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", 10 * time.Second: "10s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestVersionsOfASharedProcess(t *testing.T) {
	for name, tc := range map[string]struct{ first, second, want string }{
		"the same":                          {"2025-11-25", "2025-11-25", "2025-11-25"},
		"an older one is the caller's":      {"2025-11-25", "2025-03-26", "2025-03-26"},
		"a newer one is the process's":      {"2025-06-18", "2025-11-25", "2025-06-18"},
		"one that nobody knows is likewise": {"2025-06-18", "1999-01-01", "2025-06-18"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSharedFixture(t, "")
			f.beginWith(tc.first)
			got := f.post("", strings.Replace(initializeBody, "2025-11-25", tc.second, 1))
			if !strings.Contains(got.body, `"result":{"protocolVersion":"`+tc.want+`","capabilities"`) {
				t.Fatalf("got %+v, want %s", got, tc.want)
			}
			wantBatch := http.StatusBadRequest
			if tc.want == versionWithBatches {
				wantBatch = http.StatusOK
			}
			if got := f.post(got.session, "["+tool("1", "echo", "hi")+"]"); got.status != wantBatch {
				t.Errorf("a batch: %+v, want %d", got, wantBatch)
			}
		})
	}
}

func TestInitializeInTheStatelessEraIsNotFound(t *testing.T) {
	const meta = `"_meta":{` + metaModern + `},`
	for name, tc := range map[string]struct {
		how, meta  string
		shared     bool
		wantStatus int
	}{
		"the server refuses it":                   {"strict", meta, false, http.StatusNotFound},
		"shared, the server refuses it":           {"strict", meta, true, http.StatusNotFound},
		"a server that takes it":                  {"", meta, false, http.StatusOK},
		"another refusal of the session era":      {"refusing", "", false, http.StatusOK},
		"a request of the session era, as always": {"strict", "", false, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.how, func(o *Options) { o.Shared = tc.shared })
			body := strings.Replace(initializeBody, `"params":{`, `"params":{`+tc.meta, 1)
			got := f.post("", body, wire.HeaderVersion, "2026-07-28", wire.HeaderMethod, wire.MethodInitialize)
			if got.status != tc.wantStatus {
				t.Errorf("got %+v, want %d", got, tc.wantStatus)
			}
		})
	}
}
