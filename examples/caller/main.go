// Command caller is an MCP client without sampling, as most clients are: it
// declares no capability, connects to a server, calls one tool and prints what
// was asked and what came back. Where the tool needed a model, somebody other
// than this caller answered for it.
//
//	caller http://127.0.0.1:8000/mcp                              # lists the tools
//	caller http://127.0.0.1:8000/mcp summarize text='A long text' # calls one
//
// With -answer it is one of the few that can sample: it declares so, and answers
// each sampling request that reaches it with that text.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

const usage = `usage: caller [flags] URL [TOOL [NAME=VALUE ...]]

Connects to the MCP server at URL (Streamable HTTP, or the older HTTP+SSE) as a
client that cannot sample, and calls TOOL. Without TOOL it lists the tools.
Where nobody listens yet, as before kubectl port-forward is ready, it waits a
moment.

`

// errToolFailed means that the call went through and the tool itself said no.
var errToolFailed = errors.New("the tool reported an error")

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	timeout := flag.Duration("timeout", 2*time.Minute, "how long to wait for the server in all")
	answer := flag.String("answer", "", "declare sampling, and answer what the server asks with this `TEXT`")
	flag.Parse()
	if flag.NArg() < 1 {
		flag.Usage()
		os.Exit(2)
	}
	arguments, err := parseArguments(flag.Args()[min(2, flag.NArg()):])
	if err != nil {
		fmt.Fprintln(os.Stderr, "caller:", printable(err.Error()))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	err = run(ctx, newPrinter(os.Stdout), *answer, flag.Arg(0), flag.Arg(1), arguments)
	cancel()
	stop()
	if err != nil {
		if !errors.Is(err, errToolFailed) { // that one is printed already
			fmt.Fprintln(os.Stderr, "caller:", printable(err.Error()))
		}
		os.Exit(1)
	}
}

// connect makes a client of one transport and says hello.
func connect(ctx context.Context, to transport.Interface, options ...client.ClientOption) (*client.Client, *mcp.InitializeResult, error) {
	caller := client.NewClient(to, options...)
	if err := caller.Start(ctx); err != nil {
		_ = caller.Close()
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	// Without an option no capability is declared: this caller has no model.
	hello := mcp.InitializeRequest{}
	hello.Params.ClientInfo = mcp.Implementation{Name: "example-caller", Version: "1.0.0"}
	server, err := caller.Initialize(ctx, hello)
	if err != nil {
		_ = caller.Close()
		return nil, nil, fmt.Errorf("say hello: %w", err)
	}
	return caller, server, nil
}

// connectBy tries the newer transport, then the older one.
func connectBy(ctx context.Context, url, answer string) (*client.Client, *mcp.InitializeResult, error) {
	var options []client.ClientOption
	var streams []transport.StreamableHTTPCOption
	if answer != "" {
		options = append(options, client.WithSamplingHandler(model(answer)))
		// Some servers ask on the session's own stream.
		streams = append(streams, transport.WithContinuousListening())
	}
	newer, err := transport.NewStreamableHTTP(url, streams...)
	if err != nil {
		return nil, nil, err
	}
	caller, server, err := connect(ctx, newer, options...)
	if !errors.Is(err, transport.ErrLegacySSEServer) {
		return caller, server, err
	}
	older, err := transport.NewSSE(url)
	if err != nil {
		return nil, nil, err
	}
	return connect(ctx, older, options...)
}

// run connects to url and calls the tool, or lists the tools if it is empty.
func run(ctx context.Context, out *printer, answer, url, tool string, arguments map[string]any) error {
	if err := awaitListener(ctx, url, patience); err != nil {
		return err
	}
	caller, server, err := connectBy(ctx, url, answer)
	if err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	defer caller.Close()
	list, err := caller.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return fmt.Errorf("list the tools of %s: %w", url, err)
	}
	out.server(server.ServerInfo, server.ProtocolVersion, list.Tools)
	if tool == "" {
		out.tools(list.Tools)
		return nil
	}

	call := mcp.CallToolRequest{}
	call.Params.Name = tool
	call.Params.Arguments = arguments
	out.asked(tool, answer != "", arguments)
	start := time.Now()
	result, err := caller.CallTool(ctx, call)
	if err != nil {
		return fmt.Errorf("call tool %s: %w", tool, err)
	}
	out.answered(result, time.Since(start))
	if result.IsError {
		return errToolFailed
	}
	return nil
}
