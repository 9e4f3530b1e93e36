package fakellm

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Turn is what a model says at one point of a conversation: calls of tools, or a
// text, in which {results} stands for what the tools have answered so far.
type Turn struct {
	Text  string `json:"text,omitempty"`
	Calls []Call `json:"calls,omitempty"`
}

// Play answers every conversation with the turns in their order. Which one it is
// at is told by the conversation itself, so any number of them may run at once,
// and one that is asked again gets the same answer. After the last turn it stays
// with that one; without any it echoes.
func Play(turns ...Turn) Reply {
	if len(turns) == 0 {
		return Echo()
	}
	return func(w http.ResponseWriter, r *http.Request, req Request) {
		var asked struct {
			Messages []struct {
				Role    string          `json:"role"`
				Content json.RawMessage `json:"content"`
			} `json:"messages"`
		}
		if err := json.Unmarshal(req.Body, &asked); err != nil {
			Error(http.StatusBadRequest, "invalid_json", "not JSON")(w, r, req)
			return
		}
		said, results := 0, []string{}
		for _, m := range asked.Messages {
			switch m.Role {
			case "assistant":
				said++
			case "tool":
				results = append(results, contentText(m.Content))
			}
		}
		turn := turns[min(said, len(turns)-1)]
		text := strings.ReplaceAll(turn.Text, "{results}", strings.Join(results, ", "))
		reason := "stop"
		if len(turn.Calls) > 0 {
			reason = "tool_calls"
		}
		Finish(reason, text, turn.Calls...)(w, r, req)
	}
}
