package webhook_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

var jsonBlock = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")

func TestThePageShowsWhatTheSchemaAllows(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/webhook.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := jsonBlock.FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of JSON, want a request and an answer", len(blocks))
	}
	request, answer := blocks[0][1], blocks[1][1]
	if err := follows(t, schema(t, ""), request); err != nil {
		t.Errorf("the request: %v", err)
	}
	wantMCP(t, []byte(request))
	if err := follows(t, schema(t, "#/$defs/answer"), answer); err != nil {
		t.Errorf("the answer: %v", err)
	}

	// The answer is one to the request.
	var asked struct {
		Params struct {
			Tools []wire.Tool `json:"tools"`
		} `json:"params"`
	}
	if err := json.Unmarshal([]byte(request), &asked); err != nil {
		t.Fatal(err)
	}
	req := question()
	req.Tools = asked.Params.Tools
	client, _ := connect(t, replyJSON(answer), nil)
	if _, err := client.CreateMessage(t.Context(), req); err != nil {
		t.Error(err)
	}
}
