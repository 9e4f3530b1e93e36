package peer

import (
	"encoding/json"
	"net/http"
)

// stateOf is what the server wants back with the answer to its input request.
const stateOf = "bench-state-"

// inputKey is how the server calls its one input request.
const inputKey = "sample"

// modernParams are the parameters of any request of the era without sessions.
type modernParams struct {
	callParams
	Meta struct {
		Version      string `json:"io.modelcontextprotocol/protocolVersion"`
		Capabilities struct {
			Sampling *struct{} `json:"sampling"`
		} `json:"io.modelcontextprotocol/clientCapabilities"`
	} `json:"_meta"`
	Responses map[string]json.RawMessage `json:"inputResponses"`
	State     string                     `json:"requestState"`
}

// modern serves one message of the era without sessions.
func modern(w http.ResponseWriter, r *http.Request, m message) {
	if len(m.ID) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	var p modernParams
	if err := json.Unmarshal(m.Params, &p); err != nil {
		writeError(w, http.StatusBadRequest, m.ID, codeInvalidParams, "parameters are missing")
		return
	}
	name := r.Header.Get("Mcp-Name")
	if p.Meta.Version != Modern || r.Header.Get("Mcp-Method") != m.Method || m.Method == "tools/call" && name != p.Name {
		writeError(w, http.StatusBadRequest, m.ID, codeHeaderMismatch, "headers and body differ")
		return
	}
	switch m.Method {
	case "server/discover":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, []byte(
			`{"resultType":"complete","ttlMs":0,"cacheScope":"private","supportedVersions":["2025-11-25","2026-07-28"],`+
				`"capabilities":{"tools":{}},"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench","version":"1.0.0"}}}`)))
	case "tools/list":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, toolList(true)))
	case "tools/call":
		modernCall(w, m, p)
	default:
		writeError(w, http.StatusNotFound, m.ID, codeNoMethod, "no such method")
	}
}

func modernCall(w http.ResponseWriter, m message, p modernParams) {
	const complete = `"resultType":"complete",`
	text := p.Arguments.Text
	switch p.Name {
	case "echo":
		newEvents(w).send(appendResult(nil, m.ID, toolResult(complete, text, false)))
	case "echo_json":
		writeJSON(w, http.StatusOK, appendResult(nil, m.ID, toolResult(complete, text, false)))
	case "ask":
		if p.Meta.Capabilities.Sampling == nil {
			writeError(w, http.StatusBadRequest, m.ID, codeNoCapability, "ask needs a client with sampling")
			return
		}
		e := newEvents(w)
		if p.Responses == nil {
			e.send(appendResult(nil, m.ID, inputRequired(text)))
			return
		}
		sampled, ok := sampledText(p.Responses[inputKey])
		if !ok || p.State != stateOf+text[:min(len(text), 16)] {
			e.send(appendResult(nil, m.ID, toolResult(complete, "no answer, or not the state of the request", true)))
			return
		}
		e.send(appendResult(nil, m.ID, toolResult(complete, sampled, false)))
	default:
		writeError(w, http.StatusBadRequest, m.ID, codeInvalidParams, "no such tool")
	}
}

func inputRequired(text string) []byte {
	state, _ := json.Marshal(stateOf + text[:min(len(text), 16)]) // a string always can
	out := append([]byte(`{"resultType":"input_required","inputRequests":{"`+inputKey+`":{"method":"sampling/createMessage","params":`), samplingParams(text)...)
	return append(append(append(out, `}},"requestState":`...), state...), '}')
}
