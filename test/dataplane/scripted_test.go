package dataplane

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	response   = `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`
	ping       = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	elicit     = `{"jsonrpc":"2.0","id":"1","method":"elicitation/create","params":{"_meta":{"a":1.0e2},"message":"?"}}`
	unknown    = `{"jsonrpc":"2.0","method":"x-vendor/odd","params":{"z":1,"a":2,"_meta":{"k":[1,2]}}}`
	sampleText = `{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":5}`
	sample1    = `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":` + sampleText + `}`
)

// TestStreamOfACall plays streams, each with three kinds of line ends, whole
// and split at every byte. In stream, <nl> is a line end.
func TestStreamOfACall(t *testing.T) {
	answerTo := func(id string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"result":` + string(result("sampled: hi")) + `}`
	}
	for name, tc := range map[string]struct {
		stream string
		// awaits is the id whose answer the server awaits before it sends rest.
		awaits, rest string
		// want is what the caller gets; empty means all.
		want        string
		wantAnswers map[string]string
	}{
		"nothing to take": {
			stream: "event: message<nl>data: " + unknown + "<nl><nl>data: " + response + "<nl><nl>",
		},
		"a sampling request with the id of the caller's call": {
			stream: "event: message<nl>data: " + sample1 + "<nl><nl>",
			awaits: "1", rest: "event: message<nl>data: " + response + "<nl><nl>",
			want:        "event: message<nl>data: " + response + "<nl><nl>",
			wantAnswers: map[string]string{"1": answerTo("1")},
		},
		"a string as the id": {
			stream: "data: " + strings.Replace(sample1, `"id":1`, `"id":"a-1"`, 1) + "<nl><nl>",
			awaits: `"a-1"`, rest: "data: " + response + "<nl><nl>",
			want:        "data: " + response + "<nl><nl>",
			wantAnswers: map[string]string{`"a-1"`: answerTo(`"a-1"`)},
		},
		"ids of events stay": {
			stream: "id: 0<nl>retry: 5000<nl>data: <nl><nl>id: s_1<nl>data: " + sample1 + "<nl><nl>",
			awaits: "1", rest: "id: s_2<nl>data: " + response + "<nl><nl>",
			want:        "id: 0<nl>retry: 5000<nl>data: <nl><nl>id: s_1\nid: s_2<nl>data: " + response + "<nl><nl>",
			wantAnswers: map[string]string{"1": answerTo("1")},
		},
		"a method escaped as some encoders do, on several data lines": {
			stream: "data: {\"jsonrpc\":\"2.0\",\"id\":1,<nl>data: \"method\":\"sampling\\/createMessage\",<nl>data: \"params\":" + sampleText + "}<nl><nl>",
			awaits: "1", rest: "data: " + response + "<nl><nl>",
			want:        "data: " + response + "<nl><nl>",
			wantAnswers: map[string]string{"1": answerTo("1")},
		},
		"other requests and comments pass": {
			stream: ": hello<nl><nl>data: " + ping + "<nl><nl>data: " + elicit + "<nl><nl>: ping<nl>data: " + response + "<nl><nl>",
		},
		"a batch passes": {
			stream: "data: [" + ping + "," + unknown + "]<nl><nl>data: " + response + "<nl><nl>",
		},
		"what is no message passes": {
			stream: "event: odd<nl>data: not JSON<nl><nl>data: {\"method\":\"sampling/createMessage\",\"id\":1,}<nl><nl>data: " + response + "<nl><nl>",
		},
		"a notification that is called like the request passes": {
			stream: "data: {\"jsonrpc\":\"2.0\",\"method\":\"sampling/createMessage\"}<nl><nl>data: " + response + "<nl><nl>",
		},
		"a byte order mark and an end without a blank line": {
			stream: "\xEF\xBB\xBFdata: " + response + "<nl><nl>data: cut o",
		},
		"the server cancels what the caller asked, not what it sampled": {
			stream: "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":77}}<nl><nl>data: " + response + "<nl><nl>",
		},
	} {
		for ends, nl := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
			for _, byteByByte := range []bool{false, true} {
				how := map[bool]string{false: "whole", true: "byte by byte"}[byteByByte]
				t.Run(name+", "+ends+", "+how, func(t *testing.T) {
					breaks := strings.NewReplacer("<nl>", nl)
					steps := script{{send: breaks.Replace(tc.stream)}}
					if tc.awaits != "" {
						steps = append(steps, step{await: tc.awaits, send: breaks.Replace(tc.rest)})
					}
					peer := &scriptedPeer{call: steps, byteByByte: byteByByte}
					url, _ := front(t, serve(t, peer), &fakeSampling{})
					caller := newRawCaller(t, url)
					caller.initialize()
					want := tc.want
					if want == "" {
						want = tc.stream
					}
					if diff := cmp.Diff(breaks.Replace(want), caller.call(callBody)); diff != "" {
						t.Errorf("the caller's stream (-want +got):\n%s", diff)
					}
					wantAnswers := tc.wantAnswers
					if wantAnswers == nil {
						wantAnswers = map[string]string{}
					}
					if diff := cmp.Diff(wantAnswers, peer.answered()); diff != "" {
						t.Errorf("answers (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

func TestAnswerCarriesTheCallersHeader(t *testing.T) {
	peer := &scriptedPeer{call: script{
		{send: "data: " + sample1 + "\n\n"},
		{await: "1", send: "data: " + response + "\n\n"},
	}}
	url, _ := front(t, serve(t, peer), &fakeSampling{})
	caller := newRawCaller(t, url)
	caller.header = map[string]string{
		"Authorization": "Bearer one", "Cookie": "a=b", "Mcp-Protocol-Version": wantVersion,
		"X-Api-Key": "key", "X-Forwarded-For": "1.2.3.4", "Proxy-Authorization": "no",
	}
	caller.initialize()
	resp := caller.do(t.Context(), http.MethodPost, callBody, map[string]string{
		"Authorization": "Bearer two", "Mcp-Method": "tools/call", "Mcp-Name": "x", "Mcp-Param-A": "b",
		"Connection": "X-Hop", "X-Hop": "1",
	})
	readBody(t, resp)
	got := peer.expect(t, "the answer", isAnswer("1")).Header
	for _, varies := range []string{"User-Agent", "Content-Length"} {
		got.Del(varies)
	}
	want := http.Header{
		"Accept": {"application/json, text/event-stream"}, "Accept-Encoding": {"identity"},
		"Authorization": {"Bearer two"}, "Content-Type": {"application/json"}, "Cookie": {"a=b"},
		"Mcp-Protocol-Version": {wantVersion}, "Mcp-Session-Id": {"session-1"}, "X-Api-Key": {"key"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header of the answer (-want +got):\n%s", diff)
	}
}

func TestServerCancelsItsSamplingRequest(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	sampling := &fakeSampling{answer: func(ctx context.Context, _ proxy.Session, _ rawJSON) (rawJSON, *wire.Error) {
		close(asked)
		<-ctx.Done()
		close(ended)
		return nil, &wire.Error{Code: wire.CodeInternal, Message: "cancelled"}
	}}
	peer := &scriptedPeer{call: script{
		{send: "data: " + sample1 + "\n\n"},
		{wait: asked, send: `data: {"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n\n"},
		{wait: ended, send: "data: " + response + "\n\n"},
	}}
	url, _ := front(t, serve(t, peer), sampling)
	caller := newRawCaller(t, url)
	caller.initialize()
	if got, want := caller.call(callBody), "data: "+response+"\n\n"; got != want {
		t.Errorf("the caller got %q, want %q", got, want)
	}
	if got := peer.answered(); len(got) > 0 {
		t.Errorf("answers %v to a request that was cancelled, want none", got)
	}
}

