package bridge

import (
	"net/http"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func newSmallFixture(t *testing.T, how string, processes int, makesRoom time.Duration) *fixture {
	t.Helper()
	return newFixture(t, how, func(o *Options) {
		o.MaxProcesses = processes
		o.times.makesRoom = makesRoom
	})
}

// quiet waits until a session's requests are handled: their answers come before.
func (f *fixture) quiet(session string) *mux {
	f.t.Helper()
	s := f.bridge.session(session)
	eventually(f.t, "the session is in use", func() bool {
		s.mux.mu.Lock()
		defer s.mux.mu.Unlock()
		return s.running == 0
	})
	return s.mux
}

func TestNoRoomForAProcess(t *testing.T) {
	f := newSmallFixture(t, "", 2, time.Hour)
	f.begin()
	f.begin()
	response := f.open(t.Context(), http.MethodPost, initializeBody)
	response.Body.Close()
	if got := response.Header.Get("Proxy-Status"); response.StatusCode != http.StatusServiceUnavailable || got != NoRoom {
		t.Errorf("status %d, Proxy-Status %q", response.StatusCode, got)
	}
}

func TestWhatMakesRoomForAProcess(t *testing.T) {
	tests := map[string]struct {
		how    string
		before func(f *fixture)
	}{
		"a session that has ended": {before: func(f *fixture) {
			f.do(http.MethodDelete, "", wire.HeaderSession, f.begin())
		}},
		"the question for the stateless era": {before: func(f *fixture) {
			if got := f.call("7", "echo", ""); got.status != http.StatusBadRequest {
				f.t.Errorf("got %+v", got)
			}
		}},
		"a process of the stateless era that nobody uses": {how: "modern", before: func(f *fixture) {
			if got := f.call("7", "echo", ""); got.status != http.StatusOK {
				f.t.Errorf("got %+v", got)
			}
			x := f.bridge.modern.current.mux
			eventually(f.t, "the process is in use", func() bool {
				x.mu.Lock()
				defer x.mu.Unlock()
				return !x.unused.IsZero()
			})
		}},
		"an idle session": {before: func(f *fixture) { f.quiet(f.begin()) }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newSmallFixture(t, tc.how, 1, time.Nanosecond)
			tc.before(f)
			if got := f.post("", initializeBody); got.status != http.StatusOK {
				t.Errorf("initialize: %+v", got)
			}
		})
	}
}

func TestTheLongestIdleSessionMakesRoom(t *testing.T) {
	f := newSmallFixture(t, "", 3, time.Nanosecond)
	busy, longest, newest := f.begin(), f.begin(), f.begin()
	f.start(busy, tool("1", "hang", ""))
	f.quiet(newest)
	x := f.quiet(longest)
	x.mu.Lock()
	x.sessions[0].released = time.Now().Add(-time.Hour)
	x.mu.Unlock()
	f.begin()
	for session, want := range map[string]int{longest: http.StatusNotFound, newest: http.StatusOK, busy: http.StatusOK} {
		if got := f.post(session, tool("2", "echo", "")); got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
}
