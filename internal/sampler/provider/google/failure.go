package google

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// longestRetryDelay bounds what a provider can ask for.
const longestRetryDelay = 24 * time.Hour

// failure classifies an error of the SDK, whose texts quote the answer.
func failure(ctx context.Context, resp *http.Response, err error) *provider.Error {
	if resp == nil {
		return provider.FromTransport(ctx, err)
	}
	cause := innermost(err)
	if ctx.Err() != nil {
		return provider.FromTransport(ctx, cause)
	}
	if resp.StatusCode >= 300 {
		var apiErr genai.APIError
		if errors.As(err, &apiErr) {
			return refusal(resp, apiErr)
		}
		return provider.FromResponse(resp, nil)
	}
	if e := provider.FromTransport(ctx, cause); errors.Is(cause, provider.ErrTooLong) || e.Detail != provider.DetailNoConnection {
		return e
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && strings.Contains(strings.ToLower(wrongType.Field), "functioncall") {
		return &provider.Error{Kind: provider.KindMalformed, Status: resp.StatusCode, Detail: "the arguments of a tool call are not a JSON object"}
	}
	return &provider.Error{Kind: provider.KindInvalid, Status: resp.StatusCode, Detail: "its answer is no generated content"}
}

// innermost is the error that all the others wrap: nobody quotes anything there.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// refusal says what an error of the API means. Google tells a wrong key by a
// reason, not by the status, and when to ask again by a detail.
func refusal(resp *http.Response, apiErr genai.APIError) *provider.Error {
	var codes []string
	add := func(code string) {
		if shortCode.MatchString(code) {
			codes = append(codes, code)
		}
	}
	add(apiErr.Status)
	var (
		wrongKey bool
		delay    time.Duration
	)
	for _, d := range apiErr.Details {
		if reason, ok := d["reason"].(string); ok {
			add(reason)
			wrongKey = wrongKey || reason == "API_KEY_INVALID"
		}
		if text, ok := d["retryDelay"].(string); ok {
			if wait, err := time.ParseDuration(text); err == nil {
				delay = min(max(0, wait), longestRetryDelay)
			}
		}
	}
	var cause error
	if codes != nil {
		cause = errors.New(strings.Join(codes, ", "))
	}
	e := provider.FromResponse(resp, cause)
	if wrongKey {
		e.Kind = provider.KindUnauthorized
	}
	if e.RetryAfter == 0 {
		e.RetryAfter = delay
	}
	return e
}

// shortCode is what Google's names of errors look like. Whatever else stands
// there may be a quotation, even of the key.
var shortCode = regexp.MustCompile(`^[A-Z][A-Z_]{0,63}$`)

// maxRefusal is how much is read of an error that the SDK did not read.
const maxRefusal = 64 << 10

// readRefusal reads an error's body; what it cannot read is left empty.
func readRefusal(body io.Reader) genai.APIError {
	var answer struct {
		Error genai.APIError `json:"error"`
	}
	data, err := io.ReadAll(io.LimitReader(body, maxRefusal))
	if err != nil || json.Unmarshal(data, &answer) != nil {
		return genai.APIError{}
	}
	return answer.Error
}
