package sampler

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// adminHandler serves what the cluster and the operator ask. It is a port of
// its own, so that callers never reach it.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.draining.Load() {
			plain(w, http.StatusServiceUnavailable, "draining")
			return
		}
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET "+statusz.Path, func(w http.ResponseWriter, r *http.Request) {
		if since, err := time.Parse(time.RFC3339, r.URL.Query().Get(statusz.ParamSince)); err == nil {
			s.lookAgain(since)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(s.report()) // the reader is gone: nobody is left to tell
	})
	return mux
}

// metricsHandler serves what Prometheus scrapes. It is a port of its own too, so
// that who may scrape need not reach what the operator asks.
func (s *Server) metricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.telemetry)
	return mux
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the reader is gone: nobody is left to tell
}

func (s *Server) report() statusz.Report {
	snap := s.live.current()
	report := statusz.Report{
		ConfigHash: snap.hash,
		SessionKey: s.live.sessionKey(),
		Providers:  snap.engine.Status(),
		Store:      s.live.limiter.Status(),
		Files:      filesOf(snap.cfg),
		Server:     s.found(),
		Sessions:   s.live.handler.Load().Sessions(),
	}
	if snap.cfg.Policy != nil {
		report.Policy = snap.cfg.Policy.Name
	}
	if err := s.file.Err(); err != nil {
		report.ConfigError = statusz.Clean(err.Error())
	}
	return report
}
