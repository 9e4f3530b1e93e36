package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

const (
	idleSessions = 1000
	// settle is how long a process is left alone before its memory is read.
	settle = 8 * time.Second
	// collected is how long it takes until the garbage of the opening is gone:
	// without work, Go collects it every two minutes.
	collected = 150 * time.Second
	starts    = 20
)

// runIdle measures what a sampler costs that has nothing to do: its start, its
// memory, and that of sessions whose streams are open.
func runIdle(ctx context.Context, o options, to io.Writer) (int, error) {
	s, err := newSetup(ctx, o.sampler, "")
	if err != nil {
		return 0, err
	}
	defer s.close()
	start, err := s.measureStarts(ctx)
	if err != nil {
		return 0, err
	}
	sampler, err := s.startSampler(ctx)
	if err != nil {
		return 0, err
	}
	reverse, err := s.startReverse(ctx)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, settle); err != nil {
		return 0, err
	}
	fresh, err := sampler.memory()
	if err != nil {
		return 0, err
	}
	wait := collected
	if o.quick {
		wait = settle
	}
	cost, err := s.measureSessions(ctx, wait, sampler, reverse)
	if err != nil {
		return 0, err
	}
	missed := writeVerdicts(to, []verdict{
		{
			bar: fmt.Sprintf("%d idle sessions with open streams: at most %.0f KiB each", idleSessions, maxSessionKiB),
			measured: fmt.Sprintf("%.1f KiB %s after they began, %.1f KiB after %s more (ReverseProxy: %.1f and %.1f KiB)",
				cost[0].early, settle, cost[0].late, wait, cost[1].early, cost[1].late),
			ok: cost[0].late <= maxSessionKiB,
		},
		{
			bar:      fmt.Sprintf("a sampler that nobody has called yet: at most %.0f MiB RSS", maxIdleMiB),
			measured: fmt.Sprintf("%.1f MiB (of it RssAnon %.1f MiB)", mib(fresh.RSS), mib(fresh.Anon)), ok: mib(fresh.RSS) <= maxIdleMiB,
		},
		{
			bar:      fmt.Sprintf("process start to first answered initialize: at most %s", maxStart),
			measured: fmt.Sprintf("%s ms (the median of %d)", ms(start), starts), ok: start <= maxStart,
		},
	})
	return missed, nil
}

func (s *setup) measureStarts(ctx context.Context) (time.Duration, error) {
	var times []time.Duration
	for range starts {
		took, err := s.measureStart(ctx)
		if err != nil {
			return 0, err
		}
		times = append(times, took)
	}
	return median(times), nil
}

func (s *setup) measureStart(ctx context.Context) (time.Duration, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	cmd := exec.CommandContext(ctx, s.sampler, "serve", "--config", s.config, "--listen", addr, "--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	words := &tail{}
	cmd.Stderr = words
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the sampler: %w", err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	for {
		c := load.NewCaller(load.Target{Addr: addr, Path: peer.Path}, load.Legacy, 0)
		err := c.Initialize()
		took := time.Since(begin)
		c.Drop()
		if err == nil {
			return took, nil
		}
		if took > startTime {
			return 0, fmt.Errorf("the sampler does not answer: %w; its last words:\n%s", err, words)
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return 0, err
		}
	}
}

// growth is by how many KiB each session makes a process grow: soon after they
// began, and later.
type growth struct{ early, late float64 }

// measureSessions opens sessions with their streams through a sampler and a
// reverse proxy.
func (s *setup) measureSessions(ctx context.Context, wait time.Duration, through ...*process) ([]growth, error) {
	out := make([]growth, len(through))
	before := make([]memory, len(through))
	ended := make(chan error, len(through)*idleSessions)
	for i, p := range through {
		target := load.Target{Addr: p.addr, Path: peer.Path, Samples: i > 0}
		// What only the first calls need is not the sessions'.
		warm := load.NewGroup(target, load.Legacy)
		if _, err := warm.Run("echo", 4, 500*time.Millisecond); err != nil {
			return nil, fmt.Errorf("warm up: %w", err)
		}
		warm.Close()
		if err := sleep(ctx, settle); err != nil {
			return nil, err
		}
		var err error
		if before[i], err = p.memory(); err != nil {
			return nil, err
		}
		for n := range idleSessions {
			c := load.NewCaller(target, load.Legacy, n)
			defer c.Drop()
			if err := c.Open(); err != nil {
				return nil, fmt.Errorf("session %d: %w", n, err)
			}
			if err := c.Listen(func(err error) { ended <- err }); err != nil {
				return nil, fmt.Errorf("session %d: %w", n, err)
			}
			c.Rest() // what is left open of an idle session is its stream
		}
		if err := sleep(ctx, settle); err != nil {
			return nil, err
		}
		if out[i].early, err = grown(p, before[i]); err != nil {
			return nil, err
		}
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	for i, p := range through {
		var err error
		if out[i].late, err = grown(p, before[i]); err != nil {
			return nil, err
		}
	}
	select {
	case err := <-ended:
		return nil, fmt.Errorf("a stream did not stay open: %w", err)
	default:
		return out, nil
	}
}

func grown(p *process, since memory) (float64, error) {
	now, err := p.memory()
	return float64(now.RSS-since.RSS) / idleSessions, err
}

// sleep waits, or returns why there is nothing to wait for any more.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", ctx.Err())
	case <-time.After(d):
		return nil
	}
}
