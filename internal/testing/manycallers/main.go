// Command manycallers holds many sessions with an MCP server at the same time, for
// tests in a cluster that take pods away under them. It is told what to do by
// HTTP, so that it can stay where it is meanwhile:
//
//	POST /open?n=50&url=URL[&url=URL…]   open sessions, by each address in turn
//	POST /call?tool=NAME[&url=URL…]      one call in each session, by the next address in turn
//	POST /loop?tool=NAME[&tool=NAME…][&url=URL…][&again=yes]
//	                                     call in every session, over and over
//	POST /stop                           end that
//	POST /gone?addr=HOST:PORT            answer when nothing listens there any more
//
// /open, /call and /stop answer with a Report. A session that gets 404 is lost and stays
// so, unless "again" says to begin another one in its place, as the specification has it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// Report is what came of something.
type Report struct {
	// Sessions are those that were opened, in all.
	Sessions int `json:"sessions"`
	// OK are the calls that were answered, and Moved those of them whose answer
	// was another text than the session's answer before.
	OK    int `json:"ok"`
	Moved int `json:"moved"`
	// Lost are the sessions that got 404, by the text of their last answer.
	Lost map[string]int `json:"lost,omitempty"`
	// Texts counts the answers.
	Texts map[string]int `json:"texts,omitempty"`
	// Failed are the other failures, with the first few in words.
	Failed int      `json:"failed"`
	Errors []string `json:"errors,omitempty"`
	// Again counts attempts after one that got no answer at all.
	Again int `json:"again"`
	// Renewed counts the sessions that began in place of one that was lost.
	Renewed int `json:"renewed"`
	// Slowest is the longest call, with all its attempts.
	Slowest time.Duration `json:"slowest"`
}

func (r *Report) add(o outcome) {
	r.Again += o.again
	if o.renewed {
		r.Renewed++
	}
	r.Slowest = max(r.Slowest, o.took)
	switch {
	case o.err == nil:
		r.OK++
		count(&r.Texts, o.text)
		if o.moved {
			r.Moved++
		}
	case o.lost:
		count(&r.Lost, o.text)
	default:
		r.Failed++
		if len(r.Errors) < 5 {
			r.Errors = append(r.Errors, o.err.Error())
		}
	}
}

func count(m *map[string]int, key string) {
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[key]++
}

// patience is how long a call of /call may take, with all attempts.
const patience = 60 * time.Second

// driver holds the sessions.
type driver struct {
	mu       sync.Mutex
	sessions []*session

	stop chan struct{} // closed to end the loop; nil without one
	done sync.WaitGroup
	loop Report
}

func main() {
	listen := flag.String("listen", ":8080", "address to be told on")
	flag.Parse()
	server := &http.Server{Addr: *listen, Handler: newDriver(), ReadHeaderTimeout: 10 * time.Second}
	if err := server.ListenAndServe(); err != nil {
		slog.Error("serve", "error", err)
		os.Exit(1)
	}
}

func newDriver() http.Handler {
	d := &driver{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /open", d.open)
	mux.HandleFunc("POST /call", d.call)
	mux.HandleFunc("POST /loop", d.begin)
	mux.HandleFunc("POST /stop", d.end)
	mux.HandleFunc("POST /gone", gone)
	return mux
}

func (d *driver) open(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	urls := r.URL.Query()["url"]
	if n < 1 || len(urls) == 0 {
		http.Error(w, "say n and url", http.StatusBadRequest)
		return
	}
	fresh := make([]*session, n)
	for i := range fresh {
		fresh[i] = &session{http: newClient(), url: urls[i%len(urls)]}
	}
	report := each(fresh, func(s *session) outcome { return s.open(r.Context()) })
	d.mu.Lock()
	d.sessions = append(d.sessions, fresh...)
	report.Sessions = len(d.sessions)
	d.mu.Unlock()
	answer(w, report)
}

func (d *driver) call(w http.ResponseWriter, r *http.Request) {
	tool := r.URL.Query().Get("tool")
	sessions := d.spread(r.URL.Query()["url"])
	report := each(sessions, func(s *session) outcome { return s.call(r.Context(), tool, patience) })
	report.Sessions = len(sessions)
	answer(w, report)
}

// spread sends each session to the next address, so that it reaches another pod
// than the last time.
func (d *driver) spread(urls []string) []*session {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, s := range d.sessions {
		if len(urls) > 0 {
			s.url = urls[(i+1)%len(urls)]
		}
	}
	return append([]*session(nil), d.sessions...)
}

func (d *driver) begin(w http.ResponseWriter, r *http.Request) {
	tools, again := r.URL.Query()["tool"], r.URL.Query().Has("again")
	sessions := d.spread(r.URL.Query()["url"])
	if len(tools) == 0 {
		http.Error(w, "say tool", http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stop != nil {
		http.Error(w, "it runs", http.StatusConflict)
		return
	}
	stop, ctx := make(chan struct{}), context.WithoutCancel(r.Context())
	d.stop, d.loop = stop, Report{Sessions: len(sessions)}
	for i, s := range sessions {
		d.done.Go(func() {
			for {
				o := s.call(ctx, tools[i%len(tools)], 0)
				if o.lost && again {
					o = s.renew(ctx, tools[i%len(tools)])
				}
				d.mu.Lock()
				d.loop.add(o)
				d.mu.Unlock()
				if o.lost {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond): // no caller calls without a breath
				}
			}
		})
	}
	w.WriteHeader(http.StatusAccepted)
}

func (d *driver) end(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	if d.stop != nil {
		close(d.stop)
		d.stop = nil
	}
	d.mu.Unlock()
	d.done.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	answer(w, d.loop)
}

// gone waits until a pod that was deleted has really ended.
func gone(w http.ResponseWriter, r *http.Request) {
	for {
		dialer := net.Dialer{Timeout: time.Second}
		conn, err := dialer.DialContext(r.Context(), "tcp", r.URL.Query().Get("addr"))
		if err != nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		_ = conn.Close() // it was only asked for
		time.Sleep(10 * time.Millisecond)
	}
}

// each does something in all sessions at the same time.
func each(sessions []*session, do func(*session) outcome) Report {
	var report Report
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() {
			o := do(s)
			mu.Lock()
			defer mu.Unlock()
			report.add(o)
		})
	}
	wg.Wait()
	return report
}

func answer(w http.ResponseWriter, report Report) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(report) // the reader is gone: nobody is left to tell
}
