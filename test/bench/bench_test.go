package main

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

// slice is one with calls that all took as long, in a second.
func slice(round, calls int, took, cpu time.Duration) sample {
	return sample{round: round, cpu: cpu, Slice: load.Slice{Calls: calls, Elapsed: time.Second, P50: took, P99: 2 * took}}
}

func compared(w workload, cells map[string]*cell) *comparison {
	c := &comparison{order: []workload{w}, cells: map[workload]map[string]*cell{w: cells}}
	for _, name := range []string{direct, reverseProxy, theSampler, fastMCPSession} {
		if cells[name] != nil {
			c.targets = append(c.targets, &target{name: name, slow: name == fastMCPSession})
		}
	}
	return c
}

func TestFiguresAreOfTheSameRounds(t *testing.T) {
	w := workload{load.Legacy, "echo", 16}
	c := compared(w, map[string]*cell{
		direct:       {samples: []sample{slice(0, 1000, time.Millisecond, 0), slice(1, 500, 2*time.Millisecond, 0)}},
		reverseProxy: {samples: []sample{slice(0, 400, 3*time.Millisecond, 40*time.Millisecond), slice(1, 200, 6*time.Millisecond, 20*time.Millisecond)}},
		// Only in the round that was slow for all.
		theSampler: {samples: []sample{slice(1, 190, 7*time.Millisecond, 19*time.Millisecond)}, memory: memory{RSS: 2048, Anon: 1024}},
	})
	got, err := c.of(w, theSampler)
	if err != nil {
		t.Fatal(err)
	}
	want := figures{
		perSecond: 190, ofReverse: 0.95, lowest: 0.95, highest: 0.95,
		p50: 7 * time.Millisecond, p99: 14 * time.Millisecond, addedP50: 5 * time.Millisecond, addedP99: 10 * time.Millisecond,
		cpu: 100 * time.Microsecond, rss: 2048, anon: 1024,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(figures{})); diff != "" {
		t.Error(diff)
	}
}

func TestVerdicts(t *testing.T) {
	ms := time.Millisecond
	tests := map[string]struct {
		workload workload
		cells    map[string]*cell

		want []bool
	}{
		"an echo that is as good as a bare proxy": {
			workload: workload{load.Modern, "echo", 16},
			cells: map[string]*cell{
				direct:       {samples: []sample{slice(0, 1000, ms, 0)}},
				reverseProxy: {samples: []sample{slice(0, 400, 3*ms, 40*ms)}},
				theSampler:   {samples: []sample{slice(0, 400, 3*ms, 40*ms)}},
			},
			want: []bool{true, true, true},
		},
		"an echo that misses each of the three": {
			workload: workload{load.Legacy, "echo_json", 64},
			cells: map[string]*cell{
				direct:       {samples: []sample{slice(0, 1000, ms, 0)}},
				reverseProxy: {samples: []sample{slice(0, 400, 3*ms, 40*ms)}},
				theSampler:   {samples: []sample{slice(0, 300, 4*ms, 60*ms)}},
			},
			want: []bool{false, false, false},
		},
		"an echo that failed": {
			workload: workload{load.Legacy, "echo", 64},
			cells: map[string]*cell{
				direct: {}, reverseProxy: {samples: []sample{slice(0, 400, 3*ms, 40*ms)}}, theSampler: {err: errors.New("status 400")},
			},
			want: []bool{false, false, false},
		},
		"numbers of sessions without a promise": {
			workload: workload{load.Legacy, "echo", 256},
			cells:    map[string]*cell{direct: {}, reverseProxy: {}, theSampler: {}},
		},
		"one that asks, three times as long, and ten times FastMCP": {
			workload: workload{load.Legacy, "ask", 1},
			cells: map[string]*cell{
				direct: {samples: []sample{slice(0, 1000, ms, 0)}}, theSampler: {samples: []sample{slice(0, 333, 3*ms, ms)}},
				fastMCPSession: {samples: []sample{slice(0, 33, 30*ms, ms)}},
			},
			want: []bool{true, true},
		},
		"many that ask, nine times FastMCP": {
			workload: workload{load.Legacy, "ask", 64},
			cells: map[string]*cell{
				direct: {samples: []sample{slice(0, 1000, ms, 0)}}, theSampler: {samples: []sample{slice(0, 297, 4*ms, ms)}},
				fastMCPSession: {samples: []sample{slice(0, 33, 30*ms, ms)}},
			},
			want: []bool{false},
		},
		"FastMCP does not speak the era": {
			workload: workload{load.Modern, "ask", 1},
			cells: map[string]*cell{
				direct: {samples: []sample{slice(0, 1000, ms, 0)}}, theSampler: {samples: []sample{slice(0, 200, 5*ms, ms)}},
				fastMCPSession: {err: errNoEra},
			},
			want: []bool{false},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := compared(tc.workload, tc.cells)
			var got []bool
			for _, v := range c.verdicts() {
				got = append(got, v.ok)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, c.verdicts())
			}
			var page bytes.Buffer
			c.write(&page)
			if !strings.Contains(page.String(), "| through |") {
				t.Errorf("no table:\n%s", page.String())
			}
		})
	}
}

