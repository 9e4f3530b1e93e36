package dataplane

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client/transport"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/bridge"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

type bridgedCall func(ctx context.Context, tool, text string) (string, error)

// bridgeCallers have no sampling. Each returns the version that it came to.
func bridgeCallers() map[string]func(*testing.T, string) (bridgedCall, string) {
	goSDK := func(version string) func(*testing.T, string) (bridgedCall, string) {
		return func(t *testing.T, url string) (bridgedCall, string) {
			session := connectGoSDK(t, url, version, &gosdk.ClientOptions{MultiRoundTrip: &gosdk.MultiRoundTripOptions{Disabled: true}})
			return func(ctx context.Context, tool, text string) (string, error) {
				return callGoSDK(ctx, session, tool, text)
			}, session.InitializeResult().ProtocolVersion
		}
	}
	mcpGo := func(options ...transport.StreamableHTTPCOption) func(*testing.T, string) (bridgedCall, string) {
		return func(t *testing.T, url string) (bridgedCall, string) {
			c := mcpGoClient(t, url, options...)
			return func(ctx context.Context, tool, text string) (string, error) {
				return callMCPGo(ctx, c, tool, text)
			}, c.ProtocolVersion()
		}
	}
	return map[string]func(*testing.T, string) (bridgedCall, string){
		"a go-sdk caller of both eras":        goSDK(""),
		"a go-sdk caller with sessions":       goSDK("2025-11-25"),
		"a go-sdk caller of an early version": goSDK("2025-03-26"),
		"an mcp-go caller of both eras":       mcpGo(),
		"an mcp-go caller with a GET stream":  mcpGo(transport.WithContinuousListening()),
	}
}

// TestStdioServersSampleThroughTheBridge drives servers of three makers through
// sampler and bridge, with callers of two.
func TestStdioServersSampleThroughTheBridge(t *testing.T) {
	for server, command := range stdioServers(t) {
		for mode, shared := range map[string]bool{"a process for each session": false, "one process": true} {
			t.Run(server+", "+mode, func(t *testing.T) {
				upstream := bridged(t, server, command, func(o *bridge.Options) { o.Shared = shared })
				for caller, connect := range bridgeCallers() {
					t.Run(caller, func(t *testing.T) {
						sampling := &fakeSampling{}
						url, _ := front(t, upstream, sampling)
						call, version := connect(t, url)
						if stateless := strings.HasSuffix(caller, "both eras") && server != "fastmcp"; stateless != (version == wire.VersionModern) {
							t.Errorf("they agreed on %s", version)
						}
						ctx, cancel := context.WithTimeout(t.Context(), startTime)
						defer cancel()
						tools := map[string]string{"ask": "sampled: hello", "two": "sampled: hello a, sampled: hello b", "echo": "hello"}
						if server == "fastmcp" {
							tools = map[string]string{"plain": "sampled: hello", "parallel": "sampled: hello 0|sampled: hello 1|sampled: hello 2"}
						}
						for tool, want := range tools {
							got, err := call(ctx, tool, "hello")
							if err != nil {
								t.Fatalf("%s: %v", tool, err)
							}
							if got != want {
								t.Errorf("%s: got %q, want %q", tool, got, want)
							}
						}
						if sampling.asked() == 0 {
							t.Error("nobody asked the sampler")
						}
					})
				}
			})
		}
	}
}

func TestManyCallersOfOneStdioProcess(t *testing.T) {
	for name, version := range map[string]string{"in sessions": "2025-11-25", "stateless": ""} {
		t.Run(name, func(t *testing.T) {
			upstream := bridged(t, "go-sdk", stdioServers(t)["go-sdk"], func(o *bridge.Options) { o.Shared = true })
			url, _ := front(t, upstream, &fakeSampling{})
			ctx, cancel := context.WithTimeout(t.Context(), startTime)
			defer cancel()
			var group sync.WaitGroup
			for i := range 6 {
				session := connectGoSDK(t, url, version, &gosdk.ClientOptions{MultiRoundTrip: &gosdk.MultiRoundTripOptions{Disabled: true}})
				for j := range 4 {
					group.Go(func() {
						text := fmt.Sprintf("%d %d", i, j)
						// Where several callers run, only the stateless era says whose a
						// sampling request is.
						tool, want := "echo", text
						if version == "" {
							tool, want = "ask", "sampled: "+text
						}
						got, err := callGoSDK(ctx, session, tool, text)
						if err != nil || got != want {
							t.Errorf("%s: got %q, %v, want %q", tool, got, err, want)
						}
					})
				}
			}
			group.Wait()
		})
	}
}

func TestProgressThroughTheBridge(t *testing.T) {
	for name, version := range map[string]string{"in a session": "2025-11-25", "stateless": "2026-07-28"} {
		t.Run(name, func(t *testing.T) {
			url := bridged(t, "go-sdk", stdioServers(t)["go-sdk"], nil)
			var mu sync.Mutex
			seen := map[string]int{}
			session := connectGoSDK(t, url, version, &gosdk.ClientOptions{
				ProgressNotificationHandler: func(_ context.Context, r *gosdk.ProgressNotificationClientRequest) {
					mu.Lock()
					defer mu.Unlock()
					seen[fmt.Sprint(r.Params.ProgressToken, " ", r.Params.Message)]++
				},
			})
			ctx, cancel := context.WithTimeout(t.Context(), startTime)
			defer cancel()
			var group sync.WaitGroup
			for _, text := range []string{"a", "b", "c"} {
				group.Go(func() {
					params := &gosdk.CallToolParams{Name: "steps", Arguments: askArgs{Text: text}}
					params.SetProgressToken("token " + text)
					if _, err := session.CallTool(ctx, params); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			eventually(t, "the progress has not come", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return seen["token a a"] == 3 && seen["token b b"] == 3 && seen["token c c"] == 3
			})
		})
	}
}

func TestACrashedStdioServerIsThereAgain(t *testing.T) {
	for name, version := range map[string]string{"in a session": "2025-11-25", "stateless": "2026-07-28"} {
		t.Run(name, func(t *testing.T) {
			url, _ := front(t, bridged(t, "go-sdk", stdioServers(t)["go-sdk"], nil), &fakeSampling{})
			ctx, cancel := context.WithTimeout(t.Context(), startTime)
			defer cancel()
			if _, err := callGoSDK(ctx, connectGoSDK(t, url, version, nil), "crash", ""); err == nil || !strings.Contains(err.Error(), "exit status 3") {
				t.Errorf("the call said %v, want how the process ended", err)
			}
			got, err := callGoSDK(ctx, connectGoSDK(t, url, version, nil), "ask", "hello")
			if err != nil || got != "sampled: hello" {
				t.Errorf("the next caller got %q, %v", got, err)
			}
		})
	}
}
