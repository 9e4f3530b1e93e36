package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// caller is a program or a library that calls a tool and has no sampling. What
// it returns holds the tool's text.
type caller func(ctx context.Context, t *testing.T, url, era, tool string, arguments map[string]any) (string, error)

// otherCallers are callers with the eras that they speak; some speak HTTP+SSE
// too.
var otherCallers = []struct {
	name string
	eras []string
	call caller
	sse  bool
}{
	{"Inspector", []string{legacy, modern}, inspector, false},
	{"FastMCP 3.4", []string{legacy}, programCaller(func() []string {
		return []string{filepath.Join(lab.fastmcp3, "bin", "python"), filepath.Join(lab.callers, "fastmcp_caller.py")}
	}), true},
	{"FastMCP 4", []string{legacy, modern}, programCaller(func() []string {
		return []string{filepath.Join(lab.fastmcp4, "bin", "python"), filepath.Join(lab.callers, "fastmcp_caller.py")}
	}), true},
	{"TypeScript SDK 1", []string{legacy}, programCaller(func() []string {
		return []string{lab.node, filepath.Join(lab.callers, "typescript1.mjs")}
	}), true},
	{"TypeScript SDK 2", []string{legacy, modern}, programCaller(func() []string {
		return []string{lab.node, filepath.Join(lab.callers, "typescript2.mjs")}
	}), false},
	{"mcp-go", []string{legacy, modern}, mcpGoCaller, false},
	{"go-sdk", []string{legacy, modern}, goSDKCaller, false},
}

// TestCallersWithoutSampling lets callers of other makers call a tool that
// samples.
func TestCallersWithoutSampling(t *testing.T) {
	t.Parallel()
	typescript1 := func() []string { return node("typescript1.mjs", "sse") }
	for _, server := range []struct {
		name, transport, era string
		start                func(t *testing.T) string
		tool                 samplingTool
	}{
		{"go-sdk everything-server", streamableHTTP, legacy, goSDKServer(false), goSDKLegacy},
		{"go-sdk everything-server", streamableHTTP, modern, goSDKServer(true), goSDKModern},
		{"TypeScript SDK 1", httpSSE, legacy, listening("/sse", typescript1), onCall},
	} {
		era := server.era
		t.Run(server.transport+" "+era, func(t *testing.T) {
			t.Parallel()
			url := server.start(t)
			_, modelURL := model(t)
			through := sampler(t, url, server.transport, "Always", modelURL)
			// Some callers return an error of the tool like any other text.
			answered := func(got string, err error) error {
				if err == nil && !strings.Contains(got, server.tool.want) {
					return fmt.Errorf("it got %q, want %q in it", got, server.tool.want)
				}
				return err
			}
			for _, c := range otherCallers {
				if !slices.Contains(c.eras, era) || server.transport == httpSSE && !c.sse {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(t.Context(), hopeless)
					err := answered(c.call(ctx, t, url, era, server.tool.name, server.tool.arguments))
					cancel()
					line := row{section: callers, peer: c.name, transport: server.transport, era: era, what: server.tool.name + " of " + server.name, direct: outcome(err)}

					ctx, cancel = context.WithTimeout(t.Context(), patience)
					defer cancel()
					err = answered(c.call(ctx, t, through, era, server.tool.name, server.tool.arguments))
					must(t, line, err)
				})
			}
		})
	}
}

