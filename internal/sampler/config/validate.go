package config

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxName    = 253
	maxTimeout = Duration(time.Hour)
	maxRetries = 10
	// minResidentInterval keeps looks from being load.
	minResidentInterval = Duration(10 * time.Second)
)

// envName is what POSIX shells can set.
var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate reports everything that is wrong, each problem with its path and
// what to write instead. It expects the defaults to be filled in.
func (e Effective) Validate() error {
	var p problems
	if e.APIVersion != APIVersion {
		p.add("apiVersion", "is %q: this release reads %q only", e.APIVersion, APIVersion)
	}
	p.name("server.name", e.Server.Name)
	if e.Server.Namespace != "" {
		p.name("server.namespace", e.Server.Namespace)
	}
	e.Upstream.validate(&p, "upstream")
	oneOf(&p, "residentSession.mode", e.ResidentSession.Mode, ResidentProbe, ResidentHold, ResidentOff)
	if every := e.ResidentSession.Interval; every < minResidentInterval {
		p.add("residentSession.interval", "is %s: write %s or more", every, minResidentInterval)
	}
	e.Sessions.validate(&p, "sessions")
	for i, origin := range e.AllowedOrigins {
		p.origin(fmt.Sprintf("allowedOrigins[%d]", i), origin)
	}
	e.Limits.validate(&p, "limits")
	if e.Policy != nil {
		e.Policy.validate(&p, "policy")
	}
	return errors.Join(p.errs...)
}

func (u *Upstream) validate(found *problems, at string) {
	const example = "http://127.0.0.1:8000/mcp"
	if u.URL == "" {
		found.add(at+".url", "is missing: write the MCP server's address, like %s", example)
	} else {
		found.url(at+".url", u.URL, example)
	}
	oneOf(found, at+".transport", u.Transport, TransportStreamableHTTP, TransportSSE)
	oneOf(found, at+".protocolEra", u.ProtocolEra, EraAuto, EraLegacy)
	if u.CAFile != "" && !strings.HasPrefix(strings.ToLower(u.URL), "https:") {
		found.add(at+".caFile", "counts for https only: write the url with https, or leave it out")
	}
	validateHeaders(found, at, u.Headers)
}

func validateHeaders(found *problems, at string, headers []Header) {
	names := make([]string, 0, len(headers))
	for i := range headers {
		where := fmt.Sprintf("%s.headers[%d]", at, i)
		headers[i].validate(found, where)
		name := http.CanonicalHeaderKey(headers[i].Name)
		if slices.Contains(names, name) {
			found.add(where+".name", "%q is there twice: write each header once", headers[i].Name)
		}
		names = append(names, name)
	}
}

// headerName is a token of RFC 9110, 5.6.2.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// ownHeaders are those that the sampler or the transport sets for each request.
var ownHeaders = []string{
	"Connection", "Content-Length", "Content-Type", "Accept", "Accept-Encoding", "Host", "Transfer-Encoding", "Te", "Trailer",
	"Upgrade", "Expect", "Keep-Alive", "Proxy-Connection", "Last-Event-Id", "Origin",
}

func (h *Header) validate(found *problems, at string) {
	name := http.CanonicalHeaderKey(h.Name)
	switch {
	case h.Name == "":
		found.add(at+".name", "is missing")
	case len(h.Name) > maxName || !headerName.MatchString(h.Name):
		found.add(at+".name", "is no header name: write one like Authorization")
	case slices.Contains(ownHeaders, name) || strings.HasPrefix(name, "Mcp-"):
		found.add(at+".name", "%q is set for each request: leave it out", h.Name)
	}
	switch {
	case h.Value == "" && h.ValueFrom == nil:
		found.add(at, "has no value: write value or valueFrom")
	case h.Value != "" && h.ValueFrom != nil:
		found.add(at, "has value and valueFrom: write one of them")
	case h.ValueFrom != nil:
		h.ValueFrom.validate(found, at+".valueFrom")
	case strings.ContainsFunc(h.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		found.add(at+".value", "has a line end or another control character: remove it")
	}
}

func (c *Credential) validate(found *problems, at string) {
	switch {
	case c.File == "" && c.Env == "":
		found.add(at, "says neither file nor env: write one of them")
	case c.File != "" && c.Env != "":
		found.add(at, "says file and env: write one of them")
	case c.Env != "" && !envName.MatchString(c.Env):
		// The value is not quoted: it may be a key put here by mistake.
		found.add(at+".env", "is not the name of an environment variable: write the variable's name, not the key")
	}
}

func (s *Sessions) validate(found *problems, at string) {
	if s.Replicas == "" {
		return
	}
	host, port, err := net.SplitHostPort(s.Replicas)
	if err != nil || host == "" || !validPort(port) {
		found.add(at+".replicas", "is %q: write host:port, like sampler.example:8080", s.Replicas)
	}
	if s.KeyFile == "" {
		found.add(at+".keyFile", "is missing: replicas must have the same key to open each other's sessions")
	}
}

func (l *Limits) validate(found *problems, at string) {
	const largest = 256 << 20
	found.ranges(at, []bound{
		{"requestBytes", l.RequestBytes, 1 << 10, largest},
		{"eventBytes", l.EventBytes, 1 << 10, largest},
		{"sessions", int64(l.Sessions), 1, 100_000},
		{"streams", int64(l.Streams), 1, 200_000},
		{"samplingPerSession", int64(l.SamplingPerSession), 1, 256},
	})
}

// problems collects what is wrong, so that a user sees all of it at once.
type problems struct{ errs []error }

// number takes 0 to highest; written so that NaN fails too.
func (p *problems) number(path string, value, highest float64) {
	if !(value >= 0 && value <= highest) {
		p.add(path, "is %v: write 0 to %v", value, highest)
	}
}

func (p *problems) add(path, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

// bound says what a number may be.
type bound struct {
	name     string
	value    int64
	min, max int64
}

func (p *problems) ranges(at string, bounds []bound) {
	for _, b := range bounds {
		if b.value < b.min || b.value > b.max {
			p.add(at+"."+b.name, "is %d: write %d to %d", b.value, b.min, b.max)
		}
	}
}

// name takes whatever the API takes, so that no policy is accepted there and
// refused here.
func (p *problems) name(path, value string) {
	if value == "" {
		p.add(path, "is missing")
	} else if n := utf8.RuneCountInString(value); n > maxName {
		p.add(path, "has %d characters: write at most %d", n, maxName)
	}
}

// url never quotes the value: it may hold a password or a key.
func (p *problems) url(path, value, example string) {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		p.add(path, "is not a URL: write one like %s", example)
	case u.Scheme != "http" && u.Scheme != "https":
		p.add(path, "has no scheme http or https: write a URL like %s", example)
	case u.Hostname() == "":
		p.add(path, "has no host: write a URL like %s", example)
	case u.User != nil:
		p.add(path, "holds a user or password: remove it")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		p.add(path, "has a query or fragment: remove it")
	case u.Port() != "" && !validPort(u.Port()):
		p.add(path, "has port %s: write 1 to 65535", u.Port())
	}
}

func (p *problems) origin(path, value string) {
	if value == "*" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Opaque != "" || u.Scheme+"://"+u.Host != value {
		p.add(path, "is %q: write scheme://host or scheme://host:port without a path, like https://app.example.com, or * for any", value)
	}
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func oneOf[T ~string](p *problems, path string, value T, known ...T) {
	if slices.Contains(known, value) {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	p.add(path, "is %q: write %s", string(value), strings.Join(names, " or "))
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "those you name there"
	}
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}
