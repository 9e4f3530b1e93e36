package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

const (
	// keyInterval is how often a key is looked at.
	keyInterval = 2 * time.Second
	// healthyInterval is how often a provider is probed that answers.
	healthyInterval = 5 * time.Minute
	// doubtInterval is how soon a probe asks whether one answers that was busy
	// or slow.
	doubtInterval = 10 * time.Second
	// hesitationEnds is how long requests may fail because a provider is too
	// busy or too slow before that is said of the provider.
	hesitationEnds = time.Minute
	// firstBackoff and lastBackoff bound how often one is that does not.
	firstBackoff = 2 * time.Second
	lastBackoff  = time.Minute
	// probeTimeout bounds one probe.
	probeTimeout = 10 * time.Second
	// findingHolds is how long a probe does not overrule what only a real
	// request can find (an unknown model, an answer that cannot be used).
	findingHolds = 5 * time.Minute
)

// health is what is known of one provider.
type health struct {
	mu         sync.Mutex
	credential statusz.CredentialState
	state      statusz.ProviderState
	detail     string
	model      string // that the provider does not know
	at         time.Time
	holdsUntil time.Time // until then no probe overrules state
	doubt      bool      // whether the provider still answers is to be asked soon
	hesitates  time.Time // since when it is too busy or too slow for requests; zero if it is not
}

// inherit takes over what another configuration found, but for what only a real
// request can find: the change may be its repair.
func (h *health) inherit(from *health) {
	from.mu.Lock()
	defer from.mu.Unlock()
	h.credential = from.credential
	if !time.Now().Before(from.holdsUntil) {
		h.state, h.detail, h.model, h.at = from.state, from.detail, from.model, from.at
	}
}

// reconsider forgets what only a real request can find: the policy has changed,
// which may be the repair.
func (h *health) reconsider() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.holdsUntil) {
		h.set(statusz.ProviderUnknown, "")
	}
	h.holdsUntil, h.hesitates = time.Time{}, time.Time{}
}

func (h *health) set(state statusz.ProviderState, detail string) {
	h.state, h.detail, h.model, h.at = state, detail, "", time.Now()
}

// healthy reports whether the newest contact went well, and whether there is a
// reason to ask whether that is still so.
func (h *health) healthy() (healthy, doubt bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state == statusz.ProviderHealthy, h.doubt
}

// keyFound records whether there is a key.
func (h *health) keyFound(state statusz.CredentialState, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case state == statusz.CredentialMissing:
		if h.credential != state || h.detail != why {
			h.set(statusz.ProviderUnknown, why)
		}
		h.holdsUntil = time.Time{}
	case h.credential == statusz.CredentialMissing:
		h.set(statusz.ProviderUnknown, "")
	case h.state == "":
		h.state = statusz.ProviderUnknown
	}
	h.credential = state
}

// keyChanged forgets what was found with another key.
func (h *health) keyChanged() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holdsUntil, h.hesitates = time.Time{}, time.Time{}
}

// probed records the outcome of a probe.
func (h *health) probed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubt = false
	if e := asKnown(err); e != nil {
		h.failed(e)
		return
	}
	if time.Now().Before(h.holdsUntil) {
		return
	}
	h.set(statusz.ProviderHealthy, "")
}

// asKnown returns what a probe's error says about the provider; nil where that
// is nothing bad: one that is busy answers.
func asKnown(err error) *provider.Error {
	if err == nil {
		return nil
	}
	if e := asProviderError(err); e.Kind != provider.KindRateLimited {
		return e
	}
	return nil
}

// answered records the outcome of a real request.
func (h *health) answered(model string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var unsupported *provider.UnsupportedError
	if errors.As(err, &unsupported) {
		return // nothing was sent
	}
	if err == nil {
		h.worked()
		return
	}
	switch e := asProviderError(err); e.Kind {
	case provider.KindMalformed:
		h.worked() // the provider did its part
	case provider.KindRateLimited, provider.KindTimeout:
		h.hesitated(e)
	case provider.KindInvalid:
		h.found(e.Detail)
	case provider.KindRejected:
		switch {
		case e.Status == http.StatusNotFound:
			h.found("HTTP 404: it does not know the model, or the base URL is wrong")
			h.model = model
		case h.state == statusz.ProviderUnknown || h.state == statusz.ProviderUnreachable:
			// It did not like this one request: that says nothing about others.
			h.set(statusz.ProviderHealthy, "")
		}
	default:
		h.failed(e)
	}
}

