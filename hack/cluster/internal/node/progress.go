// Package node is what runs inside a cluster's namespaces: the first process, which prepares the
// mounts and reaps orphans, and the supervisor, which starts the parts and keeps them running.
package node

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// File descriptors that the first process is given, beside the standard ones.
const (
	// listenerFD is a listening socket of the host's network: a socket keeps the network namespace
	// in which it was made, and so the API server is reached without a change to the host.
	listenerFD = 3
	// progressFD takes Events, one JSON object a line.
	progressFD = 4
	// lifelineFD is the end of a pipe that the starting command holds. If it closes before the
	// cluster is up, the command was killed and nothing may stay behind.
	lifelineFD = 5
)

// Event reports on the start of a cluster.
type Event struct {
	// Part is what was started, or the name of a step.
	Part string `json:"part"`
	// Took is the time from the part's start until it worked.
	Took time.Duration `json:"took"`
	// Error says why the part did not start. Nothing follows.
	Error string `json:"error,omitempty"`
	// Log is the path of the part's log, where it has one.
	Log string `json:"log,omitempty"`
	// Up says that everything works. Nothing follows.
	Up bool `json:"up,omitempty"`
}

// reporter writes events. The reader goes away once the cluster is up.
type reporter struct {
	mu sync.Mutex
	w  io.Writer
}

func (r *reporter) report(e Event) {
	raw, err := json.Marshal(e)
	if err != nil {
		return // An Event is always encodable.
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.w.Write(append(raw, '\n'))
}
