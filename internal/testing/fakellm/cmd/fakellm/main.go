// Command fakellm is the fake model server as a program, for tests in a
// cluster. It echoes what it is asked; GET /requests lists what it got.
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
	flag.Parse()

	model := &fakellm.Server{Key: *key}
	if *models != "" {
		model.Models = strings.Split(*models, ",")
	}
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
