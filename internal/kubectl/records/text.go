package records

import (
	"fmt"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// StyleOf is the colour of a decision.
func StyleOf(decision string) terminal.Style {
	switch decision {
	case Answered:
		return terminal.Good
	case Failed, Refused, Invalid:
		return terminal.Bad
	default:
		return terminal.Wait
	}
}

// Summary is what became of a request, in words: who answered and what it took, or
// why nobody did.
func (r *Record) Summary() string {
	parts := []string{}
	if model := r.who(); model != "" {
		parts = append(parts, model)
	}
	if r.Decision != Answered {
		parts = append(parts, r.Reason)
		if why := r.why(); why != "" {
			parts = append(parts, why)
		}
		return strings.Join(parts, ", ")
	}
	if r.InputTokens+r.OutputTokens > 0 {
		parts = append(parts, fmt.Sprintf("%d + %d tokens", r.InputTokens, r.OutputTokens))
	}
	if r.Cost != nil {
		parts = append(parts, Money(r.Cost.Amount, r.Cost.Currency))
	}
	parts = append(parts, Seconds(r.Duration))
	if n := len(r.Attempts); n > 1 {
		parts = append(parts, fmt.Sprintf("%d attempts", n))
	}
	return strings.Join(append(parts, r.Reason), ", ")
}

func (r *Record) who() string {
	if r.Model == "" {
		return ""
	}
	return terminal.Line(r.Model + " at " + r.Provider)
}

func (r *Record) why() string {
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].Detail != "" {
		return terminal.Line(r.Attempts[n-1].Detail)
	}
	if r.Error != nil {
		return terminal.Line(r.Error.Message)
	}
	return ""
}

// Line is a record as one line of a list, its columns as wide as usual.
func (r *Record) Line(p terminal.Painter, withServer bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  ", r.Time.UTC().Format("2006-01-02 15:04:05.000Z"))
	if withServer {
		fmt.Fprintf(&b, "%-20s  ", terminal.Line(r.Server))
	}
	session := terminal.Line(r.Session)
	if session == "" {
		session = "-"
	}
	fmt.Fprintf(&b, "%-12s  %s  %s", session, p.Text(StyleOf(r.Decision), fmt.Sprintf("%-8s", terminal.Line(r.Decision))), terminal.Line(r.Summary()))
	if n := changes(r); n > 0 {
		fmt.Fprintf(&b, ", %d changed by the policy", n)
	}
	return b.String()
}

// changes counts what the policy changed in a request and its answer.
func changes(r *Record) int { return len(r.Changes) + len(r.Redactions) }

// Seconds writes a duration in seconds as people do.
func Seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", s)
	default:
		return d.Round(time.Second).String()
	}
}

// Money writes an amount; small ones with the digits that tell them apart.
func Money(amount float64, currency string) string {
	digits := 2
	if amount != 0 && amount < 1 {
		digits = 6
	}
	text := fmt.Sprintf("%.*f", digits, amount)
	if digits > 2 {
		text = strings.TrimRight(text, "0")
		if i := strings.IndexByte(text, '.'); len(text)-i-1 < 2 {
			text += strings.Repeat("0", 2-(len(text)-i-1))
		}
	}
	return text + " " + terminal.Line(currency)
}
