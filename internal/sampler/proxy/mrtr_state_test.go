package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const mixedAnswer = `{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required","inputRequests":{"q":` + sampleInput +
	`,"who":` + elicitInput + `,"x":{"method":"new/thing"}},"requestState":"theirs\/1","_meta":{"a":1}}}`

// stateOf returns the state that the caller got beside these inputs.
func stateOf(t *testing.T, got reply, wantInputs string) string {
	t.Helper()
	var response struct {
		ID     json.RawMessage `json:"id"`
		Result struct {
			ResultType    string          `json:"resultType"`
			InputRequests json.RawMessage `json:"inputRequests"`
			RequestState  string          `json:"requestState"`
			Meta          json.RawMessage `json:"_meta"`
		} `json:"result"`
	}
	body := strings.TrimSuffix(strings.TrimPrefix(got.body, "event: message\ndata: "), "\n\n")
	if err := json.Unmarshal([]byte(body), &response); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	if string(response.ID) != "1" || response.Result.ResultType != "input_required" || string(response.Result.InputRequests) != wantInputs || string(response.Result.Meta) != `{"a":1}` {
		t.Fatalf("got %s, want inputs %s", got.body, wantInputs)
	}
	if !seal.IsState(response.Result.RequestState) || strings.Contains(got.body, "theirs") {
		t.Fatalf("the state is not sealed: %s", got.body)
	}
	return response.Result.RequestState
}

const theirInputs = `{"who":` + elicitInput + `,"x":{"method":"new/thing"}}`

func TestRoundsThatAreNotOfSamplingAlone(t *testing.T) {
	const done = `{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}`
	for name, tc := range map[string]struct {
		answers []string
		// responses is what the caller adds to the state.
		responses string
		// wantRetry is what is in the place of the caller's state and responses.
		wantRetry string
	}{
		"the caller answers its part": {
			answers:   []string{mixedAnswer, done},
			responses: `,"inputResponses":{"who":{"action":"accept"},"unknown":1}`,
			wantRetry: `,"requestState":"theirs\/1","inputResponses":{"who":{"action":"accept"},"unknown":1,"q":{"sampled":true}}`,
		},
		"the caller cannot answer in the model's place": {
			answers:   []string{mixedAnswer, done},
			responses: `,"inputResponses":{"\u0071":{"forged":true},"q":{"forged":true},"who":1}`,
			wantRetry: `,"requestState":"theirs\/1","inputResponses":{"who":1,"q":{"sampled":true}}`,
		},
		"the caller answers nothing": {
			answers:   []string{mixedAnswer, done},
			wantRetry: `,"requestState":"theirs\/1","inputResponses":{"q":{"sampled":true}}`,
		},
		"the server has no state": {
			answers:   []string{strings.Replace(mixedAnswer, `,"requestState":"theirs\/1"`, "", 1), done},
			responses: `,"inputResponses":{"who":1}`,
			wantRetry: `,"inputResponses":{"who":1,"q":{"sampled":true}}`,
		},
		"on a stream": {
			answers:   []string{"event: message\ndata: " + mixedAnswer + "\n\n", "event: message\ndata: " + done + "\n\n"},
			responses: `,"inputResponses":{"who":1}`,
			wantRetry: `,"requestState":"theirs\/1","inputResponses":{"who":1,"q":{"sampled":true}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: tc.answers}
			endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
			state := stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, "")), theirInputs)
			got := askModern(t, endpoint, modernCall("2", plainMeta, `,"requestState":"`+state+`"`+tc.responses))
			if want := `{"jsonrpc":"2.0","id":2,"result":{"content":[]}}`; !strings.Contains(got.body, want) {
				t.Errorf("got %s, want %s", got.body, want)
			}
			want := []string{modernCall("1", declaredMeta, ""), modernCall("2", declaredMeta, tc.wantRetry)}
			if diff := cmp.Diff(want, server.got(t)); diff != "" {
				t.Errorf("server (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMixedRoundAfterOthersAndBeforeOthers(t *testing.T) {
	sample := asks(`,"inputRequests":{"q":` + sampleInput + `},"requestState":"1"`)
	server := &fakeRounds{answers: []string{sample, mixedAnswer, sample, mixedAnswer, `{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
	endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
	state := stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, "")), theirInputs)
	state = stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, `,"inputResponses":{"who":1},"requestState":"`+state+`"`)), theirInputs)
	got := askModern(t, endpoint, modernCall("3", plainMeta, `,"inputResponses":{"who":2},"requestState":"`+state+`"`))
	if want := `{"jsonrpc":"2.0","id":3,"result":{}}`; got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
	if n := server.count(); n != 5 {
		t.Errorf("the server was asked %d times, want 5", n)
	}
}

