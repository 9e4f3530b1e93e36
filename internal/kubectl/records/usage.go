package records

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// Usage is what servers used, by model.
type Usage struct {
	Rows  []Row    `json:"rows"`
	Total Counts   `json:"total"`
	Notes []string `json:"notes,omitempty"`
}

// Row is what one server used of one model. Model is empty for requests for which
// none was chosen.
type Row struct {
	Namespace string `json:"namespace,omitempty"`
	Server    string `json:"server"`
	Model     string `json:"model,omitempty"`
	Counts
}

// Counts are sums over requests.
type Counts struct {
	Requests     int                `json:"requests"`
	Answered     int                `json:"answered"`
	Refused      map[string]int     `json:"refused,omitempty"` // by reason
	Failed       map[string]int     `json:"failed,omitempty"`  // by reason; canceled and invalid ones too
	InputTokens  int64              `json:"inputTokens"`
	OutputTokens int64              `json:"outputTokens"`
	Uncounted    int                `json:"uncounted,omitempty"` // answers whose provider counted no tokens
	Unpriced     int                `json:"unpriced,omitempty"`  // answers of models without prices
	Cost         map[string]float64 `json:"cost,omitempty"`      // by currency
}

func (c *Counts) add(r *Record) {
	c.Requests++
	c.InputTokens += r.InputTokens
	c.OutputTokens += r.OutputTokens
	if r.Cost != nil {
		if c.Cost == nil {
			c.Cost = map[string]float64{}
		}
		c.Cost[r.Cost.Currency] += r.Cost.Amount
	}
	switch r.Decision {
	case Answered:
		c.Answered++
		if r.InputTokens+r.OutputTokens == 0 {
			c.Uncounted++
		}
		if r.Cost == nil {
			c.Unpriced++
		}
	case Refused:
		c.Refused = counted(c.Refused, r.Reason)
	default:
		c.Failed = counted(c.Failed, r.Reason)
	}
}

func counted(m map[string]int, reason string) map[string]int {
	if m == nil {
		m = map[string]int{}
	}
	m[reason]++
	return m
}

// Sum sums records up.
func Sum(all []Record) *Usage {
	type key struct{ namespace, server, model string }
	rows := map[key]*Row{}
	u := &Usage{Rows: []Row{}}
	for i := range all {
		r := &all[i]
		k := key{r.Namespace, r.Server, r.Model}
		if rows[k] == nil {
			rows[k] = &Row{Namespace: k.namespace, Server: k.server, Model: k.model}
		}
		rows[k].add(r)
		u.Total.add(r)
	}
	for _, row := range rows {
		u.Rows = append(u.Rows, *row)
	}
	slices.SortFunc(u.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Model, b.Model))
	})
	return u
}

// WriteText writes the sums as a table. Namespaces are shown where there may be
// several.
func (u *Usage) WriteText(w io.Writer, p terminal.Painter, namespaces bool) error {
	var t terminal.Table
	head := []string{"SERVER", "MODEL", "REQUESTS", "ANSWERED", "REFUSED", "FAILED", "TOKENS IN", "TOKENS OUT", "COST"}
	if namespaces {
		head = append([]string{"NAMESPACE"}, head...)
	}
	t.Row(head...)
	row := func(namespace, server, model string, c *Counts) {
		cells := []terminal.Cell{
			{Text: server}, {Text: cmp.Or(model, "-")}, {Text: fmt.Sprint(c.Requests)}, {Text: fmt.Sprint(c.Answered)},
			bad(sum(c.Refused)), bad(sum(c.Failed)),
			{Text: fmt.Sprint(c.InputTokens)}, {Text: fmt.Sprint(c.OutputTokens)}, {Text: cost(c)},
		}
		if namespaces {
			cells = append([]terminal.Cell{{Text: namespace}}, cells...)
		}
		t.Cells(cells...)
	}
	for i := range u.Rows {
		r := &u.Rows[i]
		row(terminal.Line(r.Namespace), terminal.Line(r.Server), terminal.Line(r.Model), &r.Counts)
	}
	if len(u.Rows) > 1 {
		row("", "total", "", &u.Total)
	}
	if len(u.Rows) > 0 {
		if err := t.Write(w, p); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(w, "No sampling requests."); err != nil {
		return err
	}
	var b strings.Builder
	for _, kind := range []struct {
		title  string
		counts map[string]int
	}{{"Refused", u.Total.Refused}, {"Failed", u.Total.Failed}} {
		if len(kind.counts) == 0 {
			continue
		}
		var parts []string
		for _, reason := range slices.Sorted(maps.Keys(kind.counts)) {
			parts = append(parts, fmt.Sprintf("%d %s", kind.counts[reason], terminal.Line(reason)))
		}
		fmt.Fprintf(&b, "%s: %s\n", kind.title, strings.Join(parts, ", "))
	}
	for _, note := range u.Notes {
		fmt.Fprintln(&b, p.Text(terminal.Faint, terminal.Line(note)))
	}
	if b.Len() > 0 {
		_, err := fmt.Fprint(w, "\n"+b.String())
		return err
	}
	return nil
}

func bad(n int) terminal.Cell {
	if n == 0 {
		return terminal.Cell{Text: "0"}
	}
	return terminal.Cell{Text: fmt.Sprint(n), Style: terminal.Bad}
}

func sum(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func cost(c *Counts) string {
	var parts []string
	for _, currency := range slices.Sorted(maps.Keys(c.Cost)) {
		parts = append(parts, Money(c.Cost[currency], currency))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, " + ")
}
