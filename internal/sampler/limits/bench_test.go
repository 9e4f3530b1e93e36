package limits

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

func BenchmarkAcquireAndDone(b *testing.B) {
	l := newLimiter(b, config.SamplingLimits{
		Concurrent: 1 << 20, RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 50, TokensPerDay: 1 << 52,
		PerSession: config.SessionLimits{Concurrent: 1 << 20, RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 50},
	})
	b.Run("one session", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			acquire(b, l, Ask{Session: "a", Likely: 100, Most: 1000}).Done(100)
		}
	})
	b.Run("64 sessions", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			session := fmt.Sprint(next.Add(1))
			for pb.Next() {
				lease, err := l.Acquire(b.Context(), Ask{Session: session, Likely: 100, Most: 1000})
				if err != nil {
					b.Error(err)
					return
				}
				lease.Done(100)
			}
		})
	})
	b.Run("64 sessions, 4 at a time", func(b *testing.B) {
		l := newLimiter(b, config.SamplingLimits{Concurrent: 4})
		b.ReportAllocs()
		b.SetParallelism(32)
		var next atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			session := fmt.Sprint(next.Add(1))
			for pb.Next() {
				lease, err := l.Acquire(b.Context(), Ask{Session: session})
				if err != nil {
					b.Error(err)
					return
				}
				lease.Done(0)
			}
		})
	})
}
