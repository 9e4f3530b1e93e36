// Command go is a sampling handler. It answers with what it was asked, as a full
// result.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxRequest is more than a request has.
const maxRequest = 64 << 20

type block struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	flag.Parse()
	key := strings.TrimPrefix(os.Getenv("WEBHOOK_KEY"), "whsec_")
	verifier, err := standardwebhooks.NewWebhook(key)
	if err != nil || len(key) < 32 {
		log.Fatal("WEBHOOK_KEY is no key: make one with `openssl rand -base64 32`")
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	log.Fatal(http.Serve(listener, handler(verifier)))
}

func handler(verifier *standardwebhooks.Webhook) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil || verifier.Verify(body, r.Header) != nil {
			http.Error(w, "not signed with our key", http.StatusUnauthorized)
			return
		}
		var request struct {
			Params struct {
				Messages []struct{ Content blocks }
			}
		}
		if err := json.Unmarshal(body, &request); err != nil || len(request.Params.Messages) == 0 {
			http.Error(w, "not a sampling request", http.StatusBadRequest)
			return
		}
		answer := "You said:"
		for _, b := range request.Params.Messages[len(request.Params.Messages)-1].Content {
			answer += " " + b.Text
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{
			"role": "assistant", "model": "echo-1", "stopReason": "endTurn",
			"content": block{Type: "text", Text: answer},
			"usage":   map[string]int{"inputTokens": len(body) / 4, "outputTokens": len(answer) / 4},
		}); err != nil {
			log.Print(err)
		}
	}
}

// blocks are content: several are a list, one stands alone.
type blocks []block

func (b *blocks) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]block)(b))
	}
	*b = make(blocks, 1)
	return json.Unmarshal(data, &(*b)[0])
}
