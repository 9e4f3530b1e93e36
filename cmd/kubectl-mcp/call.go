package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/arguments"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/caller"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/diagnose"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// callFlags are what users say.
type callFlags struct {
	input   string
	timeout time.Duration
	quiet   bool
	out     output
}

// called is a call for programs.
type called struct {
	Result *mcp.CallToolResult `json:"result"`
	// Sampling are the audit records of the requests that the tool made.
	Sampling []json.RawMessage `json:"sampling"`
	// Problem is why sampling did not work.
	Problem string `json:"problem,omitempty"`
}

func (p *plugin) callCommand() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call NAME TOOL [ARGUMENT=VALUE…] [--input JSON]",
		Short: "Call a tool as a client that cannot sample, and show the sampling that it did",
		Long: `Call a tool of an MCPServer, as a client that cannot sample, and show what it
sampled: which model answered and what it took, or what is wrong and how to mend
it. The result goes to standard output, all else to standard error.

Arguments are read as the tool's inputSchema types them. A list is written item by
item (tag=a tag=b) or as JSON, an object as JSON.

What a tool sampled is read from its sampler's log. It is not known where a policy
says audit.level None or where you may not read logs; of a server of the stateless
era (2026-07-28 and later) the requests of others at the same time are shown too.

Rights: get mcpservers and samplingpolicies, list pods, create (and get)
pods/portforward; get pods/log to show the sampling.

Exit codes: 0 the tool answered; 1 the tool failed, or its sampling was not
answered; 2 there is no such tool, or the arguments do not fit it; 3 the cluster
does not answer, has no such server, or refuses; 4 the server cannot be called.`,
		Example: `  kubectl mcp call summarizer summarize text="Boats float on water."
  kubectl mcp call tickets search --input '{"query": "harbour", "limit": 3}'
  # arguments of a file
  kubectl mcp call tickets search --input @arguments.json -o json`,
		Args:              named("the names of an MCPServer and of a tool", 2, -1),
		ValidArgsFunction: p.completeServerThenTool,
		RunE:              func(cmd *cobra.Command, args []string) error { return p.call(cmd.Context(), args, &f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.input, "input", "", "all arguments as one `JSON` object, @FILE for one in a file, - for standard input")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long the whole may take; 0 is for ever")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "show neither progress nor sampling, only what is wrong")
	f.out.add(cmd)
	return cmd
}

func (p *plugin) call(parent context.Context, args []string, f *callFlags) error {
	input, err := p.readInput(f.input)
	if err != nil {
		return err
	}
	ctx, cancel := contextWithin(parent, f.timeout)
	defer cancel()
	s, err := p.open(ctx, args[0], p.tell(f))
	if err != nil {
		return timedOut(ctx, f.timeout, err)
	}
	defer func() { _ = s.Close() }() // nothing is left to say
	tools, err := s.Tools(ctx)
	if err != nil {
		return unreached(ctx, s.server, err)
	}
	tool, err := findTool(tools, args[0], args[1])
	if err != nil {
		return err
	}
	schema, err := arguments.Read(tool.InputSchema)
	if err != nil {
		return err
	}
	values, err := schema.Parse(args[2:], input)
	if err != nil {
		return fmt.Errorf("%w (kubectl mcp tools %s %s%s says what it takes)", err, args[0], args[1], p.there())
	}
	begin := time.Now()
	result, callErr := s.Call(ctx, tool.Name, values)
	if parent.Err() != nil {
		return parent.Err()
	}
	// The call's own time may be over; what it sampled is told all the same.
	after, stop := context.WithTimeout(parent, recordsTimeout)
	defer stop()
	sampled, problem := p.sampled(after, s, begin, callErr != nil || result.IsError)
	if callErr != nil {
		if !f.quiet && f.out.format == "" {
			p.showSampling(sampled, problem)
		}
		if problem != "" {
			return &noError{problem}
		}
		return timedOut(ctx, f.timeout, &noError{terminal.Line(callErr.Error())})
	}
	return p.report(f, result, sampled, problem)
}

// report shows the result, what was sampled, and what is wrong.
func (p *plugin) report(f *callFlags, result *mcp.CallToolResult, sampled []records.Record, problem string) error {
	if f.out.format != "" {
		all := called{Result: result, Sampling: []json.RawMessage{}, Problem: problem}
		for i := range sampled {
			all.Sampling = append(all.Sampling, sampled[i].Raw)
		}
		if _, err := f.out.write(p.Out, all); err != nil {
			return err
		}
	} else {
		if _, err := io.WriteString(p.Out, contentText(result)); err != nil {
			return err
		}
		if !f.quiet {
			p.showSampling(sampled, problem)
		}
	}
	switch {
	case problem != "":
		return &noError{problem}
	case result.IsError:
		return &noError{"the tool says that it failed"}
	default:
		return nil
	}
}

