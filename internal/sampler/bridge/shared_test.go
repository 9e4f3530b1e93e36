package bridge

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func newSharedFixture(t *testing.T, how string) *fixture {
	t.Helper()
	return newFixture(t, how, func(o *Options) { o.Shared = true })
}

func (f *fixture) processes() int {
	f.bridge.mu.Lock()
	defer f.bridge.mu.Unlock()
	return f.bridge.room.processes
}

func TestSessionsOfASharedProcess(t *testing.T) {
	f := newSharedFixture(t, "")
	var sessions []string
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 8 { // at the same time, so that all wait for the first one's answer
		group.Go(func() {
			session := f.begin()
			mu.Lock()
			defer mu.Unlock()
			sessions = append(sessions, session)
		})
	}
	group.Wait()
	if got := f.processes(); got != 1 {
		t.Fatalf("%d processes run", got)
	}
	heard := f.post(sessions[0], tool("1", "heard", ""))
	if got := strings.Count(heard.body, "notifications/initialized"); got != 1 {
		t.Errorf("the process heard %d times that it is initialized: %s", got, heard.body)
	}
	t.Run("the same id in all sessions", func(t *testing.T) {
		for _, session := range sessions {
			group.Go(func() {
				body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","_meta":{"progressToken":"mine"}}}`
				got := f.post(session, body)
				wantParts(t, []string{`"progressToken":"mine"`, `{"jsonrpc":"2.0","id":1,"result":{"text":"done"}}`}, got.messages)
			})
		}
		group.Wait()
	})
	t.Run("what the process is told is the bridge's own", func(t *testing.T) {
		got := f.post(sessions[0], `{"jsonrpc":"2.0","id":"a","id":"b","ID":"c","method":"tools/call","params":{"name":"told","_meta":{"progressToken":"mine"}}}`)
		if !strings.HasPrefix(got.body, `{"jsonrpc":"2.0","id":"b","result":{"id":`) || strings.Contains(got.body, "mine") {
			t.Errorf("got %s", got.body)
		}
	})
	t.Run("only what concerns all goes to all", func(t *testing.T) {
		first, second := f.stream(sessions[0]), f.stream(sessions[1])
		f.post(sessions[2], tool("1", "log", "secret"))
		f.post(sessions[2], tool("1", "changed", ""))
		first.want("notifications/tools/list_changed")
		second.want("notifications/tools/list_changed")
	})
	t.Run("a session's end leaves the process", func(t *testing.T) {
		f.do(http.MethodDelete, "", wire.HeaderSession, sessions[0])
		if got := f.post(sessions[0], tool("1", "echo", "hi")); got.status != http.StatusNotFound {
			t.Errorf("the session that ended: %+v", got)
		}
		if got := f.post(sessions[1], tool("1", "echo", "hi")); got.status != http.StatusOK {
			t.Errorf("another session: %+v", got)
		}
	})
	t.Run("its death ends all sessions, and the next caller gets another", func(t *testing.T) {
		hanging := make(chan reply)
		go func() { hanging <- f.post(sessions[1], tool("5", "hang", "")) }()
		x := f.bridge.session(sessions[1]).mux
		eventually(t, "the call does not run", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return len(x.calls) == 1
		})
		if got := f.post(sessions[2], tool("1", "crash", "")); !strings.Contains(got.body, "(exit status 3)") {
			t.Errorf("the call: %+v", got)
		}
		if got := <-hanging; !strings.Contains(got.body, `"id":5,"error"`) {
			t.Errorf("another session's call: %+v", got)
		}
		eventually(t, "the sessions are still there", func() bool {
			return f.post(sessions[3], tool("1", "echo", "hi")).status == http.StatusNotFound
		})
		if got := f.post(f.begin(), tool("1", "echo", "again")); got.status != http.StatusOK {
			t.Errorf("the next session: %+v", got)
		}
	})
}

func TestACancelledCallOfASharedProcess(t *testing.T) {
	f := newSharedFixture(t, "")
	session, other := f.begin(), f.begin()
	answered := make(chan reply, 1)
	go func() { answered <- f.post(session, tool(`"x"`, "hang", "")) }()
	x := f.bridge.session(session).mux
	eventually(t, "the call does not run", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.calls) == 1
	})
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`
	f.post(other, cancel) // not its call
	f.post(session, cancel)
	x.mu.Lock()
	wireID := string(x.order[0].wireID)
	x.mu.Unlock()
	got := f.post(session, tool("2", "heard", ""))
	if strings.Count(got.body, "notifications/cancelled") != 1 || !strings.Contains(got.body, `\"requestId\":`+wireID) {
		t.Errorf("the process heard %s, want its own id %s cancelled once", got.body, wireID)
	}
	f.do(http.MethodDelete, "", wire.HeaderSession, session)
	<-answered
}
