package dataplane

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// What nobody may pass on: what providers say, and the value of a header that
// they are sent.
const (
	ownWords     = "providersownwords"
	headerSecret = "valueofaheaderforproviders"
)

// untrustworthy is how a provider fails: it has its words and the key in all that
// it says.
var untrustworthy = map[string]func(w http.ResponseWriter, r *http.Request, quote string){
	"401": func(w http.ResponseWriter, _ *http.Request, quote string) {
		failWith(w, http.StatusUnauthorized, quote)
	},
	"403": func(w http.ResponseWriter, _ *http.Request, quote string) { failWith(w, http.StatusForbidden, quote) },
	"400": func(w http.ResponseWriter, _ *http.Request, quote string) { failWith(w, http.StatusBadRequest, quote) },
	"429": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Retry-After", quote)
		failWith(w, http.StatusTooManyRequests, quote)
	},
	"500": func(w http.ResponseWriter, _ *http.Request, quote string) {
		failWith(w, http.StatusInternalServerError, quote)
	},
	"redirect": func(w http.ResponseWriter, r *http.Request, quote string) {
		http.Redirect(w, r, "/"+quote+r.URL.Path, http.StatusTemporaryRedirect)
	},
	"garbage": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices": `+quote)
	},
	"another type": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Content-Type", "text/html; "+quote+"=1")
		_, _ = io.WriteString(w, "<h1>"+quote+"</h1>")
	},
	"wrong fields": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"choices":%[1]q,"content":%[1]q,"candidates":%[1]q,"role":%[1]q,"error":{"code":%[1]q,"message":%[1]q}}`, quote)
	},
	"10 MB": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Content-Type", "application/json")
		line := []byte(`"` + strings.Repeat(quote, 1+(64<<10)/len(quote)) + `",`)
		_, _ = io.WriteString(w, `{"choices": [`)
		for sent := 0; sent < 10<<20; sent += len(line) {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	},
	"half an answer": func(w http.ResponseWriter, _ *http.Request, quote string) {
		w.Header().Set("Content-Length", "100000")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":"`+quote)
		if http.NewResponseController(w).Flush() == nil {
			panic(http.ErrAbortHandler)
		}
	},
	"an answer that stops": func(w http.ResponseWriter, r *http.Request, quote string) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"choices":[{"message":"`+quote)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	"no answer":  func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() },
	"hanging up": func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) },
}

func failWith(w http.ResponseWriter, status int, quote string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Www-Authenticate", "Bearer "+quote)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"error","error":{"type":%[1]q,"code":%[1]q,"status":%[1]q,"param":%[1]q,"message":%[1]q,"details":[{"@type":%[1]q,"reason":%[1]q}]}}`, quote)
}

// fakeLeak is a provider that says its key to whoever asks.
type fakeLeak struct {
	fail func(w http.ResponseWriter, r *http.Request, quote string)
	// key is the provider's; one that is signed with is never sent.
	key string

	mu sync.Mutex
	// told reports which of the secrets were in requests.
	toldKey, toldHeader bool
}

func (f *fakeLeak) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var header strings.Builder
	_ = r.Header.Write(&header)
	_, _ = io.Copy(io.Discard, r.Body)
	f.mu.Lock()
	f.toldKey = f.toldKey || strings.Contains(header.String(), f.key)
	f.toldHeader = f.toldHeader || strings.Contains(header.String(), headerSecret)
	f.mu.Unlock()
	f.fail(w, r, ownWords+f.key+headerSecret)
}

// TestNoKeyAndNoWordOfAProviderIsPassedOn has a provider of every type fail in
// every way, and looks for keys and providers' words in all that the sampler says.
func TestNoKeyAndNoWordOfAProviderIsPassedOn(t *testing.T) {
	running := goleak.IgnoreCurrent()
	defer goleak.VerifyNone(t, running)
	t.Run("in every way", func(t *testing.T) {
		for name, fail := range untrustworthy {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				leakTest(t, name, fail)
			})
		}
	})
}

// leakTest asks one provider of every type, all of which fail in one way.
func leakTest(t *testing.T, name string, fail func(http.ResponseWriter, *http.Request, string)) {
	types := []config.ProviderType{config.ProviderOpenAI, config.ProviderAnthropic, config.ProviderGoogleGenAI, config.ProviderWebhook}
	policy := config.Policy{Name: "leaks", Audit: config.Audit{Level: config.AuditMetadata}}
	fakes := map[config.ProviderType]*fakeLeak{}
	for _, kind := range types {
		// One that is signed with is base64 of 24 bytes or more.
		secret := sha256.Sum256([]byte(string(kind) + name))
		fake := &fakeLeak{fail: fail, key: base64.StdEncoding.EncodeToString(secret[:])}
		fakes[kind] = fake
		server := httptest.NewServer(fake)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		id := strings.ToLower(string(kind))
		policy.Providers = append(policy.Providers, config.Provider{
			Name: id, Type: kind, BaseURL: server.URL, Credential: writeKey(t, fake.key),
			Timeout: config.Duration(2 * time.Second), Retries: 1,
			Headers: []config.Header{{Name: "X-Own", ValueFrom: writeKey(t, headerSecret)}},
		})
		policy.Models.Allowed = append(policy.Models.Allowed, config.Model{Name: id, Provider: id, Model: "model-1"})
	}
	policy.Models.Default = policy.Models.Allowed[0].Name

	server := &fakeAsker{}
	s := startSampler(t, serve(t, server), policy)
	caller := newAsker(t, s.url())
	var wg sync.WaitGroup
	for _, m := range policy.Models.Allowed {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			answer, err := caller.ask(ctx, question("why?", m.Name))
			switch {
			case err != nil:
				t.Errorf("%s: %v", m.Name, err)
			case answer.Error == nil:
				t.Errorf("%s: the server got an answer: %q", m.Name, answer.text())
			case answer.Error.Code != wire.CodeInternal || !strings.Contains(answer.Error.Message, "the model provider"):
				t.Errorf("%s: the server got error %d: %s", m.Name, answer.Error.Code, answer.Error.Message)
			}
		})
	}
	wg.Wait()
	for _, record := range s.records(len(types)) {
		if record.Decision != "failed" || len(record.Attempts) == 0 || record.Error == nil {
			t.Errorf("the record %+v does not say that the provider failed", record)
		}
	}
	said := map[string]string{
		"/statusz": s.admin("/statusz"), "/metrics": s.metrics(), "the audit record": s.audit.String(),
		"what the server got": server.got.String(), "what the caller got": caller.got.String(),
	}
	s.stop()
	said["the log"] = s.log.String()
	for where, text := range said {
		if text == "" {
			t.Errorf("%s is empty", where)
		}
		secrets := []string{headerSecret, ownWords}
		for _, fake := range fakes {
			secrets = append(secrets, fake.key)
		}
		for _, secret := range secrets {
			if at := leaks(text, secret); at >= 0 {
				t.Errorf("%s has a part of %q: …%s…", where, secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
	for kind, fake := range fakes {
		fake.mu.Lock()
		if !fake.toldHeader || fake.toldKey == (kind == config.ProviderWebhook) {
			t.Errorf("%s was sent its key: %v, the header: %v", kind, fake.toldKey, fake.toldHeader)
		}
		fake.mu.Unlock()
	}
}

// leaks returns where a text has a part of a secret that is long enough to tell
// something, or -1.
func leaks(text, secret string) int {
	const enough = 10
	for i := 0; i+enough <= len(secret); i++ {
		if at := strings.Index(text, secret[i:i+enough]); at >= 0 {
			return at
		}
	}
	return -1
}
