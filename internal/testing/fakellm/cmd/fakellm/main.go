// Command fakellm is the fake model server as a program, for tests in a
// cluster. It echoes what it is asked, or plays the turns that it is given; GET
// /requests lists what it got.
package main

import (
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakellm"
)

func main() {
	listen := flag.String("listen", ":8080", "address to listen on")
	key := flag.String("key", "", "the only key that is not refused; empty takes every one")
	models := flag.String("models", "", "the only models that it knows, separated by commas; empty knows every one")
	play := flag.String("play", "", "the turns of every conversation, a JSON list of {text, calls}; empty echoes")
	flag.Parse()

	var turns []fakellm.Turn
	if *play != "" {
		if err := json.Unmarshal([]byte(*play), &turns); err != nil {
			slog.Error("read the turns of -play", "error", err)
			os.Exit(2)
		}
	}
	model := &fakellm.Server{Key: *key}
	if *models != "" {
		model.Models = strings.Split(*models, ",")
	}
	model.Always(fakellm.Play(turns...))
	mux := http.NewServeMux()
	mux.Handle("/", model)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(model.Requests()); err != nil {
			slog.Error("write the list of requests", "error", err)
		}
	})
	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	slog.Info("the fake model server listens", "address", *listen)
	if err := server.ListenAndServe(); err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}
