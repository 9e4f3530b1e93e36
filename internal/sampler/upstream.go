package sampler

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/cabundle"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/proxy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/telemetry"
)

// newHandler makes the proxy to a server, and all that it reads from files.
func (l *live) newHandler(c *config.Effective) (*proxy.Handler, error) {
	upstream, err := url.Parse(c.Upstream.URL)
	if err != nil {
		return nil, fmt.Errorf("upstream.url: %w", err)
	}
	o := proxy.Options{
		Upstream: upstream, ServerName: c.Server.Name, Sampling: l, Logger: l.log,
		SSE:             c.Upstream.Transport == config.TransportSSE,
		SteerToSessions: c.Upstream.ProtocolEra == config.EraLegacy,
		External:        c.Upstream.External,
		UpstreamHeader:  serverHeader(c.Upstream.Headers),
		Telemetry:       l.telemetry,
		Tracer:          l.tracer,
		Before:          l.handler.Load(),
		Settings:        settings(c),
		Refused:         func(why proxy.Refusal) { l.telemetry.Request(l.policyName(), telemetry.Refused, string(why)) },
	}
	if o.Replicas = c.Sessions.Replicas; o.Replicas != "" {
		if o.Self, err = ownAddress(l.advertise, o.Replicas); err != nil {
			return nil, err
		}
	}
	if o.Sealer, err = l.newSealer(c.Sessions.KeyFile); err != nil {
		return nil, fmt.Errorf("sessions.keyFile: %w", err)
	}
	if c.Upstream.CAFile != "" {
		o.RootCAs = certificates(c.Upstream.CAFile, l.log)
	}
	handler, err := proxy.New(o)
	if err != nil {
		return nil, fmt.Errorf("set up the proxy: %w", err)
	}
	return handler, nil
}

// ownAddress is where the other replicas reach this one. An address alone, which
// is all that a pod knows of itself, gets the port that the replicas share.
func ownAddress(advertise, replicas string) (string, error) {
	if addr, err := netip.ParseAddr(advertise); err == nil {
		_, port, err := net.SplitHostPort(replicas)
		if err != nil {
			return "", fmt.Errorf("sessions.replicas: %w", err)
		}
		return net.JoinHostPort(addr.String(), port), nil
	}
	if _, err := netip.ParseAddrPort(advertise); err != nil {
		return "", fmt.Errorf("sessions.replicas: the sampler's own address among them is %q: start it with --advertise IP or IP:PORT, or SAMPLER_ADVERTISE", advertise)
	}
	return advertise, nil
}

// maxSessionKey is more than any key has.
const maxSessionKey = 64 << 10

// newSealer reads the key that names of sessions are sealed with. It is read
// once: with another one the names that callers have would be worth nothing.
// White space is part of it, as its bytes are random.
func (l *live) newSealer(path string) (*seal.Sealer, error) {
	if path == "" {
		if l.sealer == nil || l.keyFile != "" {
			l.sealer, l.keyFile = seal.NewRandomSealer(), ""
		}
		return l.sealer, nil
	}
	if l.sealer != nil && l.keyFile == path {
		return l.sealer, nil
	}
	key, err := readFile(path, maxSessionKey)
	if err != nil {
		return nil, fmt.Errorf("read the key of sessions: %w", err)
	}
	sealer, err := seal.NewSealer(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.sealer, l.keyFile = sealer, path
	return sealer, nil
}

// sessionKey tells the key of newSealer from that of another sampler.
func (l *live) sessionKey() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sealer.Digest()
}

func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the file
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > most:
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, nil
}

// serverHeader returns what makes the headers that requests to the server carry
// in place of the caller's; nil where there are none.
func serverHeader(headers []config.Header) func() (http.Header, error) {
	if len(headers) == 0 {
		return nil
	}
	secrets := make([]*secret.Cached, len(headers))
	for i, h := range headers {
		if h.ValueFrom != nil {
			secrets[i] = secret.NewCached(h.ValueFrom, "value")
		}
	}
	return func() (http.Header, error) {
		out := make(http.Header, len(headers))
		for i, h := range headers {
			value := h.Value
			if secrets[i] != nil {
				var err error
				if value, err = secrets[i].Read(); err != nil {
					return nil, fmt.Errorf("header %s, %s: %w", h.Name, place(h.ValueFrom), err)
				}
				if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
					return nil, fmt.Errorf("header %s, %s: the value has a line end or another control character", h.Name, place(h.ValueFrom))
				}
			}
			out[http.CanonicalHeaderKey(h.Name)] = []string{value}
		}
		return out, nil
	}
}

// place is what users call the place of a secret.
func place(c *config.Credential) string {
	switch {
	case c.Ref != "":
		return c.Ref
	case c.Env != "":
		return "environment variable " + c.Env
	}
	return "file " + c.File
}

// certificates returns what gives the newest certificates of a file. It may come
// later, as keys may: until then no certificate is good.
func certificates(path string, log *slog.Logger) func() *x509.CertPool {
	file, none := cabundle.New(path), x509.NewCertPool()
	return func() *x509.CertPool {
		pool, err := file.Pool()
		if err != nil {
			log.Warn("the CA bundle cannot be read, what was read before stays", "error", err)
		}
		return cmp.Or(pool, none)
	}
}
