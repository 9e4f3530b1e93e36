package procs

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eight() int { return 8 }

func TestProcessorsFollowTheLoad(t *testing.T) {
	repeat := func(n int, load float64) []float64 {
		list := make([]float64, n)
		for i := range list {
			list[i] = load
		}
		return list
	}
	for name, tc := range map[string]struct {
		begin int
		most  func() int
		loads []float64
		want  int
	}{
		"one is enough for call after call":  {1, eight, repeat(100, 0.8), 1},
		"one again for call after call":      {2, eight, repeat(patience, 0.75), 1},
		"more for more, at once":             {1, eight, []float64{0.9, 1.9}, 4},
		"never more than there are":          {1, func() int { return 3 }, []float64{1, 2, 3, 3, 3}, 3},
		"on a machine with one":              {1, func() int { return 1 }, repeat(10, 1), 1},
		"not fewer for a moment of quiet":    {4, eight, append(repeat(patience-1, 0.1), 1.7), 4},
		"fewer when it stays quiet":          {4, eight, repeat(patience, 0.5), 2},
		"one again in the end":               {8, eight, repeat(3*patience, 0), 1},
		"as many as are busy, but not idle":  {4, eight, repeat(100, 2), 4},
		"half of those that are hardly used": {4, eight, append(repeat(patience, 0.9), repeat(100, 1.0)...), 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{n: tc.begin}
			got := tc.begin
			for _, load := range tc.loads {
				got = p.next(load, tc.most)
			}
			if got != tc.want {
				t.Errorf("%d processors, want %d", got, tc.want)
			}
		})
	}
}

func TestNobodyLooksWhereThereIsNothingToDo(t *testing.T) {
	p := pace{n: 1}
	for i := range patience {
		if p.idle() {
			t.Fatalf("idle after %d looks, want %d", i, patience)
		}
		p.next(0, eight)
	}
	if !p.idle() {
		t.Error("not idle")
	}
}

func TestAGovernorRaisesAndLowers(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	if runtime.NumCPU() < 2 {
		t.Log("with one processor there is nothing to raise to")
	}
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	g := New()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Fatalf("begins with %d processors, want 1", n)
	}
	deadline := time.Now().Add(time.Minute) // others may have the processors now
	for runtime.NumCPU() > 1 && runtime.GOMAXPROCS(0) == 1 {
		g.Work()
		for begin := time.Now(); time.Since(begin) < 10*time.Millisecond; {
			_ = cmp.Diff("some", "work")
		}
		if time.Now().After(deadline) {
			t.Fatal("still one processor under load")
		}
	}
	for g.looking.Load() || runtime.GOMAXPROCS(0) != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("still %d processors without load", runtime.GOMAXPROCS(0))
		}
		runtime.Gosched()
		select {
		case <-time.After(interval):
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

func TestWhoSaysHowManyGetsThem(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	t.Setenv("GOMAXPROCS", "2")
	g := New()
	g.Work()
	if n := runtime.GOMAXPROCS(0); n != before || g.looking.Load() {
		t.Errorf("%d processors, want %d as before", n, before)
	}
}
