// Command scale measures the operator with many servers on a simulated cluster
// (package sim: the real API server and controllers, kwok's nodes and pods, fake
// samplers):
//
//	make bench-scale
//	make bench-scale SCALE='-servers 100'
//	make bench-scale SCALE='-write docs/scale.md'
//
// It reads /proc and answers on addresses of 127.0.0.0/8, so it runs on Linux.
// Where something promised is missed it exits with 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/mcp-sampling/mcp-sampling-operator/test/scale/sim"
)

func main() {
	log.SetLogger(logr.Discard()) // of controller-runtime's client
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1) //nolint:gocritic // stop only gives signals back, which the end does too
	}
}

var errMissed = errors.New("not everything promised was reached")

func run(ctx context.Context, args []string) error {
	var o sim.Options
	var servers, page string
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.StringVar(&o.Root, "root", ".", "the `folder` of the repository")
	flags.StringVar(&o.Assets, "assets", os.Getenv("KUBEBUILDER_ASSETS"), "a `folder` with the components of Kubernetes")
	flags.StringVar(&o.Kwok, "kwok", "kwok", "the `program` kwok")
	flags.StringVar(&o.Manager, "manager", "bin/manager", "the manager's `program`")
	flags.StringVar(&servers, "servers", "100,300,1000", "how many `servers`, one run for each number")
	flags.StringVar(&page, "write", "", "a `page` whose marked section gets the results")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	var all []figures
	for _, text := range strings.Split(servers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 10 {
			return fmt.Errorf("-servers has %q: write numbers from 10 on", text)
		}
		f, err := measure(ctx, o, n)
		if err != nil {
			return fmt.Errorf("%d servers: %w", n, err)
		}
		all = append(all, f)
	}
	var text bytes.Buffer
	missed := report(&text, all)
	fmt.Print(text.String())
	if page != "" {
		if err := writeSection(page, text.String()); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("%w: %d missed", errMissed, missed)
	}
	return nil
}

// writeSection replaces what stands between the marks of a page.
func writeSection(file, text string) error {
	const begin, end = "<!-- begin figures -->\n", "<!-- end figures -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	head, rest, found := strings.Cut(string(page), begin)
	_, foot, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("write the results into %s: the marks are missing", file)
	}
	head += fmt.Sprintf("%s\nMeasured on %s with %s, %d processors (%s/%s) for everything.\n\n", begin,
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	//nolint:gosec // a page that everybody reads
	if err := os.WriteFile(file, []byte(head+strings.TrimSpace(text)+"\n\n"+end+foot), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}
