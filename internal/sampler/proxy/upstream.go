package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// newPlainProxy carries what is not MCP: OAuth metadata and methods that the
// transport does not use.
func (h *Handler) newPlainProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     upstream{&h.opts},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = h.opts.Upstream.Scheme
			r.Out.URL.Host = h.opts.Upstream.Host
			r.Out.Host = h.opts.Upstream.Host
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			h.unreachable(w, r, nil, &sendError{cause: err})
		},
	}
}

// send makes a request to the server, at the address if that is not empty.
// header is used as it is.
func (h *Handler) send(ctx context.Context, address, method, query string, header http.Header, body []byte) (*http.Response, error) {
	target := *h.opts.Upstream
	if address != "" {
		target.Host = address
	}
	if target.RawQuery == "" || query == "" {
		target.RawQuery += query
	} else {
		target.RawQuery += "&" + query
	}
	return h.sendTo(ctx, &target, method, header, body)
}

// sendTo makes a request to a URL of the server. header is used as it is.
func (h *Handler) sendTo(ctx context.Context, target *url.URL, method string, header http.Header, body []byte) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "", reader) // the URL is parsed already
	if err != nil {
		return nil, fmt.Errorf("making a request for the server: %w", err)
	}
	req.URL = target
	req.Host = h.opts.Upstream.Host
	req.Header = header
	resp, err := upstream{&h.opts}.RoundTrip(req)
	if err != nil {
		return nil, &sendError{cause: err}
	}
	if resp.StatusCode/100 == 3 {
		if location, err := resp.Location(); err == nil {
			resp.Body.Close()
			return nil, newRedirectError(location, target.Scheme, target.Host, req.Host)
		}
	}
	return resp, nil
}

// sendError is a request that got no response. What the server sent instead of
// one can stand in the cause, so its text is cut.
type sendError struct{ cause error }

func (e *sendError) Error() string { return "asking the server: " + cut(e.cause.Error()) }
func (e *sendError) Unwrap() error { return e.cause }

// cut shortens what can be a server's words. Who shows them escapes them.
func cut(text string) string {
	const most = 256
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// redirectError is a server's answer that its endpoint is elsewhere. Callers
// cannot follow it, as they do not reach the server by themselves. What it says
// is the server's word, and cut.
type redirectError struct {
	// to is without the query, which can hold a secret.
	to string
	// path is empty where scheme or host are others than those that were asked.
	path string
}

func (e *redirectError) Error() string { return fmt.Sprintf("the server redirects to %q", e.to) }

func newRedirectError(location *url.URL, scheme string, hosts ...string) *redirectError {
	to := url.URL{Scheme: location.Scheme, Host: location.Host, Path: location.Path, RawPath: location.RawPath}
	e := &redirectError{to: cut(to.String())}
	if location.Scheme == scheme && slices.Contains(hosts, location.Host) {
		e.path = cut(location.Path)
	}
	return e
}

// errNoAddress is of a name that is known and has no address.
var errNoAddress = errors.New("the server's name has no address")

// addresses returns the server's addresses in random order; one empty string
// where there is nothing to choose from.
func (h *Handler) addresses(ctx context.Context) ([]string, error) {
	host := h.opts.Upstream.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || h.opts.External {
		return []string{""}, nil
	}
	found, err := h.opts.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("looking up the server: %w", err)
	}
	port := h.opts.Upstream.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[h.opts.Upstream.Scheme]
	}
	var addresses []string
	for _, ip := range found {
		addresses = append(addresses, net.JoinHostPort(ip.Unmap().String(), port))
	}
	if len(addresses) == 0 {
		return nil, errNoAddress
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	h.places.sight(time.Now(), addresses...)
	rand.Shuffle(len(addresses), func(i, j int) { addresses[i], addresses[j] = addresses[j], addresses[i] })
	return addresses, nil
}

// noAddress reports whether err means that the server's name leads nowhere, as
// that of a Service without ready pods does.
func noAddress(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return errors.Is(err, errNoAddress) || ok && dns.IsNotFound
}

// notReached reports whether err means that no byte came to the server.
func notReached(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// hopByHop are the headers that mean one connection only (RFC 9110, 7.6.1), and
// Expect, which is over once the body has been read.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect",
}

