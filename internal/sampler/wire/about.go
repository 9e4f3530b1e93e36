package wire

import "encoding/json"

// About is what a request says for who follows it: what it is for, and in which
// trace (specification: basic, _meta; SEP-414).
type About struct {
	// Target is the tool or prompt; empty where there is none.
	Target string
	// TraceParent and TraceState are those of W3C's trace context; empty where the
	// request has none.
	TraceParent, TraceState string
}

// ReadAbout reads the params of a request. What cannot be read is not said.
func ReadAbout(method string, params json.RawMessage) About {
	var a About
	if params == nil {
		return a
	}
	var meta json.RawMessage
	_ = eachMember(params, func(f member) error {
		value := params[f.valueStart:f.valueEnd]
		switch string(f.name) {
		case "_meta":
			meta = value
		case "name":
			if method == MethodCallTool || method == MethodGetPrompt {
				a.Target = Text(value)
			}
		}
		return nil
	})
	if meta == nil {
		return a
	}
	_ = eachMember(meta, func(f member) error {
		value := meta[f.valueStart:f.valueEnd]
		switch string(f.name) {
		case "traceparent":
			a.TraceParent = Text(value)
		case "tracestate":
			a.TraceState = Text(value)
		}
		return nil
	})
	return a
}

// ErrorCode returns the code of a JSON-RPC error; 0 where there is none.
func ErrorCode(failure json.RawMessage) int {
	var e struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(failure, &e) != nil {
		return 0
	}
	return e.Code
}

// IsToolError reports whether the result of a tool's call says that it failed.
func IsToolError(result json.RawMessage) bool {
	value, err := lookup(result, "isError")
	return err == nil && string(value) == "true"
}
