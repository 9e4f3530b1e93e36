package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	codeMethodNotFound    = -32601
	codeMissingCapability = -32021
)

// isModern reports whether a message is of the stateless era: it or its header
// names a version of that, or it is the question that begins it.
func isModern(m wire.Message, h http.Header) bool {
	if m.Method == wire.MethodInitialize {
		return false
	}
	return m.Method == wire.MethodDiscover || wire.IsModernVersion(text(m.Params, "_meta", wire.MetaVersion)) ||
		slices.ContainsFunc(h.Values(wire.HeaderVersion), wire.IsModernVersion)
}

// modernEra holds the one process of all callers without a session.
type modernEra struct {
	mu      sync.Mutex
	current *modernPeer
	// legacy is true when the server has shown that it knows no such version, and
	// known that it does: that is asked once.
	legacy, known bool
	// Of a server that has not answered in time it is taken to be so until silent,
	// and for longer each time: it may only have been slow to start.
	silent time.Time
	doubt  time.Duration

	tools toolHeaders
}

// modernPeer is a process of the stateless era. ready is closed when mux or err
// is there.
type modernPeer struct {
	ready chan struct{}
	mux   *mux
	err   error

	mu      sync.Mutex
	running int
	idle    *time.Timer
}

// errLegacy says that the server knows no version of the stateless era.
var errLegacy = errors.New("the server knows no stateless version of the protocol")

// errNoAnswer is one that has not said so.
var errNoAnswer = errors.New("the server has not answered in time")

// maxDoubt bounds the time until a server is asked again that has not answered.
const maxDoubt = time.Hour

// postModern serves a message that belongs to no session.
func (b *Bridge) postModern(w http.ResponseWriter, r *http.Request, m wire.Message, body []byte) {
	switch {
	case m.IsResponse():
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "in this version of the protocol callers send no responses")
		return
	case m.IsNotification():
		// There is none that a caller may send over HTTP, and none is passed to a
		// process that others use.
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if e := checkHeaders(m, r.Header); e != nil {
		failWith(w, http.StatusBadRequest, m.ID, e)
		return
	}
	peer, err := b.modernPeer(r.Context())
	switch {
	case r.Context().Err() != nil:
		return
	case errors.Is(err, errLegacy):
		failWith(w, http.StatusBadRequest, m.ID, unsupportedVersion(text(m.Params, "_meta", wire.MetaVersion)))
		return
	case err != nil:
		refuse(w, m.ID, err)
		return
	}
	defer peer.release(b.opts.IdleTimeout)
	if e := b.modern.tools.check(m, r.Header); e != nil {
		failWith(w, http.StatusBadRequest, m.ID, e)
		return
	}
	ex := &exchange{bridge: b, mux: peer.mux, out: newQueue(b.opts.MaxMessageBytes), status: modernStatus}
	if err := ex.send(nil, m, body, nil); err != nil {
		refuse(w, m.ID, atStart(err))
		return
	}
	ex.respond(w, r)
}

