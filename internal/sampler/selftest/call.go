package selftest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Options say how Call goes about it.
type Options struct {
	// URL is that of the sampler in front of a server that Serve is.
	URL string
	// Listen is the address of the model, which the sampler's policy names.
	Listen string
	// Timeout is how long the first answer may take: pods start meanwhile.
	Timeout time.Duration
	// Out is told what happens.
	Out io.Writer
}

// How often it is tried, and how long one attempt may take.
const (
	pause   = time.Second
	attempt = 20 * time.Second
)

// Call plays the model, and calls the tool until it answers what only that model
// says.
func Call(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen as the model: %w", err)
	}
	httpServer := &http.Server{Handler: http.HandlerFunc(model), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = httpServer.Serve(listener) // that it ended early the missing answer tells
	}()
	defer func() {
		_ = httpServer.Close() // nobody waits for an answer any more
		<-served
	}()

	_, _ = fmt.Fprintf(o.Out, "calling the tool %s at %s, as a caller that cannot sample, for up to %s\n", tool, o.URL, o.Timeout)
	start := time.Now()
	err = again(ctx, o)
	if err != nil {
		return fmt.Errorf("no answer within %s: %w", o.Timeout, err)
	}
	_, _ = fmt.Fprintf(o.Out, "the server sampled, the model answered, and the caller has the answer after %s\n", time.Since(start).Round(time.Second))
	return nil
}

// again tries until it works or ctx ends, and tells of each other reason why not.
func again(ctx context.Context, o Options) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var last error
	for {
		one, cancel := context.WithTimeout(ctx, attempt)
		err := call(one, o.URL, rand.Text())
		cancel()
		if err == nil {
			return nil
		}
		// An attempt that the end has cut short says less than the one before.
		if last == nil || ctx.Err() == nil {
			if last == nil || last.Error() != err.Error() {
				_, _ = fmt.Fprintf(o.Out, "not yet: %v\n", err)
			}
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return errors.Join(ctx.Err(), last)
			}
			return last
		}
	}
}
