package peers

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// samplingDeclared is what the sampler declares for callers that have nothing.
var samplingDeclared = map[string]any{"sampling": map[string]any{"tools": map[string]any{}}}

// TestServerEverything compares all that the reference server says with and
// without the sampler between, over each of its transports, and lets it sample.
func TestServerEverything(t *testing.T) {
	t.Parallel()
	program := filepath.Join(lab.modules, "@modelcontextprotocol/server-everything/dist/index.js")
	serve := func(t *testing.T, name, path string) string {
		port := freePort(t)
		startOn(t, port, []string{"PORT=" + strconv.Itoa(port)}, lab.node, program, name)
		return fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
	}
	for transport, connect := range map[string]func(t *testing.T, model string) (directly func(map[string]any) rawCaller, through rawCaller){
		streamableHTTP: func(t *testing.T, model string) (func(map[string]any) rawCaller, rawCaller) {
			url := serve(t, "streamableHttp", "/mcp")
			return func(capabilities map[string]any) rawCaller { return newHTTPCaller(t, url, legacy, capabilities) },
				newHTTPCaller(t, always(t, url, model), legacy, map[string]any{})
		},
		httpSSE: func(t *testing.T, model string) (func(map[string]any) rawCaller, rawCaller) {
			url := serve(t, "sse", "/sse")
			return func(capabilities map[string]any) rawCaller { return newSSECaller(t, url, capabilities) },
				newSSECaller(t, sampler(t, url, httpSSE, "Always", model), map[string]any{})
		},
		stdio: func(t *testing.T, model string) (func(map[string]any) rawCaller, rawCaller) {
			return func(capabilities map[string]any) rawCaller {
					return newStdioCaller(t, capabilities, lab.node, program, "stdio")
				},
				newHTTPCaller(t, always(t, bridge(t, lab.node, program, "stdio"), model), legacy, map[string]any{})
		},
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			_, modelURL := model(t)
			directly, through := connect(t, modelURL)
			compareEverything(t, transport, directly(samplingDeclared), through)
			everythingSamples(t, transport, directly(map[string]any{}), through)
		})
	}
}

const everything = "server-everything"

func everythingSamples(t *testing.T, transport string, directly, through rawCaller) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	arguments := map[string]any{"prompt": "how are you?", "maxTokens": 20}
	const name = "trigger-sampling-request"
	_, err := tool(ctx, directly, name, arguments)
	line := row{section: sampling, peer: everything, transport: transport, era: legacy, what: name, direct: outcome(err)}
	got, err := tool(ctx, through, name, arguments)
	if want := "was asked: Resource trigger-sampling-request context: how are you?"; err == nil && !strings.Contains(got, want) {
		err = fmt.Errorf("it said %q, want %q in it", got, want)
	}
	must(t, line, err)
}

