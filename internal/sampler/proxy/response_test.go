package proxy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestCallerCannotAnswerInTheModelsPlace(t *testing.T) {
	for name, tc := range map[string]struct {
		body, version string
		wantStatus    int
		// wantPassed is whether the server gets it.
		wantPassed bool
	}{
		"with a result":                     {`{"jsonrpc":"2.0","id":9,"result":{"x":1}}`, "", 202, false},
		"with an error":                     {`{"jsonrpc":"2.0","id":9,"error":{"code":-1,"message":"no"}}`, "", 202, false},
		"with another spelling":             {`{"jsonrpc":"2.0","id":9.0,"result":{}}`, "", 202, false},
		"with a string":                     {`{"jsonrpc":"2.0","id":"9","result":{}}`, "", 202, false},
		"with a name in capitals":           {`{"jsonrpc":"2.0","id":1,"ID":9,"result":{}}`, "", 202, false},
		"with a method beside it":           {`{"jsonrpc":"2.0","method":"x","METHOD":"","id":9,"result":{}}`, "", 202, false},
		"with a method and capitals":        {`{"jsonrpc":"2.0","method":"x","METHOD":"","id":9,"rEsUlT":{}}`, "", 202, false},
		"with a method and an error":        {`{"jsonrpc":"2.0","method":"x","METHOD":"","id":9,"ERRor":{}}`, "", 202, false},
		"with a method and escapes":         {`{"jsonrpc":"2.0","method":"x","METHOD":"","id":9,"\u0072esult":{}}`, "", 202, false},
		"with a method and a long s":        {`{"jsonrpc":"2.0","method":"x","METHOD":"","id":9,"reſult":{}}`, "", 202, false},
		"in the words of the stateless era": {`{"jsonrpc":"2.0","id":9,"result":{}}`, wire.VersionModern, 202, false},
		"by what looks like initialize":     {`{"jsonrpc":"2.0","method":"initialize","METHOD":"","id":9,"result":{}}`, "", 202, false},
		"before something else":             {`{"jsonrpc":"2.0","id":9,"result":{}} {}`, "", 202, false},
		"in what only lax readers read":     {`{"jsonrpc":"2.0","id":9,"result":{"x":NaN}}`, "", 202, false},
		"in a batch":                        {`[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","id":9,"result":{}}]`, "", 400, false},
		"but can answer what it got":        {`{"jsonrpc":"2.0","id":8,"result":{}}`, "", 202, true},
		"but can answer by a batch":         {`[{"jsonrpc":"2.0","id":8,"result":{}}]`, "", 202, true},
		"but can call under the same id":    {`{"jsonrpc":"2.0","id":9,"method":"tools/list"}`, "", 200, true},
		"but can send what makes no sense":  {`{"id":9`, "", 202, true},
	} {
		t.Run(name, func(t *testing.T) {
			asked, ended, done := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
			server := &fakeServer{}
			server.call = func(w http.ResponseWriter, r *http.Request) {
				if server.got(callBody) == 1 && server.got(tc.body) == 0 {
					streamUntil(done)(w, r)
				}
			}
			endpoint, _ := newFront(t, server, withSampling(&fakeSampling{answer: untilCancelled(asked, ended)}))
			session := begin(t, endpoint)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			resp := open(ctx, t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
			defer resp.Body.Close()
			await(t, "the model call begins", asked)
			got := ask(t, http.MethodPost, endpoint, tc.body, wire.HeaderSession, session, wire.HeaderVersion, tc.version)
			if got.status != tc.wantStatus {
				t.Errorf("status %d (%s), want %d", got.status, got.body, tc.wantStatus)
			}
			if passed := server.got(tc.body) > 0; passed != tc.wantPassed {
				t.Errorf("the server got it: %t, want %t", passed, tc.wantPassed)
			}
			close(done)
			await(t, "the model call ends", ended)
		})
	}
}

func TestACallIsNotSearchedForAnAnswer(t *testing.T) {
	s := &session{}
	for id := range 1024 {
		s.taken.add(strconv.Itoa(id))
	}
	body := []byte(`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"x","arguments":{"rest":"rerun"}}}`)
	m, err := wire.ParseMessage(body)
	if err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(10, func() { s.answersTaken(m, body) }); got > 0 {
		t.Errorf("%v allocations for a call, want none", got)
	}
}

func TestCallerAnswersARequestWhoseIDWasTakenOffBefore(t *testing.T) {
	const roots = `data: {"jsonrpc":"2.0","id":9,"method":"roots/list"}` + "\n\n"
	server := &fakeServer{answers: make(chan string, 2)}
	server.call = func(w http.ResponseWriter, r *http.Request) {
		stream := http.NewResponseController(w)
		for _, event := range []string{sampleEvent, roots} {
			events(event)(w, r)
			_ = stream.Flush()
			<-server.answers
		}
		_, _ = io.WriteString(w, "data: "+callResponse+"\n\n")
	}
	endpoint, _ := newFront(t, server, withSampling(&fakeSampling{
		answer: func(context.Context) (json.RawMessage, *wire.Error) { return json.RawMessage(`{}`), nil },
	}))
	session := begin(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := open(ctx, t, http.MethodPost, endpoint, callBody, wire.HeaderSession, session)
	defer resp.Body.Close()
	got := make([]byte, len(roots))
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}
	ask(t, http.MethodPost, endpoint, `{"jsonrpc":"2.0","id":9,"result":{"roots":[]}}`, wire.HeaderSession, session)
	rest, err := io.ReadAll(resp.Body)
	if want := roots + "data: " + callResponse + "\n\n"; err != nil || string(got)+string(rest) != want {
		t.Errorf("the call got %q and %v, want %q", string(got)+string(rest), err, want)
	}
}

func TestLooseKey(t *testing.T) {
	for want, keys := range map[string][]string{
		"9":                    {`9`, `"9"`, `9.0`, `0.9e1`, `" 9 "`, `"+9"`, `"0x9"`, `"09"`, `9.5`},
		"0":                    {`0`, `""`, `-0`, `0.0`},
		"-3":                   {`-3`, `"-3"`},
		"a-9":                  {`"a-9"`},
		"1e400":                {`1e400`},
		"9007199254740993":     {`9007199254740993`, `"9007199254740993"`},
		"18446744073709551615": {`18446744073709551615`},
	} {
		for _, key := range keys {
			if got := looseKey(key); got != want {
				t.Errorf("%s is read as %s, want %s", key, got, want)
			}
		}
	}
}
