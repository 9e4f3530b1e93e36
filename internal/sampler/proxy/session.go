package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// session is what is known of one session between a caller and the server. A
// server that gives no session ids has anonymous ones, one for each exchange.
type session struct {
	// id is the server's, name the one that the caller knows, which says all that
	// is sealed in it; both are empty for an anonymous session.
	id, name string
	digest   string
	// owner is the replica that began the session. adopted means that it goes on
	// here because that one was gone.
	owner   string
	adopted bool
	// address is the host:port of the server that the session lives on; empty
	// where any will do.
	address string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	// listener holds the server's GET stream; nil for an anonymous session.
	listener *listener
	// sse is what a session of the HTTP+SSE transport has instead; nil for others.
	sse        *sseSession
	complaints *complaints

	mu       sync.Mutex
	caller   wire.SamplingCapability
	declared wire.SamplingCapability
	version  string
	// callerUnknown means that the handshake was not seen here.
	callerUnknown bool
	// header is that of the caller's newest request that the server accepted.
	header http.Header
	// credential is the digest of what identified the caller in that request.
	credential credential
	// origin and cors are what the server answered a browser: which origins may
	// read its responses.
	origin string
	cors   http.Header
	// proven is true once the server has accepted a request of this session.
	proven bool
	// users counts the exchanges under way, streams those of them that are GET
	// streams of the caller.
	users    int
	streams  int
	lastUsed time.Time
	// unused, where set, is closed once there are no users and no answers.
	unused chan struct{}
	// unsure means that another replica may hold the session too, gathering is closed
	// when it is known.
	unsure    bool
	gathering chan struct{}
	// wanted means that another replica has asked for the session while it was busy,
	// and will again.
	wanted bool
	// gone is closed once the server's stream of a session that was let go of has
	// ended. It belongs to the table of sessions.
	gone    chan struct{}
	calls   map[*call]struct{}
	answers map[*answer]struct{}
	// taken are the sampling requests that were taken off, by their id, and
	// events the same with the event they came in.
	taken, events recent
}

// call is one request of the caller that has not been answered.
type call struct {
	id     json.RawMessage
	key    string
	method string
	// header is what the caller sent, as it goes on to the server.
	header http.Header
	// op is the operation that it is; nil once only its id is left. place is where its
	// span is.
	op    *operation
	place trace.SpanContext
	// asked counts the sampling requests that it has asked for.
	asked atomic.Int64
}

// answer is one sampling request that is being answered.
type answer struct {
	key string
	// call is whose it is; nil where only the session is known.
	call   *call
	cancel context.CancelCauseFunc
}

// newSession returns a session that nobody knows yet. The id is its name too
// until it gets one.
func (h *Handler) newSession(id, address string, caller, declared wire.SamplingCapability) *session {
	s := &session{
		id: id, name: id, address: address, ctx: h.ctx,
		caller: caller, declared: declared,
		lastUsed: time.Now(),

		complaints: &h.complaints,
	}
	if id != "" {
		s.complaints = &complaints{}
		s.digest = digestOf(id)
		s.ctx, s.cancel = context.WithCancelCause(h.ctx)
		s.listener = newListener(h, s)
	}
	return s
}

// digestOf returns what of a session's id may be in logs.
func digestOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:6])
}

// end stops what runs for the session. It may be called again.
func (s *session) end() {
	if s.cancel == nil {
		return
	}
	s.cancel(errSessionEnded)
	if s.listener != nil {
		s.listener.log.close()
	}
}

// viewIn is view for a sampling request that belongs to a call, as which of it; 0
// where it belongs to none.
func (s *session) viewIn(inCall int) Session {
	v := s.view()
	v.InCall = inCall
	return v
}

func (s *session) view() Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Session{
		ID: s.digest, Caller: s.caller, Declared: s.declared, CallerUnknown: s.callerUnknown, ProtocolVersion: s.version,
	}
}

func (s *session) setVersion(version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
}

// noteCORS keeps what the server says to a browser's origin, for the responses
// that the proxy gives in its place.
func (s *session) noteCORS(request, response http.Header) {
	origin := request.Get("Origin")
	if origin == "" {
		return
	}
	cors := http.Header{}
	for name, values := range response {
		if name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
			cors[name] = values
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.origin, s.cors = origin, cors
}

func (s *session) corsFor(origin string) http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origin != origin {
		return nil
	}
	return s.cors
}

// accept notes that the server accepted a request with this header. It reports
// whether the caller identified itself in another way than before.
func (s *session) accept(header http.Header) (changed bool) {
	c := credentialOf(header)
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !s.proven || s.credential != c
	s.header, s.credential, s.proven = header, c, true
	if s.version == "" {
		s.version = header.Get(wire.HeaderVersion)
	}
	return changed
}

// accepted reports whether the server has accepted these credentials.
func (s *session) accepted(header http.Header) bool {
	c := credentialOf(header)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven && s.credential == c
}

func (s *session) isProven() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

func (s *session) latestHeader() (header http.Header, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header, s.version
}

