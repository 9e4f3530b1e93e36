package engine

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeProvider answers with what it is told to and notes when it was probed.
type fakeProvider struct {
	mu     sync.Mutex
	probe  error
	answer error
	probes []time.Time
}

func (f *fakeProvider) set(probe, answer error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probe, f.answer = probe, answer
}

func (f *fakeProvider) CreateMessage(context.Context, provider.Request) (*provider.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer != nil {
		return nil, f.answer
	}
	return &provider.Response{
		Result: wire.SamplingResult{Role: wire.RoleAssistant, Model: "m", StopReason: wire.StopEndTurn,
			Content: []wire.Content{{Type: wire.ContentText, Text: "x"}}},
		Usage: provider.Usage{InputTokens: 11, OutputTokens: 7},
	}, nil
}

func (f *fakeProvider) Probe(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes = append(f.probes, time.Now())
	return f.probe
}

// since returns when it was probed, counted from start, and forgets it.
func (f *fakeProvider) since(start time.Time) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []time.Duration
	for _, at := range f.probes {
		list = append(list, at.Sub(start))
	}
	f.probes = nil
	return list
}

func fakeClients(f *fakeProvider) func(config.Provider, func() (string, error)) (provider.Provider, error) {
	return func(config.Provider, func() (string, error)) (provider.Provider, error) { return f, nil }
}

// watched runs an engine in the bubble and returns how to end it.
func watched(t *testing.T, o Options) (*Engine, func()) {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go e.Run(ctx)
	synctest.Wait()
	return e, cancel
}

// pass lets time go by, and all that is due at its end be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantState(t *testing.T, e *Engine, want statusz.ProviderState, detail string) {
	t.Helper()
	if got := e.Status()[0]; got.State != want || got.Detail != detail {
		t.Errorf("state %s %q, want %s %q", got.State, got.Detail, want, detail)
	}
}

var (
	errRefused     = &provider.Error{Kind: provider.KindUnauthorized, Status: 401, Detail: "HTTP 401"}
	errUnreachable = &provider.Error{Kind: provider.KindUnreachable, Detail: "connection refused"}
	errNoModel     = &provider.Error{Kind: provider.KindRejected, Status: 404, Detail: "HTTP 404"}
	errBadRequest  = &provider.Error{Kind: provider.KindRejected, Status: 400, Detail: "HTTP 400"}
)

const noModelDetail = "HTTP 404: it does not know the model, or the base URL is wrong"

func TestAHealthyProviderIsProbedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, begin := &fakeProvider{}, time.Now()
		e, stop := watched(t, Options{Policy: testPolicy("http://h"), newClient: fakeClients(fake)})
		defer stop()
		wantState(t, e, statusz.ProviderHealthy, "")
		pass(11 * time.Minute)
		if got := fake.since(begin); len(got) != 3 || got[0] != 0 {
			t.Errorf("probed at %v, want at once and every 5 minutes", got)
		}
	})
}

func TestAFailingProviderIsProbedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, begin := &fakeProvider{probe: errUnreachable}, time.Now()
		e, stop := watched(t, Options{Policy: testPolicy("http://h"), newClient: fakeClients(fake)})
		defer stop()
		wantState(t, e, statusz.ProviderUnreachable, "connection refused")
		pass(10 * time.Minute)
		got := fake.since(begin)
		if len(got) < 10 || len(got) > 14 {
			t.Errorf("probed %d times in 10 minutes at %v, want about once a minute in the end", len(got), got)
		}
		for i := 1; i < len(got); i++ {
			if pause := got[i] - got[i-1]; pause < firstBackoff || pause > lastBackoff+keyInterval {
				t.Errorf("a pause of %s", pause)
			}
		}
		fake.set(nil, nil)
		pass(lastBackoff + keyInterval)
		wantState(t, e, statusz.ProviderHealthy, "")
	})
}

func TestARotatedKeyIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key")
		fake := &fakeProvider{probe: errRefused}
		e, stop := watched(t, Options{Policy: testPolicy("http://h", withKeyFile(path)), newClient: fakeClients(fake)})
		defer stop()
		wantState(t, e, statusz.ProviderUnknown, "the key's file does not exist")
		if n := len(fake.since(time.Now())); n != 0 {
			t.Errorf("probed %d times without a key", n)
		}
		writeFile(t, path, "wrong")
		pass(keyInterval)
		wantState(t, e, statusz.ProviderRefused, "HTTP 401")
		pass(5 * time.Minute) // pauses are long now

		fake.set(nil, nil)
		writeFile(t, path, "right")
		pass(keyInterval)
		wantState(t, e, statusz.ProviderHealthy, "")
	})
}

func TestRealRequestsCountForTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeProvider{}
		e, stop := watched(t, Options{Policy: testPolicy("http://h"), newClient: fakeClients(fake)})
		defer stop()
		answer := func(err error) {
			fake.set(nil, err)
			answerOf(t.Context(), e, plainDeclared, ask(""))
		}
		answer(errUnreachable)
		wantState(t, e, statusz.ProviderUnreachable, "connection refused")
		pass(firstBackoff + keyInterval)
		wantState(t, e, statusz.ProviderHealthy, "") // a probe went well

		answer(errBadRequest) // says nothing about other requests
		wantState(t, e, statusz.ProviderHealthy, "")
		answer(&provider.UnsupportedError{What: "x"})
		wantState(t, e, statusz.ProviderHealthy, "")
		answer(&provider.Error{Kind: provider.KindMalformed, Detail: "x"}) // a slip of the model
		wantState(t, e, statusz.ProviderHealthy, "")
		answer(&provider.Error{Kind: provider.KindRateLimited, Status: 429, Detail: "HTTP 429"}) // busy, not broken
		wantState(t, e, statusz.ProviderHealthy, "")
		answer(&provider.Error{Kind: provider.KindTimeout, Detail: "no answer in time"}) // one long answer
		wantState(t, e, statusz.ProviderHealthy, "")
		pass(doubtInterval + keyInterval)
		wantState(t, e, statusz.ProviderHealthy, "")

		// But a quota that is used up is found.
		used := &provider.Error{Kind: provider.KindRateLimited, Status: 429, Detail: "HTTP 429"}
		answer(used)
		pass(hesitationEnds)
		answer(used)
		wantState(t, e, statusz.ProviderFailing, "HTTP 429: it is too busy, or a quota is used up")
		pass(doubtInterval + lastBackoff) // a list of models does not disprove it
		wantState(t, e, statusz.ProviderFailing, "HTTP 429: it is too busy, or a quota is used up")
		answer(nil)
		wantState(t, e, statusz.ProviderHealthy, "")

		// And a provider that answers nothing any more is found soon.
		fake.set(errUnreachable, &provider.Error{Kind: provider.KindTimeout, Detail: "no answer in time"})
		answerOf(t.Context(), e, plainDeclared, ask(""))
		wantState(t, e, statusz.ProviderHealthy, "")
		pass(doubtInterval + keyInterval)
		wantState(t, e, statusz.ProviderUnreachable, "connection refused")
		answer(nil)
		wantState(t, e, statusz.ProviderHealthy, "")

		answer(errNoModel)
		wantState(t, e, statusz.ProviderFailing, noModelDetail)
		if got := e.Status()[0].Model; got == "" {
			t.Error("the report does not name the model")
		}
		pass(time.Minute) // a list of models does not disprove it
		wantState(t, e, statusz.ProviderFailing, noModelDetail)
		answer(nil)
		wantState(t, e, statusz.ProviderHealthy, "")

		answer(errNoModel)
		pass(findingHolds + lastBackoff + keyInterval) // but not for ever
		wantState(t, e, statusz.ProviderHealthy, "")
	})
}

func TestANewConfigurationKeepsWhatIsStillTrue(t *testing.T) {
	fake := &fakeProvider{}
	before, err := New(Options{Policy: testPolicy("http://h"), newClient: fakeClients(fake)})
	if err != nil {
		t.Fatal(err)
	}
	answerOf(t.Context(), before, plainDeclared, ask(""))
	wantState(t, before, statusz.ProviderHealthy, "")
	for name, tc := range map[string]struct {
		policy *config.Policy
		want   statusz.ProviderState
	}{
		"another default model": {testPolicy("http://h", func(p *config.Policy) { p.Models.Default = "large" }), statusz.ProviderHealthy},
		"another timeout":       {testPolicy("http://h", func(p *config.Policy) { p.Providers[0].Timeout = 1 }), statusz.ProviderHealthy},
		"another URL":           {testPolicy("http://other"), statusz.ProviderUnknown},
		"a key":                 {testPolicy("http://h", withKeyFile(filepath.Join(t.TempDir(), "no"))), statusz.ProviderUnknown},
	} {
		after, err := New(Options{Policy: tc.policy, Previous: before, newClient: fakeClients(fake)})
		if err != nil {
			t.Fatal(err)
		}
		if got := after.Status()[0].State; got != tc.want {
			t.Errorf("%s: state %s, want %s", name, got, tc.want)
		}
	}
}

// A user who corrects the model's name must not read for minutes that it is
// wrong.
func TestANewConfigurationForgetsWhatItMayRepair(t *testing.T) {
	fake := &fakeProvider{}
	before, err := New(Options{Policy: testPolicy("http://h"), newClient: fakeClients(fake)})
	if err != nil {
		t.Fatal(err)
	}
	fake.set(nil, errNoModel)
	answerOf(t.Context(), before, plainDeclared, ask(""))
	wantState(t, before, statusz.ProviderFailing, noModelDetail)
	after, err := New(Options{Policy: testPolicy("http://h"), Previous: before, newClient: fakeClients(fake)})
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Status()[0].State; got != statusz.ProviderUnknown {
		t.Errorf("state %s, want %s", got, statusz.ProviderUnknown)
	}
}

func TestNewRefusesAProviderItCannotUse(t *testing.T) {
	for name, change := range map[string]func(*config.Policy){
		"an unknown type": func(p *config.Policy) { p.Providers[0].Type = "Pigeon" },
		"a bad URL":       func(p *config.Policy) { p.Providers[0].BaseURL = "://" },
	} {
		if _, err := New(Options{Policy: testPolicy("http://h", change)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
