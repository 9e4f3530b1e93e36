package wire

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDeclareSampling(t *testing.T) {
	none, plain, tools := SamplingCapability{}, SamplingCapability{Declared: true}, SamplingCapability{Declared: true, Tools: true}
	body := func(params string) string {
		return `{"id":0,"method":"initialize","params":` + params + "}\n"
	}
	for name, tc := range map[string]struct {
		params     string
		want       SamplingCapability
		wantParams string
		wantErr    bool
	}{
		"into empty capabilities": {
			params: `{"capabilities":{},"z":1}`, want: tools,
			wantParams: `{"capabilities":{"sampling":{"tools":{}}},"z":1}`,
		},
		"after other capabilities": {
			params: `{ "z": 1.0e2, "capabilities": { "roots": {"listChanged":true } , "x": 1 }, "z": 2 }`, want: plain,
			wantParams: `{ "z": 1.0e2, "capabilities": { "roots": {"listChanged":true } , "x": 1,"sampling":{} }, "z": 2 }`,
		},
		"where there are no capabilities": {
			params: `{"protocolVersion":"2025-06-18"}`, want: plain,
			wantParams: `{"protocolVersion":"2025-06-18","capabilities":{"sampling":{}}}`,
		},
		"into empty params": {
			params: `{ }`, want: plain,
			wantParams: `{"capabilities":{"sampling":{}} }`,
		},
		"tools to what the caller declared": {
			params: `{"capabilities":{"sampling":{"context":{}}}}`, want: tools,
			wantParams: `{"capabilities":{"sampling":{"context":{},"tools":{}}}}`,
		},
		"already declared": {
			params: `{"capabilities":{"sampling":{ "tools":{ } } }}`, want: tools,
			wantParams: `{"capabilities":{"sampling":{ "tools":{ } } }}`,
		},
		"null counts as absent": {
			params: `{"capabilities":{"sampling":null}}`, want: plain,
			wantParams: `{"capabilities":{"sampling":{}}}`,
		},
		"nothing to do": {
			params: `{"capabilities":{"roots":{}}}`, want: none,
			wantParams: `{"capabilities":{"roots":{}}}`,
		},
		"tools are taken back": {
			params: `{"capabilities":{"sampling":{"tools":{},"context":{}}}}`, want: plain,
			wantParams: `{"capabilities":{"sampling":{"context":{}}}}`,
		},
		"tools are taken back where they are last": {
			params: `{"capabilities":{"sampling":{"context":{} , "tools":{}}}}`, want: plain,
			wantParams: `{"capabilities":{"sampling":{"context":{} }}}`,
		},
		"sampling is taken back where it is alone": {
			params: `{"capabilities":{ "sampling":{} }}`, want: none,
			wantParams: `{"capabilities":{  }}`,
		},
		"sampling is taken back where it stands twice": {
			params: `{"capabilities":{"sampling":{},"a":1,"sampling":{"tools":{}}}}`, want: none,
			wantParams: `{"capabilities":{"a":1}}`,
		},
		"the last of two counts": {
			params: `{"capabilities":{"sampling":{"tools":{}}},"capabilities":{"sampling":{}}}`, want: tools,
			wantParams: `{"capabilities":{"sampling":{"tools":{}}},"capabilities":{"sampling":{"tools":{}}}}`,
		},
		"a name with an escape": {
			params: `{"capabilities":{"s\u0061mpling":{}}}`, want: tools,
			wantParams: `{"capabilities":{"s\u0061mpling":{"tools":{}}}}`,
		},
		"params that are no object":       {params: `[]`, want: plain, wantErr: true},
		"capabilities that are no object": {params: `{"capabilities":1}`, want: plain, wantErr: true},
		"capabilities that are no object, and nothing to declare": {
			params: `{"capabilities":1}`, want: none, wantParams: `{"capabilities":1}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := body(tc.params)
			got, err := DeclareSampling([]byte(in), tc.want)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want error: %t", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(body(tc.wantParams), string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeclareSamplingLeavesTheBodyAlone(t *testing.T) {
	body := []byte(`{"params":{"capabilities":{"sampling":{}}}}`)
	before := string(body)
	for _, want := range []SamplingCapability{{}, {Declared: true}, {Declared: true, Tools: true}} {
		if _, err := DeclareSampling(body, want); err != nil {
			t.Fatal(err)
		}
		if string(body) != before {
			t.Fatalf("the caller's bytes became %s", body)
		}
	}
}

func TestInitializeSampling(t *testing.T) {
	for name, tc := range map[string]struct {
		params string
		want   SamplingCapability
	}{
		"nothing":                     {params: `{"capabilities":{}}`},
		"no capabilities":             {params: `{}`},
		"no params":                   {},
		"sampling":                    {`{"capabilities":{"sampling":{}}}`, SamplingCapability{Declared: true}},
		"sampling with tools":         {`{"capabilities":{"sampling":{"tools":{}}}}`, SamplingCapability{Declared: true, Tools: true}},
		"null":                        {params: `{"capabilities":{"sampling":null}}`},
		"tools without being objects": {`{"capabilities":{"sampling":{"tools":true}}}`, SamplingCapability{Declared: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := InitializeSampling(json.RawMessage(tc.params)); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestResultProtocolVersion(t *testing.T) {
	for name, tc := range map[string]struct{ result, want string }{
		"a version":  {`{"protocolVersion":"2025-06-18","capabilities":{}}`, "2025-06-18"},
		"none":       {`{}`, ""},
		"no text":    {`{"protocolVersion":1}`, ""},
		"no object":  {`[]`, ""},
		"no results": {``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ResultProtocolVersion(json.RawMessage(tc.result)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzDeclareSampling holds that valid JSON stays valid, says what was wanted,
// and says nothing else than before.
func FuzzDeclareSampling(f *testing.F) {
	f.Add([]byte(`{"params":{"capabilities":{"sampling":{"tools":{}},"a":[1]},"b":"}"}}`), true, true)
	f.Add([]byte(`{"params": { "x" : 1 } } `), true, false)
	f.Add([]byte(`{"params":{"capabilities":{"a":1,"sampling":{}}}}`), false, false)
	f.Fuzz(func(t *testing.T, body []byte, declared, tools bool) {
		if !json.Valid(body) {
			return
		}
		want := SamplingCapability{Declared: declared, Tools: declared && tools}
		got, err := DeclareSampling(body, want)
		if err != nil {
			return
		}
		if !json.Valid(got) {
			t.Fatalf("%s became %s", body, got)
		}
		m, err := ParseMessage(got)
		if err != nil {
			t.Fatal(err)
		}
		if said := InitializeSampling(m.Params); said != want {
			t.Fatalf("%s says %+v, want %+v", got, said, want)
		}
		again, err := DeclareSampling(got, want)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%s became %s the second time, error %v", got, again, err)
		}
	})
}