// found records what only a real request can find; h.mu is held.
func (h *health) found(detail string) {
	h.set(statusz.ProviderFailing, detail)
	h.holdsUntil = time.Now().Add(findingHolds)
}

// hesitated records a request that a provider was too busy or too slow for. One
// says nothing about others, so a probe is to ask; but if no request succeeds
// for a while, as when a quota is used up, that is a finding. h.mu is held.
func (h *health) hesitated(e *provider.Error) {
	now := time.Now()
	h.doubt = true
	if h.hesitates.IsZero() {
		h.hesitates = now
	}
	if now.Sub(h.hesitates) < hesitationEnds {
		return
	}
	if e.Kind == provider.KindRateLimited {
		h.found(e.Detail + ": it is too busy, or a quota is used up")
		return
	}
	h.failed(e)
	h.holdsUntil = now.Add(findingHolds)
}

// worked records a request that the provider served; h.mu is held.
func (h *health) worked() {
	h.holdsUntil, h.hesitates, h.doubt = time.Time{}, time.Time{}, false
	h.set(statusz.ProviderHealthy, "")
}

// failed maps a failure to a state; h.mu is held.
func (h *health) failed(e *provider.Error) {
	switch e.Kind {
	case provider.KindCanceled, provider.KindMissingKey:
		// The first says nothing, the second is keyFound's.
	case provider.KindUnauthorized:
		h.set(statusz.ProviderRefused, e.Detail)
	case provider.KindUnreachable, provider.KindTimeout:
		h.set(statusz.ProviderUnreachable, e.Detail)
	default:
		h.set(statusz.ProviderFailing, e.Detail)
	}
}

// status is the provider's part of the report.
func (t *target) status() statusz.Provider {
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	p := statusz.Provider{
		Name:       t.config.Name,
		Credential: t.health.credential,
		State:      t.health.state,
		Model:      t.health.model,
		Detail:     t.health.detail,
		At:         t.health.at.UTC(),
	}
	if t.config.Credential != nil {
		p.CredentialRef = t.config.Credential.Ref
	}
	return p
}

// keySource is what the client asks for the key; nil where there is none to
// ask for.
func (t *target) keySource() func() (string, error) {
	if t.config.Credential == nil {
		return nil
	}
	return t.checkKey
}

// checkKey reads the key and records whether there is one.
func (t *target) checkKey() (string, error) {
	if t.config.Credential == nil {
		t.health.keyFound(statusz.CredentialNone, "")
		return "", nil
	}
	key, err := t.key.read()
	if err != nil {
		t.health.keyFound(statusz.CredentialMissing, asProviderError(err).Detail)
		return "", err
	}
	t.health.keyFound(statusz.CredentialLoaded, "")
	return key, nil
}

// watch probes the provider: at once, when its key changes, seldom while it
// answers, and with a growing pause while it does not.
func (t *target) watch(ctx context.Context) {
	var (
		ticks   = time.NewTicker(keyInterval)
		known   [sha256.Size]byte // digest of the key of the last probe
		last    time.Time         // of the last probe; zero before the first
		backoff = firstBackoff
	)
	defer ticks.Stop()
	for {
		if key, err := t.checkKey(); err == nil {
			digest := sha256.Sum256([]byte(key))
			changed := digest != known
			if changed {
				known, backoff = digest, firstBackoff
				t.health.keyChanged()
			}
			if changed || time.Since(last) >= t.pause(backoff) {
				t.probe(ctx)
				last = time.Now()
				backoff = min(2*backoff, lastBackoff)
				if healthy, _ := t.health.healthy(); healthy {
					backoff = firstBackoff
				}
			}
		} else {
			known = [sha256.Size]byte{} // whatever comes next is a change
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *target) pause(backoff time.Duration) time.Duration {
	switch healthy, doubt := t.health.healthy(); {
	case healthy && doubt:
		return doubtInterval
	case healthy:
		return healthyInterval
	}
	return backoff
}

func (t *target) probe(ctx context.Context) {
	probeCtx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := t.client.Probe(probeCtx)
	if ctx.Err() != nil {
		return // the engine ends: that is no finding
	}
	t.health.probed(err)
}
