// Package loopback keeps web pages away from what listens for this machine only.
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Only refuses requests for another host where l is only for this machine:
// a web page can have its own name resolve to 127.0.0.1 and so talk to what
// listens there (DNS rebinding; specification: basic/transports, security). A
// server behind cannot tell, because a proxy asks it by its own name.
func Only(l net.Listener, next http.Handler) http.Handler {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "this is only for this machine: ask for localhost or 127.0.0.1, or start it with --listen for another address",
				http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header names this machine.
func isLocal(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
