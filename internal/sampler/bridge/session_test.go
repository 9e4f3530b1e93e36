package bridge

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestAnswersOfASession(t *testing.T) {
	for name, tc := range map[string]struct {
		version string
		header  []string
		body    string

		wantStatus   int
		want         string
		wantMessages []string // of a stream, by a part of each
	}{
		"what comes first and alone is JSON": {
			body: tool("7", "echo", "hi"), wantStatus: 200, want: `{"jsonrpc":"2.0","id":7,"result":{"text":"hi"}}`,
		},
		"an id keeps its JSON": {
			body: tool(`"a\u0062"`, "echo", "hi"), wantStatus: 200, want: `{"jsonrpc":"2.0","id":"a\u0062","result":{"text":"hi"}}`,
		},
		"a body of several lines is one line to the process": {
			body: "{\"jsonrpc\":\"2.0\",\r\n\"id\":7,\n\"method\":\"tools/call\",\"params\":{\n\"name\":\"echo\",\"arguments\":{\"text\":\"hi\"}}\n}\n", wantStatus: 200,
			want: `{"jsonrpc":"2.0","id":7,"result":{"text":"hi"}}`,
		},
		"the process gets id and token as they are": {
			body:       `{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"told","_meta":{"progressToken":"t"}}}`,
			wantStatus: 200, want: `{"jsonrpc":"2.0","id":"x","result":{"id":"x","token":"t","pid":`,
		},
		"progress comes on the stream of its call": {
			body:       `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"progress","_meta":{"progressToken":"t"}}}`,
			wantStatus: 200, wantMessages: []string{`"progressToken":"t"`, `"text":"done"`},
		},
		"a log message goes to the only call": {
			body: tool("7", "log", "well"), wantStatus: 200, wantMessages: []string{`"data":"well"`, `"text":"logged"`},
		},
		"a batch from the process is taken apart": {
			body: tool("7", "batch", ""), wantStatus: 200, wantMessages: []string{"notifications/message", `"text":"batched"`},
		},
		"what is no JSON is skipped": {
			body: tool("7", "noise", ""), wantStatus: 200, want: `{"jsonrpc":"2.0","id":7,"result":{"text":"quiet now"}}`,
		},
		"an error is passed on": {
			body: tool("7", "nothing", ""), wantStatus: 200, want: `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no such tool"}}`,
		},
		"a version header of any legacy version is taken": {
			header: []string{wire.HeaderVersion, "2024-11-05"},
			body:   tool("7", "echo", "hi"), wantStatus: 200, want: `{"jsonrpc":"2.0","id":7,"result":{"text":"hi"}}`,
		},
		"a notification is accepted": {body: `{"jsonrpc":"2.0","method":"notifications/x"}`, wantStatus: 202},
		"an answer that nobody asked for is accepted and dropped": {
			body: `{"jsonrpc":"2.0","id":99,"result":{}}`, wantStatus: 202,
		},
		"a batch is answered by a batch in 2025-03-26": {
			version:    "2025-03-26",
			body:       `[` + tool("1", "echo", "one") + `,{"jsonrpc":"2.0","method":"notifications/x"}]`,
			wantStatus: 200, want: `[{"jsonrpc":"2.0","id":1,"result":{"text":"one"}}]`,
		},
		"a batch with two requests of one id answers the second with an error": {
			version:    "2025-03-26",
			body:       `[` + tool("1", "hang", "") + `,` + tool("1", "echo", "two") + `,` + tool("2", "crash", "") + `]`,
			wantStatus: 200, want: `"code":-32600,"message":"a request with this id is running already`,
		},
		"a batch with progress is a stream in 2025-03-26": {
			version:    "2025-03-26",
			body:       `[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"progress","_meta":{"progressToken":"t"}}}]`,
			wantStatus: 200, wantMessages: []string{`"progressToken":"t"`, `"text":"done"`},
		},
		"a batch of notifications is accepted in 2025-03-26": {
			version: "2025-03-26", body: `[{"jsonrpc":"2.0","method":"notifications/x"}]`, wantStatus: 202,
		},
		"an empty batch is refused":              {version: "2025-03-26", body: `[]`, wantStatus: 400, want: "must not be empty"},
		"initialize in a batch is refused":       {version: "2025-03-26", body: `[` + initializeBody + `]`, wantStatus: 400, want: "or initialize"},
		"a batch in another version is refused":  {body: `[` + tool("1", "echo", "one") + `]`, wantStatus: 400, want: "has no batches"},
		"what is no JSON-RPC message is refused": {body: `{"jsonrpc":"2.0"}`, wantStatus: 400, want: "no JSON-RPC message"},
		"what is no JSON is refused":             {body: `{`, wantStatus: 400, want: `-32700`},
		"a message that is too long is refused": {
			body: tool("1", "echo", strings.Repeat("x", 64<<10)), wantStatus: 413, want: "longer than the 32768 bytes that are allowed",
		},
		"another content type is refused": {
			header: []string{"Content-Type", "text/plain"}, body: tool("1", "echo", "hi"), wantStatus: 415, want: "must be application/json",
		},
		"a content type with parameters is taken": {
			header: []string{"Content-Type", "application/json; charset=utf-8"}, body: tool("7", "echo", "hi"), wantStatus: 200,
			want: `"text":"hi"`,
		},
		"a caller that takes no streams is refused": {
			header: []string{"Accept", "application/json"}, body: tool("1", "echo", "hi"), wantStatus: 406, want: "Accept must name",
		},
		"a caller that takes anything is served": {
			header: []string{"Accept", "*/*;q=0.1"}, body: tool("7", "echo", "hi"), wantStatus: 200, want: `"text":"hi"`,
		},
		"a request without a session is refused": {
			header: []string{wire.HeaderSession, ""}, body: tool("1", "echo", "hi"), wantStatus: 400, want: "is missing",
		},
		"a request of an unknown session is not found": {
			header: []string{wire.HeaderSession, "0123"}, body: tool("1", "echo", "hi"), wantStatus: 404, want: "no such session",
		},
		"a crash is the error of the call": {
			body: tool("7", "crash", ""), wantStatus: 200, want: `(exit status 3)`,
		},
		"what a process wrote before it ended is delivered": {
			body: tool("7", "last-words", ""), wantStatus: 200, want: `{"jsonrpc":"2.0","id":7,"result":{"text":"goodbye"}}`,
		},
		"a process that leaves another behind has ended all the same": {
			body: tool("7", "orphan", ""), wantStatus: 200, want: `(exit status 5)`,
		},
		"an answer that is too long fails its call": {
			body: tool("7", "long", ""), wantStatus: 200, want: `"id":7,"error":{"code":-32000,"message":"a message of the server is longer than`,
		},
		"a message that is too long and names nothing fails what runs": {
			body: tool("7", "long-unknown", ""), wantStatus: 200, want: `"id":7,"error":{"code":-32000,"message":"a message of the server is longer than`,
		},
		"a request of the server that is too long is refused": {
			body: tool("7", "long-request", ""), wantStatus: 200, want: `"answer":null,"error":{"code":-32000`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "", func(o *Options) { o.MaxMessageBytes = 32 << 10 })
			version := tc.version
			if version == "" {
				version = "2025-11-25"
			}
			session := f.beginWith(version)
			got := f.post(session, tc.body, tc.header...)
			if got.status != tc.wantStatus {
				t.Errorf("status %d, want %d: %s", got.status, tc.wantStatus, got.body)
			}
			if tc.wantMessages != nil {
				wantParts(t, tc.wantMessages, got.messages)
				return
			}
			if !strings.Contains(got.body, tc.want) {
				t.Errorf("got  %s\nwant %s", got.body, tc.want)
			}
			if len(got.messages) > 0 || got.status == 202 && got.body != "" {
				t.Errorf("got %s of type %s", got.body, got.kind)
			}
		})
	}
}

