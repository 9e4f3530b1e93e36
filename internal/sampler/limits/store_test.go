package limits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// redisServer is a real one.
type redisServer struct {
	address string
	args    []string
	process *exec.Cmd
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	r := &redisServer{address: address, args: append([]string{
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir(),
	}, args...)}
	r.start(t)
	t.Cleanup(func() { r.kill() })
	return r
}

func (r *redisServer) start(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("this test needs a redis-server: hack/redis.sh installs one: %v", err)
	}
	r.process = exec.Command(program, r.args...)
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store listens", func() bool {
		conn, err := net.Dial("tcp", r.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (r *redisServer) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(20 * time.Second)
	defer end.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("in vain until %s", what)
		}
	}
}

// replica is a running limiter.
type replica struct {
	*Limiter
	log  *bytes.Buffer
	stop func()
}

func newReplica(t *testing.T, limits config.SamplingLimits, change ...func(*timing)) *replica {
	t.Helper()
	var log bytes.Buffer
	l, err := New(Options{
		Server: config.Server{Name: "files}", Namespace: "{tools"}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(&l.timing)
	}
	if err := l.Configure(limits); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		l.Run(ctx)
		close(done)
	}()
	r := &replica{Limiter: l, log: &log, stop: sync.OnceFunc(func() { cancel(); <-done })}
	t.Cleanup(r.stop)
	return r
}

func (r *replica) wait(t *testing.T, want statusz.StoreState) statusz.Store {
	t.Helper()
	eventually(t, "the store is "+string(want), func() bool { return r.Status().State == want })
	return *r.Status()
}

