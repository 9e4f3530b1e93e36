package policy

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What replaces nothing but strings replaces the same ones as one who decodes.
func FuzzEditStrings(f *testing.F) {
	f.Add(`{"a":["x",{"x":"\u0078\n"}],"b":1.0,"x":"y"}`)
	f.Add(`"x"`)
	f.Add(`{"a" : "<x>\\" , "b":"\"" }`)
	edit := func(s string) (string, bool) { return "<" + s + "\x00>", true }
	f.Fuzz(func(t *testing.T, data string) {
		got, changed := editStrings(json.RawMessage(data), anyKey, edit)
		var before, after any
		if json.Unmarshal([]byte(data), &before) != nil {
			return // it ended, and that is all
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%s became %s: %v", data, got, err)
		}
		want, edited := editDecoded(before, edit)
		if diff := cmp.Diff(want, after); diff != "" || (edited && !changed) {
			t.Errorf("%s became %s, changed %v, want %v:\n%s", data, got, changed, edited, diff)
		}
	})
}

func editDecoded(v any, edit func(string) (string, bool)) (_ any, changed bool) {
	switch v := v.(type) {
	case string:
		return edit(v)
	case []any:
		for i := range v {
			item, did := editDecoded(v[i], edit)
			v[i], changed = item, changed || did
		}
	case map[string]any:
		for k := range v {
			item, did := editDecoded(v[k], edit)
			v[k], changed = item, changed || did
		}
	}
	return v, changed
}