// wantParts compares each of got with a part that it must have.
func wantParts(t *testing.T, want, got []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d messages, want %d: %q", len(got), len(want), got)
	}
	for i, part := range want {
		if !strings.Contains(got[i], part) {
			t.Errorf("message %d is %s, want %s", i, got[i], part)
		}
	}
}

func TestASessionHasItsOwnProcess(t *testing.T) {
	f := newFixture(t, "")
	pids := map[float64]bool{}
	for range 2 {
		var got struct {
			Result struct {
				PID float64 `json:"pid"`
			} `json:"result"`
		}
		if err := json.Unmarshal([]byte(f.post(f.begin(), tool("1", "told", "")).body), &got); err != nil {
			t.Fatal(err)
		}
		pids[got.Result.PID] = true
	}
	if len(pids) != 2 {
		t.Errorf("two sessions have the processes %v", pids)
	}
}

func TestEndsOfASession(t *testing.T) {
	for name, tc := range map[string]struct {
		how    string
		modify func(*Options)
		end    func(f *fixture, session string)
	}{
		"the caller ends it": {
			end: func(f *fixture, session string) {
				if got := f.do(http.MethodDelete, "", wire.HeaderSession, session); got.status != http.StatusNoContent {
					f.t.Errorf("DELETE: %+v", got)
				}
			},
		},
		"the caller ends it, and the process does not end by itself": {
			how: "stubborn", modify: func(o *Options) { o.times.closeGrace, o.times.termGrace = time.Millisecond, 5*time.Second },
			end: func(f *fixture, session string) { f.do(http.MethodDelete, "", wire.HeaderSession, session) },
		},
		"the process crashes":                      {end: func(f *fixture, session string) { f.post(session, tool("1", "crash", "")) }},
		"the process ends without a word too many": {end: func(f *fixture, session string) { f.post(session, tool("1", "last-words", "")) }},
		"nobody uses it, although its stream is open": {
			modify: func(o *Options) { o.IdleTimeout = 50 * time.Millisecond },
			end:    func(*fixture, string) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.how, func(o *Options) {
				if tc.modify != nil {
					tc.modify(o)
				}
			})
			session := f.begin()
			stream := f.stream(session)
			tc.end(f, session)
			if message, ok := stream.next(); ok {
				t.Errorf("on the stream came %s, want its end", message)
			}
			if got := f.post(session, tool("2", "echo", "")); got.status != http.StatusNotFound {
				t.Errorf("after the end: %+v", got)
			}
			eventually(t, "the process has not ended", func() bool {
				f.bridge.mu.Lock()
				defer f.bridge.mu.Unlock()
				return f.bridge.room.processes == 0 && len(f.bridge.sessions) == 0
			})
			if again := f.begin(); again == session {
				t.Error("the next session has the same id")
			}
		})
	}
}

