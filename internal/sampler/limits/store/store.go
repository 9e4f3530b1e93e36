// Package store counts limits in a Redis, a Valkey, or whatever speaks their
// protocol, for all samplers of one server together. Each step is one script in
// the store, so that nothing comes between looking and counting.
package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/secret"
)

//go:embed limits.lua
var source string

var script = redis.NewScript(source)

const (
	// Counts are kept a little longer than the longest window that they are for.
	dayTTL    = 24*time.Hour + 15*time.Minute
	minuteTTL = 3 * time.Minute

	// exact is the largest number that scripts count exactly.
	exact = 1 << 53
)

// Options configure a Client.
type Options struct {
	Server config.Server
	Store  config.Store
	// Timeout bounds each step.
	Timeout time.Duration
	// Lease is how long a place is kept that nobody renews.
	Lease time.Duration
}

// Client is one sampler's way to the store. It may be used concurrently.
type Client struct {
	rdb     *redis.Client
	prefix  string
	timeout time.Duration
	lease   time.Duration
}

// Ceilings are limits; 0 is none.
type Ceilings struct{ Concurrent, Requests, Tokens, Daily int64 }

// Lease is a place in the store.
type Lease struct {
	// ID is NewID's.
	ID string
	// Session is counted for, too, unless it is empty.
	Session      string
	Likely, Most int64
	// Daily says that the session's counts are needed for a day.
	Daily bool
}

// Limit says which of the Ceilings.
type Limit int

// Limits, by the numbers that the script gives them.
const (
	Concurrent Limit = 1 + iota
	Requests
	Tokens
	Daily
)

// Verdict is the store's word on a request.
type Verdict struct {
	Granted bool
	// Limit leaves no room, on the server or on the session.
	Limit      Limit
	PerSession bool
	// Earliest is how long it takes at least; 0 where that is not known.
	Earliest time.Duration
}

// Settlement is what has become of a lease.
type Settlement struct {
	Lease Lease
	Used  int64
}

// silence keeps the library from a log of its own, which names addresses.
var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// New makes a client. It connects when it is first used.
func New(o Options) *Client {
	silence()
	c := &Client{
		prefix:  "mcp-sampling:{" + url.PathEscape(o.Server.Namespace) + "/" + url.PathEscape(o.Server.Name) + "}:",
		timeout: o.Timeout,
		lease:   o.Lease,
	}
	options := &redis.Options{
		Addr: o.Store.Address,
		// RESP2 needs no greeting, which some that speak the protocol do not know.
		Protocol:                 2,
		DialTimeout:              o.Timeout,
		ReadTimeout:              o.Timeout,
		WriteTimeout:             o.Timeout,
		PoolTimeout:              o.Timeout,
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		DialerRetries:            1,
		PoolSize:                 32,
		MaxIdleConns:             2,
		ReadBufferSize:           4 << 10,
		WriteBufferSize:          4 << 10,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.Store.Credential != nil {
		password := secret.NewCached(o.Store.Credential, "password")
		options.CredentialsProviderContext = func(context.Context) (string, string, error) {
			text, err := password.Read()
			return o.Store.Username, text, err
		}
	}
	if o.Store.TLS {
		options.TLSConfig = clientTLS(o.Store)
	}
	c.rdb = redis.NewClient(options)
	return c
}

// Close ends all connections.
func (c *Client) Close() error { return c.rdb.Close() }

// NewID names a lease like no other.
func NewID() string { return rand.Text() }

// Ping asks whether the store answers.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping the store: %w", err)
	}
	return nil
}

// Acquire asks for a place, after it has told what became of others.
func (c *Client) Acquire(ctx context.Context, settled []Settlement, l Lease, server, session Ceilings) (Verdict, error) {
	steps := make([]step, 0, len(settled)+1)
	for _, s := range settled {
		steps = append(steps, c.settlement(s))
	}
	args := []any{l.member(), c.lease.Milliseconds()}
	for _, limits := range []Ceilings{server, session} {
		args = append(args, bounded(limits.Concurrent), bounded(limits.Requests), bounded(limits.Tokens), bounded(limits.Daily))
	}
	answers, err := c.run(ctx, append(steps, c.step("acquire", l, args...))...)
	if err != nil {
		return Verdict{}, fmt.Errorf("ask the store for a place: %w", err)
	}
	a := answers[len(answers)-1]
	return Verdict{
		Granted:    a[0] == 0,
		Limit:      Limit(a[0]),
		PerSession: a[1] == 1,
		Earliest:   time.Duration(a[2]) * time.Millisecond,
	}, nil
}