// TestCompare measures with everything in one process, so without a sampler and
// without the time of processors.
func TestCompare(t *testing.T) {
	server := httptest.NewServer(&peer.Server{})
	defer server.Close()
	upstream, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(peer.ReverseProxy(upstream))
	defer proxy.Close()
	targets := []*target{
		{name: direct, Target: load.Target{Addr: upstream.Host, Path: peer.Path, Samples: true}},
		{name: reverseProxy, Target: load.Target{Addr: strings.TrimPrefix(proxy.URL, "http://"), Path: peer.Path, Samples: true}},
		{name: theSampler, Target: load.Target{Addr: "127.0.0.1:1", Path: peer.Path}}, // where nobody listens
		{name: fastMCPSession, Target: load.Target{Addr: upstream.Host, Path: peer.Path, Samples: true}, slow: true},
	}
	echo, ask := workload{load.Legacy, "echo", 2}, workload{load.Modern, "ask", 2}
	c, err := compare(t.Context(), targets, []workload{echo, ask}, pace{slice: 4 * time.Millisecond, rounds: 3, slowRounds: 1}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		samples int
		failed  bool
	}
	got := map[string]seen{}
	for _, w := range c.order {
		for _, target := range targets {
			in := c.cells[w][target.name]
			got[w.String()+", "+target.name] = seen{len(in.samples), in.err != nil}
		}
	}
	want := map[string]seen{
		"legacy echo, 2 sessions, " + direct:         {samples: 3},
		"legacy echo, 2 sessions, " + reverseProxy:   {samples: 3},
		"legacy echo, 2 sessions, " + theSampler:     {failed: true},
		"legacy echo, 2 sessions, " + fastMCPSession: {samples: 1},
		"modern ask, 2 sessions, " + direct:          {samples: 3},
		"modern ask, 2 sessions, " + reverseProxy:    {samples: 3},
		"modern ask, 2 sessions, " + theSampler:      {failed: true},
		"modern ask, 2 sessions, " + fastMCPSession:  {failed: true},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{})); diff != "" {
		t.Error(diff)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compare(ended, targets, []workload{echo}, quickPace, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after the end", err)
	}
}

func TestSoakIsJudgedByItsThirds(t *testing.T) {
	at := func(values ...int) []point {
		var out []point
		for _, v := range values {
			out = append(out, point{memory: memory{RSS: v, Anon: v, Threads: v, Files: v}, goroutines: v})
		}
		return out
	}
	tests := map[string]struct {
		points []point
		want   bool
	}{
		"all the same":              {points: at(100, 100, 100, 100, 100, 100), want: true},
		"growth at the beginning":   {points: at(10, 50, 100, 100, 100, 101), want: true},
		"growth to the end":         {points: at(100, 100, 100, 110, 120, 130), want: false},
		"one high point":            {points: at(100, 100, 100, 100, 100, 100, 100, 900, 100), want: true},
		"one thread more":           {points: at(5, 5, 5, 5, 6, 6), want: true},
		"less than before":          {points: at(100, 100, 100, 100, 50, 50), want: true},
		"five in a hundred is flat": {points: at(100, 100, 100, 100, 105, 105), want: true},
		"six is not":                {points: at(100, 100, 100, 100, 106, 106), want: false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range judgeSoak(tc.points) {
				if v.ok != tc.want {
					t.Errorf("%s: %s: ok is %v", v.bar, v.measured, v.ok)
				}
			}
		})
	}
}

func TestPageKeepsWhatIsNotMeasured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	page := "# Head\n\n<!-- begin idle -->\n<!-- end idle -->\n\nFoot\n\n<!-- begin soak -->\nold\n<!-- end soak -->\n"
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes what the first wrote
		if err := writeSection(file, "soak", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Head\n\n<!-- begin idle -->\n<!-- end idle -->\n\nFoot\n\n<!-- begin soak -->\n\n" + measuredOn() + "new\n\n<!-- end soak -->\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := writeSection(file, "compare", "x"); err == nil || !strings.Contains(err.Error(), "compare") {
		t.Errorf("a section without marks: error %v", err)
	}
}

func TestRefusesWhatItDoesNotKnow(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a word":             {args: []string{"sleep"}, want: "none of compare"},
		"a flag":             {args: []string{"-fast"}, want: "fast"},
		"a broken pattern":   {args: []string{"-fastmcp=false", "-only", "(", "compare"}, want: "-only"},
		"a length of no use": {args: []string{"-for", "1s", "soak"}, want: "-for"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), tc.args); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if err := runRole(t.Context(), []string{"king"}); err == nil || !strings.Contains(err.Error(), "king") {
		t.Errorf("a role that is none: error %v", err)
	}
}
