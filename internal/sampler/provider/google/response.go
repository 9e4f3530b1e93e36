package google

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// response translates an answer. What cannot be passed on faithfully is an
// error: an answer that was guessed is worse than none.
func (t *translation) response(answer *genai.GenerateContentResponse) (*provider.Response, error) {
	if answer == nil {
		return nil, unusable("it did not answer")
	}
	r := &provider.Response{
		Result: wire.SamplingResult{Role: wire.RoleAssistant, Model: provider.ModelName(answer.ModelVersion, t.req.Model)},
		Lost:   t.lost,
	}
	if u := answer.UsageMetadata; u != nil {
		r.Usage.InputTokens = count(u.PromptTokenCount) + count(u.ToolUsePromptTokenCount)
		r.Usage.OutputTokens = count(u.CandidatesTokenCount) + count(u.ThoughtsTokenCount)
	}
	switch {
	case len(answer.Candidates) > 0 && answer.Candidates[0] != nil:
		candidate := answer.Candidates[0]
		if err := slip(candidate.FinishReason); err != nil {
			return nil, err
		}
		content, uses, err := t.blocks(candidate.Content)
		if err != nil {
			return nil, err
		}
		r.Result.Content = content
		r.Result.StopReason = stopReason(candidate.FinishReason, uses)
	case answer.PromptFeedback != nil && answer.PromptFeedback.BlockReason != "":
		// The question was withheld from the model. That is an answer too, and
		// another attempt brings no other.
		r.Result.StopReason = wire.StopContentFilter
	default:
		return nil, unusable("its answer has no candidates")
	}
	if len(r.Result.Content) == 0 {
		// A model may say nothing; a result without content is not valid.
		r.Result.Content = []wire.Content{{Type: wire.ContentText}}
	}
	return r, nil
}

// slip tells answers that are none because the model, or this translation, made
// a mistake with its tools.
func slip(reason genai.FinishReason) error {
	switch reason {
	case genai.FinishReasonMalformedFunctionCall, "MALFORMED_RESPONSE":
		return malformed("the model wrote a tool call that cannot be read")
	case genai.FinishReasonUnexpectedToolCall:
		return malformed("the model called a tool that was not offered")
	case genai.FinishReasonTooManyToolCalls:
		return malformed("the model called too many tools")
	case "MISSING_THOUGHT_SIGNATURE":
		return &provider.Error{Kind: provider.KindRejected, Detail: "it wants another thought signature"}
	default:
		return nil
	}
}

// stopReason maps finishReason. Calls finish with STOP. An unknown reason is not
// passed off as a normal end: there is none then, as the specification allows.
func stopReason(reason genai.FinishReason, usesTools bool) string {
	switch reason {
	case genai.FinishReasonMaxTokens, genai.FinishReasonContinuation:
		return wire.StopMaxTokens
	case genai.FinishReasonSafety, genai.FinishReasonRecitation, genai.FinishReasonBlocklist,
		genai.FinishReasonProhibitedContent, genai.FinishReasonSPII, "MODEL_ARMOR", "JAILBREAK",
		genai.FinishReasonImageSafety, genai.FinishReasonImageProhibitedContent, genai.FinishReasonImageRecitation:
		return wire.StopContentFilter
	}
	switch {
	case usesTools:
		return wire.StopToolUse
	case reason == genai.FinishReasonStop:
		return wire.StopEndTurn
	default:
		return ""
	}
}

// blocks translates the parts of an answer, without the model's thoughts. Texts
// that follow each other are pieces of one.
func (t *translation) blocks(content *genai.Content) (blocks []wire.Content, uses bool, err error) {
	if content == nil {
		return nil, false, nil
	}
	var pieces []string // of the last block, where it is text
	say := func() {
		if pieces != nil {
			blocks = append(blocks, wire.Content{Type: wire.ContentText, Text: strings.Join(pieces, "")})
			pieces = nil
		}
	}
	for _, part := range content.Parts {
		switch {
		case part == nil || part.Thought:
		case part.FunctionCall != nil:
			use, err := t.toolUse(part)
			if err != nil {
				return nil, false, err
			}
			say()
			blocks, uses = append(blocks, *use), true
		case part.InlineData != nil:
			media, err := mediaBlock(part.InlineData)
			if err != nil {
				return nil, false, err
			}
			say()
			blocks = append(blocks, *media)
		case part.Text != "":
			pieces = append(pieces, part.Text)
		case part.FileData != nil || part.ExecutableCode != nil || part.CodeExecutionResult != nil ||
			part.FunctionResponse != nil || part.ToolCall != nil || part.ToolResponse != nil:
			return nil, false, unusable("its answer holds a part that is neither text nor media nor a tool call")
		}
	}
	say()
	return blocks, uses, nil
}

// toolUse passes a call on. A name that the model made up is passed on as it is:
// the server knows best what it has.
func (t *translation) toolUse(part *genai.Part) (*wire.Content, error) {
	call := part.FunctionCall
	if call.Name == "" {
		return nil, malformed("a tool call has no name")
	}
	name, _ := t.names.Back(call.Name)
	args := call.Args
	if args == nil {
		args = map[string]any{} // how the API writes that there are none
	}
	var input bytes.Buffer
	enc := json.NewEncoder(&input)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(args); err != nil {
		return nil, malformed("the arguments of a tool call are not a JSON object")
	}
	id := call.ID
	if id == "" || t.ids[id] {
		id = "call_" + rand.Text()
	}
	t.ids[id] = true
	if len(part.ThoughtSignature) > 0 {
		if key, ok := keyOf(t.req, id, name, args); ok {
			t.thoughts.remember(key, part.ThoughtSignature)
		}
	}
	return &wire.Content{Type: wire.ContentToolUse, ID: id, Name: name, Input: bytes.TrimSpace(input.Bytes())}, nil
}

// mediaBlock passes on what models paint and say.
func mediaBlock(blob *genai.Blob) (*wire.Content, error) {
	kind, _, _ := strings.Cut(blob.MIMEType, "/")
	if kind != wire.ContentImage && kind != wire.ContentAudio || len(blob.Data) == 0 {
		return nil, unusable("its answer holds media that is neither an image nor audio")
	}
	return &wire.Content{Type: kind, MIMEType: blob.MIMEType, Data: base64.StdEncoding.EncodeToString(blob.Data)}, nil
}

func count(n int32) int64 { return int64(max(0, n)) }

func malformed(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindMalformed, Detail: detail}
}

func unusable(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindInvalid, Detail: detail}
}