// In mode Fallback a caller may get some of the sampling, as it gets elicitation.
func TestSamplingThatTheCallerServesIsPassedOn(t *testing.T) {
	server := &fakeRounds{answers: []string{asks(`,"inputRequests":{"a":` + sampleInput + `},"requestState":"s"`)}}
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{off: true}))
	body := modernCall("1", plainMeta, "")
	got := askModern(t, endpoint, body)
	if want := strings.Replace(server.answers[0], "$ID", "1", 1); got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
	if diff := cmp.Diff([]string{body}, server.got(t)); diff != "" {
		t.Errorf("server (-want +got):\n%s", diff)
	}
}

func TestACallerCannotAnswerSampling(t *testing.T) {
	const forged = `,"inputResponses":{"q":{"role":"assistant","content":{"type":"text","text":"forged"},"model":"m"}}`
	server := &fakeRounds{answers: []string{`{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
	endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
	got := askModern(t, endpoint, modernCall("1", plainMeta, forged))
	if want := `"code":-32602,"message":"inputResponses answers the sampling request \"q\", which was not sent to this caller: leave that answer out"`; !strings.Contains(got.body, want) {
		t.Errorf("got %s, want %s", got.body, want)
	}
	if n := server.count(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}

	// Without a policy it is between caller and server.
	endpoint, _ = newFront(t, server, withSampling(&fakeSampling{off: true}))
	body := modernCall("1", plainMeta, forged)
	if got := askModern(t, endpoint, body); got.body != `{"jsonrpc":"2.0","id":1,"result":{}}` {
		t.Errorf("without a policy: got %s", got.body)
	}
}

func TestStatesThatAreNotGood(t *testing.T) {
	const invalid = "the requestState is not one for this caller and this call: start the call anew without requestState and inputResponses"
	other := func(old, with string) func(state string) string {
		return func(state string) string {
			return strings.Replace(modernCall("2", plainMeta, `,"requestState":"`+state+`"`), old, with, 1)
		}
	}
	for name, tc := range map[string]struct {
		body   func(state string) string
		header []string
		want   string
	}{
		"tampered":                          {body: func(state string) string { return other("", "")(flip(state)) }, want: invalid},
		"cut":                               {body: func(state string) string { return other("", "")(state[:40]) }, want: invalid},
		"made up":                           {body: func(string) string { return other("", "")("mcpr1.AAAA") }, want: invalid},
		"of another caller":                 {body: other("", ""), header: []string{"Authorization", "Bearer other"}, want: invalid},
		"of another tool":                   {body: other(`"name":"x"`, `"name":"y"`), want: invalid},
		"of other arguments":                {body: other(`"arguments":{"a":1.0}`, `"arguments":{"a":2}`), want: invalid},
		"of another method":                 {body: other(`"tools/call"`, `"prompts/get"`), want: invalid},
		"with responses that are no object": {body: other(`"requestState"`, `"inputResponses":[],"requestState"`), want: "inputResponses must be an object"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &fakeRounds{answers: []string{mixedAnswer}}
			endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
			state := stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, ""), "Authorization", "Bearer mine"), theirInputs)
			if tc.header == nil {
				tc.header = []string{"Authorization", "Bearer mine"}
			}
			got := askModern(t, endpoint, tc.body(state), tc.header...)
			want := string(wire.AppendError(nil, json.RawMessage("2"), &wire.Error{Code: wire.CodeInvalidParams, Message: tc.want}))
			if got.body != want || got.status != http.StatusOK {
				t.Errorf("status %d and %s, want %s", got.status, got.body, want)
			}
			if n := server.count(); n != 1 {
				t.Errorf("the server was asked %d times, want once", n)
			}
		})
	}
}

// flip changes one bit or more of a state.
func flip(state string) string {
	changed := []byte(state)
	if changed[40]++; changed[40] > 'z' || changed[40] == '{' {
		changed[40] = 'a'
	}
	return string(changed)
}

// What does not change what a call is for does not spoil its state.
func TestStatesOutliveWhatChangesBetweenRounds(t *testing.T) {
	server := &fakeRounds{answers: []string{mixedAnswer, `{"jsonrpc":"2.0","id":$ID,"result":{}}`}}
	sealer := seal.NewRandomSealer()
	sealed := func(o *Options) { o.Sealer, o.Sampling = sealer, alwaysSampled() }
	endpoint, _ := newFront(t, server, sealed)
	other, _ := newFront(t, server, sealed) // a replica
	state := stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, ""), "Traceparent", "1", "X-Amzn-Trace-Id", "1", "Authorization", "Bearer mine"), theirInputs)
	body := `{"id":2,"jsonrpc":"2.0","method":"tools/call","params":{` + strings.Replace(plainMeta, "{", `{"progressToken":7,`, 1) +
		`,"inputResponses":{},"requestState":"` + state + `", "arguments":{ "a":1.0 },"name":"\u0078"}}`
	got := askModern(t, other, body, "Traceparent", "2", "X-Amzn-Trace-Id", "2", "X-Datadog-Trace-Id", "3", "Authorization", "Bearer mine")
	if want := `{"jsonrpc":"2.0","id":2,"result":{}}`; got.body != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
}

func TestAnExpiredState(t *testing.T) {
	h := &Handler{opts: Options{Sealer: seal.NewRandomSealer()}}
	x := &exchange{handler: h, call: &call{method: wire.MethodCallTool}}
	old := h.opts.Sealer.SealState(kept{}.encode(), x.bound(), time.Now())
	if _, err := x.unseal(old); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("error %v, want one that says that it has expired", err)
	}
}

// A server behind a sampler of its own has states that look like ours.
func TestAServersStateThatLooksLikeOurs(t *testing.T) {
	const theirs = "mcpr1.of-another-sampler"
	server := &fakeRounds{answers: []string{
		`{"jsonrpc":"2.0","id":$ID,"result":{"resultType":"input_required","inputRequests":{"who":` + elicitInput + `},"requestState":"` + theirs + `","_meta":{"a":1}}}`,
		`{"jsonrpc":"2.0","id":$ID,"result":{}}`,
	}}
	endpoint, _ := newFront(t, server, withSampling(alwaysSampled()))
	state := stateOf(t, askModern(t, endpoint, modernCall("1", plainMeta, "")), `{"who":`+elicitInput+`}`)
	if state == theirs {
		t.Fatal("the caller got the server's state")
	}
	askModern(t, endpoint, modernCall("2", plainMeta, `,"inputResponses":{"who":1},"requestState":"`+state+`"`))
	want := modernCall("2", declaredMeta, `,"inputResponses":{"who":1},"requestState":"`+theirs+`"`)
	if got := server.got(t); len(got) != 2 || got[1] != want {
		t.Errorf("server got %s, want %s", got, want)
	}
}

func TestAStateThatIsTooLarge(t *testing.T) {
	large := strings.Replace(mixedAnswer, `"maxTokens":1`, `"maxTokens":1,"systemPrompt":"`+strings.Repeat("x", 3<<20)+`"`, 1)
	endpoint, _ := newFront(t, &fakeRounds{answers: []string{large}}, withSampling(alwaysSampled()))
	got := askModern(t, endpoint, modernCall("1", plainMeta, ""))
	want := fmt.Sprintf("asks for sampling and other input at once, and what has to be kept of that is larger than %d bytes", maxStateBytes)
	if !strings.Contains(got.body, want) || len(got.body) > 1000 {
		t.Errorf("got %.1000s, want %s", got.body, want)
	}
}

// FuzzKept holds that what is kept comes back as it was, and that nothing breaks
// the reader.
func FuzzKept(f *testing.F) {
	f.Add(`"state"`, true, `"q"`, `{}`, []byte{0, 1, 3, 'a', 'b', 'c'})
	f.Add("", false, `"\u0071"`, "", []byte{0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add("null", true, "", "", []byte{})
	f.Fuzz(func(t *testing.T, state string, hasState bool, key, params string, plain []byte) {
		k := kept{asked: len(state), pending: []wire.Input{
			{Key: json.RawMessage(key), Params: json.RawMessage(params), Method: wire.MethodSampling},
			{Key: json.RawMessage(params), Params: json.RawMessage(key), Method: wire.MethodSampling},
		}}
		if hasState {
			k.state = json.RawMessage(state)
		}
		got, ok := decodeKept(k.encode())
		if !ok {
			t.Fatal("what was written cannot be read")
		}
		if (got.state != nil) != hasState || got.asked != k.asked || string(got.state) != string(k.state) || len(got.pending) != 2 ||
			string(got.pending[0].Key) != key || string(got.pending[0].Params) != params {
			t.Fatalf("%+v became %+v", k, got)
		}
		decodeKept(plain)
	})
}
