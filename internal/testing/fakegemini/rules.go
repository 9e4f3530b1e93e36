package fakegemini

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

type body struct {
	Contents          []content `json:"contents"`
	SystemInstruction *content  `json:"systemInstruction"`
	Tools             []struct {
		FunctionDeclarations []struct {
			Name                 string          `json:"name"`
			Parameters           json.RawMessage `json:"parameters"`
			ParametersJSONSchema struct {
				Type string `json:"type"`
			} `json:"parametersJsonSchema"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
	ToolConfig *struct {
		FunctionCallingConfig struct {
			Mode string `json:"mode"`
		} `json:"functionCallingConfig"`
	} `json:"toolConfig"`
	GenerationConfig struct {
		Temperature     *float64 `json:"temperature"`
		MaxOutputTokens *int64   `json:"maxOutputTokens"`
		CandidateCount  *int64   `json:"candidateCount"`
		StopSequences   []string `json:"stopSequences"`
	} `json:"generationConfig"`
}

type content struct {
	Role  string `json:"role"`
	Parts []part `json:"parts"`
}

type part struct {
	Text             *string   `json:"text"`
	InlineData       *blob     `json:"inlineData"`
	FunctionCall     *function `json:"functionCall"`
	FunctionResponse *function `json:"functionResponse"`
	ThoughtSignature string    `json:"thoughtSignature"`
}

type function struct {
	ID       string                     `json:"id"`
	Name     string                     `json:"name"`
	Response map[string]json.RawMessage `json:"response"`
	Parts    []struct {
		InlineData *blob `json:"inlineData"`
	} `json:"parts"`
}

type blob struct {
	MIMEType string `json:"mimeType"`
	Data     string `json:"data"`
}

var (
	functionName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$`)
	modes        = []string{"AUTO", "ANY", "NONE", "VALIDATED"}
	// newModel are those from Gemini 3 on; noPrefill those that refuse a last
	// message of the model.
	newModel  = regexp.MustCompile(`^gemini-([3-9]|flash-latest)`)
	noPrefill = regexp.MustCompile(`^gemini-(3\.[6-9]|3\.5-flash-lite|[4-9]|flash-latest)`)
	mediaType = regexp.MustCompile(`^(image|audio|video)/[a-z0-9-]+$|^application/pdf$|^text/plain$`)
	// functionMedia are what a function may answer with.
	functionMedia = []string{"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}
)

// checker collects what is broken.
type checker struct {
	model  string
	broken []string
}

func (c *checker) want(ok bool, format string, args ...any) {
	if !ok {
		c.broken = append(c.broken, fmt.Sprintf(format, args...))
	}
}

// Rules says which rules of the API a request breaks, as Google documents them
// and as its servers are known to hold them.
func Rules(req Request) []string {
	c := &checker{model: req.Model}
	var b body
	if err := json.Unmarshal(req.Body, &b); err != nil {
		return []string{"the body is no JSON of the right shape: " + err.Error()}
	}
	c.want(!strings.Contains(req.Query, "key="), "the key stands in the address")
	c.want(len(b.Contents) > 0, "contents is not specified")
	if b.SystemInstruction != nil {
		for _, p := range b.SystemInstruction.Parts {
			c.want(p.Text != nil, "system instruction takes text only")
		}
	}
	for i, content := range b.Contents {
		c.content(i, content)
		c.turn(i, b.Contents)
	}
	if n := len(b.Contents); n > 0 && noPrefill.MatchString(c.model) {
		c.want(b.Contents[n-1].Role != "model", "requests ending with a model turn are not supported")
	}
	c.tools(b)
	g := b.GenerationConfig
	c.want(len(g.StopSequences) <= 5, "more than 5 stop sequences")
	c.want(!slices.Contains(g.StopSequences, ""), "an empty stop sequence")
	c.want(g.Temperature == nil || *g.Temperature >= 0 && *g.Temperature <= 2, "temperature is outside of 0 to 2")
	c.want(g.MaxOutputTokens == nil || *g.MaxOutputTokens >= 1 && *g.MaxOutputTokens < 1<<31, "maxOutputTokens is not positive or too large")
	c.want(g.CandidateCount == nil || *g.CandidateCount == 1, "multiple candidates are not enabled")
	return c.broken
}

func (c *checker) tools(b body) {
	seen := map[string]bool{}
	for _, tool := range b.Tools {
		for _, f := range tool.FunctionDeclarations {
			c.want(functionName.MatchString(f.Name), "invalid function name %q", f.Name)
			c.want(!seen[f.Name], "function %q is declared twice", f.Name)
			c.want(f.Parameters == nil, "parameters and parametersJsonSchema are exclusive")
			c.want(f.ParametersJSONSchema.Type == "object", "the schema of %q does not describe an object", f.Name)
			seen[f.Name] = true
		}
	}
	if b.ToolConfig != nil {
		c.want(len(seen) > 0, "a function calling config without functions")
		c.want(slices.Contains(modes, b.ToolConfig.FunctionCallingConfig.Mode), "unknown mode")
	}
}

func (c *checker) content(i int, content content) {
	c.want(content.Role == "user" || content.Role == "model", "contents[%d]: valid roles are user and model", i)
	c.want(len(content.Parts) > 0, "contents[%d].parts must not be empty", i)
	for _, p := range content.Parts {
		data := 0
		if p.Text != nil {
			data++
			c.want(*p.Text != "", "contents[%d]: an empty text", i)
		}
		if p.InlineData != nil {
			data++
			_, err := base64.StdEncoding.DecodeString(p.InlineData.Data)
			c.want(err == nil && p.InlineData.Data != "", "contents[%d]: data is no base64", i)
			c.want(mediaType.MatchString(p.InlineData.MIMEType), "contents[%d]: unsupported MIME type %q", i, p.InlineData.MIMEType)
		}
		if f := p.FunctionCall; f != nil {
			data++
			c.want(functionName.MatchString(f.Name), "contents[%d]: invalid function name %q", i, f.Name)
			c.want(content.Role == "model", "contents[%d]: a function call of the user", i)
		}
		if f := p.FunctionResponse; f != nil {
			data++
			c.want(f.Response != nil, "contents[%d]: a function response without a response", i)
			c.want(content.Role == "user", "contents[%d]: a function response of the model", i)
			for _, p := range f.Parts {
				c.want(newModel.MatchString(c.model), "contents[%d]: multimodal function responses are not supported by this model", i)
				c.want(p.InlineData != nil && slices.Contains(functionMedia, p.InlineData.MIMEType), "contents[%d]: a part that no function answers with", i)
			}
		}
		c.want(data == 1, "contents[%d]: a part with %d kinds of data", i, data)
	}
}

// turn checks the order of function calls and their responses.
func (c *checker) turn(i int, contents []content) {
	calls, responses := functions(contents[i])
	if len(calls) > 0 {
		c.want(i > 0 && contents[i-1].Role == "user",
			"contents[%d]: please ensure that function call turn comes immediately after a user turn or after a function response turn", i)
		c.want(i+1 < len(contents), "contents[%d]: a function call without its response", i)
		if newModel.MatchString(c.model) {
			first := slices.IndexFunc(contents[i].Parts, func(p part) bool { return p.FunctionCall != nil })
			c.want(contents[i].Parts[first].ThoughtSignature != "", "contents[%d]: function call is missing a thought_signature", i)
		}
		if i+1 < len(contents) {
			_, next := functions(contents[i+1])
			c.want(len(next) == len(calls) && len(next) == len(contents[i+1].Parts),
				"contents[%d]: please ensure that the number of function response parts is equal to the number of function call parts", i)
			for j := range min(len(calls), len(next)) {
				c.want(calls[j].Name == next[j].Name && calls[j].ID == next[j].ID, "contents[%d]: response %d is not that of call %d", i, j, j)
			}
		}
	}
	if len(responses) > 0 {
		var before []*function
		if i > 0 {
			before, _ = functions(contents[i-1])
		}
		c.want(len(before) > 0, "contents[%d]: please ensure that function response turn comes immediately after a function call turn", i)
	}
}

func functions(content content) (calls, responses []*function) {
	for _, p := range content.Parts {
		if p.FunctionCall != nil {
			calls = append(calls, p.FunctionCall)
		}
		if p.FunctionResponse != nil {
			responses = append(responses, p.FunctionResponse)
		}
	}
	return calls, responses
}
