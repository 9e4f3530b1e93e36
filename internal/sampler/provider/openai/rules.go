package openai

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// rules say what a server takes.
type rules struct {
	field config.MaxTokensField
	// vendor is true for OpenAI's own API and for Azure's, whose limits are known.
	vendor bool
}

// Limits of OpenAI's own API.
const (
	maxStops            = 4
	maxTools            = 128
	maxTemperature      = 2
	maxToolDescription  = 1024
	maxMetadata         = 16
	maxMetadataKey      = 64
	maxMetadataValue    = 512
	maxToolName         = 64
	maxToolCallID       = 40
	onlyTemperature     = 1 // of reasoning models
	reasoningEffort     = "reasoning_effort"
	reasoningEffortNone = "none"
)

func rulesOf(host string, options config.OpenAI) rules {
	host = strings.ToLower(host)
	vendor := options.Azure != nil || host == "api.openai.com"
	// OpenAI's regions, and Azure's API without versions.
	for _, suffix := range []string{".api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"} {
		vendor = vendor || strings.HasSuffix(host, suffix)
	}
	return rules{field: options.MaxTokensField, vendor: vendor}
}

// Families of models that refuse parameters, by their names and, at Azure, by
// what deployments of them are mostly called. What is not known to refuse a
// parameter gets it.
var (
	// reasons always: the o series, GPT-5 and its sizes.
	reasons = regexp.MustCompile(`^(ft:)?(o[1-9]([-:]|$)|codex-mini|gpt-5(-mini|-nano|-pro|-codex)?(-20\d\d|:|$)|gpt-5\.\d+-(pro|codex))`)
	// mayReason, or not, as reasoning_effort says: GPT-5.1 and later.
	mayReason = regexp.MustCompile(`^(ft:)?gpt-5\.\d+(-mini|-nano)?(-20\d\d|:|$)`)
	// takesStop are reasoning models that know stop sequences all the same.
	takesStop = regexp.MustCompile(`^(ft:)?o1([-:]|$)`)
)

// check refuses what the vendor's API would refuse, and that cannot be mended.
func (r *rules) check(req *provider.Request) error {
	for _, stop := range req.StopSequences {
		if stop == "" {
			return &provider.UnsupportedError{What: "stopSequences must not hold an empty text"}
		}
	}
	if !r.vendor {
		return nil
	}
	always := reasons.MatchString(req.Model)
	switch t := req.Temperature; {
	case t == nil || *t == onlyTemperature:
	case always:
		return &provider.UnsupportedError{What: "temperature: the model takes no other than 1"}
	case mayReason.MatchString(req.Model) && isReasoning(req.ExtraBody):
		return &provider.UnsupportedError{What: "temperature: the model takes no other than 1 while it reasons"}
	case *t < 0 || *t > maxTemperature:
		return &provider.UnsupportedError{What: fmt.Sprintf("temperature: the model provider takes 0 to %d", maxTemperature)}
	}
	switch n := len(req.StopSequences); {
	case n > maxStops:
		return &provider.UnsupportedError{What: fmt.Sprintf("stopSequences: the model provider takes %d at most", maxStops)}
	case n > 0 && always && !takesStop.MatchString(req.Model):
		return &provider.UnsupportedError{What: "stopSequences: the model takes none"}
	}
	if len(req.Tools) > maxTools {
		return &provider.UnsupportedError{What: fmt.Sprintf("tools: the model provider takes %d at most", maxTools)}
	}
	return nil
}

// isReasoning reports whether the policy asks for an effort. Without one, such
// models do what their version does.
func isReasoning(extra json.RawMessage) bool {
	effort := gjson.GetBytes(extra, reasoningEffort)
	return effort.Type == gjson.String && effort.Str != reasoningEffortNone
}

// maxTokensField is the name of the limit on tokens that the model knows.
func (r *rules) maxTokensField(model string) config.MaxTokensField {
	if r.vendor && (reasons.MatchString(model) || mayReason.MatchString(model)) {
		return config.MaxCompletionTokens
	}
	return r.field
}

// takesMetadata: the vendor takes it only with answers that it stores.
func (r *rules) takesMetadata(extra json.RawMessage) bool {
	return !r.vendor || gjson.GetBytes(extra, "store").Bool()
}