func TestParallelSamplingRequestsOfOneCall(t *testing.T) {
	all := make(chan struct{}, 2)
	both := make(chan struct{})
	sampling := &fakeSampling{answer: func(ctx context.Context, _ proxy.Session, _ rawJSON) (rawJSON, *wire.Error) {
		if all <- struct{}{}; len(all) == 2 {
			close(both)
		}
		select {
		case <-both:
			return result("ok"), nil
		case <-ctx.Done():
			return nil, &wire.Error{Code: wire.CodeInternal, Message: "alone"}
		}
	}}
	sample2 := strings.Replace(sample1, `"id":1`, `"id":2`, 1)
	peer := &scriptedPeer{call: script{
		{send: "data: " + sample1 + "\n\ndata: " + sample2 + "\n\n"},
		{await: "1"}, {await: "2", send: "data: " + response + "\n\n"},
	}}
	url, _ := front(t, serve(t, peer), sampling)
	caller := newRawCaller(t, url)
	caller.initialize()
	caller.call(callBody)
	want := `,"result":` + string(result("ok")) + `}`
	if diff := cmp.Diff(map[string]string{
		"1": `{"jsonrpc":"2.0","id":1` + want, "2": `{"jsonrpc":"2.0","id":2` + want,
	}, peer.answered()); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestReplayedSamplingRequestIsAnsweredOnce(t *testing.T) {
	sampling := &fakeSampling{}
	event := "id: 5\ndata: " + sample1 + "\n\n"
	peer := &scriptedPeer{
		call:   script{{send: "id: 4\ndata: \n\n" + event}, {await: "1"}}, // and the stream ends early
		resume: script{{send: event + "id: 6\ndata: " + response + "\n\n"}},
	}
	url, _ := front(t, serve(t, peer), sampling)
	caller := newRawCaller(t, url)
	caller.initialize()
	caller.call(callBody)

	resp := caller.do(t.Context(), http.MethodGet, "", map[string]string{"Last-Event-ID": "4"})
	want := "id: 5\nid: 6\ndata: " + response + "\n\n"
	if got := readUntil(t, resp.Body, response+"\n\n"); got != want {
		t.Errorf("resumed stream %q, want %q", got, want)
	}
	if got := sampling.asked(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}
