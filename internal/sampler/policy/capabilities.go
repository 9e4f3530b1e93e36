package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// checkDeclared refuses what the server was told that it must not send, and what
// it must send and did not.
func (p *Policy) checkDeclared(s Session, params *wire.SamplingParams) *Refusal {
	if !s.Declared.Tools {
		const missing = "need the client capability sampling.tools, which was not declared"
		switch {
		case len(params.Tools) > 0 || params.ToolChoice != nil:
			return invalid(ToolsNotDeclared, "tools and toolChoice %s", missing)
		case hasToolContent(params.Messages):
			return invalid(ToolsNotDeclared, "messages with tool_use or tool_result %s", missing)
		}
	}
	if wantsContext(params) && p.Capabilities.IncludeContext == config.IncludeContextReject {
		return invalid(ContextNotDeclared, "includeContext %s needs the client capability sampling.context, which was not declared",
			params.IncludeContext)
	}
	if limit := p.Parameters.MaxTokens; params.MaxTokens == 0 && (limit == nil || limit.Default == 0) {
		return invalid(MaxTokensMissing, "maxTokens: is missing")
	}
	return nil
}

// wantsContext: none is what there is anyway.
func wantsContext(params *wire.SamplingParams) bool {
	return params.IncludeContext == wire.ContextThisServer || params.IncludeContext == wire.ContextAllServers
}

// checkAmounts holds the limits that need nothing but a look at the request.
func (p *Policy) checkAmounts(s Session, params *wire.SamplingParams) *Refusal {
	if limit := p.Limits.RequestBytes; limit > 0 && int64(s.RequestBytes) > limit {
		return refuse(RequestTooLarge, "the request has %d bytes, the sampling policy's limit requestBytes is %d", s.RequestBytes, limit)
	}
	if limit := p.Limits.RequestsPerCall; limit > 0 && s.InCall > limit {
		return refuse(TooManyInCall, "the sampling policy's limit requestsPerCall (%d) is used up for this call", limit)
	}
	if limit := p.Parameters.StopSequences; limit != nil && len(params.StopSequences) > limit.Max {
		return refuse(TooManyStopSequences, "there are %d stopSequences, the sampling policy allows at most %d",
			len(params.StopSequences), limit.Max)
	}
	return nil
}

// checkTools refuses tools that the policy does not allow.
func (p *Policy) checkTools(params *wire.SamplingParams) *Refusal {
	if len(params.Tools) == 0 && params.ToolChoice == nil {
		if p.Capabilities.Tools != config.ToolsEnabled && hasToolContent(params.Messages) {
			return refuse(ToolsDisabled, "the sampling policy does not allow tools")
		}
		return nil
	}
	c := &p.Capabilities
	if c.Tools != config.ToolsEnabled {
		return refuse(ToolsDisabled, "the sampling policy does not allow tools")
	}
	mode := wire.ToolChoiceAuto
	if params.ToolChoice != nil && params.ToolChoice.Mode != "" {
		mode = params.ToolChoice.Mode
	}
	if len(c.ToolChoice) > 0 && !slices.Contains(c.ToolChoice, mode) {
		return refuse(ToolChoiceNotAllowed, "the sampling policy does not allow the tool choice %s: it allows %s",
			mode, strings.Join(c.ToolChoice, ", "))
	}
	if c.MaxTools > 0 && len(params.Tools) > c.MaxTools {
		return refuse(TooManyTools, "there are %d tools, the sampling policy allows at most %d", len(params.Tools), c.MaxTools)
	}
	for i := range params.Tools {
		if name := params.Tools[i].Name; !p.tools.allow(name) {
			return refuse(ToolNotAllowed, "the sampling policy does not allow the tool %q", short(name))
		}
	}
	return nil
}

func hasToolContent(messages []wire.SamplingMessage) bool {
	for i := range messages {
		for j := range messages[i].Content {
			if t := messages[i].Content[j].Type; t == wire.ContentToolUse || t == wire.ContentToolResult {
				return true
			}
		}
	}
	return false
}

// short keeps a name that the server chose from filling an error.
func short(name string) string {
	const enough = 128
	if len(name) <= enough {
		return name
	}
	return strings.ToValidUTF8(name[:enough], "") + "…"
}

// checkMedia refuses images and audio wherever they stand.
func (p *Policy) checkMedia(messages []wire.SamplingMessage) *Refusal {
	m := media{noImages: p.Capabilities.Images == config.Deny, noAudio: p.Capabilities.Audio != config.Allow}
	if !m.noImages && !m.noAudio {
		return nil
	}
	for i := range messages {
		for j := range messages[i].Content {
			c := &messages[i].Content[j]
			if r := m.check(c); r != nil {
				r.Message = fmt.Sprintf("messages[%d].content[%d]: %s", i, j, r.Message)
				return r
			}
		}
	}
	return nil
}

type media struct{ noImages, noAudio bool }

// check goes by the type of a block and by its MIME type: providers go by either.
func (m media) check(c *wire.Content) *Refusal {
	var mimeType string
	switch c.Type {
	case wire.ContentImage, wire.ContentAudio:
		mimeType = c.MIMEType
	case wire.ContentResource:
		if c.Resource != nil && c.Resource.Blob != "" {
			mimeType = c.Resource.MIMEType
		}
	case wire.ContentToolResult:
		for i := range c.Content {
			if r := m.check(&c.Content[i]); r != nil {
				return r
			}
		}
		return nil
	default:
		return nil
	}
	video := isMedia(mimeType, "video/")
	switch {
	case m.noImages && (c.Type == wire.ContentImage || isMedia(mimeType, "image/")):
		return refuse(ImagesDenied, "the sampling policy does not allow images")
	case m.noImages && video:
		return refuse(ImagesDenied, "the sampling policy does not allow images, which a video has")
	case m.noImages && isPDF(mimeType):
		return refuse(ImagesDenied, "the sampling policy does not allow images, which a PDF document may have")
	case m.noAudio && (c.Type == wire.ContentAudio || isMedia(mimeType, "audio/")):
		return refuse(AudioDenied, "the sampling policy does not allow audio")
	case m.noAudio && video:
		return refuse(AudioDenied, "the sampling policy does not allow audio, which a video has")
	default:
		return nil
	}
}

func isPDF(mimeType string) bool { return isMedia(mimeType, "application/pdf") }

// isMedia compares the beginning of a MIME type, in which case does not count.
func isMedia(mimeType, kind string) bool {
	mimeType = strings.TrimSpace(mimeType)
	return len(mimeType) >= len(kind) && strings.EqualFold(mimeType[:len(kind)], kind)
}
