package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/seal"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/tracing"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

const (
	// headerHop marks what one replica has forwarded to another, which never
	// forwards it again. Its value is sealed, so callers cannot make one: else they
	// could choose a replica that does not know what was asked in their session.
	headerHop = "Mcp-Sampling-Hop"
	// hopTime is how long a mark is good: far more than clocks differ.
	hopTime = time.Hour
	// hopKept is how long one is used.
	hopKept = 5 * time.Minute
	// hopLeaving is what a replica that is to end answers there to a request that was
	// forwarded to it, for a session that it does not hold.
	hopLeaving = "leaving"
	// replicasKept is how long the addresses of the replicas are believed, and
	// lookupTime how long looking them up may take.
	replicasKept = time.Second
	lookupTime   = 2 * time.Second
	// replicaDialTime bounds connecting to a replica, which is near. One that
	// cannot be reached counts as gone for goneTime.
	replicaDialTime = time.Second
	goneTime        = 5 * time.Second
	// leftTime is how long one is asked for sessions whose name is not found any more.
	leftTime = time.Minute
)

var errReplicaLeaves = errors.New("the replica ends")

var hopBound = []byte("forwarded by another replica")

type hopKey struct{}

// replicas are the samplers of one server, this one among them. Without a name
// for them there is no other one.
type replicas struct {
	// self is this one's host:port.
	self       string
	host, port string
	lookup     func(ctx context.Context, network, host string) ([]netip.Addr, error)
	transport  *http.Transport
	buffers    smallBuffers

	mu sync.Mutex
	// set are the addresses that were found last, in order, at the time asked.
	set   []string
	asked time.Time
	// asking is closed when a lookup that is under way is over; nil where none is.
	asking chan struct{}
	// gone are the addresses that could not be reached, and until when they
	// are not tried again.
	gone map[string]time.Time
	// left are addresses that are not to get requests, and since when, though sessions
	// may be held there: those of replicas that were found before, that said that they
	// end, or that are not found yet.
	left map[string]time.Time
	// hop is the mark that is used, since hopSealed.
	hop       string
	hopSealed time.Time
}

func newReplicas(o *Options) (*replicas, error) {
	r := &replicas{lookup: o.LookupNetIP, gone: map[string]time.Time{}, left: map[string]time.Time{}}
	if o.Replicas == "" {
		return r, nil
	}
	var err error
	if r.host, r.port, err = net.SplitHostPort(o.Replicas); err != nil {
		return nil, fmt.Errorf("proxy: Replicas is %q: write host:port", o.Replicas)
	}
	self, err := netip.ParseAddrPort(o.Self)
	if err != nil {
		return nil, fmt.Errorf("proxy: Self is %q: with Replicas it must be this replica's ip:port", o.Self)
	}
	r.self = netip.AddrPortFrom(self.Addr().Unmap(), self.Port()).String()
	dialer := &net.Dialer{Timeout: replicaDialTime, KeepAliveConfig: probes, Control: boundUnacknowledged}
	r.transport = &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     time.Minute, // before the other replica gives them up
		DisableCompression:  true,
		// A server's header, which the other replica passes on.
		MaxResponseHeaderBytes: 2 * maxServerHeader,
	}
	return r, nil
}

func (r *replicas) close() {
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
}

// current returns the addresses of all replicas that can be reached.
func (r *replicas) current(ctx context.Context) []string {
	if r.host == "" {
		return nil
	}
	set := r.all(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.gone) == 0 {
		return set
	}
	now := time.Now()
	reached := make([]string, 0, len(set))
	for _, address := range set {
		if now.After(r.gone[address]) {
			delete(r.gone, address)
			reached = append(reached, address)
		}
	}
	return reached
}

// all returns the addresses that the name stands for. Requests at the same time
// share one lookup.
func (r *replicas) all(ctx context.Context) []string {
	r.mu.Lock()
	if !r.asked.IsZero() && time.Since(r.asked) < replicasKept {
		defer r.mu.Unlock()
		return r.set
	}
	if asking := r.asking; asking != nil {
		r.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.set
	}
	asking := make(chan struct{})
	r.asking = asking
	r.mu.Unlock()

	// The others wait too, whether or not this caller does.
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTime)
	defer cancel()
	found, err := r.lookup(asked, "ip", r.host)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.asking = time.Now(), nil
	close(asking)
	if err != nil && !noAddress(err) {
		return r.set // what was known is better than nothing
	}
	set := make([]string, 0, len(found))
	for _, ip := range found {
		set = append(set, net.JoinHostPort(ip.Unmap().String(), r.port))
	}
	slices.Sort(set)
	for _, address := range r.set {
		if !slices.Contains(set, address) {
			r.left[address] = r.asked
		}
	}
	for address, missed := range r.left {
		if r.asked.Sub(missed) > leftTime {
			delete(r.left, address)
		}
	}
	r.set = slices.Compact(set)
	return r.set
}

