package provider_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

func TestItems(t *testing.T) {
	for name, tc := range map[string]struct {
		list    string
		want    []string
		wantErr string
	}{
		"nothing":                     {list: ``},
		"null":                        {list: ` null `},
		"an empty list":               {list: " [ \n] "},
		"one item":                    {list: `[7]`, want: []string{`7`}},
		"lists and objects in a list": {list: `[[1,2],{"a":[3,{}],"b":4}, 5]`, want: []string{`[1,2]`, `{"a":[3,{}],"b":4}`, `5`}},
		"texts that look like more":   {list: `["],[","\\",{"a,\"]":"}"}]`, want: []string{`"],["`, `"\\"`, `{"a,\"]":"}"}`}},
		"as many as are taken":        {list: listOf(provider.MaxItems), want: slicesOf(provider.MaxItems)},
		"one more":                    {list: listOf(provider.MaxItems + 1), wantErr: "its answer holds a list of more than 1024 items"},
		"no list":                     {list: `{"a":1}`, wantErr: "its answer has something else where a list belongs"},
	} {
		t.Run(name, func(t *testing.T) {
			items, err := provider.Items(json.RawMessage(tc.list))
			if tc.wantErr != "" {
				var failure *provider.Error
				if !errors.As(err, &failure) || failure.Kind != provider.KindInvalid || failure.Detail != tc.wantErr || items != nil {
					t.Errorf("%d items and error %#v, want an invalid answer: %s", len(items), err, tc.wantErr)
				}
				return
			}
			var got []string
			for _, item := range items {
				got = append(got, strings.TrimSpace(string(item)))
			}
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("error %v, items (-want +got):\n%s", err, diff)
			}
		})
	}
}

func slicesOf(n int) []string { return strings.Split(strings.Repeat("{},", n-1)+"{}", ",") }

func listOf(n int) string { return "[" + strings.Join(slicesOf(n), ",") + "]" }
