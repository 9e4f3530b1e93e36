package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

// check tells whether something works by now, and if not, why.
type check func(ctx context.Context) error

// poll asks until the answer is yes, the context ends or the limit is over.
func poll(ctx context.Context, until check) error {
	deadline := time.Now().Add(startLimit)
	for {
		callCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := until(callCtx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready after %s: %w", startLimit, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollPause):
		}
	}
}

func socketListens(path string) check {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answersHTTP asks a part on the node's own loopback. Some of these make a certificate up at their
// start that nobody knows, and nothing is told to them that a stranger may not know.
func answersHTTP(url string) check {
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // See above.
		DisableKeepAlives: true,
	}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answered %s: %s", url, resp.Status, body)
		}
		return nil
	}
}

// dnsAnswers asks as a pod would: by the address of the DNS service.
func dnsAnswers(ctx context.Context) error {
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(settings.DNSAddress, "53"))
		},
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+settings.Domain+".")
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		return errors.New("the API server's name has no address")
	}
	return nil
}
