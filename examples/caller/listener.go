package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"time"
)

// patience is how long to wait for somebody who listens.
const patience = 10 * time.Second

// awaitListener waits while connections are refused. Who starts a port-forward and
// calls at once is a moment too early. What else is wrong, the call will say.
func awaitListener(ctx context.Context, at string, patience time.Duration) error {
	address, err := url.Parse(at)
	if err != nil {
		return fmt.Errorf("read the URL: %w", err)
	}
	port := address.Port()
	if port == "" {
		port = address.Scheme // net knows both by name
	}
	limit := time.After(patience)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address.Hostname(), port))
		if err == nil {
			return connection.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		select {
		case <-again.C:
		case <-limit:
			return fmt.Errorf("nobody listens at %s: %w", address.Host, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
