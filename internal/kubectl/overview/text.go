package overview

import (
	"fmt"
	"io"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// TextOptions are how the tree is written.
type TextOptions struct {
	// Wide adds addresses, nodes and images.
	Wide bool
	// Namespaces heads each namespace with its name.
	Namespaces bool
}

// marks tell states apart without colours.
var marks = map[State]struct {
	text  string
	style terminal.Style
}{
	OK:      {"✓", terminal.Good},
	Waiting: {"…", terminal.Wait},
	Problem: {"✗", terminal.Bad},
}

// line is one line of the tree.
type line struct {
	branch, kind, name string
	state              State
	reason, details    string
	// text is there in place of the rest: what is wrong with the line above.
	text  string
	style terminal.Style
}

// WriteText writes the tree for people.
func (o *Overview) WriteText(w io.Writer, p terminal.Painter, opts TextOptions) error {
	var b strings.Builder
	for i, ns := range o.namespaces() {
		if opts.Namespaces {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintln(&b, p.Text(terminal.Bold, "namespace "+ns))
		}
		writeLines(&b, p, o.lines(ns, opts))
	}
	for _, note := range o.Notes {
		fmt.Fprintln(&b, p.Text(terminal.Faint, terminal.Line(note)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (o *Overview) namespaces() []string {
	var out []string
	seen := map[string]bool{}
	add := func(ns string) {
		if !seen[ns] {
			seen[ns] = true
			out = append(out, ns)
		}
	}
	for i := range o.Policies {
		add(o.Policies[i].Namespace)
	}
	for i := range o.Ungoverned {
		add(o.Ungoverned[i].Namespace)
	}
	return out
}

func (o *Overview) lines(namespace string, opts TextOptions) []line {
	var out []line
	for i := range o.Policies {
		policy := &o.Policies[i]
		if policy.Namespace != namespace {
			continue
		}
		details := policy.Model
		if policy.Mode != "" && policy.Mode != "Always" {
			details += ", mode " + policy.Mode
		}
		out = append(out, line{kind: "SamplingPolicy", name: policy.Name, state: policy.State, reason: policy.Reason, details: details})
		bar := "   "
		if len(policy.Servers) > 0 {
			bar = "│  "
		}
		out = append(out, texts(bar, policy.State, policy.Problems)...)
		out = append(out, serverLines(policy.Servers, opts)...)
	}
	var alone []Server
	for i := range o.Ungoverned {
		if o.Ungoverned[i].Namespace == namespace {
			alone = append(alone, o.Ungoverned[i])
		}
	}
	if len(alone) > 0 {
		out = append(out, line{text: "without a SamplingPolicy", style: terminal.Faint})
		out = append(out, serverLines(alone, opts)...)
	}
	return out
}

func serverLines(servers []Server, opts TextOptions) []line {
	var out []line
	for i := range servers {
		s := &servers[i]
		branch, below := "├─ ", "│  "
		if i == len(servers)-1 {
			branch, below = "└─ ", "   "
		}
		out = append(out, line{branch: branch, kind: "MCPServer", name: s.Name, state: s.State, reason: s.Reason, details: s.details(opts)})
		bar := below + "   "
		if len(s.Pods) > 0 {
			bar = below + "│  "
		}
		out = append(out, texts(bar, s.State, s.Problems)...)
		for _, hint := range s.Hints {
			out = append(out, line{branch: bar, text: hint, style: terminal.Faint})
		}
		for j := range s.Pods {
			pod := &s.Pods[j]
			leaf := "├─ "
			if j == len(s.Pods)-1 {
				leaf = "└─ "
			}
			out = append(out, line{branch: below + leaf, kind: pod.Role, name: pod.Name, state: pod.State, reason: pod.Reason, details: pod.details(opts)})
		}
	}
	return out
}

func texts(branch string, state State, problems []string) []line {
	style := terminal.Bad
	if state == Waiting {
		style = terminal.Wait
	}
	var out []line
	for _, text := range problems {
		out = append(out, line{branch: branch, text: text, style: style})
	}
	return out
}

func (s *Server) details(opts TextOptions) string {
	var parts []string
	if s.Tools != nil {
		unit := "tools"
		if *s.Tools == 1 {
			unit = "tool"
		}
		parts = append(parts, fmt.Sprintf("%d %s", *s.Tools, unit))
	}
	if s.Says != "" {
		parts = append(parts, terminal.Short(s.Says, 40))
	}
	if opts.Wide {
		if s.Protocol != "" {
			parts = append(parts, "MCP "+s.Protocol)
		}
		if s.URL != "" {
			parts = append(parts, s.URL)
		}
	}
	return strings.Join(parts, ", ")
}

func (p *Pod) details(opts TextOptions) string {
	var parts []string
	if p.Restarts > 0 {
		unit := "restarts"
		if p.Restarts == 1 {
			unit = "restart"
		}
		parts = append(parts, fmt.Sprintf("%d %s", p.Restarts, unit))
	}
	if opts.Wide {
		if p.Node != "" {
			parts = append(parts, "on "+p.Node)
		}
		parts = append(parts, p.Image)
	}
	return strings.Join(parts, ", ")
}

// writeLines writes lines in columns: the tree, how it is, and details.
func writeLines(b *strings.Builder, p terminal.Painter, lines []line) {
	var tree, state int
	for i := range lines {
		if l := &lines[i]; l.text == "" {
			tree = max(tree, len([]rune(l.tree())))
			state = max(state, len([]rune(l.reason)))
		}
	}
	for i := range lines {
		l := &lines[i]
		if l.text != "" {
			fmt.Fprintln(b, p.Text(terminal.Faint, l.branch)+p.Text(l.style, l.text))
			continue
		}
		mark := marks[l.state]
		style := terminal.Plain
		if strings.HasPrefix(l.kind, "Sampling") || l.kind == "MCPServer" {
			style = terminal.Bold
		}
		text := p.Text(terminal.Faint, l.branch) + l.kind + " " + p.Text(style, l.name) + pad(l.tree(), tree+2) +
			p.Text(mark.style, mark.text+" "+l.reason)
		if l.details != "" {
			text += pad(l.reason, state+2) + l.details
		}
		fmt.Fprintln(b, text)
	}
}

func (l *line) tree() string { return l.branch + l.kind + " " + l.name }

func pad(text string, width int) string {
	return strings.Repeat(" ", max(1, width-len([]rune(text))))
}
