package dataplane

import (
	"context"
	"fmt"
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
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// TestRequestsPerMinuteOfTwoSamplers has many sessions hammer two samplers of one
// server, and counts what reaches the model.
func TestRequestsPerMinuteOfTwoSamplers(t *testing.T) {
	t.Parallel()
	const perSampler = 8 // sessions
	for name, tc := range map[string]struct {
		store bool
		limit int64
		// wantEach is what each of the samplers lets through; 0 means that only
		// their sum is known.
		wantEach, wantTotal int
	}{
		"with a store they let through the limit together": {store: true, limit: 21, wantTotal: 21},
		"without one each lets through its share":          {limit: 21, wantEach: 11, wantTotal: 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy, model := limitedPolicy(t, tc.limit, 2)
			if tc.store {
				policy.Limits.Store = &config.Store{Address: startRedis(t).address}
			}
			upstream := serve(t, &fakeAsker{})
			samplers := []*wholeSampler{startSampler(t, upstream, policy), startSampler(t, upstream, policy)}
			var mu sync.Mutex
			answers := make([]int, len(samplers))
			var wg sync.WaitGroup
			for i, s := range samplers {
				if tc.store {
					awaitStore(t, s, statusz.StoreHealthy)
				}
				for range perSampler {
					caller := newAsker(t, s.url())
					wg.Go(func() {
						for range 2 * tc.limit / perSampler {
							ctx, cancel := context.WithTimeout(t.Context(), patience)
							answer, err := caller.ask(ctx, question("again?"))
							cancel()
							switch {
							case err != nil:
								t.Error(err)
								return
							case answer.Error == nil:
								mu.Lock()
								answers[i]++
								mu.Unlock()
							case answer.Error.Code != wire.CodeRejected || !usedUp(answer.Error.Message, tc.limit, tc.wantEach):
								t.Errorf("the server got error %d: %s", answer.Error.Code, answer.Error.Message)
							}
						}
					})
				}
			}
			wg.Wait()
			diff(t, tc.wantTotal, answers[0]+answers[1])
			diff(t, tc.wantTotal, len(model.Requests()))
			if tc.wantEach > 0 {
				diff(t, []int{tc.wantEach, tc.wantEach}, answers)
			}
		})
	}
}

// TestTokensPerMinuteOfTwoSamplers counts what the models say that they used. A
// request is not let through before there is room for all that it may use, and
// what it did not use is there for the next.
func TestTokensPerMinuteOfTwoSamplers(t *testing.T) {
	t.Parallel()
	const (
		limit = 1000
		each  = fakellm.PromptTokens + fakellm.CompletionTokens
		// likely is more than a question of these tests can use, by its size.
		likely = 150
	)
	policy, model := limitedPolicy(t, 0, 2)
	policy.Limits.TokensPerMinute = limit
	policy.Limits.Store = &config.Store{Address: startRedis(t).address}
	upstream := serve(t, &fakeAsker{})
	var wg sync.WaitGroup
	var callers []*asker
	ask := func(caller *asker) bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		answer, err := caller.ask(ctx, question("again?"))
		switch {
		case err != nil:
			t.Error(err)
		case answer.Error == nil:
			return true
		case answer.Error.Code != wire.CodeRejected || !strings.Contains(answer.Error.Message, "the sampling policy's limit tokensPerMinute (1000) is used up"):
			t.Errorf("the server got error %d: %s", answer.Error.Code, answer.Error.Message)
		}
		return false
	}
	for range 2 {
		s := startSampler(t, upstream, policy)
		awaitStore(t, s, statusz.StoreHealthy)
		for range 4 {
			caller := newAsker(t, s.url())
			callers = append(callers, caller)
			wg.Go(func() {
				for range limit / each / 4 {
					ask(caller)
				}
			})
		}
	}
	wg.Wait()
	// Those that were refused stood in each other's way; one after the other they
	// get what is left.
	used := func() int { return len(model.Requests()) * each }
	eventually(t, "all tokens but what one request may need are used", func() bool {
		for _, caller := range callers {
			ask(caller)
		}
		return used() > limit-likely-each
	})
	for _, caller := range callers {
		ask(caller)
	}
	if used() > limit {
		t.Errorf("%d tokens were used of %d", used(), limit)
	}
}

// usedUp reports whether a text tells of the limit, by the number that the user
// wrote or by a sampler's share, and when to try again: seconds count as a whole.
func usedUp(text string, limit int64, share int) bool {
	var n, seconds int64
	_, err := fmt.Sscanf(text, "the sampling policy's limit requestsPerMinute (%d) is used up: try again in %d s", &n, &seconds)
	return err == nil && (n == limit || n == int64(share)) && seconds > 0 && seconds <= 61
}