// compareEverything makes the same requests to both.
func compareEverything(t *testing.T, transport string, directly, through rawCaller) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	compare := func(method, what string, params map[string]any) any {
		want, err := directly.call(ctx, method, params)
		if err != nil {
			t.Errorf("%s %s directly: %v", method, what, err)
			return nil
		}
		line := row{section: same, peer: everything, transport: transport, era: legacy, what: strings.TrimSpace(method + " " + what), direct: "a result"}
		if want.Error != nil {
			line.direct = "an error"
		}
		got, err := through.call(ctx, method, params)
		line.through = "the same"
		if transport != streamableHTTP {
			// All share one stream, so that others may come in between.
			want.Notifications, got.Notifications = ofRequest(want.Notifications), ofRequest(got.Notifications)
		}
		if d := cmp.Diff(masked(want), masked(got)); err != nil || d != "" {
			t.Errorf("%s %s through the sampler: error %v (-directly +through):\n%s", method, what, err, d)
			line.through = "another"
		}
		table.add(line)
		return want.Result
	}

	compare("ping", "", nil)
	compare("logging/setLevel", "", map[string]any{"level": "error"})
	compare("no/such/method", "", nil)
	tools := namesOf(compare("tools/list", "", nil), "tools", "name")
	prompts := namesOf(compare("prompts/list", "", nil), "prompts", "name")
	resources := namesOf(compare("resources/list", "", nil), "resources", "uri")
	compare("resources/templates/list", "", nil)

	for _, name := range tools {
		if strings.HasPrefix(name, "trigger-sampling-request") {
			continue // compared by what the model is asked, in everythingSamples
		}
		compare("tools/call", name, map[string]any{
			"name": name, "arguments": orNone(everythingArguments[name]),
			"_meta": map[string]any{"progressToken": "of " + name},
		})
	}
	compare("tools/call", "no-such-tool", map[string]any{"name": "no-such-tool", "arguments": map[string]any{}})
	for _, name := range prompts {
		compare("prompts/get", name, map[string]any{"name": name, "arguments": orNone(everythingPrompts[name])})
	}
	for _, uri := range append(resources, "demo://resource/dynamic/text/1", "demo://resource/dynamic/blob/1") {
		compare("resources/read", uri, map[string]any{"uri": uri})
	}
	compare("resources/subscribe", "", map[string]any{"uri": "demo://resource/dynamic/text/1"})
	compare("resources/unsubscribe", "", map[string]any{"uri": "demo://resource/dynamic/text/1"})
	compare("completion/complete", "", map[string]any{
		"ref":      map[string]any{"type": "ref/prompt", "name": "completable-prompt"},
		"argument": map[string]any{"name": "department", "value": "E"},
	})
}

// ofRequest leaves what names its request.
func ofRequest(notifications []any) []any {
	return slices.DeleteFunc(notifications, func(n any) bool {
		return n.(map[string]any)["method"] != "notifications/progress"
	})
}

func orNone(arguments map[string]any) map[string]any {
	if arguments == nil {
		return map[string]any{}
	}
	return arguments
}

// everythingArguments are for tools that want some; the others get none.
var everythingArguments = map[string]map[string]any{
	"echo":                  {"message": "hello"},
	"get-annotated-message": {"messageType": "error", "includeImage": true},
	"get-resource-links":    {"count": 2},
	"get-resource-reference": {
		"resourceType": "Text", "resourceId": 1,
	},
	"get-structured-content":         {"location": "New York"},
	"get-sum":                        {"a": 1, "b": 2},
	"gzip-file-as-resource":          {"name": "f.txt.gz", "data": "data:text/plain;base64,aGVsbG8=", "outputType": "resource"},
	"simulate-research-query":        {"topic": "boats"},
	"trigger-long-running-operation": {"duration": 0.2, "steps": 2},
}

var everythingPrompts = map[string]map[string]any{
	"args-prompt":        {"city": "Bergen", "state": "Vestland"},
	"completable-prompt": {"department": "Engineering", "name": "Alice"},
	"resource-prompt":    {"resourceType": "Text", "resourceId": "1"},
}

func namesOf(result any, list, key string) []string {
	fields, _ := result.(map[string]any)
	items, _ := fields[list].([]any)
	var names []string
	for _, item := range items {
		if name, ok := item.(map[string]any)[key].(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// What differs between two calls to the same server, with the reason.
var dynamic = []struct{ pattern, with string }{
	{`\d{1,2}:\d{2}:\d{2}[\s\x{202f}]?[AP]M`, "a time"},    // resources say when they were made
	{`,\s*"MCP_BRIDGE_PROCESS": "[0-9a-f]+"`, ""},          // the bridge marks what belongs to a process
	{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "an id"}, // sessions have random names
}

var dynamicPatterns = func() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(dynamic))
	for i, d := range dynamic {
		out[i] = regexp.MustCompile(d.pattern)
	}
	return out
}()

func masked(v any) any {
	switch v := v.(type) {
	case exchange:
		return map[string]any{"result": masked(v.Result), "error": masked(v.Error), "notifications": masked(v.Notifications)}
	case string:
		for i, p := range dynamicPatterns {
			v = p.ReplaceAllString(v, dynamic[i].with)
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = masked(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out[key] = masked(v[key])
		}
		return out
	default:
		return v
	}
}
