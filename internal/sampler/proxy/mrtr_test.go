package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestRounds(t *testing.T) {
	const done = `{"jsonrpc":"2.0","id":$ID,"result": {"content":[ ],"resultType":"complete"}}`
	const doneAtCaller = `{"jsonrpc":"2.0","id":"\u0063-1","result": {"content":[ ],"resultType":"complete"}}`
	event := func(data string) string { return "event: message\ndata: " + data + "\n\n" }
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`
	first := modernCall(`"\u0063-1"`, declaredMeta, "")
	retry := func(more string) string { return modernCall("NEW", declaredMeta, more) }
	for name, tc := range map[string]struct {
		answers []string
		// wantBodies are what the server gets.
		wantBodies []string
		want       string
		wantHeader map[string]string
	}{
		"no input is asked for": {
			answers:    []string{done},
			wantBodies: []string{first},
			want:       doneAtCaller, wantHeader: map[string]string{"X-Round": "1", "Content-Type": "application/json"},
		},
		"one round": {
			answers:    []string{asks(`,"inputRequests":{"k\u0065y":` + sampleInput + `},"requestState":"a\u002fb\/c"`), done},
			wantBodies: []string{first, retry(`,"inputResponses":{"k\u0065y":{"sampled":true}},"requestState":"a\u002fb\/c"`)},
			want:       doneAtCaller, wantHeader: map[string]string{"X-Round": "2", "Content-Length": fmt.Sprint(len(doneAtCaller))},
		},
		"a state that is absent stays absent, one that is empty stays empty": {
			answers: []string{asks(`,"inputRequests":{"q":` + sampleInput + `}`), asks(`,"inputRequests":{"q":` + sampleInput + `},"requestState":""`),
				asks(`,"inputRequests":{"q":` + sampleInput + `},"requestState":null`), done},
			wantBodies: []string{first, retry(`,"inputResponses":{"q":{"sampled":true}}`),
				retry(`,"inputResponses":{"q":{"sampled":true}},"requestState":""`), retry(`,"inputResponses":{"q":{"sampled":true}}`)},
			want: doneAtCaller,
		},
		"two inputs": {
			answers:    []string{asks(`,"inputRequests":{"b":` + sampleInput + `,"a":` + sampleInput + `}`), done},
			wantBodies: []string{first, retry(`,"inputResponses":{"b":{"sampled":true},"a":{"sampled":true}}`)},
			want:       doneAtCaller,
		},
		"an input that stands twice": {
			answers:    []string{asks(`,"inputRequests":{"q":7,"a":` + sampleInput + `,"\u0071":` + sampleInput + `}`), done},
			wantBodies: []string{first, retry(`,"inputResponses":{"\u0071":{"sampled":true},"a":{"sampled":true}}`)},
			want:       doneAtCaller,
		},
		"rounds without inputs": {
			answers: []string{asks(`,"requestState":"1"`), asks(`,"inputRequests":{}`), asks(`,"inputRequests":null,"requestState":"3"`), done},
			wantBodies: []string{first, retry(`,"requestState":"1"`),
				retry(""), retry(`,"requestState":"3"`)},
			want: doneAtCaller,
		},
		"an error in the second round": {
			answers:    []string{asks(`,"inputRequests":{"q":` + sampleInput + `}`), `{"jsonrpc":"2.0","id":$ID,"error":{"code":-32021,"message":"no"}}`},
			wantBodies: []string{first, retry(`,"inputResponses":{"q":{"sampled":true}}`)},
			want:       `{"jsonrpc":"2.0","id":"\u0063-1","error":{"code":-32021,"message":"no"}}`,
		},
		"two streams": {
			answers: []string{
				event(progress) + "id: 7\n" + event(asks(`,"inputRequests":{"q":`+sampleInput+`}`)) + event(progress),
				"id: 8\n" + event(progress) + "retry: 10\nid: 9\n" + event(done),
			},
			wantBodies: []string{first, retry(`,"inputResponses":{"q":{"sampled":true}}`)},
			want: event(progress) + "id: 7\n" + event(progress) + "id: 8\n" + event(progress) +
				"retry: 10\nevent: message\nid: 9\ndata: " + doneAtCaller + "\n\n",
			wantHeader: map[string]string{"Content-Type": "text/event-stream"},
		},
		"a result after a stream": {
			answers:    []string{"data: " + asks(`,"inputRequests":{"q":`+sampleInput+`}`) + "\n\n", done},
			wantBodies: []string{first, retry(`,"inputResponses":{"q":{"sampled":true}}`)},
			want:       event(doneAtCaller), wantHeader: map[string]string{"Content-Type": "text/event-stream"},
		},
		"a stream after a result": {
			answers:    []string{asks(`,"inputRequests":{"q":` + sampleInput + `}`), event(progress) + event(done)},
			wantBodies: []string{first, retry(`,"inputResponses":{"q":{"sampled":true}}`)},
			want:       event(progress) + event(doneAtCaller), wantHeader: map[string]string{"Content-Type": "text/event-stream"},
		},
		"a result that only mentions it": {
			answers:    []string{`{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"input_required"}]}}`},
			wantBodies: []string{first},
			want:       `{"jsonrpc":"2.0","id":"\u0063-1","result":{"content":[{"type":"text","text":"input_required"}]}}`,
		},
		"input for the caller alone": {
			answers:    []string{asks(`, "inputRequests" : {"who":` + elicitInput + `},"requestState":"s"`)},
			wantBodies: []string{first},
			want:       strings.Replace(asks(`, "inputRequests" : {"who":`+elicitInput+`},"requestState":"s"`), "$ID", `"\u0063-1"`, 1),
		},
		"a sampling request on the stream, as in the other era": {
			answers:    []string{sampleEvent + event(done)},
			wantBodies: []string{first},
			want:       event(doneAtCaller),
		},
		"a response to something else": {
			answers:    []string{`{"jsonrpc":"2.0","id":"other","result":{"resultType":"input_required","inputRequests":{"q":` + sampleInput + `}}}`},
			wantBodies: []string{first},
			want:       `{"jsonrpc":"2.0","id":"other","result":{"resultType":"input_required","inputRequests":{"q":` + sampleInput + `}}}`,
		},
		"inputs that are no object": {
			answers:    []string{asks(`,"inputRequests":[]`)},
			wantBodies: []string{first},
			want:       strings.Replace(asks(`,"inputRequests":[]`), "$ID", `"\u0063-1"`, 1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: tc.answers}
			endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
			got := askModern(t, endpoint, modernCall(`"\u0063-1"`, plainMeta, ""), wire.HeaderMethod, "tools/call", wire.HeaderName, "x", "Mcp-Param-A", "1", wire.HeaderSession, "s")
			if diff := cmp.Diff(tc.want, got.body); diff != "" || got.status != http.StatusOK {
				t.Errorf("status %d, caller (-want +got):\n%s", got.status, diff)
			}
			for name, want := range tc.wantHeader {
				if got := got.header.Get(name); got != want {
					t.Errorf("header %s: got %q, want %q", name, got, want)
				}
			}
			if diff := cmp.Diff(tc.wantBodies, server.got(t)); diff != "" {
				t.Errorf("server (-want +got):\n%s", diff)
			}
			for i, header := range server.headers {
				if header.Get(wire.HeaderMethod) != "tools/call" || header.Get(wire.HeaderName) != "x" || header.Get("Mcp-Param-A") != "1" || header.Get(wire.HeaderVersion) != wire.VersionModern {
					t.Errorf("round %d came with the header %v, want the caller's", i+1, header)
				}
				if header.Get(wire.HeaderSession) != "" {
					t.Errorf("round %d came with the name of a session", i+1)
				}
			}
		})
	}
}

func TestCallsThatFailInARound(t *testing.T) {
	always := asks(`,"inputRequests":{"q":` + sampleInput + `}`)
	refusal := func(code int, text string) string {
		return string(wire.AppendError(nil, json.RawMessage("5"), &wire.Error{Code: code, Message: text}))
	}
	thousands := func(n int) string {
		var inputs []string
		for i := range n {
			inputs = append(inputs, fmt.Sprintf(`"%d":%s`, i, sampleInput))
		}
		return asks(`,"inputRequests":{` + strings.Join(inputs, ",") + `}`)
	}
	for name, tc := range map[string]struct {
		server     *fakeRounds
		failure    *wire.Error
		modify     func(*Options)
		wantStatus int
		want       string
		wantRounds int
	}{
		"a server that asks without end": {
			server: &fakeRounds{answers: []string{always}}, wantRounds: 32,
			want: refusal(wire.CodeInternal, "the MCP server the-server asked for input 32 times to serve this call, and still does"),
		},
		"a server that asks to be asked again without end": {
			server: &fakeRounds{answers: []string{always, asks("")}}, wantRounds: 5,
			want: refusal(wire.CodeInternal, "the MCP server the-server asked 4 times in a row to be asked again: try again later"),
		},
		"sampling that is refused": {
			server: &fakeRounds{answers: []string{thousands(2)}}, failure: &wire.Error{Code: wire.CodeRejected, Message: "no"}, wantRounds: 1,
			want: refusal(wire.CodeRejected, "the sampling that the MCP server the-server needs for this call was refused: no"),
		},
		"a provider that fails": {
			server: &fakeRounds{answers: []string{always}}, failure: &wire.Error{Code: wire.CodeInternal, Message: "no"}, wantRounds: 1,
			want: refusal(wire.CodeInternal, "the sampling that the MCP server the-server needs for this call failed: no"),
		},
		"sampling that fails once the caller has a stream": {
			server: &fakeRounds{answers: []string{"data: " + always + "\n\n"}}, failure: &wire.Error{Code: wire.CodeInternal, Message: "no"}, wantRounds: 1,
			want: "event: message\ndata: " + refusal(wire.CodeInternal, "the sampling that the MCP server the-server needs for this call failed: no") + "\n\n",
		},
		"too many inputs": {
			server: &fakeRounds{answers: []string{thousands(10_000)}}, wantRounds: 1,
			want: refusal(wire.CodeInternal, "the sampling that the MCP server the-server needs for this call failed: it asks for 10000 answers at the same time, at most 64 are given"),
		},
		"more than the sampler answers at the same time": {
			server: &fakeRounds{answers: []string{thousands(3)}}, modify: func(o *Options) { o.MaxAnswers = 2 }, wantRounds: 1,
			want: refusal(wire.CodeInternal, "the sampling that the MCP server the-server needs for this call failed: too many sampling requests at the same time: the sampler answers up to 2, try again later"),
		},
		"more than the sampler remembers": {
			server: &fakeRounds{answers: []string{always}}, modify: func(o *Options) { o.MaxAnswerBytes = 2 }, wantRounds: 1,
			want: refusal(wire.CodeInternal, "the sampling that the MCP server the-server needs for this call failed: the sampling requests that are being answered are too large together: the sampler holds up to 2 bytes, try again later"),
		},
		"a result that is too large in the second round": {
			server: &fakeRounds{answers: []string{always, `{"jsonrpc":"2.0","id":$ID,"result":"` + strings.Repeat("x", 50_000) + `"}`}},
			modify: func(o *Options) { o.Settings.MaxEventBytes = 40_000 }, wantRounds: 2,
			want: refusal(wire.CodeInternal, "the MCP server the-server sent a message larger than 40000 bytes, or than there is memory for, or one in an unknown encoding"),
		},
		"an event that is too large": {
			server: &fakeRounds{answers: []string{always, `data: {"jsonrpc":"2.0","id":$ID,"result":"` + strings.Repeat("x", 50_000) + "\"}\n\n"}},
			modify: func(o *Options) { o.Settings.MaxEventBytes = 40_000 }, wantRounds: 2,
			want: "event: message\ndata: " + refusal(wire.CodeInternal, "the MCP server the-server sent a message larger than 40000 bytes") + "\n\n",
		},
		"a stream that ends without a response": {
			server: &fakeRounds{answers: []string{always, "data: {}\n\n"}}, wantRounds: 2,
			want: "data: {}\n\nevent: message\ndata: " + refusal(wire.CodeInternal, "the MCP server the-server ended its stream without a response") + "\n\n",
		},
		"a server that is gone in the second round": {
			server: &fakeRounds{serve: breakIn(1, always)}, wantRounds: 2, wantStatus: http.StatusBadGateway,
			want: refusal(codeUnavailable, "the MCP server the-server closed the connection without an answer"),
		},
		"a server that is gone once the caller has a stream": {
			server: &fakeRounds{serve: breakIn(1, "data: "+always+"\n\n")}, wantRounds: 2,
			want: "event: message\ndata: " + refusal(codeUnavailable, "the MCP server the-server could not be asked again: check that it is running") + "\n\n",
		},
		"a server that answers something else once the caller has a stream": {
			server: &fakeRounds{serve: func(w http.ResponseWriter, r *http.Request, n int, id string) {
				if n > 0 {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, "data: "+strings.ReplaceAll(always, "$ID", id)+"\n\n")
			}}, wantRounds: 2,
			want: "event: message\ndata: " + refusal(wire.CodeInternal, "the MCP server the-server answered HTTP 503") + "\n\n",
		},
		"a server that answers something else": {
			server: &fakeRounds{serve: func(w http.ResponseWriter, r *http.Request, n int, id string) {
				if n > 0 {
					http.Error(w, "busy", http.StatusServiceUnavailable)
					return
				}
				_, _ = io.WriteString(w, strings.ReplaceAll(always, "$ID", id))
			}}, wantRounds: 2, wantStatus: http.StatusServiceUnavailable, want: "busy\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sampling := alwaysSampled()
			if tc.failure != nil {
				sampling.answer = func(context.Context) (json.RawMessage, *wire.Error) { return nil, tc.failure }
			}
			if tc.modify == nil {
				tc.modify = func(*Options) {}
			}
			if tc.wantStatus == 0 {
				tc.wantStatus = http.StatusOK
			}
			endpoint, h := newFront(t, tc.server, withSampling(sampling), tc.modify)
			got := askModern(t, endpoint, modernCall("5", plainMeta, ""))
			if diff := cmp.Diff(tc.want, got.body); diff != "" || got.status != tc.wantStatus {
				t.Errorf("status %d, want %d; caller (-want +got):\n%s", got.status, tc.wantStatus, diff)
			}
			if n := tc.server.count(); n != tc.wantRounds {
				t.Errorf("the server was asked %d times, want %d", n, tc.wantRounds)
			}
			if len(h.answering) != 0 || h.answerBytes.held.Load() != 0 {
				t.Errorf("%d places and %d bytes are held", len(h.answering), h.answerBytes.held.Load())
			}
		})
	}
}