func TestARunningCallFailsWhenItsSessionEnds(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	answered := make(chan reply, 1)
	go func() { answered <- f.post(session, tool("1", "hang", "")) }()
	x := f.bridge.session(session).mux
	eventually(t, "the call does not run", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.calls) == 1
	})
	if got := f.post(session, tool("1", "echo", "")); got.status != http.StatusBadRequest || !strings.Contains(got.body, "running already") {
		t.Errorf("a second call with the same id: %+v", got)
	}
	f.do(http.MethodDelete, "", wire.HeaderSession, session)
	if got := <-answered; got.status != http.StatusOK || !strings.Contains(got.body, `"id":1,"error":{"code":-32000,"message":"the session has ended"}`) {
		t.Errorf("the running call: %+v", got)
	}
}

func TestSamplingThroughASession(t *testing.T) {
	const answer = `{"jsonrpc":"2.0","id":1,"result":{"text":"sampled"}}`
	t.Run("on the stream of the only call", func(t *testing.T) {
		f := newFixture(t, "")
		session := f.begin()
		response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
		defer response.Body.Close()
		stream := newStream(t, response.Body)
		stream.want(`"method":"sampling/createMessage","params":{"prompt":"what?"}`)
		if got := f.post(session, answer); got.status != http.StatusAccepted {
			t.Errorf("the answer: %+v", got)
		}
		stream.want(`{"jsonrpc":"2.0","id":7,"result":{"answer":{"text":"sampled"},"error":null}}`)
		if message, ok := stream.next(); ok {
			t.Errorf("after the answer came %s", message)
		}
	})
	t.Run("on the session's stream when several calls run", func(t *testing.T) {
		f := newFixture(t, "")
		session := f.begin()
		stream := f.stream(session)
		hanging, stop := context.WithCancel(t.Context())
		defer stop()
		go func() {
			if response := f.open(hanging, http.MethodPost, tool("6", "hang", ""), wire.HeaderSession, session); response != nil {
				_ = response.Body.Close()
			}
		}()
		x := f.bridge.session(session).mux
		eventually(t, "the call does not run", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return len(x.calls) == 1
		})
		sampled := make(chan reply, 1)
		go func() { sampled <- f.post(session, tool("7", "sample", "what?")) }()
		stream.want(`"method":"sampling/createMessage"`)
		f.post(session, answer)
		if got := <-sampled; !strings.Contains(got.body, `"text":"sampled"`) || got.kind != typeJSON {
			t.Errorf("the call: %+v", got)
		}
	})
	t.Run("another session cannot answer", func(t *testing.T) {
		f := newFixture(t, "", func(o *Options) { o.Shared = true })
		session, other := f.begin(), f.begin()
		response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
		defer response.Body.Close()
		stream := newStream(t, response.Body)
		stream.want(`"method":"sampling/createMessage"`)
		f.post(other, strings.Replace(answer, "sampled", "forged", 1))
		f.post(session, answer)
		stream.want(`"text":"sampled"`)
	})
}

