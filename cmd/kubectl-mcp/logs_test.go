package main

import (
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
)

// A log that broke off is read again, and records come in the order in which their
// requests ended.
func TestRecordsAreShownOnceAndNoneIsLeftOut(t *testing.T) {
	var shown pastRecords
	record := func(line string, began time.Duration) records.Record {
		r := records.Record{Raw: []byte(line)}
		r.Time = time.Unix(1000, 0).Add(began)
		return r
	}
	for _, step := range []struct {
		record records.Record
		want   bool
	}{
		{record("first", time.Second), true},
		{record("quick", 20*time.Second), true},
		{record("quick", 20*time.Second), false}, // again, after the break
		{record("slow", 2*time.Second), true},    // it began before what was shown
		{record("with it", 20*time.Second), true},
		{record("slow", 2*time.Second), false},
	} {
		if got := shown.add(step.record); got != step.want {
			t.Errorf("%s is shown: %t, want %t", step.record.Raw, got, step.want)
		}
	}
	if want := time.Unix(1020, 0); !shown.newest.Equal(want) {
		t.Errorf("the log is read again from %s, want %s", shown.newest, want)
	}
}

func TestCommandsThatAreToldAreAboutTheSameNamespace(t *testing.T) {
	p := newPlugin(genericiooptions.NewTestIOStreamsDiscard())
	if got := p.there(); got != "" {
		t.Errorf("without flags: %q", got)
	}
	*p.flags.Namespace, *p.flags.Context = "team-a", "prod"
	if got, want := p.there(), " -n team-a --context prod"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
