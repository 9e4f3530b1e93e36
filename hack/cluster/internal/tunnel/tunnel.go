// Package tunnel joins two connections, so that each gets what the other one sends.
package tunnel

import (
	"io"
	"net"
	"sync"
)

// Join passes bytes on in both directions until both have ended, and closes both connections. The
// end of one direction leaves the other one open.
func Join(left, right net.Conn) {
	defer left.Close()
	defer right.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(left, right) })
	both.Go(func() { pass(right, left) })
	both.Wait()
}

func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}