func TestTheSessionsStreamIsReadByOne(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	stream := f.stream(session)
	if got := f.do(http.MethodGet, "", wire.HeaderSession, session); got.status != http.StatusConflict {
		t.Errorf("a second stream: %+v", got)
	}
	_ = stream.body.Close()
	s := f.bridge.session(session)
	eventually(t, "the stream is still taken", func() bool {
		s.mux.mu.Lock()
		defer s.mux.mu.Unlock()
		return !s.streaming
	})
	// What comes meanwhile is kept for the next reader.
	s.mux.receive([]byte(`{"jsonrpc":"2.0","method":"notifications/kept"}`), false)
	f.stream(session).want("notifications/kept")
	for name, tc := range map[string]struct {
		method string
		header []string
		want   int
	}{
		"no session":                {http.MethodGet, nil, 400},
		"an unknown session":        {http.MethodGet, []string{wire.HeaderSession, "x"}, 404},
		"no streams are taken":      {http.MethodGet, []string{wire.HeaderSession, session, "Accept", "application/json"}, 406},
		"a version without streams": {http.MethodGet, []string{wire.HeaderSession, session, wire.HeaderVersion, "2026-07-28"}, 405},
		"another method":            {http.MethodPut, nil, 405},
		"an unknown session's end":  {http.MethodDelete, []string{wire.HeaderSession, "x"}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			if got := f.do(tc.method, "", tc.header...); got.status != tc.want {
				t.Errorf("status %d, want %d", got.status, tc.want)
			}
		})
	}
}

func TestWhatNobodyReadsIsBounded(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	s := f.bridge.session(session)
	const lost = 5
	for range maxQueued + lost {
		s.mux.receive([]byte(`{"jsonrpc":"2.0","method":"notifications/kept"}`), false)
	}
	s.mux.receive([]byte(`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"}`), false)
	stream := f.stream(session)
	for range maxQueued {
		stream.want("notifications/kept")
	}
	if want := "messages were lost because the caller did not read them"; !strings.Contains(f.log.String(), want) || !strings.Contains(f.log.String(), "count=6") {
		t.Errorf("the log says %s", f.log)
	}
	// The process was told that its request went nowhere: it can go on.
	s.mux.mu.Lock()
	defer s.mux.mu.Unlock()
	if len(s.mux.asked) != 0 {
		t.Errorf("%d requests wait for an answer", len(s.mux.asked))
	}
}

func TestACallerThatLeavesDoesNotCancel(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response := f.open(ctx, http.MethodPost, tool("1", "sample", ""), wire.HeaderSession, session); response != nil {
			<-ctx.Done()
			_ = response.Body.Close()
		}
	}()
	x := f.bridge.session(session).mux
	eventually(t, "the server has not asked", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.asked) == 1
	})
	leave()
	<-gone
	eventually(t, "the bridge has not noticed", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.order) == 1 && x.order[0].left
	})
	f.post(session, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	eventually(t, "the late answer was not taken", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.calls) == 0
	})
	if got := f.post(session, tool("1", "heard", "")); strings.Contains(got.body, "cancelled") {
		t.Errorf("the process heard %s", got.body)
	}
}

func TestStandardErrorGoesToTheLog(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	f.post(session, tool("1", "stderr", "first\nsecond "+strings.Repeat("x", 2*maxLogLine)))
	name := "[" + nameOf(session) + "] "
	eventually(t, "the lines have not come", func() bool { return strings.Count(f.stderr.String(), "\n") == 2 })
	want := name + "first\n" + name + "second " + strings.Repeat("x", maxLogLine-len("second ")) + " [cut]\n"
	if diff := cmp.Diff(want, f.stderr.String()); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
	if strings.Contains(f.stderr.String()+f.log.String(), session) {
		t.Error("the id of the session is in the log")
	}
}

func TestBeginningsThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		how          string
		modify       func(*Options)
		before       func(*fixture)
		wantStatus   int
		want         string
		wantSessions int
	}{
		"the server refuses":    {how: "refusing", wantStatus: 200, want: `"id":"init","error":{"code":-32602,"message":"no"}`},
		"the process crashes":   {how: "crashing", wantStatus: 200, want: `"id":"init","error":{"code":-32000,"message":"the server's process has ended (exit status 4)`},
		"the program is gone":   {before: func(f *fixture) { f.bridge.opts.Command = []string{"/nowhere"} }, wantStatus: 502, want: "could not be started"},
		"too many processes":    {modify: func(o *Options) { o.MaxProcesses = 1 }, before: func(f *fixture) { f.begin() }, wantStatus: 503, want: "as many processes run as are allowed (1): try again later, or raise --max-processes (spec.transport.stdio.maxProcesses)", wantSessions: 1},
		"the bridge shuts down": {before: func(f *fixture) { f.bridge.drain() }, wantStatus: 503, want: "shutting down"},
		"shared, and the server refuses": {
			how: "refusing", modify: func(o *Options) { o.Shared = true },
			wantStatus: 200, want: `"id":"init","error":{"code":-32602,"message":"no"}`,
		},
		"shared, and the process crashes": {
			how: "crashing", modify: func(o *Options) { o.Shared = true },
			wantStatus: 200, want: "(exit status 4)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.how, func(o *Options) {
				if tc.modify != nil {
					tc.modify(o)
				}
			})
			if tc.before != nil {
				tc.before(f)
			}
			got := f.post("", initializeBody)
			if got.status != tc.wantStatus || !strings.Contains(got.body, tc.want) || got.session != "" {
				t.Errorf("got %+v, want %d %s", got, tc.wantStatus, tc.want)
			}
			eventually(t, "something is left", func() bool {
				f.bridge.mu.Lock()
				defer f.bridge.mu.Unlock()
				return len(f.bridge.sessions) == tc.wantSessions && f.bridge.room.processes == tc.wantSessions
			})
		})
	}
}

func TestAProcessThatDoesNotReadIsNotWaitedFor(t *testing.T) {
	f := newFixture(t, "", func(o *Options) {
		o.MaxMessageBytes = 128 << 10
		o.times.closeGrace, o.times.termGrace = 10*time.Millisecond, 10*time.Millisecond
	})
	session := f.begin()
	note := `{"jsonrpc":"2.0","method":"notifications/x","params":{"text":"` + strings.Repeat("x", 64<<10) + `"}}`
	go func() {
		if response := f.open(t.Context(), http.MethodPost, tool("1", "deaf", ""), wire.HeaderSession, session); response != nil {
			_ = response.Body.Close()
		}
	}()
	eventually(t, "notifications are still taken", func() bool {
		return f.post(session, note).status == http.StatusServiceUnavailable
	})
	if got := f.post(session, tool("2", "echo", strings.Repeat("x", 64<<10))); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "does not read") {
		t.Errorf("a call: %+v", got)
	}
}

func TestARunningCallMayEndWhileTheBridgeDrains(t *testing.T) {
	f := newFixture(t, "")
	session := f.begin()
	response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
	defer response.Body.Close()
	stream := newStream(t, response.Body)
	stream.want("sampling/createMessage")
	drained := make(chan struct{})
	go func() { defer close(drained); f.bridge.drain() }()
	eventually(t, "the bridge does not drain", func() bool {
		f.bridge.mu.Lock()
		defer f.bridge.mu.Unlock()
		return f.bridge.draining
	})
	f.post(session, `{"jsonrpc":"2.0","id":1,"result":{"text":"sampled"}}`)
	stream.want(`"text":"sampled"`)
	<-drained
}

func TestASilentCallIsKeptAlive(t *testing.T) {
	f := newFixture(t, "", func(o *Options) { o.times.keepAlive = time.Millisecond })
	session := f.begin()
	response := f.open(t.Context(), http.MethodPost, tool("7", "sample", "what?"), wire.HeaderSession, session)
	defer response.Body.Close()
	stream := newStream(t, response.Body)
	comment := false
	for !comment {
		event, err := stream.scanner.Next()
		if err != nil {
			t.Fatal(err)
		}
		comment = strings.HasPrefix(string(event.Raw), ":")
	}
	f.post(session, `{"jsonrpc":"2.0","id":1,"result":{"text":"sampled"}}`)
	for {
		if message, ok := stream.next(); !ok {
			t.Fatal("the answer has not come")
		} else if strings.Contains(message, `"text":"sampled"`) {
			return
		}
	}
}
