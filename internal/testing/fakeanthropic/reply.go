package fakeanthropic

import (
	"encoding/json"
	"net/http"
)

// Reply answers one request for a message.
type Reply func(w http.ResponseWriter, r *http.Request, req Request)

// Block is a content block of an answer, as JSON.
type Block = json.RawMessage

// TextBlock is a block of text.
func TextBlock(text string) Block {
	return object(map[string]any{"type": "text", "text": text, "citations": nil})
}

// ToolUse is a tool call. input is put into the answer as it is: any JSON.
func ToolUse(id, name, input string) Block {
	return object(map[string]any{"type": "tool_use", "id": id, "name": name, "input": json.RawMessage(input), "caller": map[string]any{"type": "direct"}})
}

// Thinking is a thought of the model.
func Thinking(text string) Block {
	return object(map[string]any{"type": "thinking", "thinking": text, "signature": "c2ln"})
}

func object(fields map[string]any) Block {
	raw, err := json.Marshal(fields)
	if err != nil {
		panic(err) // a test's own mistake
	}
	return raw
}

// Text answers with a text that ends where the model ended it.
func Text(text string) Reply { return Message("end_turn", TextBlock(text)) }

// Message answers with blocks and a stop_reason.
func Message(stop string, blocks ...Block) Reply {
	return func(w http.ResponseWriter, _ *http.Request, req Request) {
		var asked struct {
			Model string `json:"model"`
		}
		_ = json.Unmarshal(req.Body, &asked) // what is no JSON has no model
		if blocks == nil {
			blocks = []Block{}
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"id": "msg_fake", "type": "message", "role": "assistant", "model": asked.Model,
			"content": blocks, "stop_reason": stop, "stop_sequence": nil,
			"usage": map[string]any{
				"input_tokens": InputTokens, "output_tokens": OutputTokens,
				"cache_creation_input_tokens": CacheCreation, "cache_read_input_tokens": CacheRead,
			},
		})
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

// Error answers as Anthropic does when something is wrong.
func Error(status int, errorType, message string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		writeJSON(w, status, map[string]any{
			"type": "error", "request_id": "req_fake",
			"error": map[string]any{"type": errorType, "message": message},
		})
	}
}

// RetryAfter is a refusal of too many requests, with a Retry-After header.
func RetryAfter(after string) Reply {
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		w.Header().Set("Retry-After", after)
		Error(http.StatusTooManyRequests, "rate_limit_error", "slow down")(w, r, req)
	}
}

// Hang answers nothing until the client has left.
func Hang() Reply {
	return func(_ http.ResponseWriter, r *http.Request, _ Request) { <-r.Context().Done() }
}

// Reset breaks the connection without an answer.
func Reset() Reply {
	return func(http.ResponseWriter, *http.Request, Request) { panic(http.ErrAbortHandler) }
}

// Half breaks the connection in the middle of an answer.
func Half() Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"type":"message","content":[{"type":`))
		if err := http.NewResponseController(w).Flush(); err == nil {
			panic(http.ErrAbortHandler)
		}
	}
}
