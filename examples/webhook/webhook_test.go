// Package webhook tests the examples: both handlers, asked by the sampler's own
// client, and the two configurations.
package webhook

import (
	"bufio"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"sigs.k8s.io/yaml"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/outbound"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/webhook"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	key      = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	otherKey = "whsec_YW5vdGhlciBrZXksIGFsc28gMzIgYnl0ZXMgbG9uZyE="
)

func TestHandlers(t *testing.T) {
	goHandler := build(t)
	text := []wire.Content{{Type: wire.ContentText, Text: "You said: grüße from <here>"}}
	for name, tc := range map[string]struct {
		command []string
		want    wire.SamplingResult
	}{
		"Python": {
			[]string{"python3", "python/handler.py", "127.0.0.1:0"},
			wire.SamplingResult{Role: wire.RoleAssistant, Content: text, Model: "mine", StopReason: wire.StopEndTurn},
		},
		"Go": {
			[]string{goHandler, "-listen", "127.0.0.1:0"},
			wire.SamplingResult{Role: wire.RoleAssistant, Content: text, Model: "echo-1", StopReason: wire.StopEndTurn},
		},
	} {
		t.Run(name, func(t *testing.T) {
			address := start(t, tc.command)
			client := newClient(t, address, key)
			for _, blocks := range [][]wire.Content{
				{{Type: wire.ContentText, Text: "grüße from <here>"}},
				{{Type: wire.ContentText, Text: "grüße"}, {Type: wire.ContentText, Text: "from <here>"}},
			} {
				got, err := client.CreateMessage(t.Context(), request(blocks))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, got.Result); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
			}
			if err := client.Probe(t.Context()); err != nil {
				t.Errorf("the probe says that it does not work: %v", err)
			}
			for whose, wrong := range map[string]*webhook.Client{"another key": newClient(t, address, otherKey), "no key": newClient(t, address, "")} {
				_, err := wrong.CreateMessage(t.Context(), request(text))
				var failure *provider.Error
				if !errors.As(err, &failure) || failure.Kind != provider.KindUnauthorized {
					t.Errorf("with %s: error %v, want it refused", whose, err)
				}
			}
			wantOldRefused(t, address)
		})
	}
}

// build returns the path of the handler in Go.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "handler")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./go").CombinedOutput(); err != nil {
		t.Fatalf("build the handler: %v\n%s", err, out)
	}
	return path
}

// wantOldRefused sends what was well signed some time ago.
func wantOldRefused(t *testing.T, address string) {
	t.Helper()
	const body = `{"params":{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]}}`
	signer, err := standardwebhooks.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-10 * time.Minute)
	signature, err := signer.Sign("msg_1", then, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("webhook-id", "msg_1")
	req.Header.Set("webhook-timestamp", strconv.FormatInt(then.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a request that is repeated long after gets HTTP %d, want 401", resp.StatusCode)
	}
}

func request(blocks []wire.Content) provider.Request {
	return provider.Request{
		Model: "mine", MaxTokens: 100,
		Messages: []wire.SamplingMessage{{Role: wire.RoleUser, Content: blocks}},
		Context:  provider.Context{Server: "summarizer", Policy: "webhook"},
	}
}

func newClient(t *testing.T, address, key string) *webhook.Client {
	t.Helper()
	o := provider.Options{BaseURL: "http://" + address + "/", HTTP: outbound.New(outbound.Options{})}
	if key != "" {
		o.Key = func() (string, error) { return key, nil }
	}
	client, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.HTTP.CloseIdleConnections)
	return client
}

// start runs a handler until the test ends and returns the address that it
// prints.
func start(t *testing.T, command []string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "WEBHOOK_KEY="+key)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", command[0], err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killing := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer killing.Stop()
		_ = cmd.Wait()
	})
	line := make(chan string, 1)
	go func() {
		first, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- first
	}()
	select {
	case first := <-line:
		address, ok := strings.CutPrefix(strings.TrimSpace(first), "listening on ")
		if !ok {
			t.Fatalf("%s says %q in place of its address", command[0], first)
		}
		return address
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not listen", command[0])
		return ""
	}
}

func TestHandlersRefuseAKeyThatIsNone(t *testing.T) {
	goHandler := build(t)
	for _, weak := range []string{"", "whsec_", "cGFzc3dvcmQ="} {
		for _, command := range [][]string{{"python3", "python/handler.py", "127.0.0.1:0"}, {goHandler, "-listen", "127.0.0.1:0"}} {
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "WEBHOOK_KEY="+weak)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "openssl rand -base64 32") {
				t.Errorf("%s with the key %q: error %v, output %q", command[0], weak, err, out)
			}
		}
	}
}

func TestConfigurations(t *testing.T) {
	data, err := os.ReadFile("sampler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alone, err := config.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Provider{
		Name: "handler", Type: config.ProviderWebhook, BaseURL: "http://127.0.0.1:8080/",
		Credential: &config.Credential{Env: "WEBHOOK_KEY"}, Timeout: config.Duration(time.Minute), Retries: 1,
	}
	if diff := cmp.Diff([]config.Provider{want}, alone.Policy.Providers); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}

	if data, err = os.ReadFile("policy.yaml"); err != nil {
		t.Fatal(err)
	}
	var policy mcpv1alpha1.SamplingPolicy
	if err := yaml.UnmarshalStrict(data, &policy); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve.EffectivePolicy(&policy); err != nil {
		t.Errorf("the policy is refused: %v", err)
	}
	if got := policy.Spec.Providers[0].Type; got != "Webhook" {
		t.Errorf("type %q", got)
	}
}
