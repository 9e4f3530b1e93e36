package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/bridge"
)

func bridgeCommand() *cobra.Command {
	var (
		o                   = bridge.DefaultOptions()
		logLevel, logFormat string
	)
	cmd := &cobra.Command{
		Use:   "bridge [flags] -- COMMAND [ARGS...]",
		Short: "Speak Streamable HTTP for an MCP server that speaks on standard input and output",
		Long: `Speak Streamable HTTP for an MCP server that speaks on standard input and output.

Each session gets a process of its own, or all share one with --shared, for
servers that are made so. Such a process can ask a caller something (sampling,
elicitation, roots) only while it works for that one caller, as nothing else says
whom it means: otherwise it is refused, and from then on calls of several sessions
wait for each other. It is told the capabilities of the caller of its first
session; for a caller with more another one is started, and serves all from then
on. It keeps the protocol version of that first session: a caller of an older
version is answered with its own, one of a newer version with that of the process.
Callers of the stateless version 2026-07-28 share one
process of their own, if the server knows that version.

Where as many processes run as may, one that ends is waited for, and the session
that was idle longest, for more than a minute, ends for a new one.

A process that does not answer initialize in time ends, and its caller is told.
What one leaves running when it ends is ended too: all that has the value of
MCP_BRIDGE_PROCESS in its environment that it was started with.

What processes write to standard error goes to that of the bridge, after the
short name of the session. There are no credentials: listen where only the
sampler can connect.`,
		Example: `  sampler bridge --listen 127.0.0.1:8000 -- npx -y @modelcontextprotocol/server-everything`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkBridgeFlags(cmd.Flags(), o); err != nil {
				return err
			}
			log, err := newLogger(cmd.ErrOrStderr(), logLevel, logFormat)
			if err != nil {
				return err
			}
			o.Command, o.Log, o.Stderr = args, log, cmd.ErrOrStderr()
			b, err := bridge.New(o)
			if err != nil {
				return err
			}
			return b.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // the server's flags are its own, also without --
	f.StringVar(&o.Listen, "listen", o.Listen, "the `address` for callers")
	f.StringVar(&o.Path, "path", o.Path, "the `path` of the endpoint")
	f.BoolVar(&o.Shared, "shared", false, "run one process for all sessions instead of one for each")
	f.IntVar(&o.MaxProcesses, "max-processes", o.MaxProcesses, "how many processes may run at a time; not with --shared")
	f.DurationVar(&o.IdleTimeout, "idle-timeout", o.IdleTimeout, "end a session that sends no request for so long")
	f.IntVar(&o.MaxMessageBytes, "max-message-bytes", o.MaxMessageBytes, "how many `bytes` a message may have, both ways")
	f.DurationVar(&o.InitializeTimeout, "initialize-timeout", o.InitializeTimeout, "how long a process may take to answer initialize")
	f.DurationVar(&o.ShutdownTimeout, "shutdown-timeout", o.ShutdownTimeout, "how long running calls may take to end after SIGTERM")
	f.StringVar(&logLevel, "log-level", cmp.Or(os.Getenv("SAMPLER_LOG_LEVEL"), "info"), "debug, info, warn or error; also by SAMPLER_LOG_LEVEL")
	f.StringVar(&logFormat, "log-format", cmp.Or(os.Getenv("SAMPLER_LOG_FORMAT"), "json"), "json or text; also by SAMPLER_LOG_FORMAT")
	return cmd
}

// checkBridgeFlags refuses what the defaults of the options would hide.
func checkBridgeFlags(f *pflag.FlagSet, o bridge.Options) error {
	switch {
	case f.Changed("max-processes") && o.Shared:
		return errors.New("--max-processes is for sessions with a process each: with --shared they have one, leave it out")
	case o.MaxProcesses < 1:
		return fmt.Errorf("--max-processes must be 1 or more, not %d", o.MaxProcesses)
	case o.InitializeTimeout <= 0:
		return fmt.Errorf("--initialize-timeout must be more than 0, not %s", o.InitializeTimeout)
	}
	return nil
}

// installCommand is for the init container that puts this program into the
// container of a server: the image of the server has none, and this image has
// no cp.
func installCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "install DIR",
		Short:  "Copy this program to DIR/sampler",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return install(args[0]) },
	}
}

// install copies this program to dir/sampler in one step: who finds it there
// finds all of it, and one that runs there is not written over.
func install(dir string) (err error) {
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	from, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading this program: %w", err)
	}
	defer from.Close()
	to, err := os.CreateTemp(dir, ".sampler-")
	if err != nil {
		return fmt.Errorf("installing into %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			_ = to.Close()
			_ = os.Remove(to.Name())
			err = fmt.Errorf("installing into %s: %w", dir, err)
		}
	}()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := to.Chmod(0o555); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(to.Name(), filepath.Join(dir, "sampler"))
}
