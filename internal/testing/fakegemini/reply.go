package fakegemini

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Reply answers one request for content.
type Reply func(w http.ResponseWriter, r *http.Request, req Request)

// Part is one part of an answer, as JSON.
type Part string

// TextPart is a part with a text.
func TextPart(text string) Part { return Part(`{"text":` + quote(text) + `}`) }

// ThoughtPart is a summary of what the model thought.
func ThoughtPart(text string) Part { return Part(`{"thought":true,"text":` + quote(text) + `}`) }

// CallPart is a function call. Args is put into the answer as it is; empty leaves
// it out. So does an empty id, as models before Gemini 3 do.
func CallPart(id, name, args string) Part { return SignedCallPart(id, name, args, "") }

// SignedCallPart is a function call with a thought signature (base64).
func SignedCallPart(id, name, args, signature string) Part {
	text := `{"functionCall":{"name":` + quote(name)
	if id != "" {
		text += `,"id":` + quote(id)
	}
	if args != "" {
		text += `,"args":` + args
	}
	text += `}`
	if signature != "" {
		text += `,"thoughtSignature":` + quote(signature)
	}
	return Part(text + `}`)
}

// Text answers with a text that ends where the model ended it.
func Text(text string) Reply { return Finish("STOP", TextPart(text)) }

// Finish answers with a finishReason and parts; with none the content has none.
func Finish(reason string, parts ...Part) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		text := `{"candidates":[{"index":0,"finishReason":` + quote(reason) + `,"content":{"role":"model"`
		for i, part := range parts {
			text += map[bool]string{true: `,"parts":[`, false: `,`}[i == 0] + string(part)
		}
		if parts != nil {
			text += `]`
		}
		Raw(http.StatusOK, "application/json", text+`}}],`+rest(req)+`}`)(w, r, req)
	}
}

// Blocked answers that the question was withheld from the model.
func Blocked(reason string) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		Raw(http.StatusOK, "application/json", `{"promptFeedback":{"blockReason":`+quote(reason)+`},`+rest(req)+`}`)(w, r, req)
	}
}

// rest is what every answer ends with.
func rest(req Request) string {
	return `"modelVersion":` + quote(req.Model) + `,"responseId":"fake",
		"usageMetadata":{"promptTokenCount":` + count(PromptTokens) + `,"candidatesTokenCount":` + count(CandidateTokens) + `,"thoughtsTokenCount":` + count(ThoughtTokens) + `}`
}

// Raw answers with any status, type and body.
func Raw(status int, contentType, body string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Error answers as Google does when something is wrong.
func Error(status int, code, message string, details ...map[string]any) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		content := map[string]any{"code": status, "message": message, "status": code}
		if details != nil {
			content["details"] = details
		}
		writeJSON(w, status, map[string]any{"error": content})
	}
}

// WrongKey answers as Google does to a key that it does not know: with 400.
func WrongKey(message string) Reply {
	return Error(http.StatusBadRequest, "INVALID_ARGUMENT", message, map[string]any{
		"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
		"metadata": map[string]any{"service": "generativelanguage.googleapis.com"},
	})
}

// UsedUp answers that a quota is used up, and in its details when to ask again.
func UsedUp(delay string) Reply {
	return Error(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "You exceeded your current quota",
		map[string]any{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []any{map[string]any{"quotaId": "fake"}}},
		map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
}

// RetryAfter answers 503 with a Retry-After header.
func RetryAfter(after string) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		w.Header().Set("Retry-After", after)
		Error(http.StatusServiceUnavailable, "UNAVAILABLE", "The model is overloaded")(w, r, req)
	}
}

// Hang answers nothing until the client has left.
func Hang() Reply {
	return func(_ http.ResponseWriter, r *http.Request, _ Request) { <-r.Context().Done() }
}

// Gate answers with reply once open is closed, so that a test can look at the
// world while the model thinks.
func Gate(open <-chan struct{}, reply Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		select {
		case <-open:
			reply(w, r, req)
		case <-r.Context().Done():
		}
	}
}

// Half breaks the connection in the middle of an answer of the given status.
func Half(status int, text string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
		if err := http.NewResponseController(w).Flush(); err == nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// Reset closes the connection without an answer.
func Reset() Reply {
	return func(http.ResponseWriter, *http.Request, Request) { panic(http.ErrAbortHandler) }
}

func quote(text string) string {
	data, _ := json.Marshal(text) // a text has no way to fail
	return string(data)
}

func count(n int) string { return strconv.Itoa(n) }