// sampled returns the records of the sampling requests of a session, and what is
// wrong in one line.
func (p *plugin) sampled(ctx context.Context, s *opened, begin time.Time, failed bool) (_ []records.Record, problem string) {
	list, err := s.records(ctx, begin, failed)
	if err != nil {
		p.say("What was sampled is not shown: %s", terminal.Line(err.Error()))
	}
	var policy *mcpv1alpha1.SamplingPolicy
	for i := range list {
		if list[i].Decision == records.Answered || list[i].Decision == records.Canceled {
			continue
		}
		if policy == nil && list[i].Policy != "" {
			policy, _ = s.cluster.Policy(ctx, list[i].Policy) // it only names the Secret
		}
		problem = "sampling failed: " + diagnose.Request(&list[i], policy)
	}
	if problem == "" && failed && len(list) == 0 {
		server := s.server
		if fresh, err := s.cluster.Server(ctx, server.Name); err == nil {
			server = fresh
		}
		if why := diagnose.Sampling(server); why != "" {
			problem = "the tool failed, perhaps because it cannot sample: " + why
		}
	}
	return list, problem
}

// showSampling writes what was sampled to standard error, but for the one request
// that problem is about: that is said at the end.
func (p *plugin) showSampling(list []records.Record, problem string) {
	painter := p.paint(p.ErrOut)
	for i := range list {
		r := &list[i]
		if len(list) == 1 && problem != "" {
			return
		}
		p.say("sampling %s: %s", painter.Text(records.StyleOf(r.Decision), terminal.Line(r.Decision)), r.Summary())
	}
}

// tell writes progress and log messages of the server to standard error.
func (p *plugin) tell(f *callFlags) caller.Options {
	if f.quiet {
		return caller.Options{}
	}
	return caller.Options{
		Progress: func(progress, total float64, message string) {
			text := fmt.Sprintf("progress: %g", progress)
			if total > 0 {
				text += fmt.Sprintf(" of %g", total)
			}
			if message != "" {
				text += ", " + terminal.Line(message)
			}
			p.say("%s", text)
		},
		Log: func(level, logger string, data any) {
			text, isText := data.(string)
			if !isText {
				if encoded, err := json.Marshal(data); err == nil {
					text = string(encoded)
				}
			}
			if logger != "" {
				text = logger + ": " + text
			}
			p.say("log: %s: %s", terminal.Line(level), terminal.Line(text))
		},
	}
}

func (p *plugin) readInput(input string) (string, error) {
	name, isFile := strings.CutPrefix(input, "@")
	var data []byte
	var err error
	switch {
	case input == "-":
		data, err = io.ReadAll(p.In)
	case isFile:
		data, err = os.ReadFile(name)
	default:
		return input, nil
	}
	if err != nil {
		return "", fmt.Errorf("read --input: %w", err)
	}
	return string(data), nil
}

// contentText is a result's content for people.
func contentText(result *mcp.CallToolResult) string {
	var b strings.Builder
	for _, block := range result.Content {
		switch c := block.(type) {
		case *mcp.TextContent:
			b.WriteString(strings.TrimRight(terminal.Block(c.Text), "\n"))
		case *mcp.ImageContent:
			fmt.Fprintf(&b, "(an image, %s, %d bytes: -o json has it)", terminal.Line(c.MIMEType), len(c.Data))
		case *mcp.AudioContent:
			fmt.Fprintf(&b, "(a sound, %s, %d bytes: -o json has it)", terminal.Line(c.MIMEType), len(c.Data))
		case *mcp.ResourceLink:
			fmt.Fprintf(&b, "(a link to %s)", terminal.Line(c.URI))
		case *mcp.EmbeddedResource:
			switch {
			case c.Resource == nil:
			case c.Resource.Text != "":
				b.WriteString(strings.TrimRight(terminal.Block(c.Resource.Text), "\n"))
			default:
				fmt.Fprintf(&b, "(a resource, %s: -o json has it)", terminal.Line(c.Resource.URI))
			}
		default:
			b.WriteString("(content of another kind: -o json has it)")
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 && result.StructuredContent != nil {
		_ = terminal.JSON(&b, result.StructuredContent) // into memory
	}
	return b.String()
}

func timedOut(ctx context.Context, limit time.Duration, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &noError{fmt.Sprintf("there was no answer within %s: --timeout gives it longer", limit)}
	}
	return err
}

// contextWithin is for a limit of which 0 is none.
func contextWithin(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
