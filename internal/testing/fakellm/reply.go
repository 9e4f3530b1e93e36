package fakellm

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Reply answers one request for chat completions.
type Reply func(w http.ResponseWriter, r *http.Request, req Request)

// Call is a tool call. Arguments is put into the answer as it is, so it can be
// no JSON at all.
type Call struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Text answers with a text that ends where the model ended it.
func Text(text string) Reply { return Finish("stop", text) }

// Finish answers with a text and a finish_reason.
func Finish(reason, text string, calls ...Call) Reply {
	return func(w http.ResponseWriter, _ *http.Request, req Request) {
		message := map[string]any{"role": "assistant", "content": text, "refusal": nil}
		if text == "" {
			message["content"] = nil
		}
		var list []any
		for _, c := range calls {
			list = append(list, map[string]any{
				"id": c.ID, "type": "function",
				"function": map[string]any{"name": c.Name, "arguments": c.Arguments},
			})
		}
		if list != nil {
			message["tool_calls"] = list
		}
		writeJSON(w, http.StatusOK, completion(req, reason, message))
	}
}

// ToolCalls answers with tool calls.
func ToolCalls(calls ...Call) Reply { return Finish("tool_calls", "", calls...) }

// Refusal answers with OpenAI's refusal field.
func Refusal(text string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, req Request) {
		writeJSON(w, http.StatusOK, completion(req, "stop", map[string]any{
			"role": "assistant", "content": nil, "refusal": text,
		}))
	}
}

// Raw answers with any status, type and body.
func Raw(status int, contentType, body string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Error answers as OpenAI does when something is wrong.
func Error(status int, code, message string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		writeJSON(w, status, map[string]any{"error": map[string]any{
			"message": message, "type": "fake_error", "code": code, "param": nil,
		}})
	}
}

// RetryAfter is Error with a Retry-After header.
func RetryAfter(status int, after string) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		w.Header().Set("Retry-After", after)
		Error(status, "rate_limit_exceeded", "slow down")(w, r, req)
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

// Half breaks the connection in the middle of an answer.
func Half() Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"choices":[{"message":`))
		if err := http.NewResponseController(w).Flush(); err == nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// Echo answers with a text that says what was asked: the model, the limit on
// tokens and the newest text of the user.
func Echo() Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		var asked struct {
			Model               string `json:"model"`
			MaxTokens           int64  `json:"max_tokens"`
			MaxCompletionTokens int64  `json:"max_completion_tokens"`
			Messages            []struct {
				Role    string          `json:"role"`
				Content json.RawMessage `json:"content"`
			} `json:"messages"`
		}
		if err := json.Unmarshal(req.Body, &asked); err != nil {
			Error(http.StatusBadRequest, "invalid_json", "not JSON")(w, r, req)
			return
		}
		last := ""
		for _, m := range asked.Messages {
			if m.Role == "user" {
				last = contentText(m.Content)
			}
		}
		Text(fmt.Sprintf("fake model %s, at most %d tokens, was asked: %s",
			asked.Model, asked.MaxTokens+asked.MaxCompletionTokens, last))(w, r, req)
	}
}

func contentText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) == nil {
		for _, p := range parts {
			text += p.Text
		}
	}
	return text
}

func completion(req Request, reason string, message map[string]any) map[string]any {
	var asked struct {
		Model string `json:"model"`
	}
	_ = json.Unmarshal(req.Body, &asked) // what is no JSON has no model
	return map[string]any{
		"id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": asked.Model,
		"choices": []any{map[string]any{"index": 0, "finish_reason": reason, "logprobs": nil, "message": message}},
		"usage": map[string]any{
			"prompt_tokens": PromptTokens, "completion_tokens": CompletionTokens,
			"total_tokens": PromptTokens + CompletionTokens,
		},
	}
}
