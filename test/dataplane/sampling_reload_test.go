package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// allModels are those that any of the policies of a test allows.
var allModels = []string{"alpha", "beta", "gamma", "delta", "epsilon"}

// fakeWitness is a provider that knows which configurations the sampler had, and
// says when it is asked for a model that none of them allows. A generation is
// the number of a configuration.
type fakeWitness struct {
	t *testing.T
	// busy is asked whether to tell the sampler to try again.
	busy func() bool

	mu      sync.Mutex
	allowed [][]string // of each generation that was written
	loaded  int        // the newest of which the sampler said that it is in use
	asked   []int      // requests that came, by the generation in use
	since   map[string]int
}

// write notes what the next configuration allows, before the sampler can see it.
func (f *fakeWitness) write(models []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed = append(f.allowed, models)
	f.asked = append(f.asked, 0)
}

// use notes that the newest configuration is in use.
func (f *fakeWitness) use() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded = len(f.allowed) - 1
}

// newest is the generation in use.
func (f *fakeWitness) newest() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loaded
}

func (f *fakeWitness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		return
	}
	var asked chatRequest
	if err := json.Unmarshal(body, &asked); err != nil {
		f.t.Errorf("the provider was asked %q", body)
		return
	}
	// The text is the name of the request and the generation when it began.
	text := textOf(asked.Messages[0]["content"])
	var began int
	if _, err := fmt.Sscanf(text[strings.LastIndex(text, " ")+1:], "%d", &began); err != nil {
		f.t.Errorf("the provider was asked %q", text)
	}
	f.judge(text, asked.Model, began)
	w.Header().Set("Content-Type", "application/json")
	if f.busy() {
		// What comes next of this request is sent after this moment.
		f.mu.Lock()
		f.since[text] = f.loaded
		f.mu.Unlock()
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	fmt.Fprintf(w, `{"id":"1","object":"chat.completion","model":%q,"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":%q}}]}`, asked.Model, text)
}

// judge holds a request against every configuration that was in use after it was
// sent by the caller, or after its attempt before was answered.
func (f *fakeWitness) judge(request, model string, began int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[f.loaded]++
	from := max(began, f.since[request])
	for _, models := range f.allowed[from:] {
		if slices.Contains(models, model) {
			return
		}
	}
	f.t.Errorf("%s was asked for %s, which no configuration since %d allows: %v", request, model, from, f.allowed[from:])
}

// policyOf allows models; the first is the default, and the others follow it.
func policyOf(address string, models []string) config.Policy {
	p := config.Policy{
		Name:      "edited",
		Providers: []config.Provider{{Name: "fake", Type: config.ProviderOpenAI, BaseURL: address, Retries: 1}},
		Models:    config.Models{Default: models[0], Fallbacks: models[1:]},
	}
	for _, model := range models {
		p.Models.Allowed = append(p.Models.Allowed, config.Model{Name: model, Provider: "fake", Model: model})
	}
	return p
}

// TestPolicyEditsUnderLoad rewrites the policy while sixteen sessions ask for any
// model there is: no request leaves for a model that is not allowed, and every
// request ends.
func TestPolicyEditsUnderLoad(t *testing.T) {
	t.Parallel()
	const sessions, edits = 16, 12
	witness := &fakeWitness{t: t, busy: func() bool { return rand.IntN(5) == 0 }, since: map[string]int{}}
	address := strings.TrimSuffix(serve(t, witness), "/mcp") + "/v1"
	upstream := serve(t, &fakeAsker{})
	witness.write(allModels)
	s := startSampler(t, upstream, policyOf(address, allModels))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan struct{})
	var wg sync.WaitGroup
	var counted sync.Mutex
	outcomes := map[string]int{}
	for i := range sessions {
		caller := newAsker(t, s.url())
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				default:
				}
				hint := allModels[rand.IntN(len(allModels))]
				limited, cancel := context.WithTimeout(ctx, patience)
				answer, err := caller.ask(limited, question(fmt.Sprintf("request %d of session %d, begun in %d", n, i, witness.newest()), hint))
				cancel()
				outcome := ""
				switch {
				case err != nil:
					t.Errorf("a request of session %d did not end: %v", i, err)
					return
				case answer.Error == nil:
					outcome = "answered"
				case answer.Error.Code == wire.CodeRejected && strings.Contains(answer.Error.Message, "policy changed"):
					outcome = "withdrawn"
				case answer.Error.Code == wire.CodeInternal && strings.Contains(answer.Error.Message, "too many requests"):
					outcome = "busy"
				default:
					t.Errorf("the server got error %d: %s", answer.Error.Code, answer.Error.Message)
				}
				counted.Lock()
				outcomes[outcome]++
				counted.Unlock()
			}
		})
	}
	for range edits {
		before := witness.newest()
		models := slices.Clone(allModels)
		rand.Shuffle(len(models), func(i, j int) { models[i], models[j] = models[j], models[i] })
		models = models[:1+rand.IntN(len(models)-1)]
		witness.write(models)
		s.awaitConfig(s.configure(upstream, policyOf(address, models)))
		witness.use()
		eventually(t, "requests come under the new policy", func() bool {
			witness.mu.Lock()
			defer witness.mu.Unlock()
			return witness.asked[before+1] >= sessions
		})
	}
	close(over)
	wg.Wait()
	if outcomes["answered"] < sessions*edits/2 {
		t.Errorf("the requests ended so: %v, want at least %d answered", outcomes, sessions*edits/2)
	}
	t.Logf("the requests ended so: %v", outcomes)
}