func (s *session) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	s.lastUsed = time.Now()
	s.noteUnused()
}

// noteUnused tells who waits for that that nobody uses the session. s.mu is held.
func (s *session) noteUnused() {
	if s.unused != nil && s.users == 0 && len(s.answers) == 0 {
		close(s.unused)
		s.unused = nil
	}
}

// whenUnused returns a channel that is closed once nobody uses the session. It is
// called once.
func (s *session) whenUnused() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	unused := make(chan struct{})
	s.unused = unused
	s.noteUnused()
	return unused
}

// busy reports whether anything but GET streams of the caller is under way. s.mu
// is held.
func (s *session) busy() bool { return s.users > s.streams || len(s.answers) > 0 }

// beginStream notes that an exchange is a GET stream of the caller.
func (s *session) beginStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams++
}

func (s *session) endStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams--
}

// idleFrom returns since when nobody has used the session.
func (s *session) idleFrom() (since time.Time, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastUsed, s.users == 0 && len(s.answers) == 0
}

func (s *session) beginCall(m wire.Message, header http.Header) *call {
	c := &call{id: m.ID, key: m.Key(), method: m.Method, header: header}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = map[*call]struct{}{}
	}
	s.calls[c] = struct{}{}
	return c
}

// hasNoCalls reports whether nothing of the session would end with it: neither a
// call nor an answer to sampling.
func (s *session) hasNoCalls() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) == 0 && len(s.answers) == 0
}

// endCall forgets a call. Where it is over, and not only its stream, sampling
// that belongs to it ends too.
func (s *session) endCall(c *call, over bool) {
	s.mu.Lock()
	if delete(s.calls, c); len(s.calls) == 0 {
		s.calls = nil
	}
	s.mu.Unlock()
	if over {
		s.cancelAnswers(errCallEnded, func(a *answer) bool { return a.call == c })
	}
}

// cancelCall ends the sampling of the call that has this id.
func (s *session) cancelCall(key string) {
	s.cancelAnswers(errCallEnded, func(a *answer) bool { return a.call != nil && a.call.key == key })
}

// onlyCall returns the one call that a sampling request on the GET stream can
// belong to; nil if there are none or several.
func (s *session) onlyCall() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if running := s.samplingCalls(); len(running) == 1 {
		return running[0]
	}
	return nil
}

// countAsked counts a sampling request in the call that it belongs to, and returns
// which one of that call it is; 0 where no call runs. c is nil where several run
// and nobody can tell: then it counts for each of them, and the newest says how
// many there were, so that no loop goes on for ever and no call pays for long for
// another one.
func (s *session) countAsked(c *call) int {
	if c != nil {
		return int(c.asked.Add(1))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fewest := 0
	for _, running := range s.samplingCalls() {
		if n := int(running.asked.Add(1)); fewest == 0 || n < fewest {
			fewest = n
		}
	}
	return fewest
}

// samplingCalls returns the running calls that a server may sample in; s.mu is
// held.
func (s *session) samplingCalls() (running []*call) {
	for c := range s.calls {
		switch c.method {
		case "tools/call", "prompts/get", "resources/read", "completion/complete":
			running = append(running, c)
		}
	}
	return running
}

// beginAnswer is false where too many run already.
func (s *session) beginAnswer(a *answer, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) >= most {
		return false
	}
	if s.answers == nil {
		s.answers = map[*answer]struct{}{}
	}
	s.answers[a] = struct{}{}
	return true
}

func (s *session) endAnswer(a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.answers, a); len(s.answers) == 0 {
		s.answers = nil
	}
	s.lastUsed = time.Now()
	s.noteUnused()
}

func (s *session) cancelAnswers(cause error, match func(*answer) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.answers {
		if match(a) {
			a.cancel(cause)
		}
	}
}

// take notes a sampling request. It is false for one that was taken before: an
// event that a server sends again after a reconnection. Ids of requests alone
// do not tell, as some servers count from one again; so where events have no
// ids, only a stream that was resumed is distrusted.
func (s *session) take(key, eventID string, resumed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if eventID != "" {
		event := eventID + "\x00" + key
		if s.events.has(event) {
			return false
		}
		s.events.add(event)
	} else if resumed && s.taken.has(key) {
		return false
	}
	s.taken.add(key)
	return true
}

// passOn notes that the caller gets a request with this id, which from now on
// means that one.
func (s *session) passOn(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.remove(key)
}

// allTaken returns the keys of the sampling requests that were taken off, as they
// are held and as looseKey has them.
func (s *session) allTaken() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool, 2*len(s.taken.keys))
	for _, key := range s.taken.keys {
		all[key], all[looseKey(key)] = true, true
	}
	return all
}

// cancelledByServer ends the answer to a sampling request. It is false where
// the request was not taken off.
func (s *session) cancelledByServer(key string) bool {
	running := false
	s.cancelAnswers(errServerCancelled, func(a *answer) bool {
		running = running || a.key == key
		return a.key == key
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return running || s.taken.has(key)
}
