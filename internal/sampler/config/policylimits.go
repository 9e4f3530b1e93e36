package config

import (
	"errors"
	"net"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxConcurrent       = 10_000
	maxRequestsPerTime  = 1_000_000
	maxTokensPerTime    = 1_000_000_000_000
	maxRequestsPerCall  = 10_000
	maxRequestBytes     = 256 << 20
	maxShares           = 100
	minRequestTimeout   = Duration(time.Second)
	maxQueueTimeout     = Duration(10 * time.Minute)
	exampleStoreAddress = "redis.example:6379"
)

func (l *SamplingLimits) validate(found *problems, at string) {
	found.ranges(at, []bound{
		{"concurrent", int64(l.Concurrent), 0, maxConcurrent},
		{"requestsPerMinute", l.RequestsPerMinute, 0, maxRequestsPerTime},
		{"tokensPerMinute", l.TokensPerMinute, 0, maxTokensPerTime},
		{"tokensPerDay", l.TokensPerDay, 0, maxTokensPerTime},
		{"perSession.concurrent", int64(l.PerSession.Concurrent), 0, maxConcurrent},
		{"perSession.requestsPerMinute", l.PerSession.RequestsPerMinute, 0, maxRequestsPerTime},
		{"perSession.tokensPerMinute", l.PerSession.TokensPerMinute, 0, maxTokensPerTime},
		{"perSession.tokensPerDay", l.PerSession.TokensPerDay, 0, maxTokensPerTime},
		{"requestsPerCall", int64(l.RequestsPerCall), 1, maxRequestsPerCall},
		{"shares", int64(l.Shares), 1, maxShares},
	})
	if l.RequestBytes != 0 {
		found.ranges(at, []bound{{"requestBytes", l.RequestBytes, 1 << 10, maxRequestBytes}})
	}
	for _, pair := range []struct {
		name            string
		session, server int64
	}{
		{"concurrent", int64(l.PerSession.Concurrent), int64(l.Concurrent)},
		{"requestsPerMinute", l.PerSession.RequestsPerMinute, l.RequestsPerMinute},
		{"tokensPerMinute", l.PerSession.TokensPerMinute, l.TokensPerMinute},
		{"tokensPerDay", l.PerSession.TokensPerDay, l.TokensPerDay},
	} {
		if pair.server > 0 && pair.session > pair.server {
			found.add(at+".perSession."+pair.name, "is %d, above the server's, so that it never counts: write at most %d, or leave it out",
				pair.session, pair.server)
		}
	}
	if l.Timeout < minRequestTimeout || l.Timeout > maxTimeout {
		found.add(at+".timeout", "is %s: write %s to %s", l.Timeout, minRequestTimeout, maxTimeout)
	}
	if q := l.QueueTimeout; q != nil && (*q < 0 || *q > maxQueueTimeout) {
		found.add(at+".queueTimeout", "is %s: write 0s to %s", *q, maxQueueTimeout)
	}
	if l.Store != nil {
		if l.Concurrent == 0 && l.RequestsPerMinute == 0 && l.TokensPerMinute == 0 && l.TokensPerDay == 0 {
			found.add(at+".store", "has nothing to count: write concurrent, requestsPerMinute, tokensPerMinute or tokensPerDay, or leave it out")
		}
		l.Store.validate(found, at+".store")
	}
}

func (s *Store) validate(found *problems, at string) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil || host == "" || len(s.Address) > maxName || !validPort(port) || strings.ContainsAny(host, " /@") {
		// Not quoted: it may hold a password.
		found.add(at+".address", "is no address: write host:port, like %s", exampleStoreAddress)
	}
	if s.Credential != nil {
		s.Credential.validate(found, at+".credential")
	} else if s.Username != "" {
		found.add(at+".username", "needs a credential: write credential, or leave it out")
	}
	if len(s.Username) > maxName {
		found.add(at+".username", "has %d bytes: write at most %d", len(s.Username), maxName)
	}
	if s.CAFile != "" && !s.TLS {
		found.add(at+".caFile", "counts for TLS only: write tls: true, or leave it out")
	}
	oneOf(found, at+".onUnavailable", s.OnUnavailable, FailOpen, FailClosed)
}

// syntaxError says what is wrong with a pattern without quoting it.
func syntaxError(err error) string {
	var wrong *syntax.Error
	if errors.As(err, &wrong) {
		return wrong.Code.String()
	}
	return "it does not compile"
}

// reference is $name, ${name} or $$ of a replacement.
var reference = regexp.MustCompile(`\$(?:\$|\{(\w+)\}|(\w+))`)

// unknownGroup returns a group that a replacement names and the pattern has not,
// which would stand for nothing.
func unknownGroup(re *regexp.Regexp, replacement string) string {
	for _, m := range reference.FindAllStringSubmatch(replacement, -1) {
		name := m[1] + m[2]
		if name == "" {
			continue
		}
		if n, err := strconv.Atoi(name); err == nil {
			if n > re.NumSubexp() {
				return name
			}
		} else if !slices.Contains(re.SubexpNames(), name) {
			return name
		}
	}
	return ""
}
