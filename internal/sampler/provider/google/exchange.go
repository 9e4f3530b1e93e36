package google

import (
	"context"
	"net/http"
)

// exchange is one request: the key to send, and the response's head, which the
// SDK forgets.
type exchange struct {
	key      string
	response *http.Response
}

type exchangeKey struct{}

func withExchange(ctx context.Context, key string) (context.Context, *exchange) {
	ex := &exchange{key: key}
	return context.WithValue(ctx, exchangeKey{}, ex), ex
}

// transport puts the key of the moment into requests, because the SDK knows one
// key for its whole life, and bounds answers before the SDK decodes them.
type transport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	ex, ok := req.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		ex = &exchange{}
	}
	req = req.Clone(req.Context())
	req.Header.Del("X-Goog-Api-Key")
	if ex.key != "" {
		req.Header.Set("X-Goog-Api-Key", ex.key)
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body}
	ex.response = resp
	return resp, nil
}
