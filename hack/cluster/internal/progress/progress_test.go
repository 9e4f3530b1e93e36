package progress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFollow(t *testing.T) {
	refused := errors.New("refused")
	etcd := Event{Part: "etcd", Took: time.Second}
	long := Event{Part: "kubelet", Error: strings.Repeat("x", 200_000), Log: "/l"}
	for sentence, test := range map[string]struct {
		written   []Event
		handle    error
		want      []Event
		wantError error
	}{
		"events arrive as they were written":           {written: []Event{etcd, long, {Up: true}}, want: []Event{etcd, long}},
		"nothing is read after the cluster is up":      {written: []Event{{Up: true}, etcd}},
		"a node that ends early is an error":           {written: []Event{etcd}, want: []Event{etcd}, wantError: io.ErrUnexpectedEOF},
		"the handler's error ends it and is handed on": {written: []Event{etcd, etcd}, handle: refused, want: []Event{etcd}, wantError: refused},
	} {
		t.Run(sentence, func(t *testing.T) {
			var pipe bytes.Buffer
			w := NewWriter(&pipe)
			for _, e := range test.written {
				w.Report(e)
			}
			var got []Event
			err := Follow(&pipe, func(e Event) error {
				got = append(got, e)
				return test.handle
			})
			if !errors.Is(err, test.wantError) {
				t.Errorf("Follow() error = %v, want %v", err, test.wantError)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
