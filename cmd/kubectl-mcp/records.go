package main

import (
	"context"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
)

const (
	// recordsTimeout bounds all that is done about records after a call.
	recordsTimeout = 15 * time.Second
	// settle is how long records are waited for that may still come: samplers
	// write them when the answer is on its way. After a failure it is longer, as
	// the record says why.
	settle        = 700 * time.Millisecond
	settleFailed  = 3 * time.Second
	recordsEvery  = 150 * time.Millisecond
	clocksDiffer  = 5 * time.Minute
	settleBetween = 400 * time.Millisecond
)

// records returns what the sampler wrote of the session since begin. It asks until
// nothing new comes.
func (s *opened) records(ctx context.Context, begin time.Time, failed bool) ([]records.Record, error) {
	patience := settle
	if failed {
		patience = settleFailed
	}
	var list []records.Record
	newest := time.Now()
	for {
		now, err := s.recordsNow(ctx, begin)
		if err != nil {
			return nil, err
		}
		if len(now) > len(list) {
			list, newest = now, time.Now()
			patience = settleBetween
		}
		if time.Since(newest) >= patience {
			return list, nil
		}
		select {
		case <-ctx.Done():
			return list, nil
		case <-time.After(recordsEvery):
		}
	}
}

// recordsNow reads them once. Of a session that has a name the clocks do not
// matter.
func (s *opened) recordsNow(ctx context.Context, begin time.Time) ([]records.Record, error) {
	name := s.AuditName()
	from := begin
	if name != "" {
		from = begin.Add(-clocksDiffer)
	}
	log, err := s.cluster.Log(ctx, s.sampler, from, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // it was read
	var list []records.Record
	err = records.Read(log, func(r records.Record) bool {
		if r.Session == name && r.Server == s.server.Name {
			list = append(list, r)
		}
		return true
	})
	return list, err
}
