// Package hostile makes JSON that is small on the wire and wants to be large in
// memory, and measures what reading it and its like takes.
package hostile

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// Size is about how many bytes Answer returns.
const Size = 10 << 20

// Answer is an answer with as many items as fit where shape has its %: each is
// item, after a comma.
func Answer(shape, item string) string {
	before, after, _ := strings.Cut(shape, "%")
	items := strings.Repeat(item+",", Size/(len(item)+1))
	return before + items[:len(items)-1] + after
}

// WantLittle fails a test in which f allocates more than a small multiple of
// Size, all that is freed again included.
func WantLittle(t *testing.T, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 12*Size {
		t.Errorf("an answer of %d MB took %d MB", Size>>20, took>>20)
	}
}

// WantQuick fails a test in which f takes much longer than what grows with the
// size of its input alone would.
func WantQuick(t *testing.T, f func()) {
	t.Helper()
	begin := time.Now()
	f()
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}
