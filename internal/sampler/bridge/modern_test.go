package bridge

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const metaModern = `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`

func modernCall(id, method, name, meta string) (body string, header []string) {
	body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{"name":%q,"_meta":{%s%s}}}`, id, method, name, metaModern, meta)
	header = []string{wire.HeaderVersion, "2026-07-28", wire.HeaderMethod, method}
	if name != "" {
		header = append(header, wire.HeaderName, name)
	}
	return body, header
}

func (f *fixture) call(id, name, meta string) reply {
	f.t.Helper()
	body, header := modernCall(id, "tools/call", name, meta)
	return f.do(http.MethodPost, body, header...)
}

func TestStatelessRequests(t *testing.T) {
	f := newFixture(t, "modern")
	t.Run("callers with the same ids and tokens", func(t *testing.T) {
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				got := f.call("1", "progress", fmt.Sprintf(`,"progressToken":"mine %d"`, i))
				wantParts(t, []string{fmt.Sprintf(`"progressToken":"mine %d"`, i), `{"jsonrpc":"2.0","id":1,"result":{"text":"done"}}`}, got.messages)
			})
		}
		group.Wait()
		if got := f.processes(); got != 1 {
			t.Errorf("%d processes run", got)
		}
	})
	for name, tc := range map[string]struct {
		id, method, name, meta string
		wantStatus             int
		want                   string
	}{
		"server/discover is passed":        {"1", "server/discover", "", "", 200, `"supportedVersions":["2026-07-28","2025-11-25"]`},
		"an unknown method is not found":   {"1", "tools/unknown", "", "", 404, `"code":-32601`},
		"an error of the parameters":       {"1", "tools/call", "nothing", "", 400, `"code":-32602`},
		"a log message that was asked for": {"1", "tools/call", "log", `,"io.modelcontextprotocol/logLevel":"debug"`, 200, `notifications/message`},
		"a log message that was not":       {"1", "tools/call", "log", ``, 200, `{"jsonrpc":"2.0","id":1,"result":{"text":"logged"}}`},
		"a server that sends a request":    {"1", "tools/call", "sample", ``, 200, `"error":{"code":-32000,"message":"in this version of the protocol`},
		"a crash is the error of its call": {"1", "tools/call", "crash", ``, 200, `(exit status 3)`},
		"another process comes after that": {"1", "tools/call", "echo", ``, 200, `{"jsonrpc":"2.0","id":1,"result":{"text":""}}`},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			body, header := modernCall(tc.id, tc.method, tc.name, tc.meta)
			got := f.do(http.MethodPost, body, header...)
			if got.status != tc.wantStatus || !strings.Contains(got.body, tc.want) || got.session != "" {
				t.Errorf("got %+v, want %d %s", got, tc.wantStatus, tc.want)
			}
			eventually(t, "the process that crashed is still used", func() bool {
				f.bridge.modern.mu.Lock()
				defer f.bridge.modern.mu.Unlock()
				current := f.bridge.modern.current
				if current == nil {
					return true
				}
				return !current.mux.process.ends() && name != "a crash is the error of its call"
			})
		})
	}
	f.t = t
	if got := f.do(http.MethodPost, `{"jsonrpc":"2.0","id":1,"result":{}}`, wire.HeaderVersion, "2026-07-28"); got.status != 400 {
		t.Errorf("a response: %+v", got)
	}
	if got := f.do(http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, wire.HeaderVersion, "2026-07-28"); got.status != 202 {
		t.Errorf("a notification: %+v", got)
	}
}

func TestACallerThatLeavesCancelsAStatelessCall(t *testing.T) {
	f := newFixture(t, "modern")
	f.call("0", "echo", "")
	x := f.bridge.modern.current.mux
	body, header := modernCall(`"mine"`, "tools/call", "hang", "")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response := f.open(ctx, http.MethodPost, body, header...); response != nil {
			_ = response.Body.Close()
		}
	}()
	var wireID string
	eventually(t, "the call does not run", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		if len(x.order) == 1 {
			wireID = string(x.order[0].wireID)
		}
		return len(x.order) == 1
	})
	leave()
	<-gone
	eventually(t, "the process has not heard it", func() bool {
		got := f.call("1", "heard", "")
		return strings.Contains(got.body, "notifications/cancelled") && strings.Contains(got.body, `\"requestId\":`+wireID)
	})
}

