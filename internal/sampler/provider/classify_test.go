package provider_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

func TestRetryAfter(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	date := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"nothing is said":                  {nil, 0},
		"seconds":                          {map[string]string{"retry-after": "12"}, 12 * time.Second},
		"parts of a second":                {map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond},
		"milliseconds are more exact":      {map[string]string{"retry-after-ms": "1500", "Retry-After": "2"}, 1500 * time.Millisecond},
		"milliseconds that are not":        {map[string]string{"retry-after-ms": "soon", "Retry-After": "2"}, 2 * time.Second},
		"a date, by the provider's clock":  {map[string]string{"Retry-After": date(now.Add(-time.Hour)), "Date": date(now.Add(-time.Hour - time.Minute))}, time.Minute},
		"a date that has passed":           {map[string]string{"Retry-After": date(now.Add(-time.Hour))}, 0},
		"no date":                          {map[string]string{"Retry-After": "tomorrow"}, 0},
		"less than nothing":                {map[string]string{"Retry-After": "-5"}, 0},
		"not a number":                     {map[string]string{"Retry-After": "NaN"}, 0},
		"longer than anybody waits":        {map[string]string{"Retry-After": "1e300"}, 24 * time.Hour},
		"milliseconds longer than anybody": {map[string]string{"retry-after-ms": "inf"}, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}}
			for name, value := range tc.header {
				resp.Header.Set(name, value)
			}
			got := provider.FromResponse(resp, nil)
			if got.Kind != provider.KindRateLimited || got.RetryAfter != tc.want {
				t.Errorf("%s after %s, want %s after %s", got.Kind, got.RetryAfter, provider.KindRateLimited, tc.want)
			}
		})
	}
}

func TestADateIsMeasuredFromNowWhereNoClockIsShown(t *testing.T) {
	resp := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}}
	resp.Header.Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
	if got := provider.FromResponse(resp, nil).RetryAfter; got < 50*time.Second || got > time.Minute {
		t.Errorf("to wait for %s, want about a minute", got)
	}
}
