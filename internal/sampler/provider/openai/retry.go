package openai

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

const (
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 8 * time.Second
	// maxAsked is the longest time in seconds that a provider can ask for; no
	// request may take as long.
	maxAsked = 24 * 60 * 60
	// maxErrorBody is what is read of an error, of which only the codes count.
	maxErrorBody = 64 << 10
)

// complete asks until there is an answer, or a failure that another request
// would not mend. A provider that asks to wait for longer than there is time for
// gets no second request, and its own answer is what is reported.
func (c *Client) complete(ctx context.Context, body []byte, key string) ([]byte, *provider.Error) {
	for attempt := 0; ; attempt++ {
		data, header, failure := c.ask(ctx, body, key)
		if failure == nil || attempt >= c.options.Retries || ctx.Err() != nil || !mayPass(failure, header) {
			return data, failure
		}
		delay := backoff(attempt, header, time.Now())
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < delay {
			return nil, failure
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, provider.FromTransport(ctx, ctx.Err())
		}
	}
}

// ask makes one request. header is that of the response, nil without one.
func (c *Client) ask(ctx context.Context, body []byte, key string) ([]byte, http.Header, *provider.Error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.completionsURL, bytes.NewReader(body))
	if err != nil {
		return nil, nil, &provider.Error{Kind: provider.KindRejected, Detail: "the base URL cannot be used", Cause: err}
	}
	setHeader(req.Header, key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, provider.FromTransport(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		// Its codes are all that is kept; without them the status says enough.
		data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
		return nil, resp.Header, provider.FromStatus(resp.StatusCode, errorCodes(data))
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, resp.Header, provider.FromTransport(ctx, err)
	}
	return data, resp.Header, nil
}

func setHeader(header http.Header, key string) {
	header.Set("Accept", "application/json")
	header.Set("User-Agent", "mcp-sampler")
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
}

// mayPass reports whether the same request may succeed later. A provider can say
// so itself.
func mayPass(failure *provider.Error, header http.Header) bool {
	switch header.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	if header == nil {
		return true // nobody was reached, or nobody answered
	}
	switch status := failure.Status; status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	default:
		return status >= http.StatusInternalServerError
	}
}

// backoff is how long to wait before the next request: what the provider asks
// for, and else twice as long each time, a little less by chance.
func backoff(attempt int, header http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 {
		return time.Duration(min(ms/1000, maxAsked) * float64(time.Second))
	}
	after := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(after, 64); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, maxAsked) * float64(time.Second))
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(0, at.Sub(now))
	}
	delay := min(firstBackoff<<min(attempt, 8), maxBackoff)
	return delay - rand.N(delay/4)
}

// shortCode is what OpenAI's types and codes of errors look like. Whatever else
// stands there may be a quotation, even of the key.
var shortCode = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

// errorCodes keeps of the provider's words what cannot be a secret.
func errorCodes(data []byte) error {
	var body failed
	if decode(data, &body) != nil {
		return nil
	}
	var codes []string
	for _, code := range []string{body.Error.Type, body.Error.Code} {
		if shortCode.MatchString(code) {
			codes = append(codes, code)
		}
	}
	if codes == nil {
		return nil
	}
	return errors.New(strings.Join(codes, ", "))
}
