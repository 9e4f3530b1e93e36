package wire

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fielded is what the fuzz test below has encoding/json read.
type fielded struct {
	Role   string          `json:"role"`
	Text   *string         `json:"text"`
	Input  json.RawMessage `json:"input"`
	Is     *bool           `json:"isError"`
	Nested *rawResource    `json:"resource"`
}

// Fields are read as encoding/json reads them, mistakes included.
func FuzzDecodeFields(f *testing.F) {
	for _, text := range []string{
		`{"role":"user","text":"hi","input":{"a":1},"isError":true,"resource":{"uri":"u"}}`,
		` { "role" : "a\"\u0041\ud800" , "text" : "` + "\xff" + `" , "input" : [ 1 ] } `,
		`{"ROLE":"a","ro\u006ce":"b","rolex":"c","iſError":true,"isError":false}`,
		`{"role":"a","role":null,"text":"b","text":null,"input":null}`,
		`{"resource":{"uri":"a"},"resource":{"text":"b"},"resource":{}}`,
		`{"role":7,"text":[],"isError":"a"}`, `{"text":{},"role":7}`, `{"resource":{"uri":1.5}}`, `{"resource":7}`,
		`null`, `7`, `[]`, `"a"`, `{}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return // is refused before
		}
		var want, got fielded
		var wantErr *Error
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			wantErr = wrongJSON("messages[0]", err)
		}
		err := decodeFields("messages[0]", json.RawMessage(text),
			field{"role", &got.Role}, field{"text", &got.Text}, field{"input", &got.Input},
			field{"isError", &got.Is}, field{"resource", &got.Nested})
		if diff := cmp.Diff(wantErr, err); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
