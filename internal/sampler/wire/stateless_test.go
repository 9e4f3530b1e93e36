package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadStateless(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{"tools":{}}}}`
	for name, tc := range map[string]struct {
		method, params string
		want           Stateless
	}{
		"a tool call": {
			method: MethodCallTool, params: `{"name":"a\"b","uri":"u",` + meta + `}`,
			want: Stateless{Version: VersionModern, Sampling: SamplingCapability{Declared: true, Tools: true}, Capable: true, Name: `a"b`, HasName: true},
		},
		"a prompt":   {method: MethodGetPrompt, params: `{"name":"p"}`, want: Stateless{Name: "p", HasName: true}},
		"a resource": {method: MethodReadResource, params: `{"uri":"u","name":"p"}`, want: Stateless{Name: "u", HasName: true}},
		"a list":     {method: "tools/list", params: `{"name":"p"}`},
		"a retry": {
			method: MethodCallTool, params: `{"inputResponses":{"a": 1},"requestState":"s\u0041"}`,
			want: Stateless{InputResponses: json.RawMessage(`{"a": 1}`), State: json.RawMessage(`"s\u0041"`)},
		},
		"null is absent":          {method: MethodCallTool, params: `{"name":null,"inputResponses":null,"requestState":null,"_meta":null}`},
		"members of other types":  {method: MethodCallTool, params: `{"name":1,"_meta":{"io.modelcontextprotocol/protocolVersion":1,"io.modelcontextprotocol/clientCapabilities":[]}}`},
		"no params":               {method: MethodCallTool},
		"params that are no JSON": {method: MethodCallTool, params: `{"name":`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReadStateless(Message{Method: tc.method, Params: json.RawMessage(tc.params)})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeclareStateless(t *testing.T) {
	none, plain, tools := SamplingCapability{}, SamplingCapability{Declared: true}, SamplingCapability{Declared: true, Tools: true}
	const key = `"io.modelcontextprotocol/clientCapabilities"`
	for name, tc := range map[string]struct {
		body, wantBody string
		want           SamplingCapability
		wantErr        string
	}{
		"with tools at once":           {body: `{"params":{"_meta":{` + key + `:{ }}}} `, want: tools, wantBody: `{"params":{"_meta":{` + key + `:{"sampling":{"tools":{}} }}}} `},
		"tools beside what is there":   {body: `{"params":{"_meta":{` + key + `:{"sampling":{"x":1}}}}}`, want: tools, wantBody: `{"params":{"_meta":{` + key + `:{"sampling":{"x":1,"tools":{}}}}}}`},
		"all of it":                    {body: `{"id":1}`, want: plain, wantBody: `{"id":1,"params":{"_meta":{` + key + `:{"sampling":{}}}}}`},
		"taken back":                   {body: `{"params":{"_meta":{` + key + `:{"sampling":{"tools":{}}}}}}`, want: none, wantBody: `{"params":{"_meta":{` + key + `:{}}}}`},
		"nothing where nothing is":     {body: `{"id":1}`, want: none, wantBody: `{"id":1}`},
		"capabilities that are a list": {body: `{"params":{"_meta":{` + key + `:[]}}}`, want: plain, wantErr: "clientCapabilities is not an object"},
		"params that are a list":       {body: `{"params":[]}`, want: plain, wantErr: "params is not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DeclareStateless([]byte(tc.body), tc.want)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil || string(got) != tc.wantBody {
				t.Errorf("got %s, error %v, want %s", got, err, tc.wantBody)
			}
		})
	}
}

func TestCanonicalParams(t *testing.T) {
	want := string(CanonicalParams(json.RawMessage(`{"name":"x","arguments":{"b":1.0,"a":"<é>"}}`)))
	for name, tc := range map[string]struct {
		params   string
		wantSame bool
	}{
		"as they were":                  {params: `{"name":"x","arguments":{"b":1.0,"a":"<é>"}}`, wantSame: true},
		"in another order and spelling": {params: `{ "arguments":{"a":"<\u00e9>", "b":1.0},"name":"\u0078"}`, wantSame: true},
		"with what a retry adds":        {params: `{"name":"x","arguments":{"b":1.0,"a":"<é>"},"_meta":{"a":1},"inputResponses":{},"requestState":"s"}`, wantSame: true},
		"other arguments":               {params: `{"name":"x","arguments":{"b":1,"a":"<é>"}}`},
		"one argument more":             {params: `{"name":"x","arguments":{"b":1.0,"a":"<é>","c":1}}`},
		"another name":                  {params: `{"name":"y","arguments":{"b":1.0,"a":"<é>"}}`},
		"a member that is not known":    {params: `{"name":"x","arguments":{"b":1.0,"a":"<é>"},"new":1}`},
		"no object":                     {params: `[]`},
		"nothing":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(CanonicalParams(json.RawMessage(tc.params))); (got == want) != tc.wantSame {
				t.Errorf("got %s, the same as %s: %t, want %t", got, want, got == want, tc.wantSame)
			}
		})
	}
}
