package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/explain"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/explain/admission"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// checkFlags are what users say; check knows what it means.
type checkFlags struct {
	policyFile, requestFile, name string
	caller, serverTools, output   string
	inCall                        int
}

// Values of --caller, --server-tools and --output.
var (
	callers = map[string]wire.SamplingCapability{
		"none":     {},
		"sampling": {Declared: true},
		"tools":    {Declared: true, Tools: true},
	}
	serverTools = map[string]*bool{"as-policy": nil, "declared": new(true), "undeclared": new(false)}
	outputs     = map[string]func(*explain.Report, io.Writer) error{
		"text": (*explain.Report).WriteText,
		"json": writeJSON,
		"yaml": writeYAML,
	}
)

func checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check -f FILE [--request FILE]",
		Short: "Say what a policy makes of a sampling request, without a cluster",
		Long: `Say what a SamplingPolicy makes of a sampling request, and why: which model gets
it, what is changed and redacted, or what error the server gets.

The policy is read as an API server and the samplers read it: with its defaults,
its schema and its rules. Other kinds in the file are ignored. Without --request
only that is checked.

The request is what a server sends: a JSON-RPC message of method
sampling/createMessage, or its params alone.

Nothing is sent to anybody. So nothing is said about what depends on others:
whether a limit that counts is used up, and whether a provider works and can
express the request.

Exit codes: 0 if the request would be answered or left to the caller, 1 if it
would be refused, 2 if the policy or the request cannot be used.`,
		Example: `  kubectl mcp policy check -f policy.yaml
  kubectl mcp policy check -f policy.yaml --request request.json
  # the fifth request in a loop, by a server that was told of no tools
  kubectl mcp policy check -f policy.yaml --request request.json --in-call 5 --server-tools undeclared`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return check(cmd, &f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.policyFile, "filename", "f", "", "the `file` with the policy, - for standard input (required)")
	flags.StringVar(&f.requestFile, "request", "", "the `file` with the request, - for standard input")
	flags.StringVar(&f.name, "name", "", "the policy's `name`, where the file has several")
	flags.StringVar(&f.caller, "caller", "none", "what the MCP client can do itself: none, sampling or tools (sampling with tools)")
	flags.StringVar(&f.serverTools, "server-tools", "as-policy", "what the server was told of tools when its session began: as-policy, declared or undeclared")
	flags.IntVar(&f.inCall, "in-call", 1, "the request's `number` within one call of a tool")
	flags.StringVarP(&f.output, "output", "o", "text", "text, json or yaml")
	if err := cmd.MarkFlagRequired("filename"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func check(cmd *cobra.Command, f *checkFlags) error {
	caller, err := choice(callers, "caller", f.caller)
	if err != nil {
		return err
	}
	tools, err := choice(serverTools, "server-tools", f.serverTools)
	if err != nil {
		return err
	}
	write, err := choice(outputs, "output", f.output)
	if err != nil {
		return err
	}
	if f.inCall < 1 {
		return fmt.Errorf("--in-call is %d: write 1 or more", f.inCall)
	}
	if f.policyFile == "-" && f.requestFile == "-" {
		return errors.New("-f and --request are both standard input: write a file for one of them")
	}
	policy, err := readPolicy(cmd.InOrStdin(), f.policyFile, f.name)
	if err != nil {
		return err
	}
	params, err := readRequest(cmd.InOrStdin(), f.requestFile)
	if err != nil {
		return err
	}
	report, err := explain.Explain(explain.Question{Policy: policy, Params: params, Caller: caller, ServerTools: tools, InCall: f.inCall})
	if err != nil {
		return fmt.Errorf("the policy in %s cannot be used: %w", f.policyFile, err)
	}
	if err := write(report, cmd.OutOrStdout()); err != nil {
		return err
	}
	if report.Outcome == explain.Refused {
		return errNo
	}
	return nil
}

// readPolicy returns the policy as samplers get it.
func readPolicy(stdin io.Reader, file, name string) (*config.Policy, error) {
	manifest, err := readFile(stdin, file)
	if err != nil {
		return nil, err
	}
	object, err := admission.Read(manifest, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	admitted, err := admission.SamplingPolicy(object)
	var invalid *admission.InvalidError
	if errors.As(err, &invalid) {
		return nil, fmt.Errorf("the policy in %s is invalid:\n  %s", file, strings.Join(invalid.Problems, "\n  "))
	}
	if err != nil {
		return nil, err
	}
	policy, err := resolve.EffectivePolicy(admitted)
	if err != nil {
		return nil, fmt.Errorf("the policy in %s is invalid: samplers would refuse it:\n  %w", file, err)
	}
	return policy, nil
}

// readRequest returns nil where there is none.
func readRequest(stdin io.Reader, file string) (json.RawMessage, error) {
	if file == "" {
		return nil, nil
	}
	data, err := readFile(stdin, file)
	if err != nil {
		return nil, err
	}
	params, err := explain.Params(data)
	if err != nil {
		return nil, fmt.Errorf("the request in %s cannot be used: %w", file, err)
	}
	return params, nil
}

func readFile(stdin io.Reader, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

func writeJSON(r *explain.Report, w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func writeYAML(r *explain.Report, w io.Writer) error {
	data, err := yaml.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// choice finds the value of a flag among those that it may have.
func choice[T any](known map[string]T, flag, value string) (T, error) {
	v, ok := known[value]
	if ok {
		return v, nil
	}
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return v, fmt.Errorf("--%s is %q: write %s", flag, value, strings.Join(names, " or "))
}
