package controllers

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

func TestPaceSlowsDownAndNeverStops(t *testing.T) {
	begin := time.Unix(0, 0)
	clock := begin
	p := newPacer(func() time.Time { return clock })
	key := types.NamespacedName{Name: "demo"}
	for _, tc := range []struct {
		at   time.Duration
		what string
		want time.Duration
	}{
		{0, "a", 100 * time.Millisecond},
		{2 * time.Second, "a", 100 * time.Millisecond},
		{5 * time.Second, "a", time.Second},
		{30 * time.Second, "a", 3 * time.Second},
		{2 * time.Minute, "a", 10 * time.Second},
		{24 * time.Hour, "a", 30 * time.Second},
		{25 * time.Hour, "b", 100 * time.Millisecond}, // something else
		{26 * time.Hour, "", settledInterval},
		{27 * time.Hour, "b", 100 * time.Millisecond}, // it began anew
	} {
		clock = begin.Add(tc.at)
		got := p.next(key, tc.what)
		if tc.what == "" && got > tc.want { // a third of it is chance
			got = max(tc.want, got-settledInterval/3)
		}
		if got != tc.want {
			t.Errorf("after %s of %q: %s, want %s", tc.at, tc.what, got, tc.want)
		}
	}
	for i := range 999 {
		p.next(types.NamespacedName{Name: "other", Namespace: strconv.Itoa(i)}, "a")
	}
	if got := p.next(key, "c"); got != time.Second {
		t.Errorf("one of 1000 is asked again after %s, want a second", got)
	}
	clear(p.pending)
	p.next(key, "c")
	p.forget(key)
	if len(p.pending) != 0 {
		t.Errorf("%d servers are still remembered", len(p.pending))
	}
}

func TestACacheThatIsBehindIsSeen(t *testing.T) {
	clock := time.Unix(0, 0)
	w := newWrites(func() time.Time { return clock })
	object := func(version string) *mcpv1alpha1.MCPServer {
		return &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: "demo", ResourceVersion: version}}
	}
	if !w.seen(object("5")) {
		t.Error("an object that was never written is taken for old")
	}
	w.remember(object("10"))
	for version, want := range map[string]bool{"9": false, "10": true, "11": true, "100": true} {
		if got := w.seen(object(version)); got != want {
			t.Errorf("version %s after a write of 10: seen %t, want %t", version, got, want)
		}
	}
	clock = clock.Add(patience + time.Second)
	if !w.seen(object("9")) {
		t.Error("after a restore from a backup nothing would ever be done again")
	}
}
