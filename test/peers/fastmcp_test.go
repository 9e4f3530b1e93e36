package peers

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

// fastMCP3 runs the FastMCP 3.4 server of test/dataplane, which chooses its port
// itself.
func fastMCP3(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("../dataplane/fastmcp_server.py")
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(context.Background(), nil, filepath.Join(lab.fastmcp3, "bin", "python"), script)
	said := &output{}
	cmd.Stderr = said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the FastMCP server said last:\n%s", said)
		}
	})
	port := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		port <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case p := <-port:
		if p == "" {
			t.Fatalf("the FastMCP server ended before it served:\n%s", said)
		}
		return "http://127.0.0.1:" + p + "/mcp"
	case <-time.After(patience):
		t.Fatal("the FastMCP server does not serve")
		return ""
	}
}

var fastMCP3Tools = []samplingTool{
	{name: "plain", arguments: text, is: "text", want: "was asked: hello"},
	{name: "prompted", arguments: text, is: "system prompt, temperature, limit on tokens",
		want:      "at most 77 tokens, was asked: hello",
		wantAsked: []string{`"content":"Be brief."`, `"temperature":0`}},
	{name: "conversation", arguments: text, is: "several messages", want: "was asked: hello"},
	{name: "picture", arguments: text, is: "image", want: "was asked: hello", wantAsked: []string{"data:image/png;base64,iVBOR"}},
	{name: "loop", arguments: text, is: "tool loop, two tools side by side", want: "was asked: hello",
		replies: []fakellm.Reply{fakellm.ToolCalls(
			fakellm.Call{ID: "call-1", Name: "add", Arguments: `{"a":2,"b":3}`},
			fakellm.Call{ID: "call-2", Name: "lookup", Arguments: `{"word":"boat"}`},
		)},
		wantAsked: []string{`"tool_call_id":"call-1"`, `"tool_call_id":"call-2"`, "no dictionary for boat"}},
	{name: "loop", arguments: text, is: "tool loop of several rounds", want: "was asked: hello",
		replies: []fakellm.Reply{
			fakellm.ToolCalls(fakellm.Call{ID: "call-1", Name: "add", Arguments: `{"a":2,"b":3}`}),
			fakellm.ToolCalls(fakellm.Call{ID: "call-2", Name: "add", Arguments: `{"a":5,"b":3}`}),
		},
		wantAsked: []string{`"tool_call_id":"call-2"`}},
	{name: "structured", arguments: text, is: "structured output (result_type)", want: `{"name": "Bergen", "people": 291000}`,
		replies: []fakellm.Reply{fakellm.ToolCalls(fakellm.Call{
			ID: "c", Name: "final_response", Arguments: `{"name":"Bergen","people":291000}`,
		})},
		wantAsked: []string{`"tool_choice":"required"`}},
	{name: "parallel", arguments: text, is: "three requests side by side", want: "was asked: hello 0|fake model fake-1, at most 512 tokens, was asked: hello 1|"},
}

var fastMCP4Tools = []samplingTool{
	{name: "one_round", arguments: text, is: "one round, with a system prompt", want: asked + "hello", wantAsked: []string{"Be brief."}},
	{name: "several_rounds", arguments: text, is: "three rounds with state",
		want: asked + "hello 0|" + asked + "hello 1|" + asked + "hello 2"},
	{name: "side_by_side", arguments: text, is: "three requests in one round", want: asked + "hello 0|" + asked + "hello 1|" + asked + "hello 2"},
	{name: "with_tools", arguments: text, is: "a tool call of the model",
		replies: []fakellm.Reply{fakellm.ToolCalls(fakellm.Call{ID: "c", Name: "add", Arguments: `{"a":2}`})},
		want:    "tool_use add {'a': 2}"},
	{name: "asked", arguments: text, prompt: true, is: "a prompt that samples", want: asked + "hello"},
}