// TestModelWithdrawnBetweenAttempts edits the policy while a provider thinks: what
// the sampler would ask next is no longer allowed, and is not asked.
func TestModelWithdrawnBetweenAttempts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// before and after are what is allowed, in the order in which it is asked.
		before, after []string
		// moves has the provider be found elsewhere afterwards.
		moves     bool
		wantAsked []string
		wantError string
	}{
		"the fallback is withdrawn": {
			before: []string{"alpha", "beta"}, after: []string{"alpha"},
			wantAsked: []string{"alpha", "alpha"}, wantError: "the sampling policy changed and no longer allows the model: ask again",
		},
		"the model is withdrawn, and the fallback is not": {
			before: []string{"alpha", "beta"}, after: []string{"beta"},
			wantAsked: []string{"alpha"}, wantError: "the sampling policy changed and no longer allows the model: ask again",
		},
		"the provider is found elsewhere": {
			before: []string{"alpha"}, after: []string{"alpha"}, moves: true,
			wantAsked: []string{"alpha"}, wantError: "the sampling policy changed and no longer allows the model: ask again",
		},
		"all but what is asked stays": {
			before: []string{"alpha", "beta"}, after: []string{"gamma", "beta", "alpha"},
			wantAsked: []string{"alpha", "alpha", "beta"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			came, edited := make(chan struct{}), make(chan struct{})
			provider := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != http.MethodPost {
					return
				}
				var request chatRequest
				if err := json.Unmarshal(body, &request); err != nil {
					t.Errorf("the provider was asked %q", body)
				}
				mu.Lock()
				asked = append(asked, request.Model)
				first := len(asked) == 1
				mu.Unlock()
				if first {
					close(came)
					select {
					case <-edited:
					case <-r.Context().Done():
					}
				}
				w.Header().Set("Content-Type", "application/json")
				if request.Model == "alpha" {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","model":"beta","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"yes"}}]}`)
			})
			address := strings.TrimSuffix(serve(t, provider), "/mcp") + "/v1"
			upstream := serve(t, &fakeAsker{})
			s := startSampler(t, upstream, policyOf(address, tc.before))
			caller := newAsker(t, s.url())
			answers := make(chan answered, 1)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			go func() {
				defer close(answers)
				answer, err := caller.ask(ctx, question("well?"))
				if err != nil {
					t.Error(err)
					return
				}
				answers <- answer
			}()
			select {
			case <-came:
			case <-ctx.Done():
				t.Fatal("the provider was not asked")
			}
			if tc.moves {
				address += "/elsewhere"
			}
			s.awaitConfig(s.configure(upstream, policyOf(address, tc.after)))
			close(edited)
			answer := <-answers
			if tc.wantError == "" && answer.text() != "yes" ||
				tc.wantError != "" && (answer.Error == nil || answer.Error.Code != wire.CodeRejected || answer.Error.Message != tc.wantError) {
				t.Errorf("the server got %+v, want the error %q", answer, tc.wantError)
			}
			mu.Lock()
			defer mu.Unlock()
			diff(t, tc.wantAsked, asked)
		})
	}
}
