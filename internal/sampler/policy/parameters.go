package policy

import (
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// bound makes of a decision's parameters what the policy wants, and notes what
// that changed. MaxTokens is bounded already; asked is what the server sent.
func (p *Policy) bound(d *Decision, asked *wire.SamplingParams) {
	out := &d.Params
	note := func(changed bool, c Change) {
		if changed {
			d.Changes = append(d.Changes, c)
		}
	}
	note(out.MaxTokens != asked.MaxTokens, ChangeMaxTokens)

	out.Temperature = limitTemperature(p.Parameters.Temperature, asked.Temperature)
	note(out.Temperature != nil && *out.Temperature != *asked.Temperature, ChangeTemperature)

	before := ""
	if out.SystemPrompt != nil {
		before = *out.SystemPrompt
	}
	prompt := systemPrompt(p.Parameters.SystemPrompt, before)
	out.SystemPrompt = &prompt
	note(prompt != before, ChangeSystemPrompt)

	if p.Parameters.Metadata != config.MetadataPass {
		out.Metadata = nil
	}
	note(out.Metadata == nil && asked.Metadata != nil, ChangeMetadata)

	out.IncludeContext = ""
	note(wantsContext(asked), ChangeContext)
}

// limitTokens bounds also the policy's own default.
func limitTokens(limit *config.MaxTokensLimit, asked int64) (int64, *Refusal) {
	if limit == nil {
		return asked, nil
	}
	if asked == 0 {
		asked = limit.Default
		if limit.Max > 0 {
			asked = min(asked, limit.Max)
		}
	}
	switch {
	case limit.Max <= 0 || asked <= limit.Max:
		return asked, nil
	case limit.OnExceed == config.ExceedReject:
		return 0, refuse(MaxTokensExceeded, "maxTokens is %d, the sampling policy allows at most %d", asked, limit.Max)
	default:
		return limit.Max, nil
	}
}

// limitTemperature keeps nil: the provider's own default is no request.
func limitTemperature(r *config.TemperatureRange, asked *float64) *float64 {
	if asked == nil {
		return nil
	}
	t := *asked
	if r != nil {
		t = max(r.Min, min(r.Max, t))
	}
	return &t
}

// promptSeparator stands between the policy's text and the server's.
const promptSeparator = "\n\n"

func systemPrompt(action *config.SystemPromptAction, asked string) string {
	if action == nil {
		return asked
	}
	switch action.Action {
	case config.PromptPrepend:
		return join(action.Text, asked)
	case config.PromptAppend:
		return join(asked, action.Text)
	case config.PromptReplace:
		return action.Text
	case config.PromptDrop:
		return ""
	default: // Keep
		return asked
	}
}

// keepsPrompt reports whether any of the server's prompt is sent.
func keepsPrompt(action *config.SystemPromptAction) bool {
	return action == nil || action.Action != config.PromptReplace && action.Action != config.PromptDrop
}

func join(first, second string) string {
	if first == "" || second == "" {
		return first + second
	}
	return first + promptSeparator + second
}