// modernStatus returns the status that the specification gives to errors.
func modernStatus(answer []byte) int {
	var e wire.Error
	if raw := member(answer, "error"); raw == nil || json.Unmarshal(raw, &e) != nil {
		return http.StatusOK
	}
	switch e.Code {
	case codeMethodNotFound:
		return http.StatusNotFound
	case wire.CodeHeaderMismatch, codeMissingCapability, wire.CodeUnsupportedVersion, codeInvalidRequest, wire.CodeInvalidParams, codeParse:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

func unsupportedVersion(requested string) *wire.Error {
	data, err := json.Marshal(map[string]any{"supported": wire.LegacyVersions(), "requested": requested})
	if err != nil {
		data = nil
	}
	return &wire.Error{
		Code:    wire.CodeUnsupportedVersion,
		Message: "the server knows no stateless version of the protocol: use initialize",
		Data:    data,
	}
}

func mismatch(format string, args ...any) *wire.Error {
	return &wire.Error{Code: wire.CodeHeaderMismatch, Message: fmt.Sprintf(format, args...)}
}

// checkHeaders compares what a request says in its headers with its body.
func checkHeaders(m wire.Message, h http.Header) *wire.Error {
	version := text(m.Params, "_meta", wire.MetaVersion)
	want := []struct{ header, value string }{{wire.HeaderVersion, version}, {wire.HeaderMethod, m.Method}}
	switch m.Method {
	case wire.MethodCallTool, wire.MethodGetPrompt:
		want = append(want, struct{ header, value string }{wire.HeaderName, text(m.Params, "name")})
	case wire.MethodReadResource:
		want = append(want, struct{ header, value string }{wire.HeaderName, text(m.Params, "uri")})
	}
	for _, expected := range want {
		values := h.Values(expected.header)
		if len(values) != 1 {
			return mismatch("the header %s must be there once, not %d times", expected.header, len(values))
		}
		if expected.header == wire.HeaderVersion && version == "" {
			return &wire.Error{Code: wire.CodeInvalidParams, Message: "params._meta must name the version of the protocol as " + wire.MetaVersion}
		}
		value := values[0]
		if expected.header == wire.HeaderName {
			var err error
			if value, err = wire.DecodeHeader(value); err != nil {
				return mismatch("the header %s is not valid base64 after its prefix", expected.header)
			}
		}
		if value != expected.value {
			return mismatch("the header %s does not say what the body says", expected.header)
		}
	}
	return nil
}

// modernPeer returns the process of the stateless era, in use until release.
func (b *Bridge) modernPeer(ctx context.Context) (*modernPeer, error) {
	peer, err := b.startModern()
	if err != nil {
		return nil, err
	}
	peer.use()
	select {
	case <-peer.ready:
		err = peer.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		peer.release(b.opts.IdleTimeout)
		return nil, err
	}
	return peer, nil
}

func (b *Bridge) startModern() (*modernPeer, error) {
	e := &b.modern
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.legacy, time.Now().Before(e.silent):
		return nil, errLegacy
	case e.current != nil && !e.current.mux.process.ends():
		return e.current, nil
	}
	peer := &modernPeer{ready: make(chan struct{})}
	drop := func(*mux) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.current == peer {
			e.current = nil
		}
	}
	x, err := b.launch(b.ctx, kind{name: "stateless", rewrite: true, modern: true, quiet: !e.known, tools: &e.tools}, drop)
	if err != nil {
		return nil, err
	}
	e.current, peer.mux = peer, x
	peer.idle = time.AfterFunc(b.opts.IdleTimeout, func() {
		peer.mu.Lock()
		idle := peer.running == 0
		peer.mu.Unlock()
		if idle {
			drop(x)
			x.process.stop()
		}
	})
	if e.known {
		close(peer.ready)
		return peer, nil
	}
	go func() {
		defer close(peer.ready)
		peer.err = b.probe(x)
		silent := errors.Is(peer.err, errNoAnswer)
		legacy := errors.Is(peer.err, errLegacy) && !errors.Is(peer.err, errAtStart) && !silent
		// What a server says to a question that it does not know would frighten.
		x.process.speak(legacy || silent)
		if peer.err != nil {
			drop(x)
			x.process.stop()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.legacy, e.known = legacy, peer.err == nil
		switch {
		case silent:
			e.doubt = min(max(2*e.doubt, b.opts.times.doubt), maxDoubt)
			e.silent = time.Now().Add(e.doubt)
			b.opts.Log.Info("the server has not said whether it knows the stateless era: callers of that are told to begin a session",
				"askedAgainIn", e.doubt)
		case legacy:
			b.opts.Log.Info("the server knows sessions only: callers of the stateless era are told to begin one")
		}
	}()
	return peer, nil
}

func (p *modernPeer) use() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running++
	p.mux.setUnused(time.Time{})
	p.idle.Stop()
}

func (p *modernPeer) release(idleTimeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running--; p.running == 0 {
		p.mux.setUnused(time.Now())
		p.idle.Reset(idleTimeout)
	}
}

// probe asks a process whether it knows the stateless era. Those that do not
// answer as they like, or not at all.
func (b *Bridge) probe(x *mux) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.times.probe)
	defer cancel()
	params := fmt.Appendf(nil, `{"_meta":{%q:%q,"io.modelcontextprotocol/clientInfo":{"name":"mcp-sampling-bridge","version":"1"},`+
		`"io.modelcontextprotocol/clientCapabilities":{}}}`, wire.MetaVersion, wire.VersionModern)
	m := wire.Message{ID: json.RawMessage("0"), Method: wire.MethodDiscover, Params: params}
	answer, err := b.ask(ctx, x, m, request(m.ID, m.Method, m.Params))
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.Join(errLegacy, errNoAnswer)
	case err != nil, x.process.ends():
		// Some servers end when they are asked what they do not know, others when
		// something else is wrong. initialize will show, and the next one is asked
		// again.
		return errors.Join(errLegacy, errAtStart)
	}
	if knowsModern(answer) {
		return nil
	}
	return errLegacy
}

// knowsModern judges the answer to server/discover: a result, or an error that
// only the stateless era has, unless it names only versions of the other.
func knowsModern(answer wire.Message) bool {
	versions := member(answer.Result, "supportedVersions")
	if answer.Error != nil {
		var e wire.Error
		if json.Unmarshal(answer.Error, &e) != nil || e.Code > wire.CodeHeaderMismatch || e.Code < wire.CodeUnsupportedVersion {
			return false
		}
		versions = member(e.Data, "supported")
	}
	var supported []string
	if versions == nil || json.Unmarshal(versions, &supported) != nil {
		return true
	}
	return slices.ContainsFunc(supported, wire.IsModernVersion)
}
