package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
)

// WriteText writes a report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	switch r.Outcome {
	case Refused:
		fmt.Fprintf(&b, "Refused: %s (%s).\n\nThe server gets error %d:\n  %s\n", r.Why, r.Reason, r.Error.Code, r.Error.Message)
	case LeftToCaller:
		fmt.Fprintf(&b, "Left to the caller: %s.\n", r.Why)
	case Valid:
		fmt.Fprintf(&b, "The policy %s is valid: %s.\n", r.Policy, r.Why)
	case Answered:
		r.writeAnswered(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeAnswered(b *strings.Builder) {
	fmt.Fprintf(b, "Answered by %s.\n\nWhy: %s (%s).\n\n", r.Models[0].text(), r.Why, r.Reason)

	section(b, "Who is asked", func(row func(...string)) {
		for i, m := range r.Models {
			place := "first"
			if i > 0 {
				place = "then"
			}
			times := "once"
			if m.Attempts > 1 {
				times = fmt.Sprintf("up to %d times", m.Attempts)
			}
			row(place, m.Name, times+" within "+m.Timeout.String())
		}
	})
	section(b, "What the policy changes", func(row func(...string)) {
		for _, c := range r.Changes {
			row(string(c.Field), c.text())
		}
		for _, redacted := range r.Redactions {
			row("redaction "+redacted.Rule, plural(redacted.Count, "match", "matches")+" replaced")
		}
	})
	section(b, "What is sent", func(row func(...string)) { r.writeSent(row) })
	section(b, "Limits that have to leave room for it", func(row func(...string)) {
		for _, l := range r.Limits {
			row(l.Name, l.Value, l.Meaning)
		}
	})
	if len(r.AnswerRules) > 0 {
		fmt.Fprintf(b, "The answer is redacted by %s.\n", list(r.AnswerRules))
	}
	trimmed := strings.TrimRight(b.String(), "\n") + "\n"
	b.Reset()
	b.WriteString(trimmed)
}

func (m *Model) text() string {
	name := m.Name
	if m.Model != m.Name {
		name += " (" + m.Model + ")"
	}
	return fmt.Sprintf("%s at %s, a provider of type %s", name, m.Provider, m.Type)
}

func (r *Report) writeSent(row func(...string)) {
	row("messages", fmt.Sprint(len(r.Sent.Messages)))
	if r.Sent.SystemPrompt != nil && *r.Sent.SystemPrompt != "" {
		row("systemPrompt", shown(*r.Sent.SystemPrompt))
	}
	row("maxTokens", fmt.Sprint(r.Sent.MaxTokens))
	if r.Sent.Temperature != nil {
		row("temperature", fmt.Sprint(*r.Sent.Temperature))
	}
	if n := len(r.Sent.StopSequences); n > 0 {
		row("stopSequences", fmt.Sprint(n))
	}
	if len(r.Sent.Tools) > 0 {
		var names []string
		for _, tool := range r.Sent.Tools {
			names = append(names, tool.Name)
		}
		row("tools", strings.Join(names, ", "))
	}
	if r.Sent.ToolChoice != nil && r.Sent.ToolChoice.Mode != "" {
		row("toolChoice", r.Sent.ToolChoice.Mode)
	}
	if r.Sent.Metadata != nil {
		row("metadata", shown(r.Sent.Metadata))
	}
}

func (c *Change) text() string {
	switch {
	case c.Field == policy.ChangeContext:
		return shown(c.From) + " is ignored: there is no context to include"
	case c.To == nil:
		return shown(c.From) + " is dropped"
	case c.From == nil:
		return shown(c.To) + " is added"
	default:
		return shown(c.From) + " becomes " + shown(c.To)
	}
}

// shown is a value in one line that is not too long.
func shown(v any) string {
	const enough = 160
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	runes := []rune(strings.TrimSuffix(text.String(), "\n"))
	if len(runes) <= enough {
		return string(runes)
	}
	return string(runes[:enough]) + "…"
}

// section writes rows in columns below a title, and nothing if there are none.
func section(b *strings.Builder, title string, write func(row func(...string))) {
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	write(func(cells ...string) { _, _ = fmt.Fprintln(columns, "  "+strings.Join(cells, "\t")) })
	_ = columns.Flush() // into memory
	if table.Len() > 0 {
		fmt.Fprintf(b, "%s:\n%s\n", title, table.String())
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
