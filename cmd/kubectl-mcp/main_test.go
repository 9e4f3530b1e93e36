package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	examples = "../../docs/examples/policy-check"
	page     = "../../docs/policy-check.md"
)

// try runs the program as a shell does.
func try(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errs}
	cmd := command(streams)
	cmd.SetArgs(args)
	code = run(t.Context(), cmd, streams)
	return code, out.String(), errs.String()
}

func readText(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The golden files are the documentation's examples.
func TestExamples(t *testing.T) {
	requests, err := filepath.Glob(examples + "/*.json")
	if err != nil || len(requests) < 5 {
		t.Fatalf("%d requests, error %v", len(requests), err)
	}
	for _, request := range requests {
		golden := strings.TrimSuffix(request, ".json") + ".txt"
		t.Run(filepath.Base(request), func(t *testing.T) {
			code, got, stderr := try(t, "", "policy", "check", "-f", examples+"/policy.yaml", "--request", request)
			wantCode := exitOK
			if strings.HasPrefix(got, "Refused") {
				wantCode = exitNo
			}
			if code != wantCode || stderr != "" {
				t.Errorf("exit code %d, stderr %q; want %d and nothing", code, stderr, wantCode)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(readText(t, golden), got); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePageShowsTheExamples(t *testing.T) {
	text := readText(t, page)
	for _, pattern := range []string{"policy.yaml", "*.json", "*.txt"} {
		files, err := filepath.Glob(filepath.Join(examples, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.Contains(text, "\n"+readText(t, file)+"```\n") {
				t.Errorf("%s does not show %s as it is", page, file)
			}
		}
	}
}

const (
	// small has one model; what is added stands at its end.
	small = `apiVersion: mcp-sampling.dev/v1alpha1
kind: SamplingPolicy
metadata: {name: small}
spec:
  targetRefs: [{name: a}]
  providers: [{name: p, type: OpenAI}]
  models: {default: m, allowed: [{name: m, provider: p}]}
`
	hello     = `{"messages":[{"role":"user","content":{"type":"text","text":"hello <you>"}}],"maxTokens":10}`
	withTools = `{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}],"maxTokens":10,"tools":[{"name":"t","inputSchema":{}}]}`
)

func TestCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		policy, request string
		args            []string
		wantCode        int
		want            string // in the output, or in the error where the code is 2
	}{
		"a policy alone":                        {small, "", nil, 0, "The policy small is valid: schema, rules and samplers accept it.\n"},
		"a policy alone, for programs":          {small, "", []string{"-o=json"}, 0, `"outcome": "Valid"`},
		"a request":                             {small, hello, nil, 0, "Answered by m at p, a provider of type OpenAI.\n"},
		"a message of the era without sessions": {small, `{"method":"sampling/createMessage","params":` + hello + `}`, nil, 0, "Answered by m"},
		"tools that were not declared":          {small, withTools, []string{"--server-tools", "undeclared"}, 1, "error -32602:\n  tools and toolChoice need"},
		"tools that were disabled since":        {small + "  capabilities: {tools: Disabled}\n", withTools, []string{"--server-tools=declared"}, 1, "(ToolsDisabled)"},
		"tools as the policy declares":          {small + "  capabilities: {tools: Disabled}\n", withTools, nil, 1, "(ToolsNotDeclared)"},
		"one of a loop":                         {small + "  limits: {requestsPerCall: 3}\n", hello, []string{"--in-call=4"}, 1, "limit requestsPerCall (3) is used up"},
		"one that the caller can answer": {small + "  mode: Fallback\n", hello, []string{"--caller=sampling"}, 0,
			"Left to the caller: the policy's mode is Fallback, and the caller can answer the request itself.\n"},
		"one that the caller cannot answer": {small + "  mode: Fallback\n", withTools, []string{"--caller=sampling"}, 0, "Answered by m"},
		"white space is not counted":        {small + "  limits: {requestBytes: 1024}\n", strings.ReplaceAll(hello, ",", ","+strings.Repeat(" ", 1024)), nil, 0, "Answered by m"},
		"a request that is too large":       {small + "  limits: {requestBytes: 1024}\n", strings.ReplaceAll(hello, "hello", strings.Repeat("x", 1024)), nil, 1, "(RequestBytesExceeded)"},
		"a policy of several":               {small + "---\n" + strings.ReplaceAll(small, "small", "other"), hello, []string{"--name=other", "-o", "json"}, 0, `"policy": "other"`},

		"a rule that is broken":       {strings.Replace(small, "default: m,", "default: x,", 1), hello, nil, 2, "spec.models.default must be the name of one of spec.models.allowed"},
		"what only samplers find out": {small + "  redaction: [{name: a, pattern: '('}]\n", hello, nil, 2, "samplers would refuse it"},
		"no policy":                   {"kind: Secret\n", hello, nil, 2, "there is no SamplingPolicy in it"},
		"a request that is none":      {small, "[]", nil, 2, "the request in REQUEST cannot be used: it is no JSON object"},
		"a request of another method": {small, `{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{}}`, nil, 2, `its method is "elicitation/create"`},
		"an answer":                   {small, `{"jsonrpc":"2.0","id":1,"result":{}}`, nil, 2, "it is an answer"},
		"a request without params":    {small, `{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}`, nil, 2, "it has no params"},
		"a flag's unknown value":      {small, hello, []string{"--caller=any"}, 2, `--caller is "any": write none or sampling or tools`},
		"an unknown flag":             {small, hello, []string{"--nothing"}, 2, "unknown flag"},
		"a number below the first":    {small, hello, []string{"--in-call=0"}, 2, "--in-call is 0: write 1 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"policy", "check", "-f", "-"}, tc.args...)
			request := filepath.Join(t.TempDir(), "request.json")
			if tc.request != "" {
				if err := os.WriteFile(request, []byte(tc.request), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--request", request)
			}
			code, stdout, stderr := try(t, tc.policy, args...)
			got, other := stdout, stderr
			if tc.wantCode == exitUsage {
				got, other = stderr, stdout
			}
			if code != tc.wantCode || other != "" {
				t.Errorf("exit code %d, want %d; unexpected output %q", code, tc.wantCode, other)
			}
			if want := strings.ReplaceAll(tc.want, "REQUEST", request); !strings.Contains(got, want) {
				t.Errorf("says\n%s\nwant in it\n%s", got, want)
			}
		})
	}
}

func TestCheckRefusesFilesItCannotRead(t *testing.T) {
	for name, args := range map[string][]string{
		"no policy":                  {},
		"a policy that is not there": {"-f", filepath.Join(t.TempDir(), "none.yaml")},
		"standard input for both":    {"-f", "-", "--request", "-"},
		"a request that is no file":  {"-f", "-", "--request", t.TempDir()},
	} {
		if code, stdout, stderr := try(t, small, append([]string{"policy", "check"}, args...)...); code != exitUsage || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d and an error alone", name, code, stdout, stderr, exitUsage)
		}
	}
}

// Both formats hold the same, for programs to read.
func TestFormats(t *testing.T) {
	args := []string{"policy", "check", "-f", examples + "/policy.yaml", "--request", examples + "/changed.json", "-o"}
	code, asJSON, _ := try(t, "", append(args, "json")...)
	if code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	_, asYAML, _ := try(t, "", append(args, "yaml")...)
	converted, err := yaml.YAMLToJSON([]byte(asYAML))
	if err != nil {
		t.Fatal(err)
	}
	var fromJSON, fromYAML any
	if err := json.Unmarshal([]byte(asJSON), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(converted, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("JSON and YAML differ:\n%s", diff)
	}
	for _, want := range []string{`"outcome": "Answered"`, `"reason": "DefaultModel"`, `"rule": "mail-address"`, `"field": "maxTokens"`, "[mail address]"} {
		if !strings.Contains(asJSON, want) {
			t.Errorf("%s is not in\n%s", want, asJSON)
		}
	}
}

// Each problem of a policy stands on a line of its own, and what others wrote in an
// error does nothing to a terminal.
func TestErrorsKeepTheirLinesAndNoControlCharacters(t *testing.T) {
	var errs bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader(""), Out: io.Discard, ErrOut: &errs}
	cmd := command(streams)
	cmd.RunE = func(*cobra.Command, []string) error {
		return errors.New("the policy is invalid:\n  first\n  sec\x1b[2Jond")
	}
	cmd.SetArgs(nil)
	if code := run(t.Context(), cmd, streams); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	want := "kubectl-mcp: the policy is invalid:\n  first\n  sec\\u001b[2Jond\n"
	if diff := cmp.Diff(want, errs.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
