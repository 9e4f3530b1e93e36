package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

const (
	// A provider that failed breakAfter times in a row is not asked for
	// breakTime; then one request finds out.
	breakAfter = 5
	breakTime  = 10 * time.Second
)

// target is one provider of the policy.
type target struct {
	config  config.Provider
	client  provider.Provider
	key     credential
	health  health
	breaker *breaker
}

// breaker is shared by all engines that ask the same provider.
type breaker = gobreaker.TwoStepCircuitBreaker[struct{}]

func newBreaker(name string, log *slog.Logger) *breaker {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		Timeout:     breakTime,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakAfter },
		IsExcluded:  saysNothing,
		OnStateChange: func(name string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				log.Warn("a provider fails: it is not asked for a moment", "provider", name, "pause", breakTime)
			case gobreaker.StateClosed:
				log.Info("a provider answers again", "provider", name)
			case gobreaker.StateHalfOpen:
			}
		},
	})
}

// saysNothing reports whether an outcome does not tell whether the provider
// works: nobody waited, nothing was sent, or it did not like this one request.
func saysNothing(err error) bool {
	var failure *provider.Error
	if err == nil {
		return false
	}
	if !errors.As(err, &failure) {
		return !errors.Is(err, errPanicked)
	}
	switch failure.Kind {
	case provider.KindUnreachable, provider.KindTimeout, provider.KindFailed:
		return false
	default:
		return true
	}
}

// errPanicked is the outcome of a request whose client panicked.
var errPanicked = errors.New("the client of the provider panicked")

// call asks the provider once, unless it failed too often lately, and remembers
// how it went. Where the policy's own time for the request ends, that is held
// against a provider which has had fair of it: the rest went by before it was
// asked.
func (t *target) call(ctx context.Context, req provider.Request, fair time.Duration) (response *provider.Response, err error) {
	done, err := t.breaker.Allow()
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindUnavailable, Detail: "not asked: it failed several times in a row", Cause: err}
	}
	err = errPanicked
	outcome := err
	defer func() { done(outcome) }()
	begin := time.Now()
	response, err = t.client.CreateMessage(ctx, req)
	outcome = err
	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errTimeout):
		if time.Since(begin) < fair {
			outcome = errTimeout
			return nil, errTimeout
		}
		t.health.answered(req.Model, err)
		return nil, errTimeout
	case errors.Is(cause, context.Canceled):
		// Nobody waits any more. Whatever the adapter made of that is not the
		// provider's fault.
		outcome = &provider.Error{Kind: provider.KindCanceled, Detail: "canceled", Cause: err}
		return nil, outcome
	}
	t.health.answered(req.Model, err)
	return response, err
}
