package limits

import (
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// usage is what one server or one session uses and has used.
type usage struct {
	requests, tokens, daily window
	// running requests may take up to reserved tokens yet.
	running  int64
	reserved int64
}

func newUsage() usage {
	return usage{requests: newMinute(), tokens: newMinute(), daily: newDay()}
}

// take counts a request that begins.
func (u *usage) take(now time.Duration, ask Ask) {
	u.running++
	u.reserved += ask.Most
	u.requests.add(now, 1)
}

// undo is for a request that began at at and does not take place.
func (u *usage) undo(at time.Duration, ask Ask) {
	u.running--
	u.reserved -= ask.Most
	u.requests.add(at, -1)
}

// settle counts what a request took that has ended.
func (u *usage) settle(now time.Duration, ask Ask, used int64) {
	u.running--
	u.reserved -= ask.Most
	u.spend(now, used)
}

func (u *usage) spend(now time.Duration, tokens int64) {
	u.tokens.used(now)
	u.tokens.add(now, tokens)
	u.daily.used(now)
	u.daily.add(now, tokens)
}

// merge adds what another counted, as of now.
func (u *usage) merge(now time.Duration, other usage) {
	u.requests.used(now)
	u.requests.add(now, other.requests.used(now))
	u.tokens.used(now)
	u.tokens.add(now, other.tokens.used(now))
	u.daily.used(now)
	u.daily.add(now, other.daily.used(now))
}

// ceilings are the limits on one usage; 0 is none.
type ceilings struct {
	concurrent, requests, tokens, daily int64
	// divided by how many samplers the first, what the policy says, has to be.
	shares int64
}

func serverCeilings(l config.SamplingLimits, shares int) ceilings {
	return ceilings{
		concurrent: int64(l.Concurrent), requests: l.RequestsPerMinute,
		tokens: l.TokensPerMinute, daily: l.TokensPerDay, shares: int64(max(shares, 1)),
	}
}

func sessionCeilings(l config.SessionLimits) ceilings {
	return ceilings{
		concurrent: int64(l.Concurrent), requests: l.RequestsPerMinute,
		tokens: l.TokensPerMinute, daily: l.TokensPerDay, shares: 1,
	}
}

func (c ceilings) any() bool { return c.concurrent|c.requests|c.tokens|c.daily != 0 }

func (c ceilings) share(limit int64) int64 { return (limit + c.shares - 1) / c.shares }

// cost is the part of the scarcest limit that a request takes: what sessions get
// alike.
func (c ceilings) cost(tokens int64) float64 {
	var cost float64
	if c.requests > 0 {
		cost = 1 / float64(c.requests)
	}
	if c.tokens > 0 {
		cost = max(cost, float64(tokens)/float64(c.tokens))
	}
	if c.daily > 0 {
		cost = max(cost, float64(tokens)/float64(c.daily))
	}
	if cost == 0 {
		return 1
	}
	return cost
}

// pace is how much of a minute a request may take.
func (c ceilings) pace(tokens int64) time.Duration {
	var part float64
	if c.requests > 0 {
		part = 1 / float64(c.share(c.requests))
	}
	if c.tokens > 0 {
		part = max(part, min(float64(tokens)/float64(c.share(c.tokens)), 1))
	}
	return time.Duration(part * float64(time.Minute))
}

// refusal says which limit leaves no room.
type refusal struct {
	limit Name
	max   int64
	// needs is above max for a request that no waiting helps.
	needs int64
	// earliest is how long it takes at least; 0 where that is not known.
	earliest time.Duration
	// again is when a look is worth it though no request has ended; 0 where it is
	// not.
	again time.Duration
}

func (r *refusal) exceeded() *Exceeded {
	return &Exceeded{Limit: r.limit, Max: r.max, Needs: r.needs, RetryAfter: r.earliest}
}

// later keeps the refusal that lasts longer, and the later of both looks.
func (r *refusal) later(o *refusal) *refusal {
	if r == nil {
		return o
	}
	again := max(r.again, o.again)
	if o.needs > 0 && r.needs == 0 || o.earliest > r.earliest {
		r = o
	}
	r.again = again
	return r
}

// check says why ask has to wait, once ahead others have begun; nil where it has
// not.
func (c ceilings) check(u *usage, now time.Duration, ask Ask, ahead int64, perSession bool) *refusal {
	var found *refusal
	name := func(server, session Name) Name {
		if perSession {
			return session
		}
		return server
	}
	if c.concurrent > 0 && u.running+ahead >= c.share(c.concurrent) {
		found = found.later(&refusal{limit: name(Concurrent, SessionConcurrent), max: c.concurrent})
	}
	if c.requests > 0 {
		if room := c.share(c.requests) - 1 - ahead; u.requests.used(now) > room {
			// Beyond one window nobody can tell; a whole one has to pass at least.
			wait, ok := u.requests.room(now, room)
			if !ok {
				wait = u.requests.width * time.Duration(u.requests.keep)
			}
			found = found.later(&refusal{
				limit: name(RequestsPerMinute, SessionRequestsPerMinute), max: c.requests, earliest: wait, again: wait,
			})
		}
	}
	if r := c.checkTokens(u, &u.tokens, c.tokens, now, ask); r != nil {
		r.limit = name(TokensPerMinute, SessionTokensPerMinute)
		found = found.later(r)
	}
	if r := c.checkTokens(u, &u.daily, c.daily, now, ask); r != nil {
		r.limit = name(TokensPerDay, SessionTokensPerDay)
		found = found.later(r)
	}
	return found
}

// checkTokens lets a request go if all that is under way can take its most, or
// else alone if what is likely fits. A request that is more than the share goes
// alone, too, once nothing is used: it would be refused for ever.
func (c ceilings) checkTokens(u *usage, w *window, limit int64, now time.Duration, ask Ask) *refusal {
	if limit == 0 {
		return nil
	}
	if ask.Likely > limit {
		return &refusal{max: limit, needs: ask.Likely}
	}
	share := c.share(limit)
	used := w.used(now)
	likely := max(share-ask.Likely, 0)
	if used+u.reserved+ask.Most <= share || u.running == 0 && used <= likely {
		return nil
	}
	r := &refusal{max: limit}
	r.earliest, _ = w.room(now, likely)
	if u.running == 0 {
		r.again = r.earliest
	} else if wait, ok := w.room(now, share-u.reserved-ask.Most); ok {
		r.again = wait
	}
	return r
}
