package arguments

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const schema = `{"type": "object", "required": ["query"], "properties": {
	"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}, "share": {"type": "number"},
	"deep": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}}, "ids": {"type": "array", "items": {"type": "integer"}},
	"filter": {"type": "object"}, "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "kind": {"enum": ["a", "b"]}}}`

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		schema, input string
		pairs         []string
		want, wantErr string
	}{
		"a string that looks like a number": {pairs: []string{"query=1"}, want: `{"query":"1"}`},
		"a value with an equals sign":       {pairs: []string{"query=a=b"}, want: `{"query":"a=b"}`},
		"an empty value":                    {pairs: []string{"query="}, want: `{"query":""}`},
		"each type":                         {pairs: []string{"query=x", "limit=3", "share=0.5", "deep=true", "maybe=null"}, want: `{"deep":true,"limit":3,"maybe":null,"query":"x","share":0.5}`},
		"a large whole number":              {pairs: []string{"query=x", "limit=9007199254740993"}, want: `{"limit":9007199254740993,"query":"x"}`},
		"a list item by item":               {pairs: []string{"query=x", "tags=a", "tags=b", "ids=1"}, want: `{"ids":[1],"query":"x","tags":["a","b"]}`},
		"a list as JSON":                    {pairs: []string{"query=x", `tags=["a"]`}, want: `{"query":"x","tags":["a"]}`},
		"an object":                         {pairs: []string{"query=x", `filter={"a":1}`}, want: `{"filter":{"a":1},"query":"x"}`},
		"input, and a pair above it":        {input: `{"query":"x","limit":1}`, pairs: []string{"limit=2"}, want: `{"limit":2,"query":"x"}`},
		"a tool that takes anything":        {schema: `{"type":"object"}`, pairs: []string{"a=1"}, want: `{"a":"1"}`},

		"what is needed is missing":       {wantErr: "the tool needs query (string): add query=…"},
		"a name that is not there":        {pairs: []string{"qery=x"}, wantErr: `the tool has no argument "qery": it has query, deep, filter`},
		"a word for a number":             {pairs: []string{"query=x", "limit=many"}, wantErr: `limit is "many": the tool wants a whole number`},
		"a word for a truth":              {pairs: []string{"query=x", "deep=yes"}, wantErr: "the tool wants true or false"},
		"a bound of the schema":           {pairs: []string{"query=x", "limit=0"}, wantErr: "the arguments do not fit the tool: limit: minimum: got 0, want 1"},
		"a value that is not in the enum": {pairs: []string{"query=x", "kind=c"}, wantErr: "kind: value must be one of 'a', 'b'"},
		"no pair":                         {pairs: []string{"query"}, wantErr: `"query" is no argument: write name=value`},
		"input that is no object":         {input: `[1]`, wantErr: "--input is no JSON object"},
		"two objects":                     {input: `{"query":"x"}{}`, wantErr: "--input is no JSON object"},
		"a schema elsewhere is not read":  {schema: `{"$ref":"file:///etc/passwd"}`, pairs: []string{"a=1"}, want: `{"a":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.schema == "" {
				tc.schema = schema
			}
			s, err := Read(json.RawMessage(tc.schema))
			if err != nil {
				t.Fatal(err)
			}
			values, err := s.Parse(tc.pairs, tc.input)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
