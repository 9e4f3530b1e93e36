// Command sampler is the data plane: it stands in front of one MCP server,
// connects callers to it, and answers the server's sampling requests as its
// configuration says.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/otlp"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/procs"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/version"
)

func main() {
	// The first signal drains; the default action of a second one ends at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sampler:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "sampler",
		Short:         "Answer the sampling requests of an MCP server, for callers that cannot",
		Version:       version.Get().String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), bridgeCommand(), installCommand(), selftestCommand())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func serveCommand() *cobra.Command {
	var (
		o                   sampler.Options
		logLevel, logFormat string
	)
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Stand in front of an MCP server",
		Long: `Stand in front of an MCP server: callers connect here instead of to the server.

Everything passes through as it is, but for sampling: the server is told that its
client can sample, and its sampling requests are answered from the models that
the configuration names. The file is read again when it changes; sessions stay.

The admin port serves /healthz, /readyz and /statusz, the metrics port /metrics.
Neither needs credentials: do not make them public.

Traces, metrics and audit records are exported by OTLP (http/protobuf) where
OTEL_EXPORTER_OTLP_ENDPOINT and OpenTelemetry's other variables say so.`,
		Example: `  # in front of the server that examples/standalone/sampler.yaml names
  OPENAI_API_KEY=... sampler serve --config examples/standalone/sampler.yaml --listen 127.0.0.1:8808`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), logLevel, logFormat)
			if err != nil {
				return err
			}
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			o.Log, o.Audit, o.Version = log, cmd.OutOrStdout(), version.Short()
			tuneGC()
			o.Procs = procs.New()
			if o.Export, err = otlp.FromEnvironment(cmd.Context(), os.Getenv, version.Short(), log); err != nil {
				return err
			}
			s, err := sampler.New(o)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ConfigPath, "config", "", "the configuration `file` (required)")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8080", "the `address` for callers")
	f.StringVar(&o.AdminListen, "admin-listen", "127.0.0.1:9090", "the `address` for health and status")
	f.StringVar(&o.MetricsListen, "metrics-listen", "127.0.0.1:9464", "the `address` for metrics; empty serves none")
	f.StringVar(&o.Advertise, "advertise", os.Getenv("SAMPLER_ADVERTISE"), "the `address` at which other replicas reach this sampler, an IP, or IP:PORT where the port is not that of sessions.replicas; also by SAMPLER_ADVERTISE")
	f.DurationVar(&o.DrainTimeout, "drain-timeout", 50*time.Second, "how long running calls may take to end after SIGTERM; also by SAMPLER_DRAIN_TIMEOUT")
	f.DurationVar(&o.SettleTime, "settle-time", sampler.DefaultSettleTime, "how long new connections are taken after SIGTERM, at most a quarter of the drain timeout; also by SAMPLER_SETTLE_TIME")
	// By variables too: a podTemplate adds one without a copy of all arguments.
	f.StringVar(&logLevel, "log-level", cmp.Or(os.Getenv("SAMPLER_LOG_LEVEL"), "info"), "debug, info, warn or error; also by SAMPLER_LOG_LEVEL")
	f.StringVar(&logFormat, "log-format", cmp.Or(os.Getenv("SAMPLER_LOG_FORMAT"), "json"), "json or text; also by SAMPLER_LOG_FORMAT")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// fromEnvironment sets the durations that are not given as flags.
func fromEnvironment(cmd *cobra.Command) error {
	f := cmd.Flags()
	for name, variable := range map[string]string{"drain-timeout": "SAMPLER_DRAIN_TIMEOUT", "settle-time": "SAMPLER_SETTLE_TIME"} {
		value := os.Getenv(variable)
		if value == "" || f.Changed(name) {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("%s=%q is no duration: write one like 20s", variable, value)
		}
	}
	return nil
}

// tuneGC collects less often than Go does by itself, which with a heap of a few
// megabytes is many times a second. GOGC says otherwise where it is set, and
// GOMEMLIMIT bounds what this may cost.
func tuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: write debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // as JSON it would be a number without a unit
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	default:
		return nil, errors.New("--log-format: write json or text")
	}
}