// breakIn gives answer until round n, and breaks the connection from then on.
func breakIn(n int, answer string) func(http.ResponseWriter, *http.Request, int, string) {
	return func(w http.ResponseWriter, _ *http.Request, round int, id string) {
		if round >= n {
			panic(http.ErrAbortHandler)
		}
		if strings.HasPrefix(answer, "data:") {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		_, _ = io.WriteString(w, strings.ReplaceAll(answer, "$ID", id))
	}
}

func TestACallerThatLeavesEndsItsRounds(t *testing.T) {
	for name, answer := range map[string]string{
		"result": asks(`,"inputRequests":{"a":` + sampleInput + `,"b":` + sampleInput + `}`),
		"stream": "data: " + asks(`,"inputRequests":{"a":`+sampleInput+`,"b":`+sampleInput+`}`) + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended := make(chan struct{}, 2), make(chan struct{}, 2)
			server := &fakeRounds{answers: []string{answer}}
			endpoint, h := newFront(t, server, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			go func() {
				await(t, "the first model call", asked)
				await(t, "the second model call", asked)
				leave()
			}()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(modernCall("1", plainMeta, "")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(wire.HeaderVersion, wire.VersionModern)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(r)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if err == nil {
				t.Error("the caller got a response")
			}
			await(t, "a model call ends", ended)
			await(t, "the other model call ends", ended)
			eventually(t, "nothing is held", func() bool { return len(h.answering) == 0 && h.answerBytes.held.Load() == 0 })
			if n := server.count(); n != 1 {
				t.Errorf("the server was asked %d times, want once", n)
			}
		})
	}
}

func TestCompressedResultsAreRead(t *testing.T) {
	compressed := func(text string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
		return b.Bytes()
	}
	first := asks(`,"inputRequests":{"q":` + sampleInput + `}`)
	last := `{"jsonrpc":"2.0","id":$ID,"result":{"x":"` + strings.Repeat("y", 100_000) + `"}}`
	for name, tc := range map[string]struct {
		answers      []string
		contentType  string
		encoding     string
		want         string
		wantEncoding string
	}{
		"that ask for something":      {answers: []string{first, last}, contentType: "application/json", encoding: "gzip", want: strings.Replace(last, "$ID", "1", 1)},
		"streams too":                 {answers: []string{"data: " + first + "\n\n", "data: " + last + "\n\n"}, contentType: "text/event-stream", encoding: "gzip", want: "data: " + strings.Replace(last, "$ID", "1", 1) + "\n\n"},
		"and pass as they are if not": {answers: []string{last}, contentType: "application/json", encoding: "gzip", want: string(compressed(strings.Replace(last, "$ID", "1", 1))), wantEncoding: "gzip"},
		"and pass where nobody can":   {answers: []string{first}, contentType: "application/json", encoding: "br", want: string(compressed(strings.Replace(first, "$ID", "1", 1))), wantEncoding: "br"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{serve: func(w http.ResponseWriter, _ *http.Request, n int, id string) {
				w.Header().Set("Content-Type", tc.contentType)
				w.Header().Set("Content-Encoding", tc.encoding)
				_, _ = w.Write(compressed(strings.Replace(tc.answers[n], "$ID", id, 1)))
			}}
			endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
			got := askModern(t, endpoint, modernCall("1", plainMeta, ""))
			if got.body != tc.want || got.err != nil || got.header.Get("Content-Encoding") != tc.wantEncoding {
				t.Errorf("error %v, header %v and %.200q; want encoding %q and %.200q", got.err, got.header, got.body, tc.wantEncoding, tc.want)
			}
		})
	}
}

