package proxy

import (
	"fmt"
	"syscall"
)

// tcpUserTimeout is the socket option of that name (tcp(7)).
const tcpUserTimeout = 0x12

// boundUnacknowledged has the kernel break a connection whose peer has not
// acknowledged what was sent for unacknowledgedTime: a server's node that is gone
// says nothing more, and TCP alone would try again for a quarter of an hour.
func boundUnacknowledged(_, _ string, c syscall.RawConn) error {
	var failure error
	err := c.Control(func(fd uintptr) {
		failure = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledgedTime.Milliseconds()))
	})
	if err == nil {
		err = failure
	}
	if err != nil {
		return fmt.Errorf("bounding how long sent data may stay unacknowledged: %w", err)
	}
	return nil
}
