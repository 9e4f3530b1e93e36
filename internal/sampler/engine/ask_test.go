package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sony/gobreaker/v2"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/audit"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeProviders answer by what is written for a model, in order; the last stays.
type fakeProviders struct {
	mu     sync.Mutex
	script map[string][]any // errors, time.Duration to hang, or nil to answer
	asked  []string         // "model after 1s"
	begin  time.Time
}

func newFakeProviders(script map[string][]any) *fakeProviders {
	return &fakeProviders{script: script, begin: time.Now()}
}

func (f *fakeProviders) client(c config.Provider, _ func() (string, error)) (provider.Provider, error) {
	return fakeScripted{f}, nil
}

type fakeScripted struct{ *fakeProviders }

func (f fakeScripted) Probe(context.Context) error { return nil }

func (f fakeScripted) CreateMessage(ctx context.Context, req provider.Request) (*provider.Response, error) {
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf("%s after %s", req.Model, time.Since(f.begin).Round(10*time.Millisecond)))
	var next any
	if list := f.script[req.Model]; len(list) > 0 {
		next = list[0]
		if len(list) > 1 {
			f.script[req.Model] = list[1:]
		}
	}
	f.mu.Unlock()
	switch v := next.(type) {
	case error:
		return nil, v
	case time.Duration:
		select {
		case <-time.After(v):
		case <-ctx.Done():
			return nil, provider.FromTransport(ctx, ctx.Err())
		}
	}
	return &provider.Response{Result: wire.SamplingResult{
		Role: wire.RoleAssistant, Model: req.Model, StopReason: wire.StopEndTurn,
		Content: []wire.Content{{Type: wire.ContentText, Text: "from " + req.Model}},
	}}, nil
}

func (f *fakeProviders) calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.asked
	f.asked = nil
	return list
}

// twoProviders has the model a-1 at a provider, and b-1 and b-2 at another one.
func twoProviders(changes ...func(*config.Policy)) *config.Policy {
	p := &config.Policy{
		Name: "p", Mode: config.ModeAlways,
		Providers: []config.Provider{
			{Name: "a", Type: config.ProviderOpenAI, BaseURL: "http://a", Timeout: config.Duration(10 * time.Second), Retries: 2},
			{Name: "b", Type: config.ProviderOpenAI, BaseURL: "http://b", Timeout: config.Duration(10 * time.Second)},
		},
		Models: config.Models{Default: "first", Fallbacks: []string{"second", "third"}, Allowed: []config.Model{
			{Name: "first", Provider: "a", Model: "a-1"},
			{Name: "second", Provider: "b", Model: "b-1"},
			{Name: "third", Provider: "b", Model: "b-2"},
		}},
		Capabilities: config.Capabilities{Tools: config.ToolsEnabled},
	}
	for _, change := range changes {
		change(p)
	}
	return p
}

func alone(p *config.Policy) { p.Models.Fallbacks = nil }

var (
	errBusy     = &provider.Error{Kind: provider.KindRateLimited, Status: 429, Detail: "HTTP 429"}
	errBusy3s   = &provider.Error{Kind: provider.KindRateLimited, Status: 429, Detail: "HTTP 429", RetryAfter: 3 * time.Second}
	errBusyHour = &provider.Error{Kind: provider.KindRateLimited, Status: 429, Detail: "HTTP 429", RetryAfter: time.Hour}
	errCrashed  = &provider.Error{Kind: provider.KindFailed, Status: 500, Detail: "HTTP 500"}
	errMedia    = &provider.UnsupportedError{What: "no audio here"}
)

func TestWhoIsAskedAndAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		script map[string][]any
		change func(*config.Policy)
		want   []string // model, and when it matters "after …"
		result string
		// The error: of the provider, or by the policy.
		fails, rejects string
	}{
		"the first one that answers": {want: []string{"a-1 after 0s"}, result: "from a-1"},
		"again after a failure that may pass": {
			script: map[string][]any{"a-1": {errCrashed, nil}}, want: []string{"a-1 after 0s", "a-1"}, result: "from a-1",
		},
		"as long after as the provider says": {
			script: map[string][]any{"a-1": {errBusy3s, nil}}, change: alone, want: []string{"a-1 after 0s", "a-1 after 3s"}, result: "from a-1",
		},
		"another model at once, if the provider says to wait for long": {
			script: map[string][]any{"a-1": {errBusy3s}}, want: []string{"a-1 after 0s", "b-1 after 0s"}, result: "from b-1",
		},
		"no second request, if the provider says to wait for longer than there is time": {
			script: map[string][]any{"a-1": {errBusyHour}}, change: alone, want: []string{"a-1 after 0s"},
			fails: "the model provider has too many requests now",
		},
		"another model after all retries": {
			script: map[string][]any{"a-1": {errBusy}}, want: []string{"a-1", "a-1", "a-1", "b-1"}, result: "from b-1",
		},
		"all in their order": {
			script: map[string][]any{"a-1": {errCrashed}, "b-1": {errUnreachable}, "b-2": {errCrashed}},
			want:   []string{"a-1", "a-1", "a-1", "b-1", "b-2"}, fails: "the model provider failed",
		},
		"nobody else after a failure that would not pass": {
			script: map[string][]any{"a-1": {errBadRequest}}, want: []string{"a-1"}, fails: "the model provider did not accept the request",
		},
		"nobody else after a refused key": {
			script: map[string][]any{"a-1": {errRefused}}, want: []string{"a-1"}, fails: "the model provider is not configured correctly",
		},
		"another model after a provider that hangs": {
			script: map[string][]any{"a-1": {time.Hour}}, want: []string{"a-1 after 0s", "b-1 after 10s"}, result: "from b-1",
		},
		"not the one that cannot express the request, if the first one only failed": {
			script: map[string][]any{"a-1": {errCrashed}, "b-1": {errMedia}}, want: []string{"a-1", "a-1", "a-1", "b-1", "b-2"}, result: "from b-2",
		},
		"nobody for longer than the policy allows": {
			script: map[string][]any{"a-1": {time.Hour}, "b-1": {time.Hour}},
			change: func(p *config.Policy) { p.Limits.Timeout = config.Duration(12 * time.Second) },
			want:   []string{"a-1 after 0s", "b-1 after 10s"}, rejects: "the sampling policy's limit timeout (12s) was over before there was an answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeProviders(tc.script)
				p := twoProviders()
				if tc.change != nil {
					tc.change(p)
				}
				var log bytes.Buffer
				e, err := New(Options{Policy: p, Audit: audit.New(&log, slog.New(slog.DiscardHandler)), newClient: fake.client})
				if err != nil {
					t.Fatal(err)
				}
				got, werr := answerOf(t.Context(), e, toolsDeclared, ask(""))
				asked := fake.calls()
				if len(asked) != len(tc.want) {
					t.Fatalf("asked %q, want %q", asked, tc.want)
				}
				for i, want := range tc.want {
					if asked[i] != want && (len(want) > 3 || asked[i][:3] != want) {
						t.Errorf("asked %q, want %q", asked, tc.want)
					}
				}
				wantErr := &wire.Error{Code: wire.CodeInternal, Message: tc.fails}
				if tc.rejects != "" {
					wantErr = &wire.Error{Code: wire.CodeRejected, Message: tc.rejects}
				}
				if wantErr.Message != "" {
					if diff := cmp.Diff(wantErr, werr); diff != "" {
						t.Errorf("%s and the error (-want +got):\n%s", got, diff)
					}
				} else if werr != nil || !bytes.Contains(got, []byte(tc.result)) {
					t.Errorf("%s, %v, want %q", got, werr, tc.result)
				}
				var r audit.Record
				if err := json.Unmarshal(log.Bytes(), &r); err != nil {
					t.Fatal(err)
				}
				if len(r.Attempts) != len(asked) {
					t.Errorf("%d attempts in the record, want %d", len(r.Attempts), len(asked))
				}
			})
		})
	}
}

func TestAProviderThatFailsIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeProviders(map[string][]any{"a-1": {errUnreachable}})
		noRetries := func(p *config.Policy) { p.Providers[0].Retries = 0 }
		e, err := New(Options{Policy: twoProviders(noRetries), newClient: fake.client})
		if err != nil {
			t.Fatal(err)
		}
		for range breakAfter {
			answerOf(t.Context(), e, toolsDeclared, ask(""))
		}
		fake.calls()
		answerOf(t.Context(), e, toolsDeclared, ask(""))
		if got := fake.calls(); len(got) != 1 || got[0][:3] != "b-1" {
			t.Errorf("asked %q, want the fallback alone", got)
		}
		// Another policy at the same provider knows it as well.
		next, err := New(Options{Policy: twoProviders(noRetries, alone), Previous: e, newClient: fake.client})
		if err != nil {
			t.Fatal(err)
		}
		e.SupersededBy(next)
		_, werr := answerOf(t.Context(), next, toolsDeclared, ask(""))
		if got := fake.calls(); werr == nil || werr.Message != errorText[provider.KindUnavailable] || len(got) != 0 {
			t.Errorf("asked %q, error %v, want an error at once", got, werr)
		}
		fake.script["a-1"] = nil
		time.Sleep(breakTime + time.Second)
		if _, werr := answerOf(t.Context(), next, toolsDeclared, ask("")); werr != nil {
			t.Errorf("after the pause: %v", werr)
		}
	})
}

func TestOneRequestThatIsBadDoesNotStopOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, outcome := range []error{errBadRequest, errBusyHour, errMedia, &provider.Error{Kind: provider.KindMalformed}} {
			fake := newFakeProviders(map[string][]any{"a-1": {outcome}})
			e, err := New(Options{Policy: twoProviders(alone), newClient: fake.client})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 * breakAfter {
				answerOf(t.Context(), e, toolsDeclared, ask(""))
			}
			if got := len(fake.calls()); got != 3*breakAfter {
				t.Errorf("%v: asked %d times, want %d", outcome, got, 3*breakAfter)
			}
		}
	})
}

// What waited in the queue until hardly any of its time was left says nothing about
// the provider that did not answer in the rest.
func TestTheEndOfTheRequestsTimeIsNotHeldAgainstTheProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		given  time.Duration
		want   statusz.ProviderState
		counts bool
	}{
		"it had a moment":         {time.Second, statusz.ProviderUnknown, false},
		"it had most of the time": {8 * time.Second, statusz.ProviderUnreachable, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFakeProviders(map[string][]any{"a-1": {time.Hour}})
				e, err := New(Options{newClient: fake.client, Policy: twoProviders(alone, func(p *config.Policy) {
					p.Limits.Timeout = config.Duration(10 * time.Second)
					p.Providers[0].Timeout = config.Duration(time.Minute)
				})})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), tc.given, errTimeout)
				defer cancel()
				for range breakAfter {
					if _, err := e.targets[0].call(ctx, provider.Request{Model: "a-1"}, 5*time.Second); !errors.Is(err, errTimeout) {
						t.Fatalf("error %v, want the end of the policy's time", err)
					}
					time.Sleep(hesitationEnds)
					ctx, cancel = context.WithTimeoutCause(t.Context(), tc.given, errTimeout)
					defer cancel()
				}
				if got := e.Status()[0].State; got != tc.want {
					t.Errorf("state %s, want %s", got, tc.want)
				}
				if got := e.targets[0].breaker.Counts().ConsecutiveFailures > 0 || e.targets[0].breaker.State() != gobreaker.StateClosed; got != tc.counts {
					t.Errorf("the breaker counts it: %v, want %v", got, tc.counts)
				}
			})
		})
	}
}

func TestAModelThatIsWithdrawnIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFakeProviders(map[string][]any{"a-1": {time.Hour}})
		e, err := New(Options{Policy: twoProviders(), newClient: fake.client})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan *wire.Error)
		go func() {
			_, werr := answerOf(t.Context(), e, toolsDeclared, ask(""))
			done <- werr
		}()
		synctest.Wait()
		next, err := New(Options{Previous: e, newClient: fake.client, Policy: twoProviders(func(p *config.Policy) {
			p.Models.Allowed = p.Models.Allowed[:1]
			p.Models.Fallbacks = nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		e.SupersededBy(next)
		werr := <-done // the first one hangs till its time is over
		want := &wire.Error{Code: wire.CodeRejected, Message: "the sampling policy changed and no longer allows the model: ask again"}
		if diff := cmp.Diff(want, werr); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if got := fake.calls(); len(got) != 1 {
			t.Errorf("asked %q, want the first one alone", got)
		}
	})
}

// fakeGuard answers or fails by chance, and knows at each moment who may be asked.
type fakeGuard struct {
	mu      sync.Mutex
	allowed []string // provider/model
	random  *rand.Rand
	asked   int
	wrong   []string
}

func (g *fakeGuard) client(c config.Provider, _ func() (string, error)) (provider.Provider, error) {
	return fakeGuarded{g, c.Name}, nil
}

type fakeGuarded struct {
	*fakeGuard
	name string
}

func (fakeGuarded) Probe(context.Context) error { return nil }

func (g fakeGuarded) CreateMessage(_ context.Context, req provider.Request) (*provider.Response, error) {
	g.mu.Lock()
	at := g.name + "/" + req.Model
	g.asked++
	if !slices.Contains(g.allowed, at) {
		g.wrong = append(g.wrong, at)
	}
	outcome, wait := g.random.IntN(4), time.Duration(g.random.IntN(3000))*time.Millisecond
	g.mu.Unlock()
	time.Sleep(wait)
	switch outcome {
	case 0:
		return nil, errCrashed
	case 1:
		return nil, errBusy
	case 2:
		return nil, errUnreachable
	}
	return &provider.Response{Result: wire.SamplingResult{Role: wire.RoleAssistant, Model: req.Model}}, nil
}

// Whatever servers ask for, whoever fails, and however often the policy changes
// meanwhile: nothing leaves for a model that the newest policy does not allow.
func TestNoRequestLeavesForAModelThatIsNotAllowed(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			guard := &fakeGuard{random: rand.New(rand.NewPCG(seed, 2))}
			make1 := func(previous *Engine) *Engine {
				p := randomPolicy(random)
				e, err := New(Options{Policy: p, Previous: previous, newClient: guard.client})
				if err != nil {
					t.Fatal(err)
				}
				guard.mu.Lock()
				defer guard.mu.Unlock()
				guard.allowed = nil
				for _, m := range p.Models.Allowed {
					guard.allowed = append(guard.allowed, m.Provider+"/"+m.Model)
				}
				if previous != nil {
					previous.SupersededBy(e)
				}
				return e
			}
			var (
				mu      sync.Mutex
				current = make1(nil)
				g       sync.WaitGroup
			)
			for range 40 {
				hint, wait := fmt.Sprintf("m%d", random.IntN(8)), time.Duration(random.IntN(20_000))*time.Millisecond
				g.Go(func() {
					time.Sleep(wait)
					mu.Lock()
					e := current
					mu.Unlock()
					answerOf(t.Context(), e, toolsDeclared, ask(`,"modelPreferences":{"hints":[{"name":"`+hint+`"}]}`))
				})
			}
			for range 25 {
				time.Sleep(time.Second + 777*time.Nanosecond) // no request begins or ends in the same moment
				mu.Lock()
				current = make1(current)
				mu.Unlock()
			}
			g.Wait()
			if guard.asked < 20 || len(guard.wrong) > 0 {
				t.Errorf("seed %d: %d requests left, of them for models that are not allowed: %q", seed, guard.asked, guard.wrong)
			}
		})
	}
}

func randomPolicy(random *rand.Rand) *config.Policy {
	p := twoProviders()
	p.Models = config.Models{}
	for _, i := range random.Perm(8)[:1+random.IntN(6)] {
		m := config.Model{Name: fmt.Sprintf("m%d", i), Provider: []string{"a", "b"}[random.IntN(2)], Model: fmt.Sprintf("up-%d", random.IntN(8))}
		p.Models.Allowed = append(p.Models.Allowed, m)
		if random.IntN(2) == 0 {
			p.Models.Fallbacks = append(p.Models.Fallbacks, m.Name)
		}
	}
	p.Models.Default = p.Models.Allowed[0].Name
	return p
}

func TestAProviderThatStaysTheSameKeepsItsConnections(t *testing.T) {
	fake := newFakeProviders(nil)
	first, err := New(Options{Policy: twoProviders(), newClient: fake.client})
	if err != nil {
		t.Fatal(err)
	}
	next, err := New(Options{Previous: first, newClient: fake.client, Policy: twoProviders(func(p *config.Policy) {
		p.Models.Default = "second"
		p.Providers[1].Retries = 4
	})})
	if err != nil {
		t.Fatal(err)
	}
	if first.target("a") != next.target("a") {
		t.Error("a provider of which nothing changed is made anew")
	}
	if b := next.target("b"); first.target("b") == b || b.config.Retries != 4 || b.breaker != first.target("b").breaker {
		t.Error("a provider that is asked more often is not the changed one, or forgot its failures")
	}
}
