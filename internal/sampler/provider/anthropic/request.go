package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// body is what POST /v1/messages takes.
type body struct {
	Model         string      `json:"model"`
	MaxTokens     int64       `json:"max_tokens"`
	System        []block     `json:"system,omitempty"`
	Messages      []message   `json:"messages"`
	Temperature   *float64    `json:"temperature,omitempty"`
	StopSequences []string    `json:"stop_sequences,omitempty"`
	Tools         []tool      `json:"tools,omitempty"`
	ToolChoice    *toolChoice `json:"tool_choice,omitempty"`
	Metadata      *metadata   `json:"metadata,omitempty"`
}

type message struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

// block is a content block of any type. None has an empty field that counts.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	Source    *source         `json:"source,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   []block         `json:"content,omitempty"`
	IsError   bool            `json:"is_error,omitempty"`
}

// source is the data of an image or a document.
type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type"`
	Data      string `json:"data"`
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	InputSchema json.RawMessage `json:"input_schema"`
}

type toolChoice struct {
	Type string `json:"type"`
}

type metadata struct {
	UserID string `json:"user_id"`
}

// maxToolName is the API's bound on names of tools, in characters that are
// bytes.
const maxToolName = 128

// maxUserID is the API's bound on metadata.user_id, in characters.
const maxUserID = 256

// question is a request in the API's words, and what is needed to understand the
// answer.
type question struct {
	body  body
	names *toolname.Map
	rules modelRules
	ids   ids
	lost  []provider.Loss
}

// newQuestion translates a request. The error is a *provider.UnsupportedError.
func newQuestion(req provider.Request) (*question, error) {
	q := &question{
		body:  body{Model: req.Model, MaxTokens: req.MaxTokens, StopSequences: req.StopSequences},
		names: toolname.New(toolNames(req), toolname.Identifier, maxToolName),
		rules: rulesOf(req.Model),
		ids:   newIDs(),
	}
	if prompt := text(req.SystemPrompt); prompt != nil {
		q.body.System = []block{*prompt}
	}
	for _, stop := range req.StopSequences {
		if !visible(stop) {
			return nil, unsupported("the model provider takes no stop sequence of white space only")
		}
	}
	if err := q.setTemperature(req.Temperature); err != nil {
		return nil, err
	}
	if err := q.setMessages(req.Messages); err != nil {
		return nil, err
	}
	if err := q.setTools(req.Tools, req.ToolChoice); err != nil {
		return nil, err
	}
	q.setMetadata(req.Metadata)
	return q, nil
}

// toolNames are those of the tools and of the calls in the messages.
func toolNames(req provider.Request) []string {
	var names []string
	for _, t := range req.Tools {
		names = append(names, t.Name)
	}
	for _, m := range req.Messages {
		for _, c := range m.Content {
			if c.Type == wire.ContentToolUse {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

func (q *question) setTemperature(t *float64) error {
	switch {
	case t == nil:
	case *t < 0 || *t > 1:
		return unsupported("the model provider takes a temperature from 0 to 1 only")
	case !q.rules.noTemperature:
		q.body.Temperature = t
	case *t != 1:
		return unsupported("the model takes no temperature but 1, which is its default")
	}
	return nil
}

// setMessages puts messages of one role together, which the API would do too,
// and leaves out what it refuses and nobody could read.
func (q *question) setMessages(messages []wire.SamplingMessage) error {
	q.body.Messages = make([]message, 0, len(messages))
	for i, m := range messages {
		blocks, err := q.blocks(m)
		if err != nil {
			return err
		}
		if len(blocks) == 0 {
			// To answer the one before would be another question.
			if i == len(messages)-1 {
				return unsupported("the last message holds nothing but white space")
			}
			continue
		}
		if last := len(q.body.Messages) - 1; last >= 0 && q.body.Messages[last].Role == m.Role {
			q.body.Messages[last].Content = append(q.body.Messages[last].Content, blocks...)
			continue
		}
		q.body.Messages = append(q.body.Messages, message{Role: m.Role, Content: blocks})
	}
	if len(q.body.Messages) == 0 {
		return unsupported("there are no messages")
	}
	last := q.body.Messages[len(q.body.Messages)-1]
	if last.Role != wire.RoleAssistant {
		return nil
	}
	if q.rules.noPrefill {
		return unsupported("the model continues no assistant message: the last message must be of role user")
	}
	end := &last.Content[len(last.Content)-1]
	end.Text = strings.TrimRightFunc(end.Text, unicode.IsSpace)
	return nil
}

func (q *question) setTools(tools []wire.Tool, choice string) error {
	if len(tools) == 0 {
		// The API refuses a choice without tools to choose from.
		return nil
	}
	seen := make(map[string]bool, len(tools))
	q.body.Tools = make([]tool, len(tools))
	for i, t := range tools {
		if seen[t.Name] {
			return unsupported(fmt.Sprintf("two tools have the name %q", t.Name))
		}
		seen[t.Name] = true
		schema, err := q.schema(t)
		if err != nil {
			return err
		}
		q.body.Tools[i] = tool{Name: q.names.Out(t.Name), Description: t.Description, InputSchema: schema}
	}
	switch choice {
	case "":
	case wire.ToolChoiceRequired:
		if q.rules.noForcedTool {
			return unsupported("the model cannot be made to call a tool: toolChoice required is not possible with it")
		}
		q.body.ToolChoice = &toolChoice{Type: "any"}
	default:
		q.body.ToolChoice = &toolChoice{Type: choice}
	}
	return nil
}

// setMetadata passes on the only field that the API has.
func (q *question) setMetadata(raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		q.lose(provider.LossMetadata)
		return
	}
	for name, value := range fields {
		var user string
		if name == "user_id" && json.Unmarshal(value, &user) == nil && user != "" && utf8.RuneCountInString(user) <= maxUserID {
			q.body.Metadata = &metadata{UserID: user}
			continue
		}
		q.lose(provider.LossMetadata)
	}
}

func (q *question) lose(what provider.Loss) {
	for _, l := range q.lost {
		if l == what {
			return
		}
	}
	q.lost = append(q.lost, what)
}

// ids gives tool uses the ids that the API takes: of its characters, and each
// once in a conversation. Servers may begin to count anew in each round.
type ids struct {
	taken  map[string]bool
	newest map[string]string // by the server's id
	// made is the last number that was tried; it never goes back.
	made int
}

func newIDs() ids { return ids{taken: map[string]bool{}, newest: map[string]string{}} }

func (m *ids) use(id string) string {
	out := id
	m.made = max(m.made, len(m.taken))
	for m.taken[out] || !isID(out) {
		m.made++
		out = fmt.Sprintf("toolu_%d", m.made)
	}
	m.taken[out] = true
	m.newest[id] = out
	return out
}

func isID(id string) bool {
	for i, r := range id {
		if !toolname.Identifier(i, r) {
			return false
		}
	}
	return id != ""
}

func visible(text string) bool { return strings.TrimSpace(text) != "" }

func unsupported(what string) error { return &provider.UnsupportedError{What: what} }