// mark returns the value of headerHop.
func (r *replicas) mark(sealer *seal.Sealer, now time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hop == "" || now.Sub(r.hopSealed) >= hopKept {
		r.hop, r.hopSealed = sealer.SealState(nil, hopBound, now.Add(hopTime)), now
	}
	return r.hop
}

// mayReturn reports whether a replica that cannot be reached may only have failed
// to answer once: its name still leads to it.
func (r *replicas) mayReturn(ctx context.Context, address string) bool {
	return r.host != "" && slices.Contains(r.all(ctx), address)
}

// others returns the addresses of the replicas that may hold sessions, beside this
// one: also of those that end and are not to get requests any more.
func (r *replicas) others(ctx context.Context) []string {
	others := slices.Clone(r.current(ctx))
	r.mu.Lock()
	defer r.mu.Unlock()
	for address := range r.left {
		others = append(others, address)
	}
	slices.Sort(others)
	return slices.DeleteFunc(slices.Compact(others), func(address string) bool { return address == r.self })
}

// forgetEnded has nobody wait for replicas that have ended since they left.
func (r *replicas) forgetEnded(ctx context.Context) {
	r.mu.Lock()
	left := slices.Collect(maps.Keys(r.left))
	r.mu.Unlock()
	for _, address := range left {
		r.reachable(ctx, address)
	}
}

// met notes that there is a replica which may not be found yet.
func (r *replicas) met(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[address] = time.Now()
}

// ends notes that a replica is to get no requests any more, though it still holds
// sessions.
func (r *replicas) ends(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[address] = time.Now().Add(goneTime)
	r.left[address] = time.Now()
}

// lost notes that a replica could not be reached.
func (r *replicas) lost(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[address] = time.Now().Add(goneTime)
	delete(r.left, address)
}

// ownerOf returns the replica that serves a session which is not held here. One
// that is to end gives it to another one, if there is any.
func (h *Handler) ownerOf(ctx context.Context, name, owner string) string {
	set := h.replicas.current(ctx)
	if h.leaving.Err() != nil {
		isSelf := func(address string) bool { return address == h.replicas.self }
		if set = slices.DeleteFunc(slices.Clone(set), isSelf); isSelf(owner) && len(set) > 0 {
			owner = ""
		}
	}
	return chooseOwner(set, h.replicas.self, name, owner)
}

// chooseOwner returns which of the replicas serves a session: the one that began
// it, if that is there, or else the one that all who see the same set choose
// (rendezvous hashing: each replica that comes or goes moves few sessions).
func chooseOwner(set []string, self, name, owner string) string {
	if owner == self || len(set) == 0 {
		return self
	}
	if slices.Contains(set, owner) {
		return owner
	}
	var chosen string
	var most uint64
	for _, address := range set {
		sum := sha256.Sum256([]byte(address + "\x00" + name))
		if score := binary.BigEndian.Uint64(sum[:]); chosen == "" || score > most {
			chosen, most = address, score
		}
	}
	return chosen
}

