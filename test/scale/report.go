package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// What is promised.
const (
	mostInitial = 3 * time.Minute
	mostRSS     = 250 << 20
)

// operator is the name of its process.
const operator = "manager"

// report writes the page's section and returns how many promises are not kept.
func report(w io.Writer, all []figures) int {
	rows := []struct {
		what  string
		value func(figures) string
	}{
		{"policies", func(f figures) string { return fmt.Sprint(f.policies) }},
		{"all objects applied, from the operator's start", func(f figures) string { return seconds(f.applied) }},
		{"all servers Ready and policies Programmed", func(f figures) string { return seconds(f.ready) }},
		{"requests for that, reads and writes", func(f figures) string { return f.start.String() }},
		{"writes in an idle minute", func(f figures) string { return fmt.Sprint(f.idle.writes) }},
		{"reads in an idle minute", func(f figures) string { return fmt.Sprint(f.idle.reads) }},
		{"reports asked for in an idle minute", func(f figures) string { return fmt.Sprint(f.asked) }},
		{"most of them in a tenth of a second", func(f figures) string { return fmt.Sprint(f.busiest) }},
		{"CPU of the operator in an idle minute", func(f figures) string { return seconds(f.idleCPU[operator]) }},
		{"RSS of the operator, idle and at most", func(f figures) string {
			return fmt.Sprintf("%d / %d MiB", f.idleRSS>>20, f.highestRSS>>20)
		}},
		{"edit of a policy for 10 servers, to Programmed", func(f figures) string { return seconds(f.one) }},
		{"all policies but one deleted, that one Programmed", func(f figures) string { return seconds(f.takeover) }},
		{"edits of the policy for all servers, in a row", func(f figures) string { return fmt.Sprint(f.edits) }},
		{"each of them, to Programmed", func(f figures) string { return seconds(f.all) }},
		{"requests for all of them, reads and writes", func(f figures) string { return f.allCalls.String() }},
		{fmt.Sprintf("%d plain writes of a bare client: before the start, after it, after the edits", 2*plainObjects), func(f figures) string {
			return fmt.Sprintf("%.1f, %.1f, %s", f.plain[0].Seconds(), f.plain[1].Seconds(), seconds(f.plain[2]))
		}},
		{"operator restarted: every sampler asked", func(f figures) string { return seconds(f.restart) }},
		{"requests for that, reads and writes", func(f figures) string { return f.restartCalls.String() }},
		{"pods that were replaced by it", func(f figures) string { return fmt.Sprint(f.restarted) }},
	}
	head, rule := "| servers |", "|---|"
	for _, f := range all {
		head += fmt.Sprintf(" %d |", f.servers)
		rule += "---|"
	}
	fmt.Fprintf(w, "%s\n%s\n", head, rule)
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |", row.what)
		for _, f := range all {
			fmt.Fprintf(w, " %s |", row.value(f))
		}
		fmt.Fprintln(w)
	}
	last := all[len(all)-1]
	fmt.Fprintf(w, "\nWrites with %d servers: at the start %s; for the edits of all %s; after the restart %s.\n\n",
		last.servers, last.start.kinds(), last.allCalls.kinds(), last.restartCalls.kinds())
	fmt.Fprintf(w, "CPU with %d servers: at the start %s; for the edits of all %s.\n\n", last.servers, last.startCPU, last.allCPU)
	return promises(w, all)
}

func promises(w io.Writer, all []figures) int {
	first, last := all[0], all[len(all)-1]
	growth := float64(last.servers) / float64(first.servers)
	missed := 0
	fmt.Fprint(w, "| promised | measured | |\n|---|---|---|\n")
	say := func(kept bool, promise, measured string) {
		verdict := "ok"
		if !kept {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", promise, measured, verdict)
	}
	say(last.ready < mostInitial, fmt.Sprintf("%d servers are there within %s", last.servers, mostInitial), seconds(last.ready))
	say(last.highestRSS < mostRSS, fmt.Sprintf("the operator stays below %d MiB", mostRSS>>20), fmt.Sprintf("%d MiB", last.highestRSS>>20))
	writes, pods := 0, 0
	for _, f := range all {
		writes += f.idle.writes
		pods += f.restarted
	}
	say(writes == 0, "no write in an idle minute", fmt.Sprint(writes))
	say(pods == 0, "no pod is replaced because the operator was restarted", fmt.Sprint(pods))
	if len(all) > 1 {
		say := func(what, measured string, by float64) {
			say(by <= growth*1.1, fmt.Sprintf("%s: grows at most linearly, by %.1f", what, growth), measured)
		}
		for _, of := range []struct {
			what        string
			first, last float64
		}{
			{"writes to Ready", float64(first.start.writes), float64(last.start.writes)},
			{"CPU when idle", first.idleCPU[operator].Seconds(), last.idleCPU[operator].Seconds()},
			{"RSS at most", float64(first.highestRSS), float64(last.highestRSS)},
			{"requests of an edit of all", first.requestsOfEdit(), last.requestsOfEdit()},
		} {
			by := of.last / of.first
			say(of.what, fmt.Sprintf("by %.1f", by), by)
		}
		for _, of := range []struct {
			what        string
			first, last time.Duration
			from        int // the plain writes before it
		}{
			{"time to Ready, in plain writes", first.ready, last.ready, 0},
			{"an edit of all, in plain writes", first.all, last.all, 1},
		} {
			plain := func(f figures) float64 { return (f.plain[of.from] + f.plain[of.from+1]).Seconds() }
			clock := of.last.Seconds() / of.first.Seconds()
			by := clock * plain(first) / plain(last)
			say(of.what, fmt.Sprintf("by %.1f (by the clock %.1f)", by, clock), by)
		}
	}
	return missed
}

// requestsOfEdit is how many requests one edit of the policy for all servers takes.
func (f figures) requestsOfEdit() float64 {
	return float64(f.allCalls.reads+f.allCalls.writes) / float64(f.edits)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func (c callCounts) String() string { return fmt.Sprintf("%d + %d", c.reads, c.writes) }

func (c callCounts) kinds() string {
	if len(c.byKind) == 0 {
		return "none"
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c.byKind)) {
		parts = append(parts, fmt.Sprintf("%d %s", c.byKind[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// String begins with the program that has used most.
func (c cpuTimes) String() string {
	names := slices.SortedFunc(maps.Keys(c), func(a, b string) int { return cmp.Compare(c[b], c[a]) })
	var parts []string
	for _, name := range names {
		if c[name] >= time.Second/10 {
			parts = append(parts, name+" "+seconds(c[name]))
		}
	}
	return strings.Join(parts, ", ")
}