func TestSamplersNeverExceedALimitTogether(t *testing.T) {
	server := startRedis(t)
	limits := config.SamplingLimits{
		Concurrent: 5, RequestsPerMinute: 200, TokensPerMinute: 100_000, QueueTimeout: queueTimeout(2 * time.Second),
		Shares: 3, Store: &config.Store{Address: server.address},
	}
	var mu sync.Mutex
	running, most, requests, tokens := 0, 0, 0, int64(0)
	var wg sync.WaitGroup
	for range 3 {
		l := newReplica(t, limits)
		l.wait(t, statusz.StoreHealthy)
		for i := range 16 {
			wg.Go(func() {
				for range 10 {
					lease, err := l.Acquire(t.Context(), Ask{Session: fmt.Sprint(i), Likely: 100, Most: 1000})
					if _, ok := errors.AsType[*Exceeded](err); ok {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					running++
					requests++
					tokens += 300
					most = max(most, running)
					mu.Unlock()
					mu.Lock()
					running--
					mu.Unlock()
					lease.Done(300)
				}
			})
		}
	}
	wg.Wait()
	if requests != 200 || most > 5 {
		t.Errorf("%d requests went, %d at the same time; want all of 200, and at most 5 (%d tokens)", requests, most, tokens)
	}
	late := newReplica(t, limits)
	late.wait(t, statusz.StoreHealthy)
	_, err := late.Acquire(t.Context(), Ask{Session: "late"})
	exceeded, ok := errors.AsType[*Exceeded](err)
	if !ok || exceeded.Limit != RequestsPerMinute || exceeded.Max != 200 || exceeded.RetryAfter < 30*time.Second || exceeded.RetryAfter > 61*time.Second {
		t.Errorf("one more was answered by %+v, want a refusal until a minute has passed", err)
	}
}

func TestSamplersCountTokensTogether(t *testing.T) {
	for name, test := range map[string]struct {
		limits config.SamplingLimits
		want   *Exceeded
	}{
		"of a minute":   {config.SamplingLimits{TokensPerMinute: 100}, &Exceeded{Limit: TokensPerMinute, Max: 100}},
		"of a day":      {config.SamplingLimits{TokensPerDay: 101}, &Exceeded{Limit: TokensPerDay, Max: 101}},
		"of a session":  {config.SamplingLimits{PerSession: config.SessionLimits{TokensPerDay: 102}}, &Exceeded{Limit: SessionTokensPerDay, Max: 102}},
		"one at a time": {config.SamplingLimits{PerSession: config.SessionLimits{Concurrent: 1}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			server := startRedis(t)
			test.limits.QueueTimeout = queueTimeout(0)
			test.limits.Store = &config.Store{Address: server.address}
			a, b := newReplica(t, test.limits), newReplica(t, test.limits)
			ask := Ask{Session: name, Likely: 60, Most: 60}
			acquire(t, a.Limiter, ask).Done(60)
			eventually(t, "it is told", func() bool {
				a.mu.Lock()
				defer a.mu.Unlock()
				return len(a.link.pending) == 0
			})
			lease, err := b.Acquire(t.Context(), ask)
			got, _ := errors.AsType[*Exceeded](err)
			switch {
			case test.want == nil && err == nil:
				lease.Done(0)
			case test.want == nil || got == nil || got.Limit != test.want.Limit || got.Max != test.want.Max || got.RetryAfter <= 0:
				t.Errorf("got %+v, want %+v with a time", err, test.want)
			}
		})
	}
}

func TestAStoreThatIsGone(t *testing.T) {
	for _, onUnavailable := range []config.OnUnavailable{config.FailOpen, config.FailClosed} {
		t.Run(string(onUnavailable), func(t *testing.T) {
			server := startRedis(t)
			l := newReplica(t, config.SamplingLimits{
				RequestsPerMinute: 9, Shares: 3, QueueTimeout: queueTimeout(0),
				Store: &config.Store{Address: server.address, OnUnavailable: onUnavailable},
			})
			l.wait(t, statusz.StoreHealthy)
			acquire(t, l.Limiter, Ask{}).Done(0)
			running := acquire(t, l.Limiter, Ask{})
			server.kill()

			start := time.Now()
			for i := range 3 {
				lease, err := l.Acquire(t.Context(), Ask{})
				switch {
				case onUnavailable == config.FailClosed:
					if _, ok := errors.AsType[*Unavailable](err); !ok {
						t.Errorf("request %d: got %v, want that the store does not answer", i, err)
					}
				case i == 0 && err != nil: // the third of this sampler's share
					t.Errorf("request %d: %v", i, err)
				case i > 0 && err == nil:
					t.Errorf("request %d went, though the share of 3 is used up", i)
				}
				if lease != nil {
					lease.Done(0)
				}
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("three requests took %s without the store", took)
			}
			status := l.wait(t, statusz.StoreUnreachable)
			if status.Detail == "" || status.FailsClosed != (onUnavailable == config.FailClosed) {
				t.Errorf("status %+v", status)
			}
			running.Done(0)

			server.start(t)
			l.wait(t, statusz.StoreHealthy)
			went := 0
			for range 9 {
				if lease, err := l.Acquire(t.Context(), Ask{}); err == nil {
					lease.Done(0)
					went++
				}
			}
			want := 7 // 2 before
			if onUnavailable == config.FailOpen {
				want = 6 // and one meanwhile
			}
			if went != want {
				t.Errorf("%d requests went afterwards, want %d: what was used before counts", went, want)
			}
			l.stop()
			if n := strings.Count(l.log.String(), "answers again"); n != 1 {
				t.Errorf("logged %d times that it answers again, want once:\n%s", n, l.log)
			}
			if n := strings.Count(l.log.String(), "does not answer"); n > 3 {
				t.Errorf("logged %d times that it does not answer:\n%s", n, l.log)
			}
		})
	}
}

func TestAStoreThatHangsDoesNotHangSampling(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := newReplica(t, config.SamplingLimits{Store: &config.Store{Address: listener.Addr().String()}})
	start := time.Now()
	for range 20 {
		acquire(t, l.Limiter, Ask{}).Done(0)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("20 requests took %s", took)
	}
	if status := l.wait(t, statusz.StoreUnreachable); status.Detail != "no answer in time" {
		t.Errorf("the detail is %q", status.Detail)
	}
}

func TestThePlacesOfASamplerThatIsGoneComeBack(t *testing.T) {
	server := startRedis(t)
	limits := config.SamplingLimits{Concurrent: 1, TokensPerMinute: 100, Store: &config.Store{Address: server.address}}
	fast := func(tm *timing) { tm.lease, tm.renew = 600*time.Millisecond, 200*time.Millisecond }
	gone, other := newReplica(t, limits, fast), newReplica(t, limits, fast)
	acquire(t, gone.Limiter, Ask{Likely: 30, Most: 50})

	// As long as it lives, its place is its own.
	short := limits
	short.QueueTimeout = queueTimeout(1500 * time.Millisecond)
	if err := other.Configure(short); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Acquire(t.Context(), Ask{Likely: 1, Most: 1}); err == nil {
		t.Fatal("the place was given away though it was renewed")
	}

	gone.stop()
	lease := acquire(t, other.Limiter, Ask{Likely: 1, Most: 70}) // 30 of 100 count as used
	lease.Done(0)
	if lease.Waited > 1500*time.Millisecond {
		t.Errorf("it took %s", lease.Waited)
	}
}

func TestThePasswordOfTheStore(t *testing.T) {
	const password = "s3cr3t-of-the-store"
	server := startRedis(t, "--requirepass", password)
	file := filepath.Join(t.TempDir(), "password")
	limits := config.SamplingLimits{Store: &config.Store{Address: server.address, Credential: &config.Credential{File: file}}}
	l := newReplica(t, limits)
	if status := l.wait(t, statusz.StoreRefused); status.Detail != "the password's file does not exist" {
		t.Errorf("without a file: the detail is %q", status.Detail)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong-" + password)
	eventually(t, "the password is refused", func() bool {
		return l.Status().Detail == "the store refuses the username or the password"
	})
	if state := l.Status().State; state != statusz.StoreRefused {
		t.Errorf("the state is %s", state)
	}
	write(password + "\n")
	l.wait(t, statusz.StoreHealthy)
	acquire(t, l.Limiter, Ask{}).Done(0)
	l.stop()
	if strings.Contains(l.log.String(), password) {
		t.Errorf("the password is in the log:\n%s", l.log)
	}
}

func TestAUserOfTheStoreNeedsLittle(t *testing.T) {
	rights := "~mcp-sampling:* +ping +evalsha +script|load +time +pexpire +@hash +@sortedset"
	args := append([]string{"--user", "sampler", "on", ">secret"}, strings.Fields(rights)...)
	server := startRedis(t, append(args, "--user", "other", "on", ">secret", "+ping")...)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]statusz.StoreState{"sampler": statusz.StoreHealthy, "other": statusz.StoreRefused} {
		l := newReplica(t, config.SamplingLimits{
			RequestsPerMinute: 10, PerSession: config.SessionLimits{TokensPerMinute: 100},
			Store: &config.Store{Address: server.address, Username: user, Credential: &config.Credential{File: file}},
		}, func(tm *timing) { tm.backoff, tm.maxBackoff = time.Hour, time.Hour })
		l.wait(t, statusz.StoreHealthy)
		acquire(t, l.Limiter, Ask{Session: "a", Likely: 10, Most: 20}).Done(5)
		if got := l.wait(t, want); want == statusz.StoreRefused && !strings.Contains(got.Detail, "mcp-sampling:") {
			t.Errorf("the detail for %s is %q", user, got.Detail)
		}
		l.stop()
		if want == statusz.StoreHealthy && l.log.Len() > 0 {
			t.Errorf("logged:\n%s", l.log)
		}
	}
}

func TestTheStoreLearnsNoNamesOfSessions(t *testing.T) {
	server := startRedis(t)
	l := newReplica(t, config.SamplingLimits{
		PerSession: config.SessionLimits{TokensPerDay: 100}, Store: &config.Store{Address: server.address},
	})
	acquire(t, l.Limiter, Ask{Session: "whose-session", Likely: 5, Most: 5}).Done(5)
	l.stop()
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatalf("this test needs redis-cli, which comes with redis-server: %v", err)
	}
	_, port, _ := net.SplitHostPort(server.address)
	keys, err := exec.Command(cli, "-p", port, "--scan").Output()
	if err != nil {
		t.Fatal(err)
	}
	for key := range strings.Lines(string(keys)) {
		key = strings.TrimSpace(key)
		if !strings.HasPrefix(key, "mcp-sampling:{%7Btools/files%7D}:") || strings.Contains(key, "whose") {
			t.Errorf("the key %q", key)
		}
		ttl, err := exec.Command(cli, "-p", port, "pttl", key).Output()
		if err != nil || strings.HasPrefix(string(ttl), "-") {
			t.Errorf("the key %q has no end: %s %v", key, ttl, err)
		}
	}
	if len(keys) == 0 {
		t.Error("there are no keys")
	}
}