// forward has the replica owner serve a request, whose body has been read. It
// reports whether the caller has been answered: not where this one is the owner,
// where the request was forwarded already, or where the owner is gone. Then the
// request can still be served in another way.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, owner string, body []byte) bool {
	if owner == "" || owner == h.replicas.self || isForwarded(r) {
		return false
	}
	if !slices.Contains(h.replicas.current(r.Context()), owner) { // nobody else is ever dialled
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// The caller's GET stream comes back through another replica when this one
	// is to end.
	isStream := r.Method == http.MethodGet
	if isStream && h.leaving.Err() == nil {
		defer context.AfterFunc(h.leaving, cancel)()
	}
	out := newCallerWriter(w, h.opts.WriteTimeout)
	answered := true
	defer func() {
		if answered { // else who answers the caller gives the time for it
			out.end()
		}
	}()
	proxy := &httputil.ReverseProxy{
		Transport:     h.replicas.transport,
		FlushInterval: -1,
		BufferPool:    &h.replicas.buffers,
		ErrorLog:      slog.NewLogLogger(h.opts.Logger.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", owner
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			p.Out.Host = p.In.Host
			for _, name := range []string{"Connection", "Upgrade", "Expect"} {
				p.Out.Header.Del(name)
			}
			if names := p.In.Header[wire.HeaderSession]; names != nil { // which Connection may have taken off
				p.Out.Header[wire.HeaderSession] = names
			}
			tracing.Inject(r.Context(), p.Out.Header)
			p.Out.Header.Set(headerHop, h.replicas.mark(h.opts.Sealer, time.Now()))
			p.Out.Body, p.Out.ContentLength = http.NoBody, 0
			if len(body) > 0 {
				p.Out.Body, p.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				p.Out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get(headerHop) == hopLeaving {
				return errReplicaLeaves
			}
			operationOf(w).forwarded()
			if isStream {
				resp.Body = &leavingBody{ReadCloser: resp.Body, leaving: h.leaving}
			}
			return nil
		},
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, err error) {
			if h.callerLeft(r) {
				operationOf(w).forwarded()
				panic(http.ErrAbortHandler)
			}
			answered = h.notForwarded(answer, owner, err)
		},
	}
	proxy.ServeHTTP(forwardWriter{out}, r.WithContext(ctx))
	return answered
}

// notForwarded answers a caller whose request another replica may have got; it
// is false where that one did not.
func (h *Handler) notForwarded(w http.ResponseWriter, owner string, err error) bool {
	if errors.Is(err, errReplicaLeaves) {
		h.opts.Logger.Info("a replica ends: its sessions go on elsewhere", "replica", owner)
		h.replicas.ends(owner)
		return false
	}
	if notReached(err) {
		h.opts.Logger.Info("a replica cannot be reached: its sessions go on elsewhere", "replica", owner, "error", err)
		h.replicas.lost(owner)
		return false
	}
	if errors.Is(err, context.Canceled) { // the stream is not to begin any more
		shuttingDown(w, nil)
		return true
	}
	h.opts.Logger.Warn("a replica did not answer", "replica", owner, "error", err)
	fail(w, http.StatusBadGateway, nil, codeUnavailable, "the sampler that holds this session broke off: try again")
	return true
}

// smallBuffers are for bodies of other replicas: each stream holds one.
type smallBuffers struct{ pool sync.Pool }

func (b *smallBuffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 4<<10)
}

func (b *smallBuffers) Put(buffer []byte) { b.pool.Put(&buffer) }

func isForwarded(r *http.Request) bool { return r.Context().Value(hopKey{}) != nil }

// leavingBody is a stream from another replica. Where this one ends it, it ends
// well, so that the caller opens it again.
type leavingBody struct {
	io.ReadCloser
	leaving context.Context //nolint:containedctx // it ends the reading
}

func (b *leavingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.leaving.Err() != nil {
		err = io.EOF
	}
	return n, err
}

// forwardWriter lets a ReverseProxy write to a caller, who gets a bounded time to
// read.
type forwardWriter struct{ *callerWriter }

// FlushError sends what there is, be it the header alone.
func (w forwardWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = true
	w.send()
	return nil
}

// fromReplica takes the mark off a request that another replica has forwarded.
// It is false where the mark is not one; then the caller has been answered.
func (h *Handler) fromReplica(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	marks := r.Header[headerHop]
	if len(marks) == 0 {
		return r, true
	}
	mark := strings.Join(marks, ",")
	if wanted, err := h.opts.Sealer.OpenState(mark, letGoBound, time.Now()); err == nil {
		h.serveLetGo(w, r, string(wanted))
		return nil, false
	}
	if _, err := h.opts.Sealer.OpenState(mark, hopBound, time.Now()); err != nil {
		unread(w, r, http.NewResponseController(w))
		fail(w, http.StatusBadRequest, nil, codeInvalidRequest, "the header "+headerHop+" is for samplers among themselves: leave it out")
		return nil, false
	}
	r = r.WithContext(context.WithValue(r.Context(), hopKey{}, true))
	r.Header.Del(headerHop)
	return r, true
}

// reachable reports whether a replica can be connected to.
func (r *replicas) reachable(ctx context.Context, address string) bool {
	conn, err := r.transport.DialContext(ctx, "tcp", address)
	if err != nil {
		r.lost(address)
		return false
	}
	_ = conn.Close()
	return true
}
