package google

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/genai"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider/toolname"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Limits that Google documents.
const (
	maxStopSequences = 5
	maxTemperature   = 2
	maxToolName      = 64
)

// translation is one request in the API's words, and what it takes to read the
// answer.
type translation struct {
	model    string
	contents []*genai.Content
	config   *genai.GenerateContentConfig

	req      *provider.Request
	traits   traits
	names    *toolname.Map
	thoughts *thoughts
	lost     []provider.Loss
	// calls are the tool uses that wait for their results, in order; ids are those
	// of all of them.
	calls []wire.Content
	ids   map[string]bool
}

// newTranslation translates a request. strict is set where Google's own limits
// hold. The error is a *provider.UnsupportedError or a *provider.Error.
func newTranslation(req provider.Request, thoughts *thoughts, strict bool) (*translation, error) {
	if req.Model == "" || strings.ContainsAny(req.Model, "?&#%") || strings.Contains(req.Model, "..") {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the model's name cannot stand in an address"}
	}
	if strict {
		if err := checkLimits(&req); err != nil {
			return nil, err
		}
	}
	if !fewValues(documents(&req)...) {
		return nil, &provider.UnsupportedError{What: fmt.Sprintf("the model provider takes at most %d JSON values in tools, their arguments and their results", maxValues)}
	}
	t := &translation{
		model: req.Model, req: &req, traits: traitsOf(req.Model), thoughts: thoughts,
		names: toolname.New(namesOf(&req), toolNameRule, maxToolName), ids: map[string]bool{},
	}
	if err := t.newContents(); err != nil {
		return nil, err
	}
	if err := t.newConfig(); err != nil {
		return nil, err
	}
	if hasFields(req.Metadata) {
		t.lose(provider.LossMetadata)
	}
	return t, nil
}

func checkLimits(req *provider.Request) error {
	if n := len(req.StopSequences); n > maxStopSequences {
		return &provider.UnsupportedError{What: fmt.Sprintf("the model provider takes at most %d stop sequences", maxStopSequences)}
	}
	if v := req.Temperature; v != nil && (*v < 0 || *v > maxTemperature) {
		return &provider.UnsupportedError{What: fmt.Sprintf("the model provider takes a temperature from 0 to %d", maxTemperature)}
	}
	return nil
}

// toolNameRule takes what is allowed both where a function is declared and where
// it is called.
func toolNameRule(i int, r rune) bool {
	return toolname.Identifier(i, r) && (i > 0 || r == '_' || r >= 'A')
}

// namesOf collects the names of all tools that a request speaks of.
func namesOf(req *provider.Request) []string {
	names := make([]string, 0, len(req.Tools))
	for _, tool := range req.Tools {
		names = append(names, tool.Name)
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

// newConfig translates everything but the messages.
func (t *translation) newConfig() error {
	req := t.req
	config := &genai.GenerateContentConfig{
		MaxOutputTokens: int32(min(req.MaxTokens, math.MaxInt32)),
		// An answer that goes on in a second request is another request to account
		// for. It ends at a limit here.
		AutomaticContinuation: new(false),
	}
	for _, stop := range req.StopSequences {
		if stop != "" { // it ends nothing, and the API refuses it
			config.StopSequences = append(config.StopSequences, stop)
		}
	}
	if req.Temperature != nil {
		config.Temperature = new(float32(*req.Temperature))
	}
	if req.SystemPrompt != "" && !t.traits.noSystem {
		config.SystemInstruction = &genai.Content{Parts: []*genai.Part{{Text: req.SystemPrompt}}}
	}
	if len(req.Tools) > 0 {
		tool := &genai.Tool{}
		for _, offered := range req.Tools {
			declaration, err := t.newDeclaration(offered)
			if err != nil {
				return err
			}
			tool.FunctionDeclarations = append(tool.FunctionDeclarations, declaration)
		}
		config.Tools = []*genai.Tool{tool}
		config.ToolConfig = newToolConfig(req.ToolChoice)
	}
	extra, err := newExtra(req.ExtraBody)
	if err != nil {
		return err
	}
	if extra != nil {
		config.HTTPOptions = &genai.HTTPOptions{ExtrasRequestProvider: extra.below}
	}
	t.config = config
	return nil
}

// newDeclaration passes the schema on as it came, but for a missing type: it must
// describe an object.
func (t *translation) newDeclaration(tool wire.Tool) (*genai.FunctionDeclaration, error) {
	var schema map[string]any
	if err := json.Unmarshal(tool.InputSchema, &schema); err != nil || schema == nil {
		return nil, &provider.UnsupportedError{What: "the inputSchema of a tool is not a JSON object"}
	}
	if _, ok := schema["type"]; !ok {
		schema["type"] = "object"
	}
	return &genai.FunctionDeclaration{
		Name: t.names.Out(tool.Name), Description: tool.Description, ParametersJsonSchema: schema,
	}, nil
}

// newToolConfig is nil where the server did not choose.
func newToolConfig(choice string) *genai.ToolConfig {
	modes := map[string]genai.FunctionCallingConfigMode{
		wire.ToolChoiceAuto:     genai.FunctionCallingConfigModeAuto,
		wire.ToolChoiceRequired: genai.FunctionCallingConfigModeAny,
		wire.ToolChoiceNone:     genai.FunctionCallingConfigModeNone,
	}
	mode, ok := modes[choice]
	if !ok {
		return nil
	}
	return &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: mode}}
}

// lose notes a loss, each once.
func (t *translation) lose(loss provider.Loss) {
	if !slices.Contains(t.lost, loss) {
		t.lost = append(t.lost, loss)
	}
}

func hasFields(object json.RawMessage) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(object, &fields) == nil && len(fields) > 0
}