// forwarded are headers by which proxies tell who called. The server could not
// tell a forged one from a true one, so none goes on and none is added.
var forwarded = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
	"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-Ip",
}

// endToEnd returns what of a caller's header goes on to the server.
func endToEnd(in http.Header) http.Header {
	out := in.Clone()
	removeHopByHop(out)
	for _, name := range forwarded {
		out.Del(name)
	}
	out.Del("Content-Length")
	// Streams are read here, and nobody gains from compression within a cluster.
	out.Set("Accept-Encoding", "identity")
	if out.Get("User-Agent") == "" {
		out.Set("User-Agent", "") // else net/http names itself
	}
	return out
}

// maxKeptHeader bounds what a session keeps of a caller's header, which is all that
// goes on to the server.
const maxKeptHeader = 16 << 10

// keepable reports whether a session may keep the header of a request. Where not,
// the caller has been answered.
func keepable(w http.ResponseWriter, r *http.Request, id json.RawMessage) bool {
	if headerBytes(r.Header) <= maxKeptHeader {
		return true
	}
	header := endToEnd(r.Header)
	header.Del(wire.HeaderSession)
	if headerBytes(header) <= maxKeptHeader {
		return true
	}
	fail(w, http.StatusRequestHeaderFieldsTooLarge, id, codeInvalidRequest, fmt.Sprintf(
		"the header of the request is too large for a session, which keeps it: send at most %d KiB", maxKeptHeader>>10))
	return false
}

func headerBytes(header http.Header) (n int) {
	for name, values := range header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return n
}

func removeHopByHop(header http.Header) {
	for _, list := range header["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			header.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopByHop {
		header.Del(name)
	}
}

// ownHeader returns the header for a request that the proxy makes in the
// caller's name: the caller's own without what described the old message.
func ownHeader(caller http.Header, s *session) http.Header {
	out := caller.Clone()
	if out == nil {
		out = http.Header{}
	}
	for name := range out {
		if strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Mcp-Param-") {
			out.Del(name)
		}
	}
	for _, name := range []string{"Mcp-Method", "Mcp-Name", headerLastEventID, "If-None-Match", "If-Modified-Since", "Range"} {
		out.Del(name)
	}
	if s.id != "" {
		out.Set(wire.HeaderSession, s.id)
	}
	if _, version := s.latestHeader(); out.Get(wire.HeaderVersion) == "" && version != "" {
		out.Set(wire.HeaderVersion, version)
	}
	return out
}

// credential is a digest of the headers that can say who a caller is.
type credential [sha256.Size]byte

// credentialOf leaves out the headers that are known to vary between the
// requests of one caller. Unknown ones count, as anything can be an API key.
func credentialOf(header http.Header) credential {
	names := make([]string, 0, len(header))
	for name := range header {
		if !variesByRequest(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	sum := sha256.New()
	for _, name := range names {
		for _, value := range header[name] {
			fmt.Fprintf(sum, "%d:%s%d:%s", len(name), name, len(value), value)
		}
	}
	return credential(sum.Sum(nil))
}

func variesByRequest(name string) bool {
	switch name {
	case "Traceparent", "Tracestate", "Baggage", "User-Agent", "X-Request-Id", "Cache-Control",
		"Pragma", "Date", "Priority", "Referer", headerLastEventID,
		"X-Correlation-Id", "X-Amzn-Trace-Id", "X-Amz-Cf-Id", "X-Cloud-Trace-Context", "Uber-Trace-Id", "Sentry-Trace", "Cf-Ray",
		"Newrelic", "X-Request-Start", "X-Queue-Start", "Cdn-Loop", "Via", "B3", "X-Ot-Span-Context", "X-Client-Trace-Id",
		// Proofs that are made anew for each request. The token that they go with counts.
		"Dpop", "Signature", "Signature-Input", "Signature-Agent",
		"X-Envoy-Attempt-Count", "X-Envoy-Expected-Rq-Timeout-Ms":
		return true
	}
	for _, prefix := range []string{"Accept", "Content-", "Mcp-", "Sec-Fetch-", "X-B3-", "X-Datadog-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// shorten bounds the memory of a key that others choose.
func shorten(key string) string {
	if len(key) <= 2*sha256.Size {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}
