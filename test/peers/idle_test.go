package peers

import (
	"context"
	"sync"
	"testing"
	"time"
)

// keptAlive is how long Uvicorn and Node keep an idle connection.
const keptAlive = 5 * time.Second

// TestCallsAsTheServerClosesIdleConnections calls tools at and around the moment
// in which servers close connections that nobody used: a request that was just
// sent on one of those would be lost.
func TestCallsAsTheServerClosesIdleConnections(t *testing.T) {
	t.Parallel()
	const (
		sessions  = 40
		allAtOnce = 20 * time.Millisecond // what so many calls take
	)
	for name, start := range map[string]func(t *testing.T) string{
		"Uvicorn": listening("/mcp", func() []string { return python(lab.fastmcp3, "python1.py", "http") }),
		"Node":    listening("/mcp", func() []string { return node("typescript1.mjs", "http") }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, modelURL := model(t)
			through := always(t, start(t), modelURL)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			callers := make([]rawCaller, sessions)
			for i := range callers {
				callers[i] = newHTTPCaller(t, through, legacy, map[string]any{})
			}
			// All at once, so that each takes a connection of its own, which are
			// then idle for about as long as the server allows.
			for round := range 3 {
				if round > 0 {
					<-time.After(keptAlive - allAtOnce) // time is what this is about
				}
				var group sync.WaitGroup
				for i, c := range callers {
					group.Go(func() {
						if got, err := tool(ctx, c, "echo", text); err != nil || got != "hello" {
							t.Errorf("session %d: echo said %q, %v", i, got, err)
						}
					})
				}
				group.Wait()
				if t.Failed() {
					return
				}
			}
		})
	}
}
