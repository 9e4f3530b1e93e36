package explain

import (
	"strconv"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
)

// Limit is one of the policy's limits.
type Limit struct {
	// Name is its path below spec.limits.
	Name  string `json:"name"`
	Value string `json:"value"`
	// Meaning says what is counted.
	Meaning string `json:"meaning"`
}

// limits lists those that are set, in the order of the API.
func limits(l *config.SamplingLimits) []Limit {
	var list []Limit
	count := func(name string, value int64, meaning string) {
		if value > 0 {
			list = append(list, Limit{Name: name, Value: strconv.FormatInt(value, 10), Meaning: meaning})
		}
	}
	for _, scope := range []struct {
		prefix, of                           string
		concurrent                           int
		requests, tokensPerMinute, tokensDay int64
	}{
		{"", "of the server", l.Concurrent, l.RequestsPerMinute, l.TokensPerMinute, l.TokensPerDay},
		{"perSession.", "of one session", l.PerSession.Concurrent, l.PerSession.RequestsPerMinute, l.PerSession.TokensPerMinute, l.PerSession.TokensPerDay},
	} {
		count(scope.prefix+"concurrent", int64(scope.concurrent), "requests "+scope.of+" at the same time")
		count(scope.prefix+"requestsPerMinute", scope.requests, "requests "+scope.of+" in any 60 s")
		count(scope.prefix+"tokensPerMinute", scope.tokensPerMinute, "tokens "+scope.of+" in any 60 s, questions and answers")
		count(scope.prefix+"tokensPerDay", scope.tokensDay, "tokens "+scope.of+" in any 24 h, questions and answers")
	}
	count("requestsPerCall", int64(l.RequestsPerCall), "requests within one call")
	count("requestBytes", l.RequestBytes, "bytes of one request")
	if l.Timeout > 0 {
		list = append(list, Limit{Name: "timeout", Value: l.Timeout.String(), Meaning: "for one request, with waiting, retries and fallbacks"})
	}
	if l.QueueTimeout != nil {
		list = append(list, Limit{Name: "queueTimeout", Value: l.QueueTimeout.String(), Meaning: "of waiting for a turn where a limit is used up"})
	}
	return list
}
