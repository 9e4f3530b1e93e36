package openai

import (
	"net/http"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

func TestBackoff(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		attempt  int
		header   http.Header
		min, max time.Duration
	}{
		"the first":          {0, nil, 375 * time.Millisecond, 500 * time.Millisecond},
		"the third":          {2, http.Header{}, 1500 * time.Millisecond, 2 * time.Second},
		"the hundredth":      {99, nil, 6 * time.Second, 8 * time.Second},
		"in seconds":         {0, http.Header{"Retry-After": {"3"}}, 3 * time.Second, 3 * time.Second},
		"in parts of them":   {0, http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond, 500 * time.Millisecond},
		"in milliseconds":    {0, http.Header{"Retry-After-Ms": {"70"}, "Retry-After": {"9"}}, 70 * time.Millisecond, 70 * time.Millisecond},
		"at a time":          {0, http.Header{"Retry-After": {"Sun, 22 Nov 2026 12:00:07 GMT"}}, 7 * time.Second, 7 * time.Second},
		"at a time gone by":  {0, http.Header{"Retry-After": {"Sun, 22 Nov 2026 11:00:00 GMT"}}, 0, 0},
		"nonsense":           {0, http.Header{"Retry-After": {"soon"}}, 375 * time.Millisecond, 500 * time.Millisecond},
		"less than no time":  {0, http.Header{"Retry-After": {"-1"}}, 375 * time.Millisecond, 500 * time.Millisecond},
		"more than one time": {0, http.Header{"Retry-After": {"1e300"}}, time.Hour, 1 << 62},
	} {
		t.Run(name, func(t *testing.T) {
			if got := backoff(tc.attempt, tc.header, now); got < tc.min || got > tc.max {
				t.Errorf("%s, want %s to %s", got, tc.min, tc.max)
			}
		})
	}
}

func TestMayPass(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		header http.Header
		want   bool
	}{
		"no response":                {0, nil, true},
		"an answer that breaks off":  {0, http.Header{}, false},
		"a conflict":                 {409, http.Header{}, true},
		"too many requests":          {429, http.Header{}, true},
		"a crash":                    {500, http.Header{}, true},
		"a bad request":              {400, http.Header{}, false},
		"a crash that stays":         {500, http.Header{"X-Should-Retry": {"false"}}, false},
		"a bad request for a moment": {400, http.Header{"X-Should-Retry": {"true"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mayPass(&provider.Error{Status: tc.status}, tc.header); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
