package controllers

import (
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// settledInterval is how often samplers are asked when all is well. Each server
// waits up to a third of it longer, so that those which began together, as when the
// operator starts, do not stay together.
const settledInterval = 15 * time.Second

// pacer says how soon to look again at something that is not settled: often at
// first, while somebody waits for it, then less and less, but never not at all.
type pacer struct {
	now func() time.Time

	mu      sync.Mutex
	pending map[types.NamespacedName]pendingSince
}

type pendingSince struct {
	what string
	at   time.Time
}

func newPacer(now func() time.Time) *pacer {
	return &pacer{now: now, pending: map[types.NamespacedName]pendingSince{}}
}

// next returns how long to wait. what names that which is pending, "" if nothing
// is; when it changes the pace begins anew.
func (p *pacer) next(key types.NamespacedName, what string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if what == "" {
		delete(p.pending, key)
		return settledInterval + rand.N(settledInterval/3)
	}
	since, ok := p.pending[key]
	if !ok || since.what != what {
		since = pendingSince{what: what, at: p.now()}
		p.pending[key] = since
	}
	switch elapsed := p.now().Sub(since.at); {
	case elapsed < 3*time.Second:
		// A change takes a tenth of a second. Many at once share what may be asked.
		return max(100*time.Millisecond, time.Duration(len(p.pending))*time.Millisecond)
	case elapsed < 15*time.Second:
		return time.Second
	case elapsed < time.Minute:
		return 3 * time.Second
	case elapsed < 5*time.Minute:
		return 10 * time.Second
	default:
		return 30 * time.Second
	}
}

func (p *pacer) forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pending, key)
}
