package sse

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWriter(t *testing.T) {
	for name, tc := range map[string]struct {
		eventType, id, data string
		want                string
		wantErr             bool
	}{
		"data alone":              {data: "{}", want: "data: {}\n\n"},
		"all fields":              {eventType: "message", id: "7", data: "{}", want: "event: message\nid: 7\ndata: {}\n\n"},
		"data of several lines":   {data: "a\nb\r\nc\rd", want: "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		"data that ends in LF":    {data: "a\n", want: "data: a\ndata: \n\n"},
		"no data":                 {want: "data: \n\n"},
		"an id on two lines":      {id: "1\n2", wantErr: true},
		"a type with a line end":  {eventType: "a\rb", wantErr: true},
		"an id that nobody reads": {id: "a\x00b", wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := NewWriter(&out).WriteEvent(tc.eventType, tc.id, []byte(tc.data))
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want error: %v", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
		})
	}
}
