// Command bench measures what a sampler costs between MCP callers and their
// server. It compares, in one run and with the same callers, the way to the
// server with nothing between, a bare httputil.ReverseProxy, the sampler, and
// FastMCP's own proxy:
//
//	make bench
//	make bench BENCH='-quick'
//	make bench BENCH='-write docs/performance.md'
//	make soak SOAK=2m
//
// It reads /proc, so it runs on Linux. Everything is on 127.0.0.1. Where
// something promised is missed it exits with 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "role" {
		err = runRole(ctx, os.Args[2:])
	} else {
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop only gives signals back, which the end does too
	}
}

var errMissed = errors.New("not everything promised was reached")

// options are the command line.
type options struct {
	quick   bool
	fastMCP bool
	only    string
	sampler string
	write   string
	length  time.Duration
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench [flags] [compare | idle | soak]\nWithout a word: compare and idle.")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.quick, "quick", false, "short slices and few rounds: about a minute")
	flags.BoolVar(&o.fastMCP, "fastmcp", true, "compare with FastMCP's proxy, too")
	flags.StringVar(&o.only, "only", "", "compare only workloads that match this `pattern`, such as 'legacy ask, 16 '")
	flags.StringVar(&o.sampler, "sampler", "", "the sampler's binary; built from here by default")
	flags.StringVar(&o.write, "write", "", "a `page` whose marked sections get the results")
	flags.DurationVar(&o.length, "for", 10*time.Minute, "how long soak takes")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	what := flags.Args()
	if len(what) == 0 {
		what = []string{"compare", "idle"}
	}
	missed := 0
	for _, name := range what {
		section, ok := sections[name]
		if !ok {
			return fmt.Errorf("%q is none of compare, idle and soak", name)
		}
		var text bytes.Buffer
		n, err := section(ctx, o, &text)
		if _, writeErr := io.Copy(os.Stdout, bytes.NewReader(text.Bytes())); writeErr != nil {
			return fmt.Errorf("print: %w", writeErr)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		missed += n
		if o.write != "" {
			if err := writeSection(o.write, name, text.String()); err != nil {
				return err
			}
		}
	}
	if missed > 0 {
		return fmt.Errorf("%w: %d missed", errMissed, missed)
	}
	return nil
}

// sections are what can be measured; each writes its part of the page and
// returns how many promises are not kept.
var sections = map[string]func(context.Context, options, io.Writer) (int, error){
	"compare": runCompare,
	"idle":    runIdle,
	"soak":    runSoak,
}

func runCompare(ctx context.Context, o options, to io.Writer) (int, error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return 0, fmt.Errorf("-only: %w", err)
	}
	python := ""
	if o.fastMCP {
		if python, err = fastMCPPython(ctx); err != nil {
			return 0, err
		}
	}
	s, err := newSetup(ctx, o.sampler, "")
	if err != nil {
		return 0, err
	}
	defer s.close()
	targets, err := s.targets(ctx, python)
	if err != nil {
		return 0, err
	}
	pace := fullPace
	if o.quick {
		pace = quickPace
	}
	list := slices.DeleteFunc(workloads(), func(w workload) bool { return !only.MatchString(w.String()) })
	before, err := s.usage()
	if err != nil {
		return 0, err
	}
	c, err := compare(ctx, targets, list, pace, os.Stderr)
	if err != nil {
		return 0, err
	}
	after, err := s.usage()
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(to, "%d slices of %s for each figure. Other programs had %.0f %% of the processors meanwhile.\n\n", pace.rounds, pace.slice, 100*othersUsed(before, after, runtime.NumCPU()))
	missed := writeVerdicts(to, c.verdicts())
	c.write(to)
	return missed, nil
}
