package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/cluster"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/records"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// podsEvery is how often logs -f looks for samplers that have come.
const podsEvery = 2 * time.Second

func (p *plugin) logsCommand() *cobra.Command {
	var (
		out    string
		follow bool
		back   time.Duration
		tail   int
	)
	cmd := &cobra.Command{
		Use:   "logs [NAME]",
		Short: "Show the audit records of sampling requests, one a line",
		Long: `Show the audit records of the sampling requests of an MCPServer, or of all of the
namespace: when, in which session, what became of it, which model answered, what
it took, or why nobody answered.

Records are read from the logs of the samplers that are there now. Where a policy
says audit.level None there are none.

Rights: get mcpservers, list pods, get pods/log.`,
		Example: `  kubectl mcp logs summarizer
  kubectl mcp logs -f
  # whole records, for programs
  kubectl mcp logs summarizer --since 1h -o json | jq -c '{time, decision, attempts}'`,
		Args:              named("at most the name of one MCPServer", 0, 1),
		ValidArgsFunction: p.completeServer,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if _, err := choice(map[string]bool{"text": true, "json": true}, "output", out); err != nil {
			return err
		}
		if back < 0 || tail < 0 {
			return errors.New("--since and --tail are not below 0")
		}
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		c, err := p.connect()
		if err != nil {
			return err
		}
		if name != "" {
			if _, err := c.Server(cmd.Context(), name); err != nil {
				return err
			}
		}
		show := func(r records.Record) error {
			text := terminal.EscapeJSON(string(r.Raw))
			if out != "json" {
				text = r.Line(p.paint(p.Out), name == "")
			}
			_, err := fmt.Fprintln(p.Out, text)
			return err
		}
		if follow {
			return p.follow(cmd.Context(), c, name, since(back), show)
		}
		list, _, err := readAll(cmd.Context(), c, name, since(back))
		if err != nil {
			return err
		}
		if tail > 0 && len(list) > tail {
			list = list[len(list)-tail:]
		}
		for _, r := range list {
			if err := show(r); err != nil {
				return err
			}
		}
		if len(list) == 0 {
			p.say("There are no records: nothing was sampled, or the policy says audit.level None.")
		}
		return nil
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with records as they come, also of samplers that come later")
	flags.DurationVar(&back, "since", 0, "records of this long (`1h30m`); 0 is all that there are")
	flags.IntVar(&tail, "tail", 0, "the last `number` of them only; 0 is all")
	flags.StringVarP(&out, "output", "o", "text", "text, or json for whole records, one a line")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// readAll returns the records of the samplers that are there, oldest first.
func readAll(ctx context.Context, c *cluster.Cluster, name string, from time.Time) ([]records.Record, []corev1.Pod, error) {
	pods, err := c.Samplers(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var list []records.Record
	for i := range pods {
		if !started(&pods[i]) {
			continue
		}
		log, err := c.Log(ctx, &pods[i], from, false)
		if err != nil {
			return nil, nil, err
		}
		err = records.Read(log, func(r records.Record) bool {
			list = append(list, r)
			return true
		})
		_ = log.Close() // it was read
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b records.Record) int { return a.Time.Compare(b.Time) })
	return list, pods, nil
}

// started reports whether a sampler has a log to read.
func started(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool {
		return c.ContainerID != ""
	})
}

// follow shows records as they come, until ctx ends.
func (p *plugin) follow(ctx context.Context, c *cluster.Cluster, name string, from time.Time, show func(records.Record) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var (
		readers sync.WaitGroup
		mu      sync.Mutex
		reading = map[string]bool{} // by pod
		shown   = map[string]*pastRecords{}
	)
	defer readers.Wait()
	defer cancel(nil)
	begin := func(pod corev1.Pod) {
		uid := string(pod.UID)
		mu.Lock()
		busy, before := reading[uid], shown[uid]
		if before == nil {
			before = &pastRecords{}
			shown[uid] = before
		}
		newest := before.newest
		reading[uid] = true
		mu.Unlock()
		if busy {
			return
		}
		readers.Go(func() {
			err := read(ctx, c, &pod, later(from, newest), func(r records.Record) error {
				mu.Lock()
				defer mu.Unlock()
				// A log that is read again begins with what was shown.
				if !before.add(r) {
					return nil
				}
				return show(r)
			})
			mu.Lock()
			reading[uid] = false
			mu.Unlock()
			if err != nil {
				cancel(err)
			}
		})
	}
	look := time.NewTicker(podsEvery)
	defer look.Stop()
	for {
		pods, err := c.Samplers(ctx, name)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for i := range pods {
			if started(&pods[i]) {
				begin(pods[i])
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
	}
}

// pastRecords are those that were shown of a pod. Their times do not tell: they are
// those at which requests began, and records are written when they end.
type pastRecords struct {
	newest time.Time
	lines  map[[sha256.Size]byte]time.Time
}

// enoughLines bounds how many are remembered, but for those of the last hour.
const enoughLines = 10_000

// add is false for a record that was shown before.
func (p *pastRecords) add(r records.Record) bool {
	line := sha256.Sum256(r.Raw)
	if _, known := p.lines[line]; known {
		return false
	}
	if p.lines == nil {
		p.lines = map[[sha256.Size]byte]time.Time{}
	}
	if len(p.lines) >= enoughLines {
		maps.DeleteFunc(p.lines, func(_ [sha256.Size]byte, at time.Time) bool { return p.newest.Sub(at) > time.Hour })
	}
	p.lines[line] = r.Time
	p.newest = later(p.newest, r.Time)
	return true
}

// read shows the records of a pod until its log ends.
func read(ctx context.Context, c *cluster.Cluster, pod *corev1.Pod, from time.Time, show func(records.Record) error) error {
	log, err := c.Log(ctx, pod, from, true)
	var failure *cluster.Failure
	if errors.As(err, &failure) && failure.Forbidden() {
		return err
	}
	if err != nil {
		return nil // the pod is going; another one comes
	}
	defer func() { _ = log.Close() }() // it was read
	var failed error
	err = records.Read(log, func(r records.Record) bool {
		failed = show(r)
		return failed == nil
	})
	if ctx.Err() != nil || failed == nil {
		return nil // a log that breaks off is read again
	}
	return cmp.Or(failed, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