// A result above the limit is not looked at, but passes whole.
func TestLargeResultsPass(t *testing.T) {
	for _, size := range []int{100, 32<<10 - 60, 32 << 10, 100_000, 1 << 20, 1<<20 + 1, 3 << 20} {
		answer := `{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", size) + `"}`
		for _, chunked := range []bool{false, true} {
			server := &fakeRounds{serve: func(w http.ResponseWriter, _ *http.Request, _ int, _ string) {
				w.Header().Set("Content-Type", "application/json")
				if !chunked {
					w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
				}
				_, _ = io.WriteString(w, answer)
			}}
			endpoint, _ := newFront(t, server, withSampling(alwaysSampled()), func(o *Options) { o.Settings.MaxEventBytes = 1 << 20 })
			if got := askModern(t, endpoint, modernCall("1", plainMeta, "")); got.body != answer || got.err != nil {
				t.Errorf("%d bytes, chunked %t: got %d bytes and error %v", len(answer), chunked, len(got.body), got.err)
			}
		}
	}
}

func TestALongModelCallKeepsTheCallersConnectionAlive(t *testing.T) {
	release := make(chan struct{})
	server := &fakeRounds{answers: []string{asks(`,"inputRequests":{"q":` + sampleInput + `}`), `{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
	endpoint, _ := newFront(t, server, func(o *Options) { o.KeepAlive = time.Millisecond }, withSampling(&fakeSampling{
		answer: func(context.Context) (json.RawMessage, *wire.Error) {
			<-release
			return json.RawMessage(`{}`), nil
		},
	}))
	resp := open(t.Context(), t, http.MethodPost, endpoint, modernCall("1", plainMeta, ""), wire.HeaderVersion, wire.VersionModern)
	defer resp.Body.Close()
	first := make([]byte, len(": keepalive\n"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != ": keepalive\n" {
		t.Fatalf("got %q and error %v, want a comment", first, err)
	}
	close(release)
	rest, err := io.ReadAll(resp.Body)
	if want := "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"; err != nil || !strings.HasSuffix(string(rest), want) {
		t.Errorf("error %v and %q, want %q", err, rest, want)
	}
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
}
