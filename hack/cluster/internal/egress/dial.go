package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// HostName is the name of the machine's own loopback. Callers need one because the addresses
// themselves mean the caller's loopback, which no client asks a proxy for.
const HostName = "host.devcluster.internal"

const dialLimit = 30 * time.Second

// errCallersLoopback answers callers that ask for an address which is their own.
var errCallersLoopback = errors.New("a loopback address is the caller's own; the loopback of the machine that the cluster runs on is " + HostName)

// dial connects to a host and port in the network that this process is in.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("splitting host and port: %w", err)
	}
	if !isHostName(host) {
		// The check is made on each address that a name stands for, right before it is used.
		dialer := net.Dialer{Timeout: dialLimit, Control: refuseLoopback}
		return dialer.DialContext(ctx, network, address)
	}
	// Servers listen on either of the two, seldom on both.
	dialer := net.Dialer{Timeout: dialLimit}
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err == nil {
		return conn, nil
	}
	if conn, err6 := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}

func isHostName(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), HostName)
}

func refuseLoopback(_, address string, _ syscall.RawConn) error {
	if isLoopback(address) {
		return errCallersLoopback
	}
	return nil
}

// isLoopback tells whether the address and port lead to the machine itself. What is no address
// counts as one that does.
func isLoopback(address string) bool {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return true
	}
	ip := parsed.Addr().Unmap()
	return ip.IsLoopback() || ip.IsUnspecified()
}
