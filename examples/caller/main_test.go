package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func TestParseArguments(t *testing.T) {
	tests := map[string]struct {
		words   []string
		want    map[string]any
		wantErr string
	}{
		"no words are no arguments":               {want: map[string]any{}},
		"a value is a string":                     {words: []string{"text=3"}, want: map[string]any{"text": "3"}},
		"a value may hold further equal signs":    {words: []string{"text=a=b"}, want: map[string]any{"text": "a=b"}},
		"a JSON value keeps its type":             {words: []string{"limit:=3", "deep:=true"}, want: map[string]any{"limit": 3.0, "deep": true}},
		"a word without an equal sign is refused": {words: []string{"text"}, wantErr: "NAME=VALUE"},
		"a value that is no JSON is refused":      {words: []string{"limit:=three"}, wantErr: "must be JSON"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseArguments(tc.words)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("error = %v, want %q in it", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCallerCallsAToolAndShowsTheResult(t *testing.T) {
	peer := server.NewMCPServer("peer", "2.0.0")
	peer.AddTool(mcp.NewTool("shout", mcp.WithDescription("Say it loudly."), mcp.WithString("text")), func(_ context.Context, call mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if call.GetString("text", "") == "" {
			return mcp.NewToolResultError("nothing to shout"), nil
		}
		return mcp.NewToolResultText(strings.ToUpper(call.GetString("text", "")) + "\n\n(model: none)"), nil
	})
	endpoint := httptest.NewServer(server.NewStreamableHTTPServer(peer, server.WithStateful(true)))
	defer endpoint.Close()

	tests := map[string]struct {
		tool      string
		arguments map[string]any
		want      []string // in this order
		wantErr   error
	}{
		"without a tool it lists them":         {want: []string{"peer 2.0.0", "tools: shout", "Say it loudly."}},
		"a result is shown with its arguments": {tool: "shout", arguments: map[string]any{"text": "hello"}, want: []string{"call", "hello", "result", "HELLO", "(model: none)", "took"}},
		"a tool's error is shown and returned": {tool: "shout", want: []string{"error", "nothing to shout"}, wantErr: errToolFailed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), &printer{out: &out}, "", endpoint.URL, tc.tool, tc.arguments)
			if !errors.Is(err, tc.wantErr) {
				t.Fatalf("error = %v, want %v", err, tc.wantErr)
			}
			rest := out.String()
			for _, part := range tc.want {
				_, after, found := strings.Cut(rest, part)
				if !found {
					t.Fatalf("%q is missing, or out of order, in:\n%s", part, out.String())
				}
				rest = after
			}
			if strings.Contains(out.String(), "\033") {
				t.Error("colours were printed although this is no terminal")
			}
		})
	}
}

// With an answer of its own the caller is asked, on whatever stream.
func TestCallerThatSamples(t *testing.T) {
	peer := server.NewMCPServer("peer", "2.0.0")
	peer.EnableSampling()
	peer.AddTool(mcp.NewTool("ask"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		request := mcp.CreateMessageRequest{}
		request.MaxTokens = 10
		request.Messages = []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent("why?")}}
		answer, err := server.ServerFromContext(ctx).RequestSampling(ctx, request)
		if err != nil {
			return mcp.NewToolResultErrorFromErr("sampling failed", err), nil
		}
		return mcp.NewToolResultText(answer.Model + ": " + mcp.GetTextFromContent(answer.Content)), nil
	})
	endpoint := httptest.NewServer(server.NewStreamableHTTPServer(peer, server.WithStateful(true), server.WithStreamableHTTPProtocolVersions("2025-11-25")))
	defer endpoint.Close()
	var out bytes.Buffer
	if err := run(t.Context(), &printer{out: &out}, "because", endpoint.URL, "ask", nil); err != nil {
		t.Fatal(err)
	}
	if want := "the caller's own: because"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in\n%s", want, &out)
	}
}

func TestCallerWaitsForAListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := awaitListener(t.Context(), "http://"+address+"/mcp", time.Millisecond); err == nil || !strings.Contains(err.Error(), "nobody listens at "+address) {
		t.Errorf("where nobody listens: error %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- awaitListener(t.Context(), "http://"+address+"/mcp", time.Minute) }()
	late, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("somebody else has taken the port: %v", err)
	}
	defer late.Close()
	if err := <-waited; err != nil {
		t.Error(err)
	}
}

// A terminal obeys escape sequences, also those of a server.
func TestCallerSpeaksTheOlderTransport(t *testing.T) {
	peer := server.NewMCPServer("peer", "2.0.0")
	peer.AddTool(mcp.NewTool("echo"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("echoed"), nil
	})
	endpoint := httptest.NewServer(server.NewSSEServer(peer))
	defer endpoint.Close()
	var out bytes.Buffer
	if err := run(t.Context(), &printer{out: &out}, "", endpoint.URL+"/sse", "echo", nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "echoed") {
		t.Errorf("no result in\n%s", &out)
	}
}

func TestAServersTextsAreOnlyText(t *testing.T) {
	var out bytes.Buffer
	p := &printer{out: &out}
	p.server(mcp.Implementation{Name: "evil\x1b[31m\nserver", Version: strings.Repeat("9", 1000)}, "2025-11-25\x07", []mcp.Tool{{Name: "to\x1bol"}})
	p.answered(&mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent("two\nlines\x1b]0;title\x07 \u202eend")}}, 0)
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r == '\u202e') }); i >= 0 {
		t.Errorf("the output has %q:\n%s", out.String()[i], out.String())
	}
	if strings.Contains(out.String(), strings.Repeat("9", 100)) {
		t.Errorf("a long version is not cut:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "two\n") {
		t.Errorf("lines of a result are not kept:\n%s", out.String())
	}
}
