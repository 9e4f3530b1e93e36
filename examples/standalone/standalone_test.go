// Package standalone tests the example: the file, and the commands of its
// README with a fake model in place of OpenAI.
package standalone

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

const key = "sk-only-for-this-test"

func load(t *testing.T) *config.Effective {
	t.Helper()
	data, err := os.ReadFile("sampler.yaml")
	if err != nil {
		t.Fatal(err)
	}
	effective, err := config.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return effective
}

func TestFileSaysWhatTheREADMESays(t *testing.T) {
	effective := load(t)
	if got, want := effective.Upstream.URL, "http://127.0.0.1:8000/mcp"; got != want {
		t.Errorf("upstream.url = %q, want %q", got, want)
	}
	provider := effective.Policy.Providers[0]
	if diff := cmp.Diff(&config.Credential{Env: "OPENAI_API_KEY"}, provider.Credential); diff != "" {
		t.Error(diff)
	}
	if got, want := provider.BaseURL, "https://api.openai.com/v1"; got != want {
		t.Errorf("baseURL = %q, want %q", got, want)
	}
}

func TestACallerWithoutSamplingGetsItsAnswer(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/sampler", "../servers/summarizer-go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the commands: %v\n%s", err, out)
	}
	model := fakellm.New(fakellm.Text("Bees dance."))
	model.Key = key
	modelServer := httptest.NewServer(model)
	defer modelServer.Close()

	server := start(t, exec.Command(filepath.Join(bin, "summarizer-go"), "-listen", "127.0.0.1:0"))
	effective := load(t)
	effective.Upstream.URL = "http://" + server + "/mcp"
	effective.Policy.Providers[0].BaseURL = modelServer.URL + "/v1"
	data, err := effective.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sampler.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(filepath.Join(bin, "sampler"), "serve", "--config", file, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
	serve.Env = append(os.Environ(), "OPENAI_API_KEY="+key)
	sampler := start(t, serve)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := summarize(ctx, t, "http://"+sampler+"/mcp", "A long text about bees.")
	if want := "Bees dance."; !strings.HasPrefix(got, want) {
		t.Errorf("the tool returned %q, want %q at its beginning", got, want)
	}

	requests := model.Requests()
	if len(requests) != 1 {
		t.Fatalf("the model was asked %d times, want once", len(requests))
	}
	var asked struct {
		Model     string `json:"model"`
		MaxTokens int    `json:"max_completion_tokens"`
	}
	if err := json.Unmarshal(requests[0].Body, &asked); err != nil {
		t.Fatal(err)
	}
	if asked.Model != "gpt-4o-mini" || asked.MaxTokens != 120 {
		t.Errorf("asked for %+v, want the file's default model and the server's own 120 tokens", asked)
	}
	if !strings.Contains(string(requests[0].Body), "A long text about bees.") {
		t.Error("the text did not reach the model")
	}
}

// start runs a command until the test ends and returns the address that it
// logs as listen.
func start(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	name := filepath.Base(cmd.Path)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("%s did not end after SIGTERM", name)
			<-ended
		}
		_ = cmd.Wait()
	})

	listening := make(chan string, 1)
	log := &strings.Builder{}
	go func() {
		defer close(ended)
		defer close(listening)
		found := false
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			if found {
				continue
			}
			log.WriteString(lines.Text() + "\n")
			if address := listenAddress(lines.Text()); address != "" {
				found = true
				listening <- address
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	select {
	case address, ok := <-listening:
		if !ok {
			t.Fatalf("%s ended before it served:\n%s", name, log)
		}
		return address
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not serve", name)
		return ""
	}
}

// listenAddress finds listen=ADDRESS in a line of a text or a JSON log.
func listenAddress(line string) string {
	var fields struct {
		Listen string `json:"listen"`
	}
	if json.Unmarshal([]byte(line), &fields) == nil {
		return fields.Listen
	}
	_, after, found := strings.Cut(line, "listen=")
	if !found {
		return ""
	}
	address, _, _ := strings.Cut(after, " ")
	return address
}

// summarize calls the tool as a client that cannot sample.
func summarize(ctx context.Context, t *testing.T, url, text string) string {
	t.Helper()
	caller, err := client.NewStreamableHttpClient(url)
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	if err := caller.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := caller.Initialize(ctx, mcp.InitializeRequest{}); err != nil {
		t.Fatal(err)
	}
	request := mcp.CallToolRequest{}
	request.Params.Name = "summarize"
	request.Params.Arguments = map[string]any{"text": text}
	result, err := caller.CallTool(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	answer := mcp.GetTextFromContent(result.Content[0])
	if result.IsError {
		t.Fatalf("the tool reported an error: %s", answer)
	}
	return answer
}
