package selftest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// modelClient samples as the sampler does in between.
type modelClient struct{ url string }

func (m modelClient) CreateMessage(ctx context.Context, request mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	text := mcp.GetTextFromContent(request.Messages[0].Content)
	body := strings.NewReader(`{"type":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"` + text + `"}}]}}`)
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, body)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(post)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent(string(said))},
	}, err
}

func TestTheToolSaysWhatTheModelSaid(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(model))
	defer provider.Close()
	defer http.DefaultClient.CloseIdleConnections()
	toServer, fromCaller := io.Pipe()
	toCaller, fromServer := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, toServer, fromServer, "v1") }()

	caller := mcpclient.NewClient(transport.NewIO(toCaller, fromCaller, io.NopCloser(&bytes.Buffer{})),
		mcpclient.WithSamplingHandler(modelClient{provider.URL}))
	if err := caller.Start(ctx); err != nil {
		t.Fatal(err)
	}
	hello := mcp.InitializeRequest{}
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	if _, err := caller.Initialize(ctx, hello); err != nil {
		t.Fatal(err)
	}
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = map[string]any{"text": "hello"}
	result, err := caller.CallTool(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := mcp.GetTextFromContent(result.Content[0]), "the model said: I have read hello"; got != want || result.IsError {
		t.Errorf("the tool says %q, want %q", got, want)
	}
	if err := caller.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	if err := toServer.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	_ = toCaller.Close()
}

func TestTheModelAnswersItsOwnRequestsOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		body       string
		wantStatus int
	}{
		"a sampling request": {`{"params":{"messages":[{"content":{"type":"text","text":"x"}}]}}`, http.StatusOK},
		"no message":         {`{"params":{}}`, http.StatusBadRequest},
		"no JSON":            {`hello`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			response := httptest.NewRecorder()
			model(response, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tc.body)))
			if response.Code != tc.wantStatus {
				t.Errorf("status %d, want %d", response.Code, tc.wantStatus)
			}
		})
	}
}

// What a user reads who asks why `helm test` failed.
func TestCallSaysWhyThereWasNoAnswer(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no server here", http.StatusBadGateway)
	}))
	defer upstream.Close()
	var out bytes.Buffer
	err := Call(t.Context(), Options{URL: upstream.URL, Listen: "127.0.0.1:0", Timeout: 3 * time.Second, Out: &out})
	if err == nil || !strings.Contains(err.Error(), "no answer within 3s: open a session at "+upstream.URL) || !strings.Contains(err.Error(), "502") {
		t.Errorf("the error is %v", err)
	}
	if got := out.String(); strings.Count(got, "not yet:") != 1 || !strings.Contains(got, "calling the tool ask at "+upstream.URL) {
		t.Errorf("it says:\n%s", got)
	}
}
