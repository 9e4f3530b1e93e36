// Package anthropic calls models through the Messages API: Anthropic's own and
// everything that is compatible with it. It translates and does nothing else.
//
// How what the API cannot say, or would refuse, is said all the same:
//   - Consecutive messages of one role are one. Text without a visible character
//     is left out, and so is white space at the end of a last assistant message.
//   - Names and ids of tools that it refuses are replaced, and put back.
//   - A failed tool's result carries only text. Images and documents of it follow
//     after all results, so that nothing is lost.
//   - What models of some families refuse (see modelRules) is refused here, with
//     words that help.
//
// The official client reads ANTHROPIC_* variables of the process on its own
// unless its service is made alone and its traces are off, as here: a sampler
// must never send a key that its configuration does not name. It sends the bytes
// that are written here and gives back those that came, because its own types
// would lose the order of a schema's keys.
package anthropic

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
)

// DefaultBaseURL is Anthropic's own.
const DefaultBaseURL = "https://api.anthropic.com"

// apiVersion is what the client sends too; here it is for what it does not send.
const apiVersion = "2023-06-01"

// noTimeout keeps the client from bounding a request, which it does by default,
// and from refusing those that may take long. The context is the only bound.
const noTimeout = 24 * time.Hour

// Client is a provider.Provider.
type Client struct {
	options   provider.Options
	messages  sdk.MessageService
	modelsURL string
}

var _ provider.Provider = (*Client)(nil)

// New makes a client. It sends nothing. The base URL may end with the API's
// version ("/v1") or before it.
func New(options provider.Options) (*Client, error) {
	if options.HTTP == nil {
		return nil, errors.New("make an Anthropic client: there is no HTTP client")
	}
	if options.BaseURL == "" {
		options.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(options.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("make an Anthropic client: baseURL must be an http or https URL")
	}
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/v1")
	base.RawPath, base.RawQuery, base.Fragment = "", "", ""
	models := base.JoinPath("v1", "models")
	models.RawQuery = "limit=1"
	return &Client{
		options:   options,
		modelsURL: models.String(),
		messages: sdk.NewMessageService(
			option.WithBaseURL(base.String()),
			option.WithHTTPClient(options.HTTP),
			option.WithMaxRetries(0),
			option.WithRequestTimeout(noTimeout),
			option.WithHeaderDel("X-Stainless-Timeout"),
			option.WithoutOpenTelemetry(),
		),
	}, nil
}

// CreateMessage asks for one completion, once.
func (c *Client) CreateMessage(ctx context.Context, req provider.Request) (*provider.Response, error) {
	asked, err := newQuestion(req)
	if err != nil {
		return nil, err
	}
	body, err := asked.encode(req.ExtraBody)
	if err != nil {
		return nil, err
	}
	key, err := c.options.CurrentKey()
	if err != nil {
		return nil, err
	}
	var (
		answer []byte
		resp   *http.Response
	)
	opts := []option.RequestOption{
		option.WithRequestBody("application/json", body),
		option.WithResponseBodyInto(&answer),
		option.WithResponseInto(&resp),
	}
	if key != "" {
		opts = append(opts, option.WithAPIKey(key))
	}
	if _, err := c.messages.New(ctx, sdk.MessageNewParams{Model: req.Model, MaxTokens: req.MaxTokens}, opts...); err != nil {
		return nil, failure(ctx, resp, err)
	}
	if resp.StatusCode >= 300 {
		return nil, provider.FromResponse(resp, nil)
	}
	response, err := newResponse(answer, asked)
	if err != nil {
		return nil, err
	}
	return response, nil
}

// Probe asks for the list of models.
func (c *Client) Probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.modelsURL, nil)
	if err != nil {
		return &provider.Error{Kind: provider.KindRejected, Detail: "the base URL cannot be used", Cause: err}
	}
	key, err := c.options.CurrentKey()
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("X-Api-Key", key)
	}
	req.Header.Set("Anthropic-Version", apiVersion)
	return c.options.AskForModels(req, func(resp *http.Response) *provider.Error { return provider.FromResponse(resp, nil) })
}

// failure classifies an error of the client. The HTTP client's own reasons not to
// send something are passed on.
func failure(ctx context.Context, resp *http.Response, err error) *provider.Error {
	if resp != nil && resp.StatusCode >= 300 && ctx.Err() == nil {
		return provider.FromResponse(resp, errorType(err))
	}
	return provider.FromTransport(ctx, err)
}

// isShortCode reports whether a text looks like the types of the API's errors.
// Whatever else stands there may be a quotation, even of the key.
func isShortCode(text string) bool {
	return len(text) > 0 && len(text) <= 64 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// errorType keeps of the provider's words what cannot be a secret.
func errorType(err error) error {
	var apiErr *sdk.Error
	if !errors.As(err, &apiErr) || !isShortCode(string(apiErr.Type())) {
		return nil
	}
	return errors.New(string(apiErr.Type()))
}
