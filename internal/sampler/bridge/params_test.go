package bridge

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

func TestHeadersThatRepeatParameters(t *testing.T) {
	var tools toolHeaders
	tools.learn([]byte(`{"tools":[
		{"name":"query","inputSchema":{"type":"object","properties":{
			"region":{"type":"string","x-mcp-header":"Region"},
			"rows":{"type":"integer","x-mcp-header":"Rows"},
			"dry":{"type":"boolean","x-mcp-header":"Dry"},
			"at":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"Zone"}}},
			"many":{"type":"array","items":{"x-mcp-header":"Never"}}}}},
		{"name":"changed","inputSchema":{"properties":{"x":{"x-mcp-header":"X"}}}},
		{"name":"plain","inputSchema":{"type":"object"}}]}`))
	tools.learn([]byte(`{"tools":[{"name":"changed","inputSchema":{}}]}`))
	tools.learn([]byte(`[]`))
	for name, tc := range map[string]struct {
		method, tool, arguments string
		header                  []string
		want                    string // of the refusal; empty if there is none
	}{
		"all as the body says": {
			tool: "query", arguments: `{"region":"us","rows":42,"dry":true,"at":{"zone":"a"}}`,
			header: []string{"Region", "us", "Rows", "42.0", "Dry", "true", "Zone", "a"},
		},
		"in base64":                          {tool: "query", arguments: `{"region":"ä"}`, header: []string{"Region", "=?base64?w6Q=?="}},
		"in broken base64":                   {tool: "query", arguments: `{"region":"ä"}`, header: []string{"Region", "=?base64?w6?="}, want: "not valid base64"},
		"neither is there":                   {tool: "query", arguments: `{"region":null}`},
		"another text":                       {tool: "query", arguments: `{"region":"us"}`, header: []string{"Region", "eu"}, want: "does not say"},
		"another number":                     {tool: "query", arguments: `{"rows":42}`, header: []string{"Rows", "43"}, want: "does not say"},
		"no number":                          {tool: "query", arguments: `{"rows":42}`, header: []string{"Rows", "x"}, want: "does not say"},
		"another truth":                      {tool: "query", arguments: `{"dry":true}`, header: []string{"Dry", "false"}, want: "does not say"},
		"no header":                          {tool: "query", arguments: `{"at":{"zone":"a"}}`, want: "Mcp-Param-Zone must be there once"},
		"no parameter":                       {tool: "query", arguments: `{}`, header: []string{"Region", "us"}, want: "its parameter is not"},
		"a header of which is nothing known": {tool: "query", arguments: `{}`, header: []string{"Never", "us"}},
		"a tool that has lost its own":       {tool: "changed", arguments: `{"x":1}`},
		"a tool that has none":               {tool: "plain", arguments: `{"x":1}`},
		"a tool that is not known":           {tool: "other", arguments: `{"x":1}`},
		"no call of a tool":                  {method: "prompts/get", tool: "query", arguments: `{"region":"us"}`},
	} {
		t.Run(name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = "tools/call"
			}
			h := http.Header{}
			for i := 0; i < len(tc.header); i += 2 {
				h.Add(headerParam+tc.header[i], tc.header[i+1])
			}
			got := tools.check(mustParse(t, `{"id":1,"method":"`+method+`","params":{"name":"`+tc.tool+`","arguments":`+tc.arguments+`}}`), h)
			switch {
			case tc.want == "" && got != nil:
				t.Errorf("it is refused: %v", got)
			case tc.want != "" && (got == nil || got.Code != wire.CodeHeaderMismatch || !strings.Contains(got.Message, tc.want)):
				t.Errorf("got %v, want %q", got, tc.want)
			}
		})
	}
}

func TestParametersInHeadersAreKnownFromTheListOfTools(t *testing.T) {
	f := newFixture(t, "modern")
	list, header := modernCall("1", "tools/list", "", "")
	if got := f.do(http.MethodPost, list, header...); got.status != http.StatusOK {
		t.Fatalf("the list: %+v", got)
	}
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"},"_meta":{` + metaModern + `}}}`
	right := []string{wire.HeaderVersion, "2026-07-28", wire.HeaderMethod, "tools/call", wire.HeaderName, "echo"}
	if got := f.do(http.MethodPost, call, right...); got.status != http.StatusBadRequest || !strings.Contains(got.body, "-32020") {
		t.Errorf("without the header: %+v", got)
	}
	if got := f.do(http.MethodPost, call, append(right, "Mcp-Param-Text", "hi")...); got.status != http.StatusOK {
		t.Errorf("with the header: %+v", got)
	}
}