// Settle tells what became of leases.
func (c *Client) Settle(ctx context.Context, settled []Settlement) error {
	if len(settled) == 0 {
		return nil
	}
	steps := make([]step, 0, len(settled))
	for _, s := range settled {
		steps = append(steps, c.settlement(s))
	}
	if _, err := c.run(ctx, steps...); err != nil {
		return fmt.Errorf("tell the store what was used: %w", err)
	}
	return nil
}

// Renew keeps places.
func (c *Client) Renew(ctx context.Context, leases []Lease) error {
	if len(leases) == 0 {
		return nil
	}
	steps := make([]step, 0, len(leases))
	for _, l := range leases {
		steps = append(steps, c.step("renew", l, c.lease.Milliseconds(), l.member()))
	}
	if _, err := c.run(ctx, steps...); err != nil {
		return fmt.Errorf("keep places in the store: %w", err)
	}
	return nil
}

// Report tells what was used without asking.
func (c *Client) Report(ctx context.Context, requests, tokens, daily int64) error {
	if requests|tokens|daily == 0 {
		return nil
	}
	if _, err := c.run(ctx, c.step("report", Lease{}, bounded(requests), bounded(tokens), bounded(daily))); err != nil {
		return fmt.Errorf("tell the store what was used meanwhile: %w", err)
	}
	return nil
}

func (c *Client) settlement(s Settlement) step {
	return c.step("settle", s.Lease, s.Lease.member(), bounded(s.Used))
}

func (l Lease) member() string {
	return l.ID + "|" + strconv.FormatInt(bounded(l.Likely), 10) + "|" + strconv.FormatInt(bounded(l.Most), 10)
}

func bounded(n int64) int64 { return min(max(n, 0), exact) }

// A step is one run of the script.
type step struct {
	keys []string
	args []any
}

func (c *Client) step(command string, l Lease, args ...any) step {
	s := step{keys: []string{c.prefix + "counts", c.prefix + "leases"}}
	ttl := minuteTTL + c.lease
	if l.Session != "" {
		// Names of sessions are not for those who read the store.
		digest := sha256.Sum256([]byte(l.Session))
		name := c.prefix + "session:" + hex.EncodeToString(digest[:16])
		s.keys = append(s.keys, name+":counts", name+":leases")
		if l.Daily {
			ttl = dayTTL + c.lease
		}
	}
	s.args = append([]any{command, (dayTTL + c.lease).Milliseconds(), ttl.Milliseconds()}, args...)
	return s
}

// run takes steps in their order, in one round trip.
func (c *Client) run(ctx context.Context, steps ...step) ([][]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	answers, err := c.pipeline(ctx, steps)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		// A store that was started anew knows no script, so no step was taken.
		if err := script.Load(ctx, c.rdb).Err(); err != nil {
			return nil, err
		}
		answers, err = c.pipeline(ctx, steps)
	}
	return answers, err
}

func (c *Client) pipeline(ctx context.Context, steps []step) ([][]int64, error) {
	commands := make([]*redis.Cmd, len(steps))
	_, err := c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range steps {
			commands[i] = p.EvalSha(ctx, script.Hash(), s.keys, s.args...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	answers := make([][]int64, len(steps))
	for i, cmd := range commands {
		if answers[i], err = cmd.Int64Slice(); err != nil {
			return nil, err
		}
		if len(answers[i]) != 3 {
			return nil, errors.New("the store's answer has another form")
		}
	}
	return answers, nil
}

// clientTLS verifies with the file's certificates as they are at each handshake.
func clientTLS(s config.Store) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile == "" {
		return c
	}
	// The library's own verification knows one set of roots for ever, so it is
	// done here, in the same way. The state names no host where it is an address.
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		host = s.Address
	}
	c.InsecureSkipVerify = true //nolint:gosec // VerifyConnection does it
	c.VerifyConnection = func(state tls.ConnectionState) error {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return fmt.Errorf("read the certificates of the store: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("the file of the store's certificates holds none")
		}
		between := x509.NewCertPool()
		for _, cert := range state.PeerCertificates[1:] {
			between.AddCert(cert)
		}
		_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{
			DNSName: host, Roots: roots, Intermediates: between,
		})
		return err
	}
	return c
}
