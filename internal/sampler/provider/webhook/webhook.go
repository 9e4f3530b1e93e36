// Package webhook asks a handler of the user's own: a sampling request goes as
// JSON over HTTP POST to one address, and what comes back is a text or a full
// result. Requests are signed after the Standard Webhooks specification. It
// translates and does nothing else.
//
// All that a request can hold goes on in MCP's own form, so nothing is lost on
// the way. A handler belongs to the user, but what it says of a failure may be
// somebody else's words: its codes count, and its messages go nowhere.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// minKeyBytes is the least that the Standard Webhooks specification allows.
const minKeyBytes = 24

// Client is a provider.Provider.
type Client struct{ options provider.Options }

var _ provider.Provider = (*Client)(nil)

// New makes a client of the handler at options.BaseURL, which is the whole
// address. It sends nothing.
func New(options provider.Options) (*Client, error) {
	address, err := url.Parse(options.BaseURL)
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		return nil, errors.New("make a webhook client: baseURL must be an http or https URL, the whole address of the handler")
	}
	if options.HTTP == nil {
		return nil, errors.New("make a webhook client: there is no HTTP client")
	}
	return &Client{options: options}, nil
}

// CreateMessage asks the handler once.
func (c *Client) CreateMessage(ctx context.Context, req provider.Request) (*provider.Response, error) {
	id := newID()
	body, err := newBody(id, &req)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(ctx, http.MethodPost, id, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, provider.FromResponse(resp, nil)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, noAnswer(ctx, err)
	}
	response, err := newResponse(resp.Header.Get("Content-Type"), data, &req)
	var failure *provider.Error
	if errors.As(err, &failure) && failure.Kind == provider.KindInvalid {
		failure.Status = resp.StatusCode
	}
	return response, err
}

// Probe sends OPTIONS, signed as a request is but without a body. A handler need
// not know it: every answer means that somebody is there, but for those that
// refuse the signature or say that the handler is out of order.
func (c *Client) Probe(ctx context.Context) error {
	resp, err := c.send(ctx, http.MethodOptions, newID(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests,
		status == http.StatusRequestTimeout, status >= 300 && status < 400, status >= 500 && status != http.StatusNotImplemented:
		return provider.FromResponse(resp, nil)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, id string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.options.BaseURL, bytes.NewReader(body))
	if err != nil {
		return nil, &provider.Error{Kind: provider.KindRejected, Detail: "the base URL cannot be used"}
	}
	req.Header.Set("Accept", mediaTypeJSON+", "+mediaTypeText)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", mediaTypeJSON)
	}
	signer, err := c.signer()
	if err != nil {
		return nil, err
	}
	if err := sign(req.Header, signer, id, time.Now(), body); err != nil {
		return nil, err
	}
	resp, err := c.options.HTTP.Do(req)
	if err != nil {
		return nil, noAnswer(ctx, err)
	}
	return resp, nil
}

// signer holds the key of this moment; nil where requests are not signed.
func (c *Client) signer() (*standardwebhooks.Webhook, error) {
	if c.options.Key == nil {
		return nil, nil
	}
	text, err := c.options.CurrentKey()
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	switch {
	case err != nil:
		// err says at which byte, and that could be a byte of the key.
		return nil, unusableKey("the key is not base64: make one with `openssl rand -base64 32`")
	case len(key) < minKeyBytes:
		return nil, unusableKey("the key is too short: it is base64 of " + strconv.Itoa(minKeyBytes) + " bytes or more")
	}
	return standardwebhooks.NewWebhookRaw(key)
}

// unusableKey is for a key that is there: the handler would refuse what it signs.
func unusableKey(detail string) *provider.Error {
	return &provider.Error{Kind: provider.KindUnauthorized, Detail: detail}
}

// sign sets the headers of the specification: id and time always, so that a
// handler can tell requests apart, and the signature where there is a key.
func sign(h http.Header, signer *standardwebhooks.Webhook, id string, now time.Time, body []byte) error {
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if signer == nil {
		return nil
	}
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		return &provider.Error{Kind: provider.KindMissingKey, Detail: "the request cannot be signed", Cause: err}
	}
	h.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return nil
}

func newID() string { return "msg_" + rand.Text() }

// noAnswer classifies an error of the HTTP client. The address stays out of the
// cause: a query may hold what others must not read.
func noAnswer(ctx context.Context, err error) *provider.Error {
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err
	}
	return provider.FromTransport(ctx, err)
}

const (
	mediaTypeJSON = "application/json"
	mediaTypeText = "text/plain"
)

// mediaType returns the type and the charset of a Content-Type.
func mediaType(contentType string) (name, charset string) {
	name, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", ""
	}
	return name, strings.ToLower(parameters["charset"])
}
