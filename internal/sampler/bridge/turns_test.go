package bridge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// calling returns how many calls of a session the process works at, and how many
// wait for their turn.
func (f *fixture) calling(session string) (running, waiting int) {
	s := f.bridge.session(session)
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	for _, c := range s.mux.order {
		switch {
		case c.session != s:
		case c.waiting != nil:
			waiting++
		default:
			running++
		}
	}
	return running, waiting
}

// start posts a call that is not waited for, and returns when the bridge has it.
func (f *fixture) start(session, body string) (leave func(), answered <-chan reply) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan reply, 1)
	running, waiting := f.calling(session)
	go func() {
		if response := f.open(ctx, http.MethodPost, body, wire.HeaderSession, session); response != nil {
			var got reply
			each(f.t, response, func(message string) { got.messages = append(got.messages, message) })
			response.Body.Close()
			done <- got
		}
		close(done)
	}()
	eventually(f.t, "the call does not come", func() bool {
		r, w := f.calling(session)
		return r+w > running+waiting
	})
	return cancel, done
}

func cancelled(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
}

// each calls do with each message of a response, of either type.
func each(t *testing.T, response *http.Response, do func(message string)) {
	t.Helper()
	if response.Header.Get("Content-Type") != typeEvents {
		all, err := io.ReadAll(response.Body)
		if err == nil { // else the caller has left
			do(string(all))
		}
		return
	}
	for messages := newStream(t, response.Body); ; {
		message, ok := messages.next()
		if !ok {
			return
		}
		do(message)
	}
}

// sampled calls a tool that asks for sampling, answers that with what was asked,
// and returns all that came.
func (f *fixture) sampled(session, id, prompt string) string {
	f.t.Helper()
	response := f.open(f.t.Context(), http.MethodPost, tool(id, "sample", prompt), wire.HeaderSession, session)
	if response == nil {
		return ""
	}
	defer response.Body.Close()
	var all strings.Builder
	each(f.t, response, func(message string) {
		all.WriteString(message)
		if m := mustParse(f.t, message); m.IsRequest() {
			f.post(session, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"echo":%q}}`, m.ID, text(m.Params, "prompt")))
		}
	})
	return all.String()
}

func TestWhatCouldBeForTwoSessionsIsForNone(t *testing.T) {
	tests := map[string]struct {
		// before is what has happened when the second session asks, while both have
		// their stream open.
		before func(f *fixture, first string)
		want   string
	}{
		"a call of another runs": {
			before: func(f *fixture, first string) { f.start(first, tool("1", "hang", "")) },
			want:   ambiguous,
		},
		"a call of another runs whose caller has left": {
			before: func(f *fixture, first string) {
				leave, answered := f.start(first, tool("1", "hang", ""))
				leave()
				<-answered
				eventually(f.t, "the caller is still there", func() bool {
					x := f.bridge.session(first).mux
					x.mu.Lock()
					defer x.mu.Unlock()
					return x.order[0].left
				})
			},
			want: ambiguous,
		},
		"a call of another was cancelled a moment ago": {
			before: func(f *fixture, first string) {
				f.start(first, tool("1", "hang", ""))
				f.post(first, cancelled("1"))
			},
			want: ambiguous,
		},
		"a call of a session that has ended may still run": {
			before: func(f *fixture, first string) {
				f.start(first, tool("1", "hang", ""))
				f.do(http.MethodDelete, "", wire.HeaderSession, first)
			},
			want: ambiguous,
		},
		"a call of another was answered": {
			before: func(f *fixture, first string) { f.post(first, tool("1", "echo", "")) },
			want:   `"echo":"secret"`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newSharedFixture(t, "")
			first, second := f.begin(), f.begin()
			heard := make(chan string, 1)
			theirs := f.stream(first)
			go func() { message, _ := theirs.next(); heard <- message }()
			f.stream(second)
			tc.before(f, first)
			if got := f.sampled(second, "1", "secret"); !strings.Contains(got, tc.want) {
				t.Errorf("the caller got %s, want %s in it", got, tc.want)
			}
			theirs.body.Close()
			if message := <-heard; message != "" {
				t.Errorf("the other caller heard %s", message)
			}
		})
	}
}

func TestSessionsTakeTurnsWhereTheProcessAsks(t *testing.T) {
	f := newSharedFixture(t, "")
	first, second, third := f.begin(), f.begin(), f.begin()
	_, hanging := f.start(first, tool("1", "hang", ""))
	if got := f.sampled(second, "1", "secret"); !strings.Contains(got, ambiguous) {
		t.Fatalf("got %s", got)
	}
	leave, left := f.start(second, tool("2", "echo", "left"))
	_, withdrawn := f.start(second, tool("3", "echo", "withdrawn"))
	_, answered := f.start(third, tool("4", "echo", "at last"))
	if running, waiting := f.calling(second); running != 0 || waiting != 2 {
		t.Errorf("%d calls of the second session run and %d wait", running, waiting)
	}
	if got := f.post(third, `{"jsonrpc":"2.0","id":5,"method":"tools/list"}`); !strings.Contains(got.body, `"tools"`) {
		t.Errorf("a list does not wait: %+v", got)
	}
	leave()
	<-left
	f.post(second, cancelled("3"))
	<-withdrawn
	if _, waiting := f.calling(second); waiting != 0 {
		t.Errorf("%d calls wait that nobody wants", waiting)
	}
	f.do(http.MethodDelete, "", wire.HeaderSession, first)
	<-hanging
	<-answered
	heard := f.post(third, tool("6", "heard", ""))
	if got := strings.Count(heard.body, "notifications/cancelled"); got != 1 {
		t.Errorf("the process heard of %d cancelled calls, want the one that it had: %s", got, heard.body)
	}

	x := f.bridge.session(third).mux
	x.mu.Lock()
	clear(x.ghosts) // a minute later
	x.mu.Unlock()
	var group sync.WaitGroup
	for _, session := range []string{second, third} {
		other := map[string]string{second: third, third: second}[session]
		for i := range 4 {
			group.Go(func() {
				got := f.sampled(session, fmt.Sprint(10+i), session)
				if !strings.Contains(got, `"result":{"answer":{"echo":"`+session) || strings.Contains(got, other) {
					t.Errorf("got %s", got)
				}
			})
		}
	}
	group.Wait()
}

func TestASessionOfASharedProcessHasABoundOfItsOwn(t *testing.T) {
	f := newSharedFixture(t, "")
	first, second := f.begin(), f.begin()
	x := f.bridge.session(first).mux
	for i := range maxSessionCalls {
		if _, _, err := x.begin(f.bridge.session(first), mustParse(t, tool(fmt.Sprint(i), "hang", "")), nil, newQueue(1), nil); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if got := f.post(first, tool(`"more"`, "echo", "")); got.status != http.StatusServiceUnavailable {
		t.Errorf("one call more: %+v", got)
	}
	if got := f.post(second, tool("1", "echo", "")); got.status != http.StatusOK {
		t.Errorf("another session: %+v", got)
	}
}
