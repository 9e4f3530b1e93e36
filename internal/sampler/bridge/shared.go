package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// sharedEra holds the one process of all sessions.
type sharedEra struct {
	mu      sync.Mutex
	current *sharedPeer
	// told are the capabilities that the newest process was told.
	told json.RawMessage
}

// sharedPeer is a process that is initialized once, for the sessions of all
// callers. ready is closed when answer or err is there.
type sharedPeer struct {
	ready  chan struct{}
	mux    *mux
	answer wire.Message
	err    error
}

// initializeShared begins a session in the shared process. The first one
// initializes it, and what the process answered is the answer to all.
func (b *Bridge) initializeShared(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	peer, entered := b.sharedPeer(m, body)
	defer entered()
	select {
	case <-peer.ready:
	case <-r.Context().Done():
		return
	}
	if peer.err != nil {
		refuse(w, m.ID, peer.err)
		return
	}
	header := func(http.Header) {}
	answer := peer.answer
	if answer.Error == nil {
		s, err := b.enter(newID(), peer.mux)
		if err != nil {
			refuse(w, m.ID, atStart(err))
			return
		}
		agreed := wire.ResultProtocolVersion(answer.Result)
		version := versionFor(text(m.Params, "protocolVersion"), agreed)
		if version != agreed {
			answer.Result = replace(answer.Result, strconv.AppendQuote(nil, version), "protocolVersion")
		}
		peer.mux.mu.Lock()
		s.version = version
		peer.mux.mu.Unlock()
		defer s.release()
		header = func(h http.Header) { h.Set(wire.HeaderSession, s.id) }
	}
	ex := &exchange{bridge: b, header: header, status: func(answer []byte) int { return statusOfInitialize(m, answer) }}
	ex.writeJSON(w, [][]byte{restored(m.ID, answer)})
}

// sharedPeer returns the process that runs, or starts one: also if the caller
// can be asked for more than that was told. That one then ends with its last
// session, and not before entered is called.
func (b *Bridge) sharedPeer(m wire.Message, body []byte) (peer *sharedPeer, entered func()) {
	b.shared.mu.Lock()
	defer b.shared.mu.Unlock()
	if peer = b.findShared(m, body); peer.mux == nil {
		return peer, func() {}
	}
	return peer, peer.mux.enter()
}

// findShared does so while the mutex is held.
func (b *Bridge) findShared(m wire.Message, body []byte) *sharedPeer {
	before := b.shared.current
	if before != nil && before.mux.process.ends() {
		before = nil
	}
	if before != nil && !lacks(b.shared.told, member(m.Params, "capabilities")) {
		return before
	}
	m.Params = declareAll(m.Params, b.shared.told)
	peer := &sharedPeer{ready: make(chan struct{})}
	drop := func() {
		b.shared.mu.Lock()
		defer b.shared.mu.Unlock()
		if b.shared.current == peer {
			b.shared.current = nil
		}
	}
	peer.mux, peer.err = b.launch(b.ctx, kind{name: "shared", rewrite: true}, func(*mux) { drop() })
	switch {
	case peer.err != nil && before != nil:
		return before // one that will not ask for all is better than none
	case peer.err != nil:
		close(peer.ready)
		return peer
	case before != nil:
		b.opts.Log.Info("another shared process begins, as a caller can be asked for more than the last was told")
		before.mux.retire()
	}
	b.shared.current = peer
	b.shared.told = bytes.Clone(member(m.Params, "capabilities"))
	go func() {
		defer close(peer.ready)
		// The process is every caller's: it is initialized also if this one leaves.
		ctx, cancel := context.WithTimeout(b.ctx, b.opts.InitializeTimeout)
		defer cancel()
		peer.answer, peer.err = b.ask(ctx, peer.mux, m, body)
		if errors.Is(peer.err, context.DeadlineExceeded) {
			peer.err = b.notInitialized()
		}
		if peer.err != nil || peer.answer.Error != nil {
			drop() // the next caller gets another
			peer.mux.process.stop()
		}
	}()
	return peer
}

// ask sends a request of the bridge itself and waits for the answer.
func (b *Bridge) ask(ctx context.Context, x *mux, m wire.Message, body []byte) (wire.Message, error) {
	ex := &exchange{bridge: b, mux: x, out: newQueue(b.opts.MaxMessageBytes)}
	if err := ex.send(nil, m, body, nil); err != nil {
		return wire.Message{}, atStart(err)
	}
	for {
		d, err := next(ctx, ex.out, b.opts.IdleTimeout)
		switch {
		case errors.Is(err, errSilent) && ctx.Err() == nil:
			continue
		case err != nil:
			x.abandon(ex.calls)
			return wire.Message{}, err
		case d.answer:
			return wire.ParseMessage(d.data)
		}
	}
}
