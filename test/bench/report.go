package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/load"
)

// verdict is what was measured for one thing that is promised.
type verdict struct {
	bar      string
	measured string
	ok       bool
}

// Bars.
const (
	minOfReverse  = 0.9
	maxOverCost   = 1.15
	maxAskTimes   = 3.0
	minFastMCP    = 10.0
	maxSessionKiB = 40.0
	maxIdleMiB    = 20.0
	maxStart      = 30 * time.Millisecond
)

// verdicts judges a comparison.
func (c *comparison) verdicts() []verdict {
	var out []verdict
	for _, w := range c.order {
		isEcho := strings.HasPrefix(w.tool, "echo")
		switch {
		case isEcho && (w.sessions == 16 || w.sessions == 64):
			out = append(out, c.judgeEcho(w)...)
		case w.tool == "ask":
			if w.sessions == 1 {
				out = append(out, c.judgeAsk(w))
			}
			if w.era == load.Legacy {
				out = append(out, c.judgeFastMCP(w)...)
			}
		}
	}
	return out
}

// failed is the verdict on what could not be measured.
func failed(bar string, err error) verdict {
	return verdict{bar: bar, measured: "not measured: " + err.Error()}
}

func (c *comparison) judgeEcho(w workload) []verdict {
	rate := fmt.Sprintf("%s: requests a second at least %.2f of ReverseProxy's", w, minOfReverse)
	latency := fmt.Sprintf("%s: added p50 at most %.2f of ReverseProxy's", w, maxOverCost)
	cost := fmt.Sprintf("%s: CPU a call at most %.2f of ReverseProxy's", w, maxOverCost)
	s, err := c.of(w, theSampler)
	if err != nil {
		return []verdict{failed(rate, err), failed(latency, err), failed(cost, err)}
	}
	r, err := c.of(w, reverseProxy)
	if err != nil {
		return []verdict{failed(rate, err), failed(latency, err), failed(cost, err)}
	}
	return []verdict{
		{rate, fmt.Sprintf("%.2f (half of the rounds between %.2f and %.2f)", s.ofReverse, s.lowest, s.highest), s.ofReverse >= minOfReverse},
		atMost(latency, ratio(float64(s.addedP50), float64(r.addedP50)), maxOverCost),
		atMost(cost, ratio(float64(s.cpu), float64(r.cpu)), maxOverCost),
	}
}

func (c *comparison) judgeAsk(w workload) verdict {
	bar := fmt.Sprintf("%s: p50 at most %.0f times that of a caller that answers itself", w, maxAskTimes)
	if err := c.cells[w][theSampler].err; err != nil {
		return failed(bar, err)
	}
	return atMost(bar, median(pairsOf(c, w, theSampler, direct, func(a, b sample) float64 { return ratio(float64(a.P50), float64(b.P50)) })), maxAskTimes)
}

// judgeFastMCP sets the sampler against the better one of FastMCP's proxies.
func (c *comparison) judgeFastMCP(w workload) []verdict {
	bar := fmt.Sprintf("%s: at least %.0f times the requests a second of FastMCP's best proxy", w, minFastMCP)
	best, name := 0.0, ""
	for _, t := range c.targets {
		if f, err := c.of(w, t.name); t.slow && err == nil && f.perSecond > best {
			best, name = f.perSecond, t.name
		}
	}
	if name == "" {
		return nil // left out by a flag, or it failed, which stands in the table
	}
	s, err := c.of(w, theSampler)
	if err != nil {
		return []verdict{failed(bar, err)}
	}
	times := ratio(s.perSecond, best)
	return []verdict{{bar, fmt.Sprintf("%.1f (%s)", times, name), times >= minFastMCP}}
}

func atMost(bar string, value, limit float64) verdict {
	return verdict{bar, fmt.Sprintf("%.2f", value), value > 0 && value <= limit}
}

func ratio(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// title says what a tool stands for.
var title = map[string]string{
	"echo":      "Tool call that does not sample, answered on an event stream (`echo`)",
	"echo_json": "Tool call that does not sample, answered as JSON (`echo_json`)",
	"ask":       "Tool call that samples once (`ask`)",
}

// write writes the tables.
func (c *comparison) write(to io.Writer) {
	for _, era := range []load.Era{load.Legacy, load.Modern} {
		for _, tool := range []string{"echo", "echo_json", "ask"} {
			var rows []workload
			for _, w := range c.order {
				if w.era == era && w.tool == tool {
					rows = append(rows, w)
				}
			}
			if len(rows) > 0 {
				c.writeTable(to, fmt.Sprintf("%s, %s era", title[tool], era), rows)
			}
		}
	}
}

func (c *comparison) writeTable(to io.Writer, name string, rows []workload) {
	fmt.Fprintf(to, "#### %s\n\n", name)
	fmt.Fprintln(to, "| sessions | through | requests/s | of ReverseProxy | p50 ms | p99 ms | added p50 ms | added p99 ms | CPU µs/call | of ReverseProxy | RSS MiB | RssAnon MiB |")
	fmt.Fprintln(to, "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, w := range rows {
		reverse, _ := c.of(w, reverseProxy) // its own row says what failed
		for _, t := range c.targets {
			if in := c.cells[w][t.name]; in.err == nil && len(in.samples) == 0 {
				continue
			}
			f, err := c.of(w, t.name)
			if err != nil {
				fmt.Fprintf(to, "| %d | %s | not measured: %s ||||||||||\n", w.sessions, t.name, oneLine(err.Error()))
				continue
			}
			fmt.Fprintf(to, "| %d | %s | %.0f | %.2f | %s | %s |", w.sessions, t.name, f.perSecond, f.ofReverse, ms(f.p50), ms(f.p99))
			if t.proxy == nil {
				fmt.Fprintln(to, " - | - | - | - | - | - |")
				continue
			}
			fmt.Fprintf(to, " %s | %s | %d | %.2f | %.1f | %.1f |\n", ms(f.addedP50), ms(f.addedP99),
				f.cpu.Microseconds(), ratio(float64(f.cpu), float64(reverse.cpu)), mib(f.rss), mib(f.anon))
		}
	}
	fmt.Fprintln(to)
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func mib(kib int) float64 { return float64(kib) / 1024 }

func oneLine(text string) string {
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", "/")
	return text[:min(len(text), 200)]
}

// writeVerdicts writes what is promised beside what was measured, and returns
// how many promises are not kept.
func writeVerdicts(to io.Writer, list []verdict) (missed int) {
	fmt.Fprintln(to, "| promised | measured | |")
	fmt.Fprintln(to, "|---|---|---|")
	for _, v := range list {
		word := "ok"
		if !v.ok {
			word = "**missed**"
			missed++
		}
		fmt.Fprintf(to, "| %s | %s | %s |\n", v.bar, oneLine(v.measured), word)
	}
	fmt.Fprintln(to)
	return missed
}