// TestStoreOfTheLimitsGoesAndComes kills a real store under a sampler.
func TestStoreOfTheLimitsGoesAndComes(t *testing.T) {
	t.Parallel()
	const password = "the-password-of-the-store"
	for name, tc := range map[string]struct {
		onUnavailable config.OnUnavailable
		want          string // the error while there is no store; empty for an answer
	}{
		"a policy that goes on":  {onUnavailable: config.FailOpen},
		"a policy that does not": {onUnavailable: config.FailClosed, want: "the sampling policy's limits cannot be checked now: try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := startRedis(t, "--requirepass", password)
			policy, model := limitedPolicy(t, 1000, 1)
			policy.Limits.Store = &config.Store{Address: store.address, Credential: writeKey(t, password), OnUnavailable: tc.onUnavailable}
			server := &fakeAsker{}
			s := startSampler(t, serve(t, server), policy)
			caller := newAsker(t, s.url())
			wantAnswer := func(when string) {
				t.Helper()
				if answer := caller.mustAsk(t, question("well?")); answer.Error != nil {
					t.Errorf("%s: the server got error %d: %s", when, answer.Error.Code, answer.Error.Message)
				}
			}
			awaitStore(t, s, statusz.StoreHealthy)
			wantAnswer("with a store")

			store.kill()
			asked := len(model.Requests())
			if tc.want == "" {
				wantAnswer("without a store")
			} else {
				answer := caller.mustAsk(t, question("well?"))
				if answer.Error == nil || answer.Error.Code != wire.CodeRejected || answer.Error.Message != tc.want {
					t.Errorf("without a store: the server got %+v, want %q", answer, tc.want)
				}
				diff(t, asked, len(model.Requests()))
			}
			awaitStore(t, s, statusz.StoreUnreachable)

			store.start(t)
			awaitStore(t, s, statusz.StoreHealthy)
			wantAnswer("with a store again")
			for where, text := range map[string]string{
				"/statusz": s.admin("/statusz"), "/metrics": s.metrics(), "the audit record": s.audit.String(),
				"the log": s.log.String(), "what the server got": server.got.String(),
			} {
				if at := leaks(text, password); at >= 0 {
					t.Errorf("%s has a part of the store's password: …%s…", where, text[max(0, at-100):min(len(text), at+100)])
				}
			}
		})
	}
}

// limitedPolicy lets so many requests a minute through to a fake model.
func limitedPolicy(t *testing.T, perMinute int64, shares int) (config.Policy, *fakellm.Server) {
	t.Helper()
	model := fakellm.New()
	refuseAtOnce := config.Duration(0)
	return config.Policy{
		Name:      "limited",
		Providers: []config.Provider{{Name: "fake", Type: config.ProviderOpenAI, BaseURL: strings.TrimSuffix(serve(t, model), "/mcp") + "/v1"}},
		Models:    config.Models{Default: "only", Allowed: []config.Model{{Name: "only", Provider: "fake", Model: "fake-1"}}},
		Limits:    config.SamplingLimits{RequestsPerMinute: perMinute, Shares: shares, QueueTimeout: &refuseAtOnce},
	}, model
}

func awaitStore(t *testing.T, s *wholeSampler, want statusz.StoreState) {
	t.Helper()
	eventually(t, "the store is "+string(want), func() bool {
		store := s.report().Store
		return store != nil && store.State == want
	})
}

// redisServer is a real one, which keeps nothing.
type redisServer struct {
	address, program string
	args             []string
	process          *exec.Cmd
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	program, err := exec.CommandContext(t.Context(), "../../hack/redis.sh").Output()
	if err != nil {
		t.Fatalf("hack/redis.sh: %v\n%s", err, stderrOf(err))
	}
	// It cannot choose a port by itself.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	// Its own folder, for it writes its log there and nothing else.
	folder := t.TempDir()
	r := &redisServer{address: address, program: strings.TrimSpace(string(program)), args: append([]string{
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", folder, "--logfile", filepath.Join(folder, "log"),
	}, args...)}
	r.start(t)
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(folder, "log"))
			t.Logf("the store said:\n%s", log)
		}
	})
	return r
}

func (r *redisServer) start(t *testing.T) {
	t.Helper()
	r.process = exec.Command(r.program, r.args...)
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the store listens", func() bool {
		conn, err := net.DialTimeout("tcp", r.address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (r *redisServer) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait() // it was killed
}
