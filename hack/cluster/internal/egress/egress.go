// Package egress is the way out of a cluster whose network has none: an HTTP proxy that listens in
// the cluster's network and connects in the machine's.
package egress

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/tunnel"
)

// HealthPath answers 200 for as long as the proxy works. As a path without a host it can't be meant
// for anybody else.
const HealthPath = "/healthz"

// Serve runs the proxy until the listener fails.
func Serve(listener net.Listener) error {
	server := &http.Server{
		Handler:           handler(),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	return fmt.Errorf("serving the way out: %w", server.Serve(listener))
}

// handler tells the three kinds of requests apart: for a tunnel, for a plain request to be passed
// on, and to the proxy itself.
func handler() http.Handler {
	plain := plainProxy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			connect(w, r)
		case r.URL.Scheme == "http" && r.URL.Host != "":
			plain.ServeHTTP(w, r)
		case r.URL.Host == "" && r.URL.Path == HealthPath:
			_, _ = io.WriteString(w, "ok\n")
		default:
			http.Error(w, "this is an HTTP proxy: name it to a client as HTTPS_PROXY and HTTP_PROXY", http.StatusBadRequest)
		}
	})
}

// connect answers CONNECT with a tunnel, through which the caller speaks TLS that nobody reads.
func connect(w http.ResponseWriter, r *http.Request) {
	upstream, err := dial(r.Context(), "tcp", r.Host)
	if err != nil {
		refuse(w, r, err)
		return
	}
	caller, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close()
		refuse(w, r, err)
		return
	}
	if err := greet(caller, upstream, buffered.Reader); err != nil {
		slog.Warn("a tunnel broke at its start", "host", r.Host, "error", err)
		caller.Close()
		upstream.Close()
		return
	}
	tunnel.Join(caller, upstream)
}

// greet says that the tunnel stands and passes on what the caller sent without waiting for that.
func greet(caller, upstream net.Conn, early interface {
	Buffered() int
	Peek(n int) ([]byte, error)
},
) error {
	if _, err := io.WriteString(caller, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return fmt.Errorf("answering the caller: %w", err)
	}
	sent, err := early.Peek(early.Buffered())
	if err != nil {
		return fmt.Errorf("reading what the caller sent early: %w", err)
	}
	if _, err := upstream.Write(sent); err != nil {
		return fmt.Errorf("passing on what the caller sent early: %w", err)
	}
	return nil
}

// plainProxy passes requests on that are not encrypted, and answers as they come.
func plainProxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// Servers on a loopback tend to accept no other name, as a protection against web pages.
			if isHostName(r.Out.URL.Hostname()) {
				r.Out.Host = net.JoinHostPort("127.0.0.1", portOf(r.Out.URL.Port()))
			}
		},
		Transport:     &http.Transport{DialContext: dial, DisableCompression: true, IdleConnTimeout: time.Minute},
		FlushInterval: -1,
		ErrorHandler:  refuse,
		ErrorLog:      slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}

func portOf(port string) string {
	if port == "" {
		return "80"
	}
	return port
}

// refuse says why there is no answer. The log gets the host but no path, which may hold a key.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, errCallersLoopback) {
		status = http.StatusForbidden
	}
	if r.Context().Err() == nil { // Else it is the caller who has gone.
		slog.Warn("no way to a host", "host", r.Host, "error", err)
	}
	http.Error(w, err.Error(), status)
}
