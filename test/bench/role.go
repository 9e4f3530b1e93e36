package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

// runRole serves one of the peers in a process of its own, until the program
// that started it ends.
func runRole(ctx context.Context, args []string) error {
	var handler http.Handler
	switch {
	case len(args) == 1 && args[0] == "server":
		handler = &peer.Server{}
	case len(args) == 1 && args[0] == "model":
		handler = peer.Model()
		// It stands for a model without a delay: one processor answers soonest.
		runtime.GOMAXPROCS(1)
	case len(args) == 2 && args[0] == "reverse":
		target, err := url.Parse(args[1])
		if err != nil {
			return fmt.Errorf("target: %w", err)
		}
		handler = peer.ReverseProxy(target)
	default:
		return fmt.Errorf("role %q is none: server, model, or reverse URL", args)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