// TestRoundsOfSeveralKinds has a server ask for sampling, elicitation and roots
// in one round: the caller is asked for what the sampler leaves.
func TestRoundsOfSeveralKinds(t *testing.T) {
	t.Parallel()
	url := goSDKServer(true)(t)
	_, modelURL := model(t)
	through := always(t, url, modelURL)
	const name = "test_input_required_result_multiple_inputs"
	options := func() *gosdk.ClientOptions {
		return &gosdk.ClientOptions{ElicitationHandler: func(context.Context, *gosdk.ElicitRequest) (*gosdk.ElicitResult, error) {
			return &gosdk.ElicitResult{Action: "accept", Content: map[string]any{"name": "Alice"}}, nil
		}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := callGoSDK(ctx, url, modern, options(), name, nil)
	line := row{section: sampling, peer: "go-sdk everything-server", transport: streamableHTTP, era: modern,
		what: "one round, with elicitation and roots for the caller", direct: outcome(err)}
	got, err := callGoSDK(ctx, through, modern, options(), name, nil)
	if err == nil && !strings.Contains(got, "was asked") {
		err = fmt.Errorf("it got %q, want the model's answer in it", got)
	}
	must(t, line, err)
}

// flags are the words that programs have for the eras.
var flags = map[string]string{legacy: "legacy", modern: "modern"}

// programCaller runs a program of this folder.
func programCaller(program func() []string) caller {
	return func(ctx context.Context, _ *testing.T, url, era, tool string, arguments map[string]any) (string, error) {
		data, err := json.Marshal(arguments)
		if err != nil {
			return "", err
		}
		line := append(program(), url, flags[era], tool, string(data))
		return runProgram(ctx, line[0], line[1:]...)
	}
}

func inspector(ctx context.Context, _ *testing.T, url, era, tool string, arguments map[string]any) (string, error) {
	args := []string{
		filepath.Join(lab.modules, "@modelcontextprotocol/inspector/clients/launcher/build/index.js"),
		"--cli", url, "--transport", "http", "--protocol-era", flags[era], "--method", "tools/call", "--tool-name", tool,
	}
	for key, value := range arguments {
		args = append(args, "--tool-arg", fmt.Sprintf("%s=%v", key, value))
	}
	return runProgram(ctx, lab.node, args...)
}

func mcpGoCaller(ctx context.Context, t *testing.T, url, era, tool string, arguments map[string]any) (string, error) {
	idle := &http.Transport{}
	defer idle.CloseIdleConnections()
	c, err := client.NewStreamableHttpClient(url, transport.WithHTTPBasicClient(&http.Client{Transport: idle}))
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }() // what it says then is of no interest here
	if err := c.Start(ctx); err != nil {
		return "", err
	}
	version := legacyVersion
	if era == modern {
		version = modernVersion
	}
	start := mcp.InitializeRequest{}
	start.Params.ProtocolVersion = version
	start.Params.ClientInfo = mcp.Implementation{Name: "caller", Version: "1"}
	result, err := c.Initialize(ctx, start)
	if err != nil {
		return "", err
	}
	if result.ProtocolVersion != version {
		return "", fmt.Errorf("they agreed on %s", result.ProtocolVersion)
	}
	request := mcp.CallToolRequest{}
	request.Params.Name, request.Params.Arguments = tool, arguments
	got, err := c.CallTool(ctx, request)
	if err != nil {
		return "", err
	}
	if got.IsError || len(got.Content) != 1 {
		return "", fmt.Errorf("the tool said %+v", got.Content)
	}
	return contentText(got.Content[0]), nil
}

func goSDKCaller(ctx context.Context, t *testing.T, url, era, tool string, arguments map[string]any) (string, error) {
	return callGoSDK(ctx, url, era, nil, tool, arguments)
}

func callGoSDK(ctx context.Context, url, era string, options *gosdk.ClientOptions, tool string, arguments map[string]any) (string, error) {
	idle := &http.Transport{}
	defer idle.CloseIdleConnections()
	c := gosdk.NewClient(&gosdk.Implementation{Name: "caller", Version: "1"}, options)
	version := legacyVersion
	if era == modern {
		version = modernVersion
	}
	session, err := c.Connect(ctx, &gosdk.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: idle}},
		&gosdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		return "", err
	}
	defer func() { _ = session.Close() }() // it may have broken
	if got := session.InitializeResult().ProtocolVersion; got != version {
		return "", fmt.Errorf("they agreed on %s", got)
	}
	got, err := session.CallTool(ctx, &gosdk.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	if got.IsError || len(got.Content) != 1 {
		return "", fmt.Errorf("the tool said %+v", got.Content)
	}
	return contentText(got.Content[0]), nil
}