func TestSubscriptions(t *testing.T) {
	t.Run("what is for one goes to it, by its own id", func(t *testing.T) {
		f := newFixture(t, "modern")
		body, header := modernCall(`"mine"`, "subscriptions/listen", "", "")
		first := f.open(t.Context(), http.MethodPost, body, header...)
		defer first.Body.Close()
		second := f.open(t.Context(), http.MethodPost, body, header...)
		defer second.Body.Close()
		one, other := newStream(t, first.Body), newStream(t, second.Body)
		const want = `"io.modelcontextprotocol/subscriptionId":"mine"`
		one.want(want)
		other.want(want)
		x := f.bridge.modern.current.mux
		x.receive(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{%q:%s}}}`, metaSubscribed, x.order[1].wireID), false)
		if got := other.want(want); !strings.Contains(got, "list_changed") {
			t.Errorf("got %s", got)
		}
		// A call that runs beside gets none of it.
		if got := f.call("1", "changed", ""); got.kind != typeJSON {
			t.Errorf("a call beside: %+v", got)
		}
	})
	t.Run("the server ends one", func(t *testing.T) {
		f := newFixture(t, "modern closing")
		body, header := modernCall("1", "subscriptions/listen", "", "")
		got := f.do(http.MethodPost, body, header...)
		wantParts(t, []string{"acknowledged"}, got.messages)
	})
}

func TestWhetherAServerKnowsTheStatelessEra(t *testing.T) {
	for name, tc := range map[string]struct {
		how    string
		probe  time.Duration
		want   int
		answer string
		// wantStderr is whether what it said when it was asked is shown.
		wantStderr bool
	}{
		"it answers":                             {how: "modern", want: 200, answer: `"text"`, wantStderr: true},
		"it knows only a later version":          {how: "other-modern", want: 200, answer: `"text"`, wantStderr: true},
		"it answers that it must be initialized": {want: 400, answer: `-32022`},
		"it does not answer the question":        {how: "silent", probe: 50 * time.Millisecond, want: 400, answer: `-32022`},
		"it answers nothing":                     {how: "mute", probe: 50 * time.Millisecond, want: 400, answer: `"supported":["2025-11-25","2025-06-18","2025-03-26","2024-11-05"]`},
		"it crashes":                             {how: "crashing", want: 400, answer: `-32022`, wantStderr: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.how, func(o *Options) { o.times.probe = tc.probe })
			for range 2 {
				got := f.call("7", "echo", "")
				if got.status != tc.want || !strings.Contains(got.body, tc.answer) || !strings.Contains(got.body, `"id":7`) {
					t.Errorf("got %+v, want %d %s", got, tc.want, tc.answer)
				}
			}
			if tc.want != 200 {
				eventually(t, "the process that was asked still runs", func() bool { return f.processes() == 0 })
			}
			if got := strings.Contains(f.stderr.String(), "[stateless] asked\n"); got != tc.wantStderr {
				t.Errorf("standard error is %q", f.stderr)
			}
		})
	}
}

func TestAServerThatWasSlowOnceIsAskedAgain(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "started")
	f := newFixture(t, "modern", func(o *Options) {
		o.Command = []string{"sh", "-c", `if mkdir "$1"; then while read -r line; do :; done; exit; fi; exec "$0"`, os.Args[0], flag}
		o.times.probe = time.Second
		o.times.doubt = time.Hour
	})
	for range 2 {
		if got := f.call("7", "echo", ""); got.status != http.StatusBadRequest {
			t.Fatalf("while it is in doubt: %+v, %s", got, f.stderr)
		}
	}
	f.bridge.modern.mu.Lock()
	f.bridge.modern.silent = time.Now() // an hour later
	f.bridge.modern.mu.Unlock()
	f.bridge.opts.times.probe = patience
	if got := f.call("7", "echo", ""); got.status != http.StatusOK {
		t.Errorf("later: %+v", got)
	}
}

func TestAnIdleStatelessProcessEnds(t *testing.T) {
	f := newFixture(t, "modern", func(o *Options) { o.IdleTimeout = 20 * time.Millisecond })
	f.call("1", "echo", "")
	eventually(t, "the process still runs", func() bool { return f.processes() == 0 })
	if got := f.call("1", "echo", ""); got.status != http.StatusOK {
		t.Errorf("the next call: %+v", got)
	}
}

func TestHeadersOfStatelessRequests(t *testing.T) {
	f := newFixture(t, "modern")
	call, right := modernCall("1", "tools/call", "echo", "")
	read := `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///ä","_meta":{` + metaModern + `}}}`
	for name, tc := range map[string]struct {
		body     string
		header   []string
		want     int
		wantCode string
	}{
		"all as the body says":                  {call, right, 200, ""},
		"no version":                            {call, right[2:], 400, "-32020"},
		"another version":                       {call, append([]string{wire.HeaderVersion, "2026-12-01"}, right[2:]...), 400, "-32020"},
		"a legacy version":                      {call, append([]string{wire.HeaderVersion, "2025-11-25"}, right[2:]...), 400, "-32020"},
		"no version in the body":                {tool("1", "echo", ""), right, 400, "-32602"},
		"no method":                             {call, append(right[:2:2], right[4:]...), 400, "-32020"},
		"another method":                        {call, append(right[:2:2], wire.HeaderMethod, "tools/list", wire.HeaderName, "echo"), 400, "-32020"},
		"a method in capitals":                  {call, append(right[:2:2], wire.HeaderMethod, "Tools/Call", wire.HeaderName, "echo"), 400, "-32020"},
		"no name":                               {call, right[:4], 400, "-32020"},
		"another name":                          {call, append(right[:4:4], wire.HeaderName, "echo2"), 400, "-32020"},
		"a name in base64":                      {call, append(right[:4:4], wire.HeaderName, "=?base64?ZWNobw==?="), 200, ""},
		"a name in broken base64":               {call, append(right[:4:4], wire.HeaderName, "=?base64?ZWN!?="), 400, "-32020"},
		"the URI of a resource":                 {read, append(right[:2:2], wire.HeaderMethod, "resources/read", wire.HeaderName, "=?base64?ZmlsZTovLy/DpA==?="), 404, "-32601"},
		"another URI":                           {read, append(right[:2:2], wire.HeaderMethod, "resources/read", wire.HeaderName, "file:///b"), 400, "-32020"},
		"the session header counts for nothing": {call, append(right[:6:6], wire.HeaderSession, "x"), 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			got := f.do(http.MethodPost, tc.body, tc.header...)
			if got.status != tc.want || !strings.Contains(got.body, tc.wantCode) {
				t.Errorf("got %+v, want %d %s", got, tc.want, tc.wantCode)
			}
		})
	}
}
