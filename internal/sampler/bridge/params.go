package bridge

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	headerParam = "Mcp-Param-"
	// annotation names the header that repeats a parameter, in a tool's schema.
	annotation = "x-mcp-header"
	// maxTools and maxDepth bound what is learned of a server's tools.
	maxTools = 10000
	maxDepth = 16
)

// toolHeaders are the parameters that callers must repeat in headers. They are
// learned from the lists of tools that pass: a caller can know them from there
// alone.
type toolHeaders struct {
	mu    sync.Mutex
	tools map[string][]paramHeader
}

// paramHeader is a header and the place in the arguments that it repeats.
type paramHeader struct {
	header string
	path   []string
}

// learn reads the result of tools/list.
func (t *toolHeaders) learn(result json.RawMessage) {
	var list struct {
		Tools []struct {
			Name        string          `json:"name"`
			InputSchema json.RawMessage `json:"inputSchema"`
		} `json:"tools"`
	}
	if json.Unmarshal(result, &list) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tool := range list.Tools {
		delete(t.tools, tool.Name)
		if !bytes.Contains(tool.InputSchema, []byte(annotation)) || len(t.tools) >= maxTools {
			continue
		}
		if found := annotated(tool.InputSchema, []string{"arguments"}); len(found) > 0 {
			if t.tools == nil {
				t.tools = map[string][]paramHeader{}
			}
			t.tools[tool.Name] = found
		}
	}
}

// annotated returns the parameters below schema that are repeated in a header.
func annotated(schema json.RawMessage, path []string) []paramHeader {
	var s struct {
		Header     string                     `json:"x-mcp-header"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if len(path) > maxDepth || json.Unmarshal(schema, &s) != nil {
		return nil
	}
	var found []paramHeader
	if s.Header != "" {
		found = append(found, paramHeader{headerParam + s.Header, path})
	}
	for name, property := range s.Properties {
		found = append(found, annotated(property, append(path[:len(path):len(path)], name))...)
	}
	return found
}

// check compares the headers of a call with its arguments. Headers of which
// nothing is known mean nothing.
func (t *toolHeaders) check(m wire.Message, h http.Header) *wire.Error {
	if m.Method != wire.MethodCallTool {
		return nil
	}
	t.mu.Lock()
	wanted := t.tools[text(m.Params, "name")]
	t.mu.Unlock()
	for _, p := range wanted {
		argument := member(m.Params, p.path...)
		values := h.Values(p.header)
		switch {
		case argument == nil || string(argument) == "null":
			if len(values) > 0 {
				return mismatch("the header %s is there, and its parameter is not", p.header)
			}
		case len(values) != 1:
			return mismatch("the header %s must be there once, not %d times", p.header, len(values))
		default:
			value, err := wire.DecodeHeader(values[0])
			if err != nil {
				return mismatch("the header %s is not valid base64 after its prefix", p.header)
			}
			if !sameScalar(argument, value) {
				return mismatch("the header %s does not say what the body says", p.header)
			}
		}
	}
	return nil
}

// sameScalar reports whether a header says what an argument says. Numbers are
// compared as such.
func sameScalar(argument json.RawMessage, value string) bool {
	if argument[0] == '"' {
		var s string
		return json.Unmarshal(argument, &s) == nil && s == value
	}
	if string(argument) == value {
		return true
	}
	x, err := strconv.ParseFloat(string(argument), 64)
	if err != nil {
		return false
	}
	y, err := strconv.ParseFloat(value, 64)
	return err == nil && x == y
}
