// Package observe asks sampler pods what they have loaded and found. It knows
// addresses only, and nothing of Kubernetes.
//
// What comes back is not trusted: a report is bounded in size, read before a
// deadline, never followed to another address, and its texts are cut and freed
// of control characters before anybody shows them.
package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

const (
	// DefaultTimeout is how long one pod may take to answer.
	DefaultTimeout = 2 * time.Second
	// DefaultParallel is how many pods are asked at the same time.
	DefaultParallel = 8
)

// Options configure an Observer; the zero value is good.
type Options struct {
	// Timeout is how long one pod may take to answer. Zero means
	// DefaultTimeout.
	Timeout time.Duration
	// Parallel is how many pods are asked at the same time. Zero means
	// DefaultParallel.
	Parallel int
}

// Observer asks sampler pods for their reports. It is safe for concurrent use.
type Observer struct {
	client   *http.Client
	timeout  time.Duration
	parallel int
}

// Target is a sampler pod.
type Target struct {
	// Pod is what the Finding is called by.
	Pod string
	// Address is the host and port of the admin listener.
	Address string
	// Since makes the sampler look at the server again if it has not since then;
	// zero leaves it alone.
	Since time.Time
}

// Finding is what became of asking one pod.
type Finding struct {
	Pod string
	// Report is nil if Err is not.
	Report *statusz.Report
	// Err is an *Error.
	Err error
}

// Outcome says why there is no report.
type Outcome string

const (
	// Unreachable means no connection.
	Unreachable Outcome = "Unreachable"
	// TimedOut means no whole report before the deadline.
	TimedOut Outcome = "TimedOut"
	// Refused means an answer other than a report: another HTTP status.
	Refused Outcome = "Refused"
	// Malformed means an answer that cannot be read as a report.
	Malformed Outcome = "Malformed"
	// Canceled means that the caller of Observe gave up.
	Canceled Outcome = "Canceled"
)

// Error says why there is no report of a pod. Its text may hold addresses and
// must not be put into conditions; Outcome may.
type Error struct {
	Outcome Outcome
	err     error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Outcome, e.err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// New returns an Observer.
func New(o Options) *Observer {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	return &Observer{
		timeout:  o.Timeout,
		parallel: o.Parallel,
		client: &http.Client{
			Transport: &http.Transport{
				// No Proxy: pods are asked directly, whatever the environment says.
				DialContext:            (&net.Dialer{Timeout: o.Timeout}).DialContext,
				DisableKeepAlives:      true,
				DisableCompression:     true,
				MaxResponseHeaderBytes: 16 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Observe asks every target and returns one finding each, in the order of
// targets. It returns when all have answered or run out of time.
func (o *Observer) Observe(ctx context.Context, targets []Target) []Finding {
	findings := make([]Finding, len(targets))
	slots := make(chan struct{}, o.parallel)
	var wg sync.WaitGroup
	for i, target := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			findings[i] = o.ask(ctx, target)
		})
	}
	wg.Wait()
	return findings
}

func (o *Observer) ask(ctx context.Context, target Target) Finding {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	report, err := o.fetch(ctx, target)
	if err != nil {
		return Finding{Pod: target.Pod, Err: err}
	}
	sanitise(report)
	return Finding{Pod: target.Pod, Report: report}
}

func (o *Observer) fetch(ctx context.Context, target Target) (*statusz.Report, error) {
	address := target.Address
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &Error{Unreachable, fmt.Errorf("address %q: %w", address, err)}
	}
	from := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: statusz.Path}
	if !target.Since.IsZero() {
		from.RawQuery = url.Values{statusz.ParamSince: {target.Since.UTC().Format(time.RFC3339)}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, &Error{Unreachable, fmt.Errorf("address %q: %w", address, err)}
	}
	req.Header.Set("Accept", "application/json")
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, &Error{outcomeOf(err, Unreachable), err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &Error{Refused, fmt.Errorf("HTTP %d", resp.StatusCode)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, statusz.MaxBytes+1))
	if err != nil {
		return nil, &Error{outcomeOf(err, Unreachable), fmt.Errorf("read the report: %w", err)}
	}
	if len(body) > statusz.MaxBytes {
		return nil, &Error{Malformed, fmt.Errorf("the report is longer than %d bytes", statusz.MaxBytes)}
	}
	// Unknown fields are fine: a newer sampler may run during an upgrade.
	report := &statusz.Report{}
	if err := json.Unmarshal(body, report); err != nil {
		return nil, &Error{Malformed, err}
	}
	return report, nil
}

func outcomeOf(err error, otherwise Outcome) Outcome {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	default:
		return otherwise
	}
}
